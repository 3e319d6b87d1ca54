-- Count an entry of the inbox that is false.
-- KEYS: 1 the node's prefix.
return redis.call('HINCRBY', KEYS[1] .. 'counters', 'proofs_refused', 1)
