-- Forget a block whose payout is over.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 block hash, 2 how deep it has to be, 3 "paid", "nothing" (nobody is to be paid), "detached", or "forgotten" (what
--   is to be paid cannot be known any more), 4 how many payouts had been paid when the sums were read; then for each
--   address that this payout has paid: the address, what it has been paid in all (base units), and the id of its
--   transaction.
-- Returns 1; 0 if the block is not so deep, if it waits no more, or if ARGV 3 is "detached" and the block is on the chain,
-- or the other way round; or -1 if another payout was paid since the sums were read. Only 1 writes.
local P = KEYS[1]
-- include: heights

local FIRST = 5 -- position of the first address in ARGV
-- Addresses whose sums are kept: those that were paid last.
local MOST_PAYEES = 10000
local block, depth, outcome, paid_before = unpack(ARGV, 1, 4)
local height = redis.call('ZSCORE', P .. 'payouts-due', block)
if not height or redis.call('EXISTS', P .. 'journal') == 1
    or redis.call('HGET', P .. 'tip', 'height') - height < tonumber(depth) then
  return 0
end
if is_on_chain(height, block) == (outcome == 'detached') then
  return 0
end
if (redis.call('HGET', P .. 'payouts', 'paid') or '0') ~= paid_before then
  return -1
end
redis.call('ZREM', P .. 'payouts-due', block)
redis.call('DEL', P .. 'payout-shares:' .. block, P .. 'payout:' .. block)
redis.call('HINCRBY', P .. 'payouts', outcome, 1)
for i = FIRST, #ARGV, 3 do
  local address, paid, transaction = unpack(ARGV, i, i + 2)
  local payee = P .. 'payee:' .. address
  redis.call('HSET', payee, 'paid', paid, 'transaction', transaction, 'block', block)
  redis.call('HSETNX', payee, 'since', height)
  redis.call('HINCRBY', payee, 'payments', 1)
  redis.call('ZADD', P .. 'payees', 'GT', height, address)
end
while redis.call('ZCARD', P .. 'payees') > MOST_PAYEES do
  redis.call('DEL', P .. 'payee:' .. redis.call('ZPOPMIN', P .. 'payees')[1])
  redis.call('HINCRBY', P .. 'payouts', 'payees_forgotten', 1)
end
return 1
