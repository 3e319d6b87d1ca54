-- Note that a peer announced a block, unless that is to be passed over.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 URL, 2 block hash, 3 now, 4 seconds for which the same hash is not looked at again.
-- Returns 1 if a job should be asked for, 0 if not: one was asked for within the last second, or the peer has been
-- asked about this hash already, or it is no peer any more.
local P = KEYS[1]
local url, hash, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', P .. 'peers', url) == 0 then
  return 0
end
local known = redis.call('HGET', P .. 'heard', url)
if known then
  local state, at, old = string.match(known, '^(%a+) (%S+) (%x+)$')
  local age = now - tonumber(at)
  if state == 'waiting' and age >= 0 and age < 1 then
    if old ~= hash then
      redis.call('HSET', P .. 'heard', url, 'waiting ' .. at .. ' ' .. hash)
    end
    return 0
  end
  if state == 'asked' and old == hash and age >= 0 and age < tonumber(ARGV[4]) then
    return 0
  end
end
redis.call('HSET', P .. 'heard', url, 'waiting ' .. ARGV[3] .. ' ' .. hash)
return 1
