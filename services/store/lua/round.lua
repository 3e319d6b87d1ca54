-- How a round ends and a request is answered, included by the scripts that do so. `P` is the node's prefix.
-- Of rounds and of requests, the last MOST_ENDED stay, each for `keep` seconds: many may end in a second.
-- include: event
-- include: window

local MOST_ENDED = 10000

-- Add `id` to the list `ended`, and `forget` each id that falls out of it.
local function keep_last(ended, id, forget)
  ended = P .. ended
  redis.call('RPUSH', ended, id)
  while redis.call('LLEN', ended) > MOST_ENDED do
    forget(redis.call('LPOP', ended))
  end
end

local function forget_round(id)
  local block = redis.call('HGET', P .. 'round:' .. id, 'block')
  if block and block ~= '' then
    redis.call('DEL', P .. 'round-of:' .. block)
  end
  redis.call('DEL', P .. 'round:' .. id, P .. 'round-search:' .. id, P .. 'round-workers:' .. id)
end

local function forget_request(id)
  redis.call('DEL', P .. 'request:' .. id)
end

-- End the round `id`. `block` and `worker` sealed it, or are ''. What can be asked of it later is written to a new hash,
-- since one that held more stays larger than necessary.
local function end_round(id, state, now, keep, block, worker)
  local round, search = P .. 'round:' .. id, P .. 'round-search:' .. id
  window_take_own(id)
  local names = {'id', 'height', 'difficulty', 'opened_at', 'transactions'}
  local values, kept = redis.call('HMGET', round, unpack(names)), {}
  for i, name in ipairs(names) do
    if values[i] then
      kept[#kept + 1] = name
      kept[#kept + 1] = values[i]
    end
  end
  redis.call('DEL', round, P .. 'round-templates:' .. id)
  redis.call('HSET', round, 'state', state, 'ended_at', now, 'block', block, 'sealed_by', worker, unpack(kept))
  redis.call('EXPIRE', round, keep)
  redis.call('HDEL', search, 'cursor', 'leased', 'own')
  redis.call('EXPIRE', search, keep)
  redis.call('EXPIRE', P .. 'round-workers:' .. id, keep)
  if block ~= '' then
    redis.call('SET', P .. 'round-of:' .. block, id)
    redis.call('EXPIRE', P .. 'round-of:' .. block, keep)
  end
  keep_last('rounds-ended', id, forget_round)
  if redis.call('GET', P .. 'round') == id then
    redis.call('DEL', P .. 'round')
  end
end

-- End the round `id` without a block.
local function cancel_round(id, now, keep)
  end_round(id, 'cancelled', now, keep, '', '')
  redis.call('HINCRBY', P .. 'counters', 'rounds_cancelled', 1)
  tell('cancelled', id)
end

-- Answer the oldest request by setting these fields and values. Returns its id, or '' if none waits.
local function answer_oldest(keep, ...)
  local id = redis.call('LPOP', P .. 'requests')
  if not id then
    return ''
  end
  redis.call('HSET', P .. 'request:' .. id, ...)
  redis.call('EXPIRE', P .. 'request:' .. id, keep)
  -- Wakes the callers that wait now. A later caller reads the request first.
  redis.call('RPUSH', P .. 'answer:' .. id, '1')
  redis.call('EXPIRE', P .. 'answer:' .. id, 10)
  keep_last('requests-answered', id, forget_request)
  return id
end
