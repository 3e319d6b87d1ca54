-- One slice of a swap's journal: the histories of some addresses.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 height of the fork point; then per address a list after its length: the address,
--   "height:position" of its transactions in the branch, oldest first.
-- Returns 1, or 0 if the journal is another or is finished. Safe to repeat.
local P = KEYS[1]
-- include: journal

local beginning, fork = ARGV[1], tonumber(ARGV[2])
local FIRST = 3 -- position of the first list in ARGV
if not journal_begins_with(beginning) then
  return 0
end

-- How many items of a history are at or below the fork point, and how many it has. Heights only rise along it.
local function common(key)
  local newest = redis.call('LINDEX', key, -1)
  if not newest then
    return 0, 0
  end
  local length = redis.call('LLEN', key)
  if tonumber(string.match(newest, '^%d+')) <= fork then
    return length, length
  end
  local low, high = 0, length - 1 -- the item at `high` is above
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(string.match(redis.call('LINDEX', key, middle), '^%d+')) > fork then
      high = middle
    else
      low = middle + 1
    end
  end
  return low, length
end

local position = FIRST
while position < #ARGV do
  local length_of_list, address = tonumber(ARGV[position]), ARGV[position + 1]
  local key, last = P .. 'history:' .. address, position + length_of_list
  local kept, length = common(key)
  if kept == 0 then
    redis.call('DEL', key)
  elseif kept < length then
    redis.call('LTRIM', key, 0, kept - 1)
  end
  for i = position + 2, last, 2000 do
    redis.call('RPUSH', key, unpack(ARGV, i, math.min(i + 1999, last)))
  end
  position = last + 1
end
return 1
