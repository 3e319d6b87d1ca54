-- Write what an address has been paid, from a backup.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 the address, 2 height of the last block that it was paid for, then pairs: field, value.
-- Returns 1, or 0 if the store knows the address.
local P = KEYS[1]
local address, height = unpack(ARGV, 1, 2)
local payee = P .. 'payee:' .. address
if redis.call('EXISTS', payee) == 1 then
  return 0
end
redis.call('HSET', payee, unpack(ARGV, 3, #ARGV))
redis.call('ZADD', P .. 'payees', height, address)
return 1
