-- Forget records that are older than a time, and the oldest above a number.
-- KEYS: 1 the node's prefix.   ARGV: 1 Unix seconds, 2 how many to keep at most, 3 how many to forget at most.
-- Returns how many were forgotten.
local P = KEYS[1]
local old = redis.call('ZRANGEBYSCORE', P .. 'pool:record-times', '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
local excess = redis.call('ZCARD', P .. 'pool:record-times') - tonumber(ARGV[2])
if excess > #old then
  old = redis.call('ZRANGE', P .. 'pool:record-times', 0, math.min(excess, tonumber(ARGV[3])) - 1)
end
for i = 1, #old, 2000 do
  local slice = {unpack(old, i, math.min(i + 1999, #old))}
  redis.call('HDEL', P .. 'pool:records', unpack(slice))
  redis.call('ZREM', P .. 'pool:record-times', unpack(slice))
end
return #old
