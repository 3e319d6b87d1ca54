-- Cancel the open round, and the request that it would have answered.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now, 3 seconds to keep it.
-- Returns the round's state before, or nil if it is unknown. Auto-mining will not open another on this tip.
local P = KEYS[1]
local round = P .. 'round:' .. ARGV[1]
local state = redis.call('HGET', round, 'state')
if state ~= 'open' then
  return state
end
redis.call('HSET', round, 'state', 'cancelled', 'ended_at', ARGV[2])
redis.call('EXPIRE', round, ARGV[3])
redis.call('EXPIRE', P .. 'round-workers:' .. ARGV[1], ARGV[3])
if redis.call('GET', P .. 'round') == ARGV[1] then
  redis.call('DEL', P .. 'round')
end
redis.call('SET', P .. 'held', redis.call('HGET', P .. 'tip', 'hash'))
local request = redis.call('LPOP', P .. 'requests')
if request then
  redis.call('HSET', P .. 'request:' .. request, 'status', 'cancelled')
  redis.call('EXPIRE', P .. 'request:' .. request, ARGV[3])
  redis.call('RPUSH', P .. 'answer:' .. request, '')
  redis.call('EXPIRE', P .. 'answer:' .. request, ARGV[3])
end
redis.call('HINCRBY', P .. 'counters', 'rounds_cancelled', 1)
redis.call('XADD', P .. 'events', 'MAXLEN', '~', 10000, '*', 'type', 'cancelled', 'data', ARGV[1])
return state
