-- Write down which transactions pay for a block, before any of them is sent; or those that take the place of some.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 block hash, 2 revision of the plans, as it was read, 3 how deep the block has to be, 4 JSON of the
--   transactions, 5 JSON of their nonces, 6 "1" for the first plan of this block, else "0"; then each recipient and its
--   amount (base units), which a later plan does not change.
-- Returns 1, or 0 if another plan was written since, the block needs none (any more), or is not so deep on the chain.
local P = KEYS[1]
-- include: heights

local block, revision, depth, transactions, nonces, is_first = unpack(ARGV, 1, 6)
local height = redis.call('ZSCORE', P .. 'payouts-due', block)
if not height or (redis.call('HGET', P .. 'payouts', 'revision') or '0') ~= revision then
  return 0
end
if redis.call('EXISTS', P .. 'journal') == 1 or not is_on_chain(height, block)
    or redis.call('HGET', P .. 'tip', 'height') - height < tonumber(depth) then
  return 0
end
if (redis.call('HEXISTS', P .. 'payout:' .. block, 'transactions') == 0) ~= (is_first == '1') then
  return 0
end
redis.call('HINCRBY', P .. 'payouts', 'revision', 1)
redis.call('HDEL', P .. 'payout:' .. block, 'lost')
redis.call('HSET', P .. 'payout:' .. block, 'transactions', transactions, 'nonces', nonces)
for i = 7, #ARGV, 2 do
  redis.call('HSET', P .. 'payout:' .. block, 'to:' .. ARGV[i], ARGV[i + 1])
end
return 1
