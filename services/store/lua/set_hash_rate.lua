-- Limit how many hashes per second all workers of this node do together.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 hashes per second, or '' for no limit.
-- The event makes searching workers claim again, and a claim says what each may do. Returns 1.
local P = KEYS[1]
-- include: event
local limit = ARGV[1]
if limit == '' then
  redis.call('HDEL', P .. 'hash-rate', 'limit')
else
  redis.call('HSET', P .. 'hash-rate', 'limit', limit)
end
tell('limit', limit == '' and 'off' or limit)
return 1
