-- How the workers of a node share its hash-rate limit, included by claim.lua. `P` is the node's prefix.
-- `hash-rate` has the limit, and for each worker that searches "share demand until basis": what it may do (hashes per
-- second), what it could use, when its share ends unless it claims again (Unix seconds), and the share from which on
-- its speed is counted. A share is taken only from what no other worker holds, so all shares together never exceed the
-- limit: while workers come and go, one may have to wait for the next claims of the others.

local LEASE_SECONDS = 2
-- Below so many hashes per second a share is not divided: a worker would wait long for each single hash.
local LEAST_SHARE = 25

local function give_back(worker)
  redis.call('HDEL', P .. 'hash-rate', 'worker:' .. worker)
end

-- What `worker` should have: all get the same, but none gets more than it can use while another could use it. What
-- nobody can use is divided too, since a worker may prove faster than it thought. `demands`: by worker.
local function fair_share(limit, worker, names, demands)
  table.sort(names)
  local sharing = math.max(1, math.min(#names, math.floor(limit / LEAST_SHARE)))
  local chosen = {unpack(names, 1, sharing)}
  table.sort(chosen, function(one, other)
    if demands[one] == demands[other] then
      return one < other
    end
    return demands[one] < demands[other]
  end)
  local rest, share = limit, nil
  for i, name in ipairs(chosen) do
    local part = math.min(demands[name], rest / (sharing - i + 1))
    rest = rest - part
    if name == worker then
      share = part
    end
  end
  return share and share + rest / sharing or 0
end

-- Take or renew the share of `worker`. Returns it as text ('' without a limit, '0' if it has to wait), and whether it
-- is another one, so that the worker's speed has to be counted anew.
local function take_share(worker, demand, now)
  local key, own = P .. 'hash-rate', 'worker:' .. worker
  local limit, mine = unpack(redis.call('HMGET', key, 'limit', own))
  if not limit then
    if mine then
      give_back(worker)
    end
    return '', mine ~= false
  end
  limit = tonumber(limit)
  local names, demands, free, basis, dead = {worker}, {[worker] = demand}, limit, nil, {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local name = string.match(all[i], '^worker:(.*)$')
    if name then
      local share, wants, ends, from = string.match(all[i + 1], '^(%S+) (%S+) (%S+) (%S+)$')
      ends = tonumber(ends)
      if name == worker then
        basis = tonumber(from)
      elseif ends <= now or ends > now + 2 * LEASE_SECONDS then -- or it was written by a wrong clock
        dead[#dead + 1] = all[i]
      else
        names[#names + 1] = name
        demands[name] = tonumber(wants)
        free = free - share
      end
    end
  end
  local fair = fair_share(limit, worker, names, demands)
  local share = math.max(0, math.min(fair, free))
  if share < math.min(fair, LEAST_SHARE) - 0.001 then
    share = 0
  end
  local differs = share > 0 and not (basis and share < 1.1 * basis and share > 0.9 * basis)
  if differs then
    basis = share
  end
  if #dead > 0 then
    redis.call('HDEL', key, unpack(dead))
  end
  redis.call('HSET', key, own, string.format('%.3f %.0f %s %.3f', share, demand, now + LEASE_SECONDS, basis or 0))
  return share > 0 and string.format('%.3f', share) or '0', differs
end
