-- Count a report of one miner that was refused.
-- KEYS: 1 the node's prefix.   ARGV: 1 SHA-256 of the miner's secret (hex), 2 its name.
-- Returns 1, or 0 if no voucher has this secret any more.
local P = KEYS[1]
local secret, miner = unpack(ARGV, 1, 2)
local voucher = redis.call('HGET', P .. 'vouchers', secret)
if not voucher then
  return 0
end
redis.call('HINCRBY', P .. 'counters', 'reports_refused', 1)
redis.call('HINCRBY', P .. 'miner:' .. voucher .. ':' .. miner, 'refused', 1)
return 1
