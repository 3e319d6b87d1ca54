-- Reading lists from ARGV, and writing ledger entries, shared by the scripts that include this.

-- Lists stand in ARGV behind their lengths, from `position` to the end; `widths` says how many values an item of each has.
-- Returns a table of {first, last}, or nil and what is wrong: to be looked at before the first write.
local function read_lists(position, widths)
  local lists = {}
  for i, width in ipairs(widths) do
    local length = tonumber(ARGV[position]) or -1
    lists[i] = {first = position + 1, last = position + length}
    if length < 0 or length % width ~= 0 or lists[i].last > #ARGV then
      return nil, redis.error_reply('ERR a list does not have the length that it says')
    end
    position = lists[i].last + 1
  end
  if position ~= #ARGV + 1 then
    return nil, redis.error_reply('ERR there is something behind the lists')
  end
  return lists
end

-- A variadic write in chunks: Lua's stack holds some thousands of values.
local function write_list(command, key, list)
  for i = list.first, list.last, 2000 do
    redis.call(command, key, unpack(ARGV, i, math.min(i + 1999, list.last)))
  end
end

-- Pairs of field and value. Values that are zero again are deleted, so that equal ledgers are equal keys.
local function write_ledger(key, list)
  local set, gone = {}, {}
  for i = list.first, list.last, 2 do
    if ARGV[i + 1] == '' then
      gone[#gone + 1] = ARGV[i]
    else
      set[#set + 1] = ARGV[i]
      set[#set + 1] = ARGV[i + 1]
    end
  end
  for i = 1, #set, 2000 do
    redis.call('HSET', key, unpack(set, i, math.min(i + 1999, #set)))
  end
  for i = 1, #gone, 2000 do
    redis.call('HDEL', key, unpack(gone, i, math.min(i + 1999, #gone)))
  end
end
