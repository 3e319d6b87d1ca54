-- One slice of a swap's journal: the mempool queue of one sender.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 now, 3 sender, then per detached transaction of the sender: id, nonce, 64 hex digits
--   of (2^256 - 1 - fee), its "height:position", canonical transaction.
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
local function on_chain(id)
  return redis.call('HEXISTS', P .. 'transactions', raw(id)) == 1
end
local function gone(id)
  if not on_chain(id) then
    pool_record(id, 'dropped', 'nonce used by another transaction in a reorganisation', now)
  end
end

local end_before = redis.call('ZREVRANGE', queue, 0, 0)[1]
for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', '(' .. nonce)) do
  gone(pool_remove(sender, member))
end
for i = 4, #ARGV, 5 do
  local id, its_nonce, fee, transaction = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 4]
  local old = pool_at(sender, its_nonce)
  if redis.call('HGET', P .. 'transactions', raw(id)) == ARGV[i + 3] then
    redis.call('HDEL', P .. 'transactions', raw(id))
  end
  if its_nonce < nonce then
    gone(id)
  elseif old and pool_id(old) ~= id and string.sub(old, 1, 64) <= fee then
    pool_record(id, 'replaced', 'replaced by ' .. pool_id(old), now)
  elseif not old or pool_id(old) ~= id then
    if old then
      pool_record(pool_remove(sender, old), 'replaced', 'replaced by ' .. id, now)
    end
    local member = fee .. string.format('%012x', pool_sequence()) .. id
    local entry = sender .. ' ' .. ARGV[i + 1] .. ' ' .. now .. ' 0\n' .. transaction
    redis.call('HSET', P .. 'pool:entries', id, entry)
    redis.call('HINCRBY', P .. 'pool:totals', 'bytes', string.len(entry))
    redis.call('ZADD', queue, its_nonce, member)
    redis.call('ZADD', P .. 'pool:order', 0, member)
    redis.call('ZADD', P .. 'pool:expiry', now, id)
    if redis.call('HDEL', P .. 'pool:records', id) == 1 then
      redis.call('ZREM', P .. 'pool:record-times', id)
    end
  end
end
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
