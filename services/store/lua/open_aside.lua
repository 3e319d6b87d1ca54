-- Open a round for a block of a branch that is not the chain: its proof is searched like any other, and nothing is
-- appended.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 parent hash, 3 height, 4 difficulty, 5 prefix of the proofs, 6 template, 7 now (Unix seconds),
--   8 transactions in the template, besides the reward, 9 seconds after which it is forgotten.
-- Returns 1, or 0 if such a round is open already.
local P = KEYS[1]
-- include: event

local round_id, parent, height, difficulty, prefix, template, now, transactions, seconds = unpack(ARGV, 1, 9)
if not redis.call('SET', P .. 'aside', round_id, 'NX', 'EX', seconds) then
  return 0
end
local round = P .. 'round:' .. round_id
local search, templates = P .. 'round-search:' .. round_id, P .. 'round-templates:' .. round_id
redis.call('HSET', templates, 1, difficulty .. ' ' .. prefix .. '\n' .. template)
redis.call('HSET', round, 'id', round_id, 'state', 'open', 'opened_at', now, 'aside', 1, 'version', 1, 'parent', parent,
  'height', height, 'difficulty', difficulty, 'prefix', prefix, 'renewed_at', now, 'transactions', transactions)
redis.call('HSET', search, 'hashes', 0, 'wasted', 0, 'cursor', 0)
redis.call('EXPIRE', templates, seconds)
redis.call('EXPIRE', round, seconds)
redis.call('EXPIRE', search, seconds)
redis.call('HINCRBY', P .. 'counters', 'rounds_opened', 1)
tell('round', round_id .. ' ' .. height)
return 1
