-- Cancel the open round, and the request that it would have answered.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now, 3 seconds to keep it.
-- Returns the round's state before, or nil if it is unknown. Auto-mining will not open another on this tip.
local P = KEYS[1]
-- include: round

local state = redis.call('HGET', P .. 'round:' .. ARGV[1], 'state')
if state ~= 'open' then
  return state
end
redis.call('SET', P .. 'held', redis.call('HGET', P .. 'tip', 'hash'))
answer_oldest(ARGV[3], 'status', 'cancelled')
cancel_round(ARGV[1], ARGV[2], ARGV[3])
return state
