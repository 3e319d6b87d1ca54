-- Write a block that waits for its payout, from a backup.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 block hash, 2 its height, 3 height of the backup's tip, 4 JSON of the transactions of its plan, or "" for no
--   plan, 5 JSON of their nonces, 6 JSON of those that are lost, or "", 7 how many values of shares follow; then the
--   shares as pairs: address or "-", hashes; then the plan as pairs: recipient, amount (base units).
-- Returns 1, or 0 if the block waits in the store.
local P = KEYS[1]
local FIRST = 8 -- position of the first pair in ARGV
local block, height, restored, transactions, nonces, lost, shares = unpack(ARGV, 1, 7)
local last = FIRST + shares - 1 -- position of the last hashes
if redis.call('ZSCORE', P .. 'payouts-due', block) then
  return 0
end
-- First: without it a block could be paid for that the node of before has paid for.
redis.call('HSET', P .. 'payouts', 'restored', restored)
redis.call('ZADD', P .. 'payouts-due', height, block)
redis.call('DEL', P .. 'payout-shares:' .. block, P .. 'payout:' .. block)
if last >= FIRST then
  redis.call('HSET', P .. 'payout-shares:' .. block, unpack(ARGV, FIRST, last))
end
if transactions ~= '' then
  redis.call('HSET', P .. 'payout:' .. block, 'transactions', transactions, 'nonces', nonces)
  for i = last + 1, #ARGV, 2 do
    redis.call('HSET', P .. 'payout:' .. block, 'to:' .. ARGV[i], ARGV[i + 1])
  end
  if lost ~= '' then
    redis.call('HSET', P .. 'payout:' .. block, 'lost', lost)
  end
end
return 1
