-- Forget records that are older than a time, and the oldest above a number.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 Unix seconds: those written until then, 2 how many to keep at most, 3 how many to forget at most.
-- Returns how many were forgotten.
local P = KEYS[1]
local written_until, keep, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local times = P .. 'pool:record-times'
local old = redis.call('ZRANGEBYSCORE', times, '-inf', written_until, 'LIMIT', 0, limit)
local excess = redis.call('ZCARD', times) - keep
if excess > #old then
  old = redis.call('ZRANGE', times, 0, math.min(excess, limit) - 1)
end
for i = 1, #old, 2000 do
  local slice = {unpack(old, i, math.min(i + 1999, #old))}
  redis.call('HDEL', P .. 'pool:records', unpack(slice))
  redis.call('ZREM', times, unpack(slice))
end
return #old
