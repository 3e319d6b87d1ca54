-- End a round that was opened aside: with the proof that was found, or without a block.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 now (Unix seconds), 3 seconds to keep the round, 4 block hash, 5 worker, 6 proof; "" for the last
--   three: the round is cancelled.
-- Returns 1, or 0 if the round is not open.
local P = KEYS[1]
-- include: round

local round_id, now, keep, block, worker, proof = unpack(ARGV, 1, 6)
if redis.call('HGET', P .. 'round:' .. round_id, 'state') ~= 'open' then
  return 0
end
if redis.call('GET', P .. 'aside') == round_id then
  redis.call('DEL', P .. 'aside')
end
if proof == '' then
  cancel_round(round_id, now, keep)
else
  end_round(round_id, 'sealed', now, keep, block, worker)
  redis.call('HSET', P .. 'round:' .. round_id, 'proof', proof)
end
return 1
