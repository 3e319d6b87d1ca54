-- Read the packs that hold some heights, and those that may hold some blocks.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 how much of each pack: "headers", "ids" (with the headers) or "whole" (services/store/pack_form.py), 2 how
--   many heights follow, 3 … the heights; then names of blocks (names.lua).
-- Returns how many heights and names were looked for, and the packs, each once. It ends early once it has read 2^20
-- bytes, so that no other client waits for long: then the caller asks for the rest.
local P = KEYS[1]
-- include: names

local part, heights = ARGV[1], tonumber(ARGV[2])
if redis.call('EXISTS', P .. 'packs') == 0 then
  return {#ARGV - 2}
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

local given, found, read = {}, {0}, 0
local from, to = 0, 0 -- heights of the last pack that was read: `to` is the next one's first
local function take(height)
  height = tonumber(height)
  if height >= from and height < to then
    return
  end
  local starts = P .. 'pack-starts'
  local start = redis.call('ZREVRANGEBYSCORE', starts, height, 1, 'LIMIT', 0, 1)[1]
  if not start then
    return
  end
  from = tonumber(start)
  to = tonumber(redis.call('ZRANGEBYSCORE', starts, height + 1, '+inf', 'LIMIT', 0, 1)[1] or height + 1)
  if given[start] then
    return
  end
  given[start] = true
  local pack = redis.call('HGET', P .. 'packs', start)
  if pack then
    read = read + #pack
    found[#found + 1] = wanted(pack)
  end
end
local buckets, power = names_buckets()
for i = 3, #ARGV do
  if read >= 2^20 then
    break
  end
  if i <= 2 + heights then
    take(ARGV[i])
  else
    for _, height in ipairs(names_find(ARGV[i], buckets, power)) do
      take(names_value(height))
    end
  end
  found[1] = found[1] + 1
end
return found
