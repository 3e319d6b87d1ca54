-- Count something that one miner did: a report that was refused, or a block that its proof has sealed.
-- KEYS: 1 the node's prefix.   ARGV: 1 SHA-256 of the miner's secret (hex), 2 its name, 3 "refused" or "blocks".
-- Returns 1, or 0 if no voucher has this secret any more.
local P = KEYS[1]
local secret, miner, field = unpack(ARGV, 1, 3)
local voucher = redis.call('HGET', P .. 'vouchers', secret)
if not voucher then
  return 0
end
if field == 'refused' then
  redis.call('HINCRBY', P .. 'counters', 'reports_refused', 1)
end
redis.call('HINCRBY', P .. 'miner:' .. voucher .. ':' .. miner, field, 1)
return 1
