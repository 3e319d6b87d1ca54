-- Begin the chain with its genesis block, unless it has begun.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 genesis hash, 2 block, 3 header, 4 timestamp, 5 supply, 6 digest of the state, then address, "balance:nonce"
--   per allocation.
-- Returns the genesis hash that the chain has: the caller compares. "" where the list of heights is gone, but not the
-- tip: nothing is written over a chain that is damaged.
local P = KEYS[1]
local first = redis.call('LINDEX', P .. 'heights', 0)
if first then
  return first
end
if redis.call('EXISTS', P .. 'tip') == 1 then
  return ''
end
redis.call('HSET', P .. 'blocks', ARGV[1], ARGV[2])
redis.call('HSET', P .. 'headers', ARGV[1], ARGV[3])
redis.call('HSET', P .. 'ids', ARGV[1], '')
for i = 7, #ARGV, 2 do
  redis.call('HSET', P .. 'accounts', ARGV[i], ARGV[i + 1])
end
redis.call('RPUSH', P .. 'heights', ARGV[1])
redis.call('HSET', P .. 'tip', 'hash', ARGV[1], 'height', 1, 'chainwork', '0', 'supply', ARGV[5], 'timestamp', ARGV[4],
  'digest', ARGV[6])
return ARGV[1]
