-- Where some transactions may be on the chain.
-- KEYS: 1 the node's prefix.   ARGV: ids, 32 bytes each.
-- Returns per id "height:position" and "", if the index has it; otherwise "" and the heights of packed blocks that may
-- hold it (names.lua), four bytes each, one after the other.
local P = KEYS[1]
-- include: names

local buckets, power = names_buckets()
local found = {}
for i = 1, #ARGV do
  local place = redis.call('HGET', P .. 'transactions', ARGV[i])
  found[2 * i - 1] = place or ''
  found[2 * i] = place and '' or table.concat(names_find(string.sub(ARGV[i], 1, NAME), buckets, power))
end
return found
