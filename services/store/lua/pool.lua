-- How the mempool changes, included by the scripts that change it. `P` is the node's prefix.
-- An order member is a fee rank (64 hex digits of 2^256 - 1 - fee), the arrival number (12 hex digits) and the id (64),
-- so that the lexicographic order of a ZSET is "highest fee first, then arrival".

local function pool_id(member)
  return string.sub(member, -64)
end

-- The higher the fee, the lower the rank.
local function pool_fee_rank(member)
  return string.sub(member, 1, 64)
end

-- The order member at a nonce of a sender's queue, or nil.
local function pool_at(sender, nonce)
  return redis.call('ZRANGEBYSCORE', P .. 'pool:queue:' .. sender, nonce, nonce)[1]
end

-- Take `count` numbers that were never taken before. Returns the last of them.
local function pool_sequence(count)
  return redis.call('HINCRBY', P .. 'pool:totals', 'sequence', count)
end

-- Record why a transaction leaves the mempool without being mined.
local function pool_record(id, status, reason, now)
  redis.call('HSET', P .. 'pool:records', id, cjson.encode({status = status, reason = reason, at = tonumber(now)}))
  redis.call('ZADD', P .. 'pool:record-times', now, id)
  redis.call('HINCRBY', P .. 'counters', 'mempool_' .. status, 1)
end

-- Take entries out of every key but their queues. In bulk, since a block may hold thousands.
local function pool_forget(members)
  local bytes = 0
  for i = 1, #members, 2000 do
    local slice = {unpack(members, i, math.min(i + 1999, #members))}
    local ids = {}
    for j, member in ipairs(slice) do
      ids[j] = pool_id(member)
    end
    for _, entry in ipairs(redis.call('HMGET', P .. 'pool:entries', unpack(ids))) do
      bytes = bytes + (entry and string.len(entry) or 0)
    end
    redis.call('HDEL', P .. 'pool:entries', unpack(ids))
    redis.call('ZREM', P .. 'pool:expiry', unpack(ids))
    redis.call('ZREM', P .. 'pool:order', unpack(slice))
    redis.call('ZREM', P .. 'pool:ends', unpack(slice))
  end
  if bytes > 0 then -- the negative of 0 would be "-0", which HINCRBY does not take
    redis.call('HINCRBY', P .. 'pool:totals', 'bytes', -bytes)
  end
end

-- Take one entry out of every key. Returns its id. The caller records why, and then calls pool_settle for the sender.
local function pool_remove(sender, member)
  redis.call('ZREM', P .. 'pool:queue:' .. sender, member)
  pool_forget({member})
  return pool_id(member)
end

-- Put transactions into their sender's queue and every other key. Nothing is queued at their nonces. Each item has id,
-- nonce, fee_rank, replacements and transaction. In bulk, therefore 1,000 at most: Lua's stack holds some thousands of
-- values. The caller then calls pool_settle. Returns the arrival number of the last of them, or nil if there are none.
local function pool_insert(sender, items, now)
  if #items == 0 then
    return nil
  end
  local ids, entries, queue, order, times, bytes = {}, {}, {}, {}, {}, 0
  local sequence = pool_sequence(#items) - #items
  for i, item in ipairs(items) do
    local member = item.fee_rank .. string.format('%012x', sequence + i) .. item.id
    local entry = sender .. ' ' .. item.nonce .. ' ' .. now .. ' ' .. item.replacements .. '\n' .. item.transaction
    local last = 2 * i
    ids[i] = item.id
    entries[last - 1], entries[last] = item.id, entry
    queue[last - 1], queue[last] = item.nonce, member
    order[last - 1], order[last] = 0, member
    times[last - 1], times[last] = now, item.id
    bytes = bytes + string.len(entry)
  end
  redis.call('HSET', P .. 'pool:entries', unpack(entries))
  redis.call('HINCRBY', P .. 'pool:totals', 'bytes', bytes)
  redis.call('ZADD', P .. 'pool:queue:' .. sender, unpack(queue))
  redis.call('ZADD', P .. 'pool:order', unpack(order))
  redis.call('ZADD', P .. 'pool:expiry', unpack(times))
  -- An older record (of one that was evicted and sent again, or dropped and detached) would contradict the entry.
  if redis.call('HDEL', P .. 'pool:records', unpack(ids)) > 0 then
    redis.call('ZREM', P .. 'pool:record-times', unpack(ids))
  end
  return sequence + #items
end

-- Bring a sender's bookkeeping up to date after its queue has changed: a new revision, the first free nonce (looked for
-- from `from` on) and the end of the queue. Returns that nonce and the revision, which is 0 if the queue is empty.
-- `total`: what the queue costs now. Without it, the stored cost belongs to an older revision and does not count.
-- `revision`: a number of pool_sequence that no queue has had; one is taken without it.
local function pool_settle(sender, from, total, revision)
  local queue = P .. 'pool:queue:' .. sender
  local key = P .. 'pool:sender:' .. sender
  local last, highest = unpack(redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES'))
  if not last then
    redis.call('DEL', key)
    return from, 0
  end
  redis.call('ZADD', P .. 'pool:ends', 0, last)
  local next = from
  highest = tonumber(highest)
  while next < highest and redis.call('ZCOUNT', queue, next, next) > 0 do
    next = next + 1
  end
  if next == highest then
    next = next + 1
  end
  revision = revision or pool_sequence(1)
  if total then
    redis.call('HSET', key, 'revision', revision, 'next', next, 'total', total, 'total_revision', revision)
  else
    redis.call('HSET', key, 'revision', revision, 'next', next)
  end
  return next, revision
end

-- The first nonce from `from` on that a sender's queue does not hold; none below it is queued. By bisection, since the
-- queue may be long. It holds each nonce once at most, so below the gap it holds as many transactions as nonces.
local function pool_gap(sender, from)
  local queue = P .. 'pool:queue:' .. sender
  local low, high = from, from + redis.call('ZCARD', queue)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZCOUNT', queue, from, middle) == middle - from + 1 then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
