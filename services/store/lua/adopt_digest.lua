-- Give the tip a digest of the state, where it has none that belongs to it.
-- KEYS: 1 the node's prefix.   ARGV: 1 hash of the tip that it was computed for, 2 digest as it was read, 3 digest.
-- Returns 1, or 0 when the tip or its digest is another by now.
local P = KEYS[1]
local tip = redis.call('HMGET', P .. 'tip', 'hash', 'digest')
if tip[1] ~= ARGV[1] or (tip[2] or '') ~= ARGV[2] or redis.call('EXISTS', P .. 'journal') == 1 then
  return 0
end
redis.call('HSET', P .. 'tip', 'digest', ARGV[3])
return 1
