-- Cancel the open round, and the request that it would have answered.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now (Unix seconds), 3 seconds to keep round and request.
-- Returns the state that the round had before, or nil if there is no such round. Only an open round changes; then
-- auto-mining opens no other round on this tip.
local P = KEYS[1]
-- include: round

local round_id, now, keep = unpack(ARGV, 1, 3)
local state = redis.call('HGET', P .. 'round:' .. round_id, 'state')
if state ~= 'open' then
  return state
end
redis.call('SET', P .. 'held', redis.call('HGET', P .. 'tip', 'hash'))
answer_oldest(keep, 'status', 'cancelled')
cancel_round(round_id, now, keep)
return state
