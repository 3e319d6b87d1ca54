-- Write what a miner has done, from a backup.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 id of its voucher, 2 its name, 3 Unix seconds of its last lease or report, then pairs: field, value.
-- Returns 1, or 0 if the store knows the miner.
local P = KEYS[1]
local FIRST = 4 -- position of the first pair in ARGV
local voucher, name, seen = unpack(ARGV, 1, 3)
local own = P .. 'miner:' .. voucher .. ':' .. name
if redis.call('EXISTS', own) == 1 then
  return 0
end
if #ARGV >= FIRST then
  redis.call('HSET', own, unpack(ARGV, FIRST, #ARGV))
end
redis.call('ZADD', P .. 'miners:' .. voucher, seen, name)
redis.call('ZADD', P .. 'vouchers-seen', 'GT', seen, voucher)
return 1
