-- Count an entry of the inbox that is false.
-- KEYS: 1 the node's prefix.
local P = KEYS[1]
return redis.call('HINCRBY', P .. 'counters', 'proofs_refused', 1)
