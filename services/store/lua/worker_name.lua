-- Take a worker's name, confirm it, or give it back, so that no two workers of a broker that live have one name.
-- KEYS: 1 the broker's table of names (quarry:workers): name -> "token until" (Unix seconds).
-- ARGV: 1 token of the worker, 2 seconds for which the name is its own from now on (0: give it back), 3 the name that it
--   has ("" if it has none yet), 4 beginning of a new name, which a number follows.
-- Returns the name; "" if the name that the worker had is another's by now, or was given back.
local names = KEYS[1]
local token, seconds, held, base = unpack(ARGV, 1, 4)
local now = tonumber(redis.call('TIME')[1])

-- Whether somebody else has the name by the table.
local function is_taken(name)
  local holder, til = string.match(redis.call('HGET', names, name) or '', '^(%S+) (%d+)$')
  return holder ~= nil and holder ~= token and tonumber(til) > now
end

-- Whether RQ knows a worker of that name which has not signed off. One that was killed is known for a while.
local function is_known(name)
  local record = 'rq:worker:' .. name
  return redis.call('EXISTS', record) == 1 and redis.call('HEXISTS', record, 'death') == 0
end

local function keep(name)
  redis.call('HSET', names, name, token .. ' ' .. string.format('%.0f', now + seconds))
  return name
end

if held ~= '' then
  if is_taken(held) then
    return ''
  end
  if tonumber(seconds) == 0 then
    redis.call('HDEL', names, held)
    return ''
  end
  return keep(held)
end
for _, name in ipairs(redis.call('HKEYS', names)) do
  if not is_taken(name) and not is_known(name) then
    redis.call('HDEL', names, name) -- of a worker that was killed
  end
end
local number = 1
while is_taken(base .. '-' .. number) or is_known(base .. '-' .. number) do
  number = number + 1
end
return keep(base .. '-' .. number)
