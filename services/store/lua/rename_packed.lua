-- Add the records of some packed blocks and their transactions to the index of what is packed, during a repair.
-- KEYS: 1 the node's prefix.   ARGV: 1 token of the repair's mark, 2 "1" to remove all records first; then records
-- (names.lua).
-- Returns 1, or 0 if the mark is another: then nothing is written.
local P = KEYS[1]
-- include: names

if redis.call('HGET', P .. 'fault', 'token') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '1' then
  redis.call('DEL', P .. 'pack-names')
  redis.call('HSET', P .. 'packed', 'names', 0, 'buckets', 1)
end
names_add(3, #ARGV)
return 1
