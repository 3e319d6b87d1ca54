-- The end of a round and the answer to a request, shared by the scripts that include this. `P` is the node's prefix.

-- The round `id` is over. It is kept for `keep` seconds, to be looked at.
local function end_round(id, state, now, keep)
  local round = P .. 'round:' .. id
  redis.call('HSET', round, 'state', state, 'ended_at', now)
  redis.call('EXPIRE', round, keep)
  redis.call('EXPIRE', P .. 'round-workers:' .. id, keep)
  if redis.call('GET', P .. 'round') == id then
    redis.call('DEL', P .. 'round')
  end
end

-- The same, where nobody found a proof.
local function cancel_round(id, now, keep)
  end_round(id, 'cancelled', now, keep)
  redis.call('HINCRBY', P .. 'counters', 'rounds_cancelled', 1)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', 10000, '*', 'type', 'cancelled', 'data', id)
end

-- Answer the oldest request with `block`, or with '' for none, and give it more fields. Returns its id, or ''.
local function answer_oldest(keep, block, ...)
  local id = redis.call('LPOP', P .. 'requests')
  if not id then
    return ''
  end
  redis.call('HSET', P .. 'request:' .. id, ...)
  redis.call('EXPIRE', P .. 'request:' .. id, keep)
  redis.call('RPUSH', P .. 'answer:' .. id, block)
  redis.call('EXPIRE', P .. 'answer:' .. id, keep)
  return id
end
