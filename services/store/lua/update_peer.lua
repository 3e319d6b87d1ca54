-- Change what is known of a peer, unless it was removed meanwhile.
-- KEYS: 1 the node's prefix.   ARGV: 1 URL, 2 record.
-- Returns 1, or 0 if there is no such peer any more.
local P = KEYS[1]
local url, record = ARGV[1], ARGV[2]
if redis.call('HEXISTS', P .. 'peers', url) == 0 then
  return 0
end
redis.call('HSET', P .. 'peers', url, record)
return 1
