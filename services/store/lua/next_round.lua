-- Read whether a round is open or should be.
-- KEYS: 1 the node's prefix.
-- Returns {open round or "", waiting requests, mempool entries, tip hash, tip on which auto-mining opens no round or
-- "", 1 while the stored state is marked as wrong, else 0}. Writes nothing.
local P = KEYS[1]
return {
  redis.call('GET', P .. 'round') or '',
  redis.call('LLEN', P .. 'requests'),
  redis.call('HLEN', P .. 'pool:entries'),
  redis.call('HGET', P .. 'tip', 'hash') or '',
  redis.call('GET', P .. 'held') or '',
  redis.call('EXISTS', P .. 'fault'),
}
