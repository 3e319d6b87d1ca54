-- The window of shares, by which rewards are divided; included by the scripts that credit work. `P` is the node's prefix.
-- `payouts` has `window`, how many times the difficulty of a block it is long, in hashes; absent: nothing is kept.
-- `share-log` has what was done last, oldest first, `share-window` the same summed by address ("-": no address), and
-- `total` in `payouts` the sum of both. The oldest item is cut, so that the window has exactly its length.

local MOST_ITEMS = 10000
local MOST_EXACT = 9007199254740992 -- 2^53
-- Addresses of one block, those with the most credit, and blocks that wait for their payout.
local MOST_PAYEES = 1000
local MOST_DUE = 1000

local function window_take(payee, hashes)
  local text = string.format('%.0f', -hashes)
  if redis.call('HINCRBY', P .. 'share-window', payee, text) <= 0 then
    redis.call('HDEL', P .. 'share-window', payee)
  end
  return redis.call('HINCRBY', P .. 'payouts', 'total', text)
end

-- Add `hashes` that `who` (the voucher's id and the miner's name) did for `payee`, for a block of this height.
local function window_add(payee, who, height, hashes, difficulty)
  local window = redis.call('HGET', P .. 'payouts', 'window')
  if not window or hashes < 1 then
    return
  end
  local log, rest = P .. 'share-log', payee .. ' ' .. height .. ' ' .. who
  hashes = math.min(hashes, MOST_EXACT)
  local before, last = string.match(redis.call('LINDEX', log, -1) or '', '^(%d+) (.*)$')
  if last == rest and before + hashes <= MOST_EXACT then
    redis.call('LSET', log, -1, string.format('%.0f %s', before + hashes, rest))
  else
    redis.call('RPUSH', log, string.format('%.0f %s', hashes, rest))
  end
  redis.call('HINCRBY', P .. 'share-window', payee, string.format('%.0f', hashes))
  local total = redis.call('HINCRBY', P .. 'payouts', 'total', string.format('%.0f', hashes))
  local excess, items = total - window * difficulty, redis.call('LLEN', log)
  while excess >= 1 or items > MOST_ITEMS do
    local credit, tail = string.match(redis.call('LINDEX', log, 0), '^(%d+) (.*)$')
    credit = tonumber(credit)
    local cut = math.floor(items > MOST_ITEMS and credit or math.min(credit, excess))
    if cut == credit then
      redis.call('LPOP', log)
      items = items - 1
    else
      redis.call('LSET', log, 0, string.format('%.0f %s', credit - cut, tail))
    end
    excess = window_take(string.match(tail, '^%S+'), cut) - window * difficulty
  end
end

-- Add what the node's own workers have done for the round `id` since the last call; claim.lua has counted it.
local function window_take_own(id)
  local own = redis.call('HGET', P .. 'round-search:' .. id, 'own')
  if not own then
    return
  end
  redis.call('HDEL', P .. 'round-search:' .. id, 'own')
  local difficulty, aside = unpack(redis.call('HMGET', P .. 'round:' .. id, 'difficulty', 'aside'), 1, 2)
  own = tonumber(own)
  if own and difficulty and not aside then
    window_add('-', 'worker', '-', own, difficulty)
  end
end

-- Keep the window as it is for the payout of a block that this node has sealed.
local function window_keep(block, height)
  if redis.call('HEXISTS', P .. 'payouts', 'window') == 0 then
    return
  end
  local kept = P .. 'payout-shares:' .. block
  redis.call('ZADD', P .. 'payouts-due', height, block)
  redis.call('COPY', P .. 'share-window', kept)
  if redis.call('HLEN', kept) > MOST_PAYEES then
    local found, credits, names = redis.call('HGETALL', kept), {}, {}
    for i = 1, #found, 2 do
      if found[i] ~= '-' then
        names[#names + 1], credits[found[i]] = found[i], tonumber(found[i + 1])
      end
    end
    table.sort(names, function(one, other)
      if credits[one] == credits[other] then
        return one < other
      end
      return credits[one] > credits[other]
    end)
    for i = MOST_PAYEES + 1, #names do -- what they have done stays with the node
      redis.call('HINCRBY', kept, '-', string.format('%.0f', credits[names[i]]))
      redis.call('HDEL', kept, names[i])
    end
  end
  while redis.call('ZCARD', P .. 'payouts-due') > MOST_DUE do
    local oldest = redis.call('ZPOPMIN', P .. 'payouts-due')[1]
    redis.call('DEL', P .. 'payout-shares:' .. oldest, P .. 'payout:' .. oldest)
    redis.call('HINCRBY', P .. 'payouts', 'forgotten', 1)
  end
end
