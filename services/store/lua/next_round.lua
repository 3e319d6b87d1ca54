-- Read whether a round is open or should be.
-- KEYS: 1 the node's prefix.
-- Returns {open round or "", waiting requests, mempool entries, tip hash, tip on which auto-mining opens no round or
-- "", 1 while the stored state is marked as wrong, else 0, round that is open aside or "", how often the mempool was
-- restored, 1 while it is being restored, else 0}. Writes nothing.
local P = KEYS[1]
return {
  redis.call('GET', P .. 'round') or '',
  redis.call('LLEN', P .. 'requests'),
  redis.call('HLEN', P .. 'pool:entries'),
  redis.call('HGET', P .. 'tip', 'hash') or '',
  redis.call('GET', P .. 'held') or '',
  redis.call('EXISTS', P .. 'fault'),
  redis.call('GET', P .. 'aside') or '',
  redis.call('HGET', P .. 'pool:totals', 'restored') or '0',
  redis.call('EXISTS', P .. 'journal', P .. 'restoring') == 2 and 1 or 0,
}
