-- Reading lists from ARGV and writing ledger entries, included by the scripts that do so.

-- Find the lists that fill ARGV from `position` on, each after its length. `widths`: how many values an item of each
-- list has. Returns a table of {first = …, last = …}, or nil and an error reply; call it before the first write.
local function read_lists(position, widths)
  local lists = {}
  for i, width in ipairs(widths) do
    local length = tonumber(ARGV[position]) or -1
    lists[i] = {first = position + 1, last = position + length}
    if length < 0 or length % width ~= 0 or lists[i].last > #ARGV then
      return nil, redis.error_reply('ERR a list does not have its stated length')
    end
    position = lists[i].last + 1
  end
  if position ~= #ARGV + 1 then
    return nil, redis.error_reply('ERR there is something after the lists')
  end
  return lists
end

-- A variadic write of a list, in chunks: Lua's stack holds some thousands of values.
local function write_list(command, key, list)
  for i = list.first, list.last, 2000 do
    redis.call(command, key, unpack(ARGV, i, math.min(i + 1999, list.last)))
  end
end

-- Write pairs of field and value into a hash. A field is deleted if its value is '', so that equal ledgers are equal keys.
local function write_ledger(key, list)
  local set, gone = {}, {}
  for i = list.first, list.last, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    if value == '' then
      gone[#gone + 1] = field
    else
      set[#set + 1] = field
      set[#set + 1] = value
    end
  end
  for i = 1, #set, 2000 do
    redis.call('HSET', key, unpack(set, i, math.min(i + 1999, #set)))
  end
  for i = 1, #gone, 2000 do
    redis.call('HDEL', key, unpack(gone, i, math.min(i + 1999, #gone)))
  end
end
