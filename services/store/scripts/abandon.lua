-- End the open round if nobody waits for it: what it was opened for is in a block already.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now, 3 seconds to keep it.
-- Returns 1, or 0 when it is not open or a request waits.
local P = KEYS[1]
local round = P .. 'round:' .. ARGV[1]
if redis.call('HGET', round, 'state') ~= 'open' or redis.call('LLEN', P .. 'requests') > 0 then
  return 0
end
redis.call('HSET', round, 'state', 'cancelled', 'ended_at', ARGV[2])
redis.call('EXPIRE', round, ARGV[3])
redis.call('EXPIRE', P .. 'round-workers:' .. ARGV[1], ARGV[3])
if redis.call('GET', P .. 'round') == ARGV[1] then
  redis.call('DEL', P .. 'round')
end
redis.call('HINCRBY', P .. 'counters', 'rounds_cancelled', 1)
redis.call('XADD', P .. 'events', 'MAXLEN', '~', 10000, '*', 'type', 'cancelled', 'data', ARGV[1])
return 1
