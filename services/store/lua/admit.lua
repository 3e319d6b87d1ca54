-- Put transactions of one sender into the mempool, if the view that they were judged by still holds.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 sender, 2 its account as viewed, 3 revision of its queue as viewed, 4 now (Unix seconds), 5 cap of the pool,
--   6 order member to displace or "", 7 its sender, 8 total cost of the queue afterwards (base units); then per
--   transaction: id, nonce, 64 hex digits of (2^256 - 1 - fee), replacements so far, canonical transaction.
-- Returns {"ok", tip height, 1 if a round is open or the desk opens the next one after a rest, else 0, new revision, first
-- free nonce, auto-mining as a control method has set it ("1" or "0") or ""}, {"moved"} if the view no longer holds, or
-- {"differs", sentence} while the stored state is marked as wrong. Only "ok" writes.
local P = KEYS[1]
-- include: pool
-- include: fault
-- include: event

local sender, account, revision_seen, now, cap, victim, victims_sender, total = unpack(ARGV, 1, 8)
local FIRST, WIDTH = 9, 5 -- of the transactions in ARGV
cap = tonumber(cap)
local queue, bookkeeping = P .. 'pool:queue:' .. sender, P .. 'pool:sender:' .. sender

local height = redis.call('HGET', P .. 'tip', 'height')
local wrong = fault()
if wrong then
  return {'differs', wrong}
end
if not height then -- the store was emptied
  return {'moved'}
end
if (redis.call('HGET', P .. 'accounts', sender) or '0:0') ~= account then
  return {'moved'}
end
local revision_before, next_before = unpack(redis.call('HMGET', bookkeeping, 'revision', 'next'), 1, 2)
if (revision_before or '') ~= revision_seen then
  return {'moved'}
end
local end_before, highest = unpack(redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES'))
local size, olds = redis.call('HLEN', P .. 'pool:entries'), {}
local size_after = size
for i = FIRST, #ARGV, WIDTH do
  if highest and tonumber(ARGV[i + 1]) <= tonumber(highest) then -- nothing is queued beyond it
    olds[i] = pool_at(sender, ARGV[i + 1])
  end
  size_after = size_after + (olds[i] and 0 or 1)
end
if victim ~= '' then
  -- No transaction is displaced where there is room again.
  if size_after <= cap or redis.call('ZREVRANGE', P .. 'pool:ends', 0, 0)[1] ~= victim then
    return {'moved'}
  end
  size_after = size_after - 1
end
-- A reorganisation may have filled the pool beyond its cap: then it does not grow.
if size_after > math.max(cap, size) then
  return {'moved'}
end

if victim ~= '' then
  local nonce = tonumber(redis.call('ZSCORE', P .. 'pool:queue:' .. victims_sender, victim))
  pool_record(pool_remove(victims_sender, victim), 'evicted', 'displaced by a higher fee', now)
  local next = tonumber(redis.call('HGET', P .. 'pool:sender:' .. victims_sender, 'next'))
  pool_settle(victims_sender, math.min(next, nonce))
end
local items = {}
for i = FIRST, #ARGV, WIDTH do
  local id, nonce, fee_rank, replacements, transaction = unpack(ARGV, i, i + WIDTH - 1)
  if olds[i] then
    pool_record(pool_remove(sender, olds[i]), 'replaced', 'replaced by ' .. id, now)
  end
  items[#items + 1] = {id = id, nonce = nonce, fee_rank = fee_rank, replacements = replacements,
    transaction = transaction}
end
local arrived = pool_insert(sender, items, now)
if end_before then
  redis.call('ZREM', P .. 'pool:ends', end_before)
end
local from = tonumber(next_before or string.match(account, ':(%d+)$'))
local next, revision = pool_settle(sender, from, total, arrived)
for _, item in ipairs(items) do
  tell('transaction', item.id)
end
local open, resting = unpack(redis.call('MGET', P .. 'round', P .. 'resting'), 1, 2)
local attended = open and 1 or 0
if not open then
  local until_then = tonumber(resting or '0') or 0
  -- A time further ahead was written by a wrong clock.
  attended = until_then > tonumber(now) and until_then <= tonumber(now) + 1 and 1 or 0
end
return {'ok', height, attended, revision, next, redis.call('HGET', P .. 'modes', 'automine') or ''}
