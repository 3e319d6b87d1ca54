-- Take the last pack apart again: a reorganisation or a repair needs its blocks one by one.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 height of its first block, 2 changes of the packs when it was read, 3 Unix seconds until which nothing is
--   packed again; then four lists, each after its length: block hash, the same as 32 bytes, height, block, header, undo
--   record, ids · transaction index: id, "height:position" · records of the blocks and transactions (names.lua) · those
--   fields of the records that are missing in the pack: block hash, "undo" or "ids". A pack that cannot be read has
--   empty lists: it is removed.
-- Returns "unpacked", or "moved" if it is not the last pack, or is pruned, or the packs are others than those that were
-- read. What is stored of a block besides the pack stays: a repair has corrected it.
local P = KEYS[1]
-- include: lists
-- include: names

local first, changes, held = unpack(ARGV, 1, 3)
local FIELDS = {'blocks', 'headers', 'undo', 'ids'}
if (redis.call('HGET', P .. 'packed', 'changes') or '0') ~= changes
  or redis.call('ZREVRANGE', P .. 'pack-starts', 0, 0)[1] ~= first
  or tonumber(first) <= tonumber(redis.call('HGET', P .. 'packed', 'pruned') or 0) then
  return 'moved'
end
local lists, malformed = read_lists(4, {7, 2, 1, 2})
if not lists then
  return malformed
end
local blocks, index, names, missing = unpack(lists)
local absent = {}
for i = missing.first, missing.last, 2 do
  absent[ARGV[i] .. ARGV[i + 1]] = true
end

for i = blocks.first, blocks.last, 7 do
  local hash, bytes, at = ARGV[i], ARGV[i + 1], ARGV[i + 2] - 1
  for j, name in ipairs(FIELDS) do
    if not absent[hash .. name] then
      redis.call('HSETNX', P .. name, hash, ARGV[i + 2 + j])
    end
  end
  if redis.call('LINDEX', P .. 'heights', at) == bytes then
    redis.call('LSET', P .. 'heights', at, hash)
  end
end
local back = 0
for i = index.first, index.last, 2 do
  back = back + redis.call('HSETNX', P .. 'transactions', ARGV[i], ARGV[i + 1])
end
names_remove(names.first, names.last)
local size = #(redis.call('HGET', P .. 'packs', first) or '')
redis.call('HDEL', P .. 'packs', first)
redis.call('ZREM', P .. 'pack-starts', first)
redis.call('HINCRBY', P .. 'packed', 'transactions', -back)
redis.call('HINCRBY', P .. 'packed', 'blocks', -(blocks.last - blocks.first + 1) / 7)
redis.call('HINCRBY', P .. 'packed', 'bytes', -size)
redis.call('HINCRBY', P .. 'packed', 'changes', 1)
redis.call('HSET', P .. 'packed', 'height', first - 1, 'held', held)
return 'unpacked'
