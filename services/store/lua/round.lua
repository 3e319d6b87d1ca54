-- The end of a round and the answer to a request, shared by the scripts that include this. `P` is the node's prefix.
-- Of either, the last MOST_ENDED are kept, each for `keep` seconds: many may end in a second.
-- include: event

local MOST_ENDED = 10000

-- Note `id` in the list `ended`, and remove what is too old to be among the last: of each the keys with these `names`.
local function keep_last(ended, id, names)
  ended = P .. ended
  redis.call('RPUSH', ended, id)
  while redis.call('LLEN', ended) > MOST_ENDED do
    local old = redis.call('LPOP', ended)
    for _, name in ipairs(names) do
      redis.call('DEL', P .. name .. old)
    end
  end
end

-- The round `id` is over. What it takes to be looked at is written anew: a hash that held a template stays five times as
-- large as it need be, even without it. `block` and `worker` sealed it, or are ''.
local function end_round(id, state, now, keep, block, worker)
  local round = P .. 'round:' .. id
  local kept = {'id', 'height', 'difficulty', 'hashes', 'wasted', 'opened_at', 'transactions'}
  local values, fields = redis.call('HMGET', round, unpack(kept)), {}
  for i, name in ipairs(kept) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  redis.call('DEL', round)
  redis.call('HSET', round, 'state', state, 'ended_at', now, 'block', block, 'sealed_by', worker, unpack(fields))
  redis.call('EXPIRE', round, keep)
  redis.call('EXPIRE', P .. 'round-workers:' .. id, keep)
  keep_last('rounds-ended', id, {'round:', 'round-workers:'})
  if redis.call('GET', P .. 'round') == id then
    redis.call('DEL', P .. 'round')
  end
end

-- The same, where nobody found a proof.
local function cancel_round(id, now, keep)
  end_round(id, 'cancelled', now, keep, '', '')
  redis.call('HINCRBY', P .. 'counters', 'rounds_cancelled', 1)
  tell('cancelled', id)
end

-- Answer the oldest request, and give it more fields. Returns its id, or ''.
local function answer_oldest(keep, ...)
  local id = redis.call('LPOP', P .. 'requests')
  if not id then
    return ''
  end
  redis.call('HSET', P .. 'request:' .. id, ...)
  redis.call('EXPIRE', P .. 'request:' .. id, keep)
  -- Wakes those who wait now. Whoever comes later looks at the request first.
  redis.call('RPUSH', P .. 'answer:' .. id, '1')
  redis.call('EXPIRE', P .. 'answer:' .. id, 10)
  keep_last('requests-answered', id, {'request:'})
  return id
end
