-- One slice of a swap's journal: the mempool queue of one sender.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 now, 3 sender, then per detached transaction of the sender, each nonce once: id,
--   the same as 32 bytes, nonce, 64 hex digits of (2^256 - 1 - fee), its "height:position", canonical transaction.
-- What the branch holds or has made impossible leaves; what was detached comes back, and leaves the transaction index in
-- the same moment, so that it can be found at any time. Attached transactions are indexed before. Caps bind admission
-- only.
-- Returns 1, or 0 when the journal is another's or done. Safe to repeat.
local P = KEYS[1]
-- include: journal
-- include: pool

if not journal_is_ours() then
  return 0
end
local now, sender = ARGV[2], ARGV[3]
local queue = P .. 'pool:queue:' .. sender
local account = redis.call('HGET', P .. 'accounts', sender) or '0:0'
local nonce = tonumber(string.match(account, ':(%d+)$'))

local function raw(id)
  return (string.gsub(id, '%x%x', function(digits) return string.char(tonumber(digits, 16)) end))
end
local function gone(id, its_raw)
  if redis.call('HEXISTS', P .. 'transactions', its_raw) == 0 then
    pool_record(id, 'dropped', 'nonce used by another transaction in a reorganisation', now)
  end
end

local end_before = redis.call('ZREVRANGE', queue, 0, 0)[1]
for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', '(' .. nonce)) do
  local id = pool_remove(sender, member)
  gone(id, raw(id))
end
local raws, unindexed = {}, {}
for i = 4, #ARGV, 6 do
  raws[#raws + 1] = ARGV[i + 1]
end
for j, place in ipairs(#raws > 0 and redis.call('HMGET', P .. 'transactions', unpack(raws)) or {}) do
  if place == ARGV[6 * j + 2] then
    unindexed[#unindexed + 1] = raws[j]
  end
end
if #unindexed > 0 then
  redis.call('HDEL', P .. 'transactions', unpack(unindexed))
end
local items, waiting = {}, redis.call('ZCARD', queue) > 0
for i = 4, #ARGV, 6 do
  local id, its_raw, its_nonce, fee = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local old = waiting and pool_at(sender, its_nonce)
  if its_nonce < nonce then
    gone(id, its_raw)
  elseif old and pool_id(old) ~= id and string.sub(old, 1, 64) <= fee then
    pool_record(id, 'replaced', 'replaced by ' .. pool_id(old), now)
  elseif not old or pool_id(old) ~= id then
    if old then
      pool_record(pool_remove(sender, old), 'replaced', 'replaced by ' .. id, now)
    end
    items[#items + 1] = {id = id, nonce = ARGV[i + 2], fee = fee, replacements = '0', transaction = ARGV[i + 5]}
  end
end
pool_insert(sender, items, now)
if end_before then
  redis.call('ZREM', P .. 'pool:ends', end_before)
end
-- The queue may be long, and each nonce is in it once at most: so the first gap is where the count falls behind.
local low, high = nonce, nonce + redis.call('ZCARD', queue)
while low < high do
  local middle = math.floor((low + high) / 2)
  if redis.call('ZCOUNT', queue, nonce, middle) == middle - nonce + 1 then
    low = middle + 1
  else
    high = middle
  end
end
pool_settle(sender, low)
return 1
