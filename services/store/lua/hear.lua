-- Note that a peer is said to have a block, unless that is to be ignored.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 URL, 2 block hash, 3 now (Unix seconds), 4 seconds for which the same hash is ignored.
-- Returns 1 if a job should be enqueued, else 0: one was asked for within the last second, or the peer has been asked
-- about this hash already, or it is no longer a peer.
local P = KEYS[1]
local url, hash, now, same_seconds = unpack(ARGV, 1, 4)
if redis.call('HEXISTS', P .. 'peers', url) == 0 then
  return 0
end
local known = redis.call('HGET', P .. 'heard', url)
if known then
  local state, at, known_hash = string.match(known, '^(%a+) (%S+) (%x+)$')
  local age = now - at
  if state == 'waiting' and age >= 0 and age < 1 then
    if known_hash ~= hash then
      redis.call('HSET', P .. 'heard', url, 'waiting ' .. at .. ' ' .. hash)
    end
    return 0
  end
  if state == 'asked' and known_hash == hash and age >= 0 and age < tonumber(same_seconds) then
    return 0
  end
end
redis.call('HSET', P .. 'heard', url, 'waiting ' .. now .. ' ' .. hash)
return 1
