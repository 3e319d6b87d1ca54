-- Read the packs that hold some heights, and those that may hold some blocks.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 how much of each pack: "headers", "ids" (with the headers) or "whole" (services/store/pack_form.py), 2 how
--   many heights follow, 3 … the heights; then names of blocks (names.lua).
-- Returns the packs, each once.
local P = KEYS[1]
-- include: names

local part, heights = ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', P .. 'packs') == 0 then
  return {}
end

local function wanted(pack)
  if part == 'whole' or #pack < 9 then
    return pack
  end
  local length = 9 + names_value(string.sub(pack, 2, 5))
  if part == 'ids' then
    length = length + names_value(string.sub(pack, 6, 9))
  end
  return string.sub(pack, 1, length)
end

local given, found = {}, {}
local function read(height)
  local start = redis.call('ZREVRANGEBYSCORE', P .. 'pack-starts', height, 1, 'LIMIT', 0, 1)[1]
  if start and not given[start] then
    given[start] = true
    local pack = redis.call('HGET', P .. 'packs', start)
    if pack then
      found[#found + 1] = wanted(pack)
    end
  end
end
for i = 3, 2 + heights do
  read(ARGV[i])
end
local buckets, power = names_buckets()
for i = 3 + heights, #ARGV do
  for _, height in ipairs(names_find(ARGV[i], buckets, power)) do
    read(string.format('%d', names_value(height)))
  end
end
return found
