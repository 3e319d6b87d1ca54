-- Begin the chain with its genesis block, unless it has begun.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 genesis hash, 2 block, 3 header, 4 timestamp, 5 supply, then address, "balance:nonce" per allocation.
-- Returns the genesis hash that the chain has: the caller compares.
local P = KEYS[1]
local first = redis.call('LINDEX', P .. 'heights', 0)
if first then
  return first
end
redis.call('HSET', P .. 'blocks', ARGV[1], ARGV[2])
redis.call('HSET', P .. 'headers', ARGV[1], ARGV[3])
redis.call('HSET', P .. 'ids', ARGV[1], '')
for i = 6, #ARGV, 2 do
  redis.call('HSET', P .. 'accounts', ARGV[i], ARGV[i + 1])
end
redis.call('RPUSH', P .. 'heights', ARGV[1])
redis.call('HSET', P .. 'tip', 'hash', ARGV[1], 'height', 1, 'chainwork', '0', 'supply', ARGV[5], 'timestamp', ARGV[4])
return ARGV[1]
