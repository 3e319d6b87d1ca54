-- Take a snapshot: the tip and the mempool as they are at this moment.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 now (Unix seconds), 2 how many snapshots are kept, 3 most bytes of one snapshot's mempool, 4 most bytes of
--   all of them; then names and values that other parts of the node keep with it.
-- Returns {"taken", id}, {"large", bytes of the mempool}, {"unfinished"} while the journal of a reorganisation exists,
-- or {"differs", sentence} while the stored state is marked as wrong. Only "taken" writes. The oldest snapshots go
-- where there would be too many, or too many bytes.
local P = KEYS[1]
-- include: fault
-- include: snapshots

local now, most, most_bytes, all_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST = 5 -- position of the first name in ARGV
local wrong = fault()
if wrong then
  return {'differs', wrong}
end
if redis.call('EXISTS', P .. 'journal') == 1 then
  return {'unfinished'}
end
local used = tonumber(redis.call('HGET', P .. 'pool:totals', 'bytes') or '0')
local count = redis.call('ZCARD', P .. 'pool:order')
local bytes = used + 140 * count -- an order member has 140 characters
if bytes > most_bytes then
  return {'large', tostring(bytes)}
end

local id = string.format('%.0f', redis.call('HINCRBY', P .. 'snapshot-totals', 'next', 1) - 1)
local hash, height = unpack(redis.call('HMGET', P .. 'tip', 'hash', 'height'), 1, 2)
redis.call('HSET', P .. 'snapshot:' .. id, 'tip', hash, 'height', height, 'at', now, 'transactions', count, 'bytes',
  bytes, unpack(ARGV, FIRST, #ARGV))
redis.call('ZADD', P .. 'snapshots', id, id)
for first = 0, count - 1, 1000 do
  local members, ids, pairs_of = redis.call('ZRANGE', P .. 'pool:order', first, first + 999), {}, {}
  for i, member in ipairs(members) do
    ids[i] = string.sub(member, -64)
  end
  for i, entry in ipairs(redis.call('HMGET', P .. 'pool:entries', unpack(ids))) do
    pairs_of[2 * i - 1], pairs_of[2 * i] = members[i], entry
  end
  redis.call('HSET', P .. 'snapshot-pool:' .. id, unpack(pairs_of))
end
local total = redis.call('HINCRBY', P .. 'snapshot-totals', 'bytes', bytes)
local kept = redis.call('ZCARD', P .. 'snapshots')
while kept > most or (total > all_bytes and kept > 1) do
  local oldest = redis.call('ZRANGE', P .. 'snapshots', 0, 0)[1]
  total = total - tonumber(redis.call('HGET', P .. 'snapshot:' .. oldest, 'bytes'))
  remove_snapshot(oldest)
  kept = kept - 1
end
return {'taken', id}
