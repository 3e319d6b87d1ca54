-- Change what is known of a peer, unless it was removed meanwhile.
-- KEYS: 1 the node's prefix.   ARGV: 1 URL, 2 record.
-- Returns 1, or 0 when there is no such peer any more.
local P = KEYS[1]
if redis.call('HEXISTS', P .. 'peers', ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', P .. 'peers', ARGV[1], ARGV[2])
return 1
