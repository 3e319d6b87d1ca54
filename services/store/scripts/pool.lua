-- The mempool's moves, shared by the scripts that include this. `P` is the node's prefix.
-- An order member is 64 hex digits of (2^256 - 1 - fee), 12 of the arrival number and 64 of the id, so that the
-- lexicographic order of a ZSET is "highest fee first, then arrival".

local function pool_id(member)
  return string.sub(member, -64)
end

local function pool_at(sender, nonce)
  return redis.call('ZRANGEBYSCORE', P .. 'pool:queue:' .. sender, nonce, nonce)[1]
end

local function pool_sequence()
  return redis.call('HINCRBY', P .. 'pool:totals', 'sequence', 1)
end

-- Why a transaction left without being mined.
local function pool_record(id, status, reason, now)
  redis.call('HSET', P .. 'pool:records', id, cjson.encode({status = status, reason = reason, at = tonumber(now)}))
  redis.call('ZADD', P .. 'pool:record-times', now, id)
  redis.call('HINCRBY', P .. 'counters', 'mempool_' .. status, 1)
end

-- Take one entry out of every index. The caller records why, and then calls pool_settle for the sender.
local function pool_remove(sender, member)
  local id = pool_id(member)
  local entry = redis.call('HGET', P .. 'pool:entries', id)
  if entry then
    redis.call('HINCRBY', P .. 'pool:totals', 'bytes', -string.len(entry))
    redis.call('HDEL', P .. 'pool:entries', id)
  end
  redis.call('ZREM', P .. 'pool:queue:' .. sender, member)
  redis.call('ZREM', P .. 'pool:order', member)
  redis.call('ZREM', P .. 'pool:expiry', id)
  redis.call('ZREM', P .. 'pool:ends', member)
  return id
end

-- After a sender's queue changed: a new revision, the first free nonce from `from` on, the end of the queue.
-- Its total cost is unknown from now on, unless the caller sets it.
local function pool_settle(sender, from)
  local queue = P .. 'pool:queue:' .. sender
  local key = P .. 'pool:sender:' .. sender
  local last = redis.call('ZREVRANGE', queue, 0, 0)[1]
  if not last then
    redis.call('DEL', key)
    return from, 0
  end
  redis.call('ZADD', P .. 'pool:ends', 0, last)
  local next = from
  while redis.call('ZCOUNT', queue, next, next) > 0 do
    next = next + 1
  end
  local revision = pool_sequence()
  redis.call('HSET', key, 'revision', revision, 'next', next)
  return next, revision
end
