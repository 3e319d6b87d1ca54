-- One slice of the journal of a swap that was asked for: the mempool queue of one sender.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 now (Unix seconds), 3 sender, 4 status and 5 reason of those that leave, 6 "1" if
--   the queue becomes that of the snapshot, 7 how many detached transactions follow; then per detached transaction: id,
--   the same as 32 bytes, its "height:position"; then order members of the snapshot's mempool.
-- Detached transactions leave the transaction index and get a record in the same moment, unless the chain or the
-- mempool holds them. Queued transactions that the snapshot does not have leave; those that it has come back as they
-- were.
-- Returns 1, or 0 if the journal is another or is finished. Safe to repeat.
local P = KEYS[1]
-- include: journal
-- include: pool

local beginning, now, sender, status, reason, restores = unpack(ARGV, 1, 6)
local count = tonumber(ARGV[7])
local FIRST, WIDTH = 8, 3 -- of the detached transactions in ARGV
local first_member = FIRST + WIDTH * count
if not journal_begins_with(beginning) then
  return 0
end
local queue = P .. 'pool:queue:' .. sender
local end_before = redis.call('ZREVRANGE', queue, 0, 0)[1]

if restores == '1' then
  for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
    if redis.call('HEXISTS', P .. 'restoring', member) == 0 then
      pool_record(pool_remove(sender, member), status, reason, now)
    end
  end
end
for i = first_member, #ARGV do
  local member = ARGV[i]
  local entry = redis.call('HGET', P .. 'restoring', member)
  if entry and not redis.call('ZSCORE', queue, member) then
    local id = pool_id(member)
    local nonce, admitted_at = string.match(entry, '^%S+ (%d+) (%S+) ')
    redis.call('HSET', P .. 'pool:entries', id, entry)
    redis.call('HINCRBY', P .. 'pool:totals', 'bytes', string.len(entry))
    redis.call('ZADD', queue, nonce, member)
    redis.call('ZADD', P .. 'pool:order', 0, member)
    redis.call('ZADD', P .. 'pool:expiry', admitted_at, id)
    redis.call('HDEL', P .. 'pool:records', id)
    redis.call('ZREM', P .. 'pool:record-times', id)
  end
end
for i = FIRST, first_member - 1, WIDTH do
  local id, raw, place = unpack(ARGV, i, i + WIDTH - 1)
  if redis.call('HGET', P .. 'transactions', raw) == place then
    redis.call('HDEL', P .. 'transactions', raw)
    if redis.call('HEXISTS', P .. 'pool:entries', id) == 0 then
      pool_record(id, status, reason, now)
    end
  end
end
if end_before then
  redis.call('ZREM', P .. 'pool:ends', end_before)
end
local account_nonce = tonumber(string.match(redis.call('HGET', P .. 'accounts', sender) or '0:0', ':(%d+)$'))
pool_settle(sender, pool_gap(sender, account_nonce))
return 1
