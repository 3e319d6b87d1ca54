-- Remove the bodies and undo records of the lowest blocks that still have them: those of one pack, or some that could not
-- be packed. Headers, ids and all indexes stay.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 height of the first block, 2 of the last, 3 changes of the packs when they were read, 4 repairs of the state at
--   that time (the end of its digest), 5 how many blocks below the tip are kept, 6 number of the form that a store with
--   pruned blocks has, 7 now (Unix seconds), 8 the canonical genesis block if it is the first, or "": it is kept by
--   itself, 9 how many values of what payouts need of the bodies follow; then these: block hash, field and value, …;
--   then the hashes of the blocks.
-- Returns "pruned", "moved" (the packs or the state are others than those that were read, the blocks are not deep
-- enough, or not the lowest), "form" (the store has not got that form), "unfinished" (the journal of a reorganisation
-- exists), "held" (nothing is packed or pruned for now), or "differs" (the stored state is marked as wrong). Only
-- "pruned" writes.
local P = KEYS[1]
-- include: names
-- include: sunk

local VERSION, PRUNED = 1, 2 -- of a pack (services/store/pack_form.py)
local REMAINS = 10 -- position of the first value of what payouts need
local first, last, changes, repairs, keep, form, now, genesis, remains = unpack(ARGV, 1, 9)
local hashes = REMAINS + remains -- position of the first hash

local refused = not_sunk(last, keep, changes, repairs, now)
if refused then
  return refused
end
if redis.call('GET', P .. 'schema') ~= form then
  return 'form'
end
local height, pruned = unpack(redis.call('HMGET', P .. 'packed', 'height', 'pruned'), 1, 2)
if tonumber(pruned or 0) ~= first - 1 or tonumber(last) > tonumber(height or 0) then
  return 'moved'
end
local pack, kept = redis.call('HGET', P .. 'packs', first), nil
if pack then
  if string.byte(pack, 1) ~= VERSION or #pack < 9 then
    return 'moved'
  end
  local bodies = 10 + names_value(string.sub(pack, 2, 5)) + names_value(string.sub(pack, 6, 9))
  kept = string.char(PRUNED) .. string.sub(pack, 2, bodies - 1)
end

redis.call('HSET', P .. 'packed', 'pruned', last)
redis.call('HINCRBY', P .. 'packed', 'changes', 1)
for i = REMAINS, hashes - 1, 3 do
  local block, field, value = unpack(ARGV, i, i + 2)
  if redis.call('ZSCORE', P .. 'payouts-due', block) then
    redis.call('HSET', P .. 'payout:' .. block, field, value)
  end
end
for i = hashes, #ARGV, 1000 do
  for _, name in ipairs({'blocks', 'undo'}) do
    redis.call('HDEL', P .. name, unpack(ARGV, i, math.min(i + 999, #ARGV)))
  end
end
if genesis ~= '' then
  redis.call('HSET', P .. 'blocks', ARGV[hashes], genesis)
end
if kept then
  redis.call('HSET', P .. 'packs', first, kept)
  redis.call('HINCRBY', P .. 'packed', 'bytes', #kept - #pack)
end
return 'pruned'
