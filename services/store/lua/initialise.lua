-- Begin the chain with its genesis block, unless it has begun.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 genesis hash, 2 block, 3 header, 4 timestamp, 5 supply, 6 digest of the state, 7 form of what is stored; then
--   per allocation: address, "balance:nonce".
-- Returns the hash of the genesis block that the chain has; the caller compares it. "" if there is a tip without a list
-- of heights: nothing is written over a damaged chain.
local P = KEYS[1]
local hash, block, header, timestamp, supply, digest, schema = unpack(ARGV, 1, 7)
local FIRST = 8 -- position of the first allocation in ARGV
local genesis = redis.call('LINDEX', P .. 'heights', 0)
if genesis then
  return genesis
end
if redis.call('EXISTS', P .. 'tip') == 1 then
  return ''
end
redis.call('HSET', P .. 'blocks', hash, block)
redis.call('HSET', P .. 'headers', hash, header)
redis.call('HSET', P .. 'ids', hash, '')
for i = FIRST, #ARGV, 2 do
  local address, account = ARGV[i], ARGV[i + 1]
  redis.call('HSET', P .. 'accounts', address, account)
end
redis.call('RPUSH', P .. 'heights', hash)
redis.call('SET', P .. 'schema', schema)
redis.call('HSET', P .. 'tip', 'hash', hash, 'height', 1, 'chainwork', '0', 'supply', supply, 'timestamp', timestamp,
  'digest', digest)
return hash
