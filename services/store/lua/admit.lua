-- Put transactions of one sender into the mempool, if the view that they were judged by still holds.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 sender, 2 account as viewed, 3 revision as viewed, 4 now, 5 cap of the pool, 6 order member to displace or "",
--   7 its sender, 8 total cost of the queue afterwards (base units), then per transaction: id, nonce, 64 hex digits of
--   (2^256 - 1 - fee), replacements so far, canonical transaction.
-- Returns {"ok", tip height, 1 if a round is open or a search job looks for the next one, else 0, new revision, first
--   free nonce}; {"moved"}: nothing was written, view again; or {"differs", sentence}: nothing was written, since the
--   stored state is marked as wrong.
local P = KEYS[1]
-- include: pool
-- include: fault
-- include: event

local sender, now = ARGV[1], ARGV[4]
local height = redis.call('HGET', P .. 'tip', 'height')
if fault() then
  return {'differs', fault()}
end
if not height then -- the store was emptied
  return {'moved'}
end
local queue = P .. 'pool:queue:' .. sender
if (redis.call('HGET', P .. 'accounts', sender) or '0:0') ~= ARGV[2] then
  return {'moved'}
end
if (redis.call('HGET', P .. 'pool:sender:' .. sender, 'revision') or '') ~= ARGV[3] then
  return {'moved'}
end
local added = (#ARGV - 8) / 5
local replaced = 0
for i = 9, #ARGV, 5 do
  if pool_at(sender, ARGV[i + 1]) then
    replaced = replaced + 1
  end
end
local size = redis.call('HLEN', P .. 'pool:entries')
local after = size + added - replaced
local victim = ARGV[6]
if victim ~= '' then
  -- Nobody is put out once there is room again.
  if after <= tonumber(ARGV[5]) or redis.call('ZREVRANGE', P .. 'pool:ends', 0, 0)[1] ~= victim then
    return {'moved'}
  end
  after = after - 1
end
-- A reorganisation may have filled it beyond the cap: then it does not grow.
if after > math.max(tonumber(ARGV[5]), size) then
  return {'moved'}
end

if victim ~= '' then
  local other = ARGV[7]
  local nonce = tonumber(redis.call('ZSCORE', P .. 'pool:queue:' .. other, victim))
  pool_record(pool_remove(other, victim), 'evicted', 'displaced by a higher fee', now)
  local next = tonumber(redis.call('HGET', P .. 'pool:sender:' .. other, 'next'))
  pool_settle(other, math.min(next, nonce))
end
local end_before = redis.call('ZREVRANGE', queue, 0, 0)[1]
local items = {}
for i = 9, #ARGV, 5 do
  local old = pool_at(sender, ARGV[i + 1])
  if old then
    pool_record(pool_remove(sender, old), 'replaced', 'replaced by ' .. ARGV[i], now)
  end
  items[#items + 1] = {id = ARGV[i], nonce = ARGV[i + 1], fee = ARGV[i + 2], replacements = ARGV[i + 3],
    transaction = ARGV[i + 4]}
end
pool_insert(sender, items, now)
if end_before then
  redis.call('ZREM', P .. 'pool:ends', end_before)
end
local from = tonumber(redis.call('HGET', P .. 'pool:sender:' .. sender, 'next') or string.match(ARGV[2], ':(%d+)$'))
local next, revision = pool_settle(sender, from)
redis.call('HSET', P .. 'pool:sender:' .. sender, 'total', ARGV[8], 'total_revision', revision)
for i = 9, #ARGV, 5 do
  tell('transaction', ARGV[i])
end
local attended = redis.call('EXISTS', P .. 'round')
if attended == 0 then
  -- 65: LONGEST_PROMISE (services/store/mining.py).
  attended = math.min(1, redis.call('ZCOUNT', P .. 'searchers', '(' .. now, now + 65))
end
return {'ok', height, attended, revision, next}
