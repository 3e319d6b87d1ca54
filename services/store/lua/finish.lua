-- The last slice of a swap's journal: it is done.
-- KEYS: 1 the node's prefix.   ARGV: 1 beginning of the journal.
-- Returns 1, or 0 when it was done already.
local P = KEYS[1]
-- include: journal

if not journal_is_ours() then
  return 0
end
redis.call('DEL', P .. 'journal')
return 1
