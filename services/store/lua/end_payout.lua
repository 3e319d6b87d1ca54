-- Forget a block whose payout is over.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 block hash, 2 how deep it has to be, 3 "paid", "nothing" (nobody is to be paid) or "detached".
-- Returns 1, or 0 if the block is not so deep, or is or is not on the chain, other than ARGV 3 says; or it waits no more.
local P = KEYS[1]
-- include: heights

local block, depth, outcome = unpack(ARGV, 1, 3)
local height = redis.call('ZSCORE', P .. 'payouts-due', block)
if not height or redis.call('EXISTS', P .. 'journal') == 1
    or redis.call('HGET', P .. 'tip', 'height') - height < tonumber(depth) then
  return 0
end
if is_on_chain(height, block) == (outcome == 'detached') then
  return 0
end
redis.call('ZREM', P .. 'payouts-due', block)
redis.call('DEL', P .. 'payout-shares:' .. block, P .. 'payout:' .. block)
redis.call('HINCRBY', P .. 'payouts', outcome, 1)
return 1
