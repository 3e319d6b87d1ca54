-- The last slice of a swap's journal: it is done.
-- KEYS: 1 the node's prefix.   ARGV: 1 journal.
-- Returns 1, or 0 when it was done already.
local P = KEYS[1]
if redis.call('GET', P .. 'journal') ~= ARGV[1] then
  return 0
end
redis.call('DEL', P .. 'journal')
return 1
