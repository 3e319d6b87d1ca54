-- Give the tip a digest of the state, if it has none that belongs to it.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 hash of the tip that the digest was computed for, 2 digest of the tip as it was read, 3 new digest.
-- Returns 1, or 0 if the tip or its digest has changed, or the journal of a reorganisation exists.
local P = KEYS[1]
local computed_for, digest_before, digest_after = unpack(ARGV, 1, 3)
local hash, digest = unpack(redis.call('HMGET', P .. 'tip', 'hash', 'digest'), 1, 2)
if hash ~= computed_for or (digest or '') ~= digest_before or redis.call('EXISTS', P .. 'journal') == 1 then
  return 0
end
redis.call('HSET', P .. 'tip', 'digest', digest_after)
return 1
