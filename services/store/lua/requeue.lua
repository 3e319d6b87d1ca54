-- One slice of a swap's journal: the mempool queue of one sender.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 now (Unix seconds), 3 sender; then per detached transaction of the sender, each
--   nonce once: id, the same as 32 bytes, nonce, 64 hex digits of (2^256 - 1 - fee), its "height:position", canonical
--   transaction.
-- Transactions that the branch holds or has made impossible leave. Detached ones come back, and leave the transaction
-- index at the same moment, so that they can be found at any time. Attached transactions were indexed before. The
-- mempool's caps bind admission only.
-- Returns 1, or 0 if the journal is another or is finished. Safe to repeat.
local P = KEYS[1]
-- include: journal
-- include: pool

local beginning, now, sender = ARGV[1], ARGV[2], ARGV[3]
local FIRST, WIDTH = 4, 6 -- of the detached transactions in ARGV
if not journal_begins_with(beginning) then
  return 0
end
local queue = P .. 'pool:queue:' .. sender
local account = redis.call('HGET', P .. 'accounts', sender) or '0:0'
local account_nonce = tonumber(string.match(account, ':(%d+)$'))

local function bytes_of(id)
  return (string.gsub(id, '%x%x', function(digits) return string.char(tonumber(digits, 16)) end))
end
-- Record that a transaction has become impossible, unless it is on the chain.
local function record_unless_mined(id, raw)
  if redis.call('HEXISTS', P .. 'transactions', raw) == 0 then
    pool_record(id, 'dropped', 'nonce used by another transaction in a reorganisation', now)
  end
end

local end_before = redis.call('ZREVRANGE', queue, 0, 0)[1]
for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', '(' .. account_nonce)) do
  local id = pool_remove(sender, member)
  record_unless_mined(id, bytes_of(id))
end
local raws, places, unindexed = {}, {}, {}
for i = FIRST, #ARGV, WIDTH do
  raws[#raws + 1] = ARGV[i + 1]
  places[#places + 1] = ARGV[i + 4]
end
for j, place in ipairs(#raws > 0 and redis.call('HMGET', P .. 'transactions', unpack(raws)) or {}) do
  if place == places[j] then
    unindexed[#unindexed + 1] = raws[j]
  end
end
if #unindexed > 0 then
  redis.call('HDEL', P .. 'transactions', unpack(unindexed))
end
local items, is_queued = {}, redis.call('ZCARD', queue) > 0
for i = FIRST, #ARGV, WIDTH do
  local id, raw, nonce, fee_rank, _, transaction = unpack(ARGV, i, i + WIDTH - 1)
  local rival = is_queued and pool_at(sender, nonce)
  if tonumber(nonce) < account_nonce then
    record_unless_mined(id, raw)
  elseif rival and pool_id(rival) ~= id and pool_fee_rank(rival) <= fee_rank then
    pool_record(id, 'replaced', 'replaced by ' .. pool_id(rival), now)
  elseif not rival or pool_id(rival) ~= id then
    if rival then
      pool_record(pool_remove(sender, rival), 'replaced', 'replaced by ' .. id, now)
    end
    items[#items + 1] = {id = id, nonce = nonce, fee_rank = fee_rank, replacements = '0', transaction = transaction}
  end
end
pool_insert(sender, items, now)
if end_before then
  redis.call('ZREM', P .. 'pool:ends', end_before)
end
pool_settle(sender, pool_gap(sender, account_nonce))
return 1
