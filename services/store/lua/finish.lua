-- The last slice of a swap's journal: delete it.
-- KEYS: 1 the node's prefix.   ARGV: 1 beginning of the journal.
-- Returns 1, or 0 if the journal is another or is finished.
local P = KEYS[1]
-- include: journal

if not journal_begins_with(ARGV[1]) then
  return 0
end
redis.call('DEL', P .. 'journal')
return 1
