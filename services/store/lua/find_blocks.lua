-- Where some blocks may be among those that are packed.
-- KEYS: 1 the node's prefix.   ARGV: names of blocks (names.lua).
-- Returns per name the heights that its records give, four bytes each, one after the other.
local P = KEYS[1]
-- include: names

local buckets, power = names_buckets()
local found = {}
for i = 1, #ARGV do
  found[i] = table.concat(names_find(ARGV[i], buckets, power))
end
return found
