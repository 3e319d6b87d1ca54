-- Put some blocks of the chain, which lie deep below the tip, in one compressed value.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 height of the first, 2 of the last, 3 the pack, or "" to leave these blocks as they are, 4 changes of the packs
--   when the blocks were read, 5 repairs of the state at that time (the end of its digest), 6 how deep the last must lie,
--   7 microseconds that making the pack took, 8 now (Unix seconds); then three lists, each after its length: the hash of
--   each block, and the same as 32 bytes · transaction index: id, "height:position" · records of the blocks and
--   transactions (names.lua).
-- Returns "packed", "moved" (the packs, the blocks or the state are others than those that were read, or they are not
-- deep enough), "unfinished" (the journal of a reorganisation exists), "held" (a reorganisation has unpacked blocks a
-- moment ago), or "differs" (the stored state is marked as wrong). Only "packed" writes.
local P = KEYS[1]
-- include: lists
-- include: names
-- include: sunk

local first, last, pack, changes, repairs, depth, microseconds, now = unpack(ARGV, 1, 8)

local refused = not_sunk(last, depth, changes, repairs, now)
if refused then
  return refused
end
if tonumber(redis.call('HGET', P .. 'packed', 'height') or 0) ~= first - 1 then
  return 'moved'
end
local lists, malformed = read_lists(9, {2, 2, 1})
if not lists then
  return malformed
end
local hashes, index, names = unpack(lists)
local stored = redis.call('LRANGE', P .. 'heights', first - 1, last - 1)
for i, hash in ipairs(stored) do
  if hashes.last >= hashes.first and hash ~= ARGV[hashes.first + 2 * (i - 1)] then
    return 'moved'
  end
end

redis.call('HSET', P .. 'packed', 'height', last)
redis.call('HINCRBY', P .. 'packed', 'changes', 1)
redis.call('ZADD', P .. 'pack-starts', first, first)
if pack == '' then
  return 'packed'
end
redis.call('HSET', P .. 'packs', first, pack)
for i = hashes.first, hashes.last, 2 do
  for _, name in ipairs({'blocks', 'headers', 'undo', 'ids'}) do
    redis.call('HDEL', P .. name, ARGV[i])
  end
  redis.call('LSET', P .. 'heights', first - 1 + (i - hashes.first) / 2, ARGV[i + 1])
end
names_add(names.first, names.last)
local ids, gone = {}, 0
for i = index.first, index.last, 2 do
  ids[#ids + 1] = ARGV[i]
end
for i = 1, #ids, 1000 do
  local unwanted = {}
  for j, place in ipairs(redis.call('HMGET', P .. 'transactions', unpack(ids, i, math.min(i + 999, #ids)))) do
    if place == ARGV[index.first + 2 * (i + j - 2) + 1] then
      unwanted[#unwanted + 1] = ids[i + j - 1]
    end
  end
  if #unwanted > 0 then
    gone = gone + redis.call('HDEL', P .. 'transactions', unpack(unwanted))
  end
end
redis.call('HINCRBY', P .. 'packed', 'transactions', gone)
redis.call('HINCRBY', P .. 'packed', 'blocks', last - first + 1)
redis.call('HINCRBY', P .. 'packed', 'bytes', #pack)
redis.call('HINCRBY', P .. 'packed', 'microseconds', microseconds)
return 'packed'
