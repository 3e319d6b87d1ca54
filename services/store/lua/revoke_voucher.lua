-- Revoke a voucher, and forget what its miners have done. Their leases are of no use from now on.
-- KEYS: 1 the node's prefix.   ARGV: 1 the name as it is compared with others.
-- Returns 1, or 0 if there is no such voucher.
local P = KEYS[1]
local id = redis.call('HGET', P .. 'voucher-names', ARGV[1])
if not id then
  return 0
end
local voucher = P .. 'voucher:' .. id
for _, name in ipairs(redis.call('ZRANGE', P .. 'miners:' .. id, 0, -1)) do
  redis.call('DEL', P .. 'miner:' .. id .. ':' .. name)
end
redis.call('HDEL', P .. 'vouchers', unpack(redis.call('HMGET', voucher, 'secret', 'code')))
redis.call('HDEL', P .. 'voucher-names', ARGV[1])
redis.call('ZREM', P .. 'vouchers-seen', id)
redis.call('DEL', voucher, P .. 'miners:' .. id)
return 1
