-- One slice of a swap's journal: the transaction index.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal; then two lists, each after its length: detached: id (32 bytes), "height:position" ·
--   attached: the same.
-- Returns 1, or 0 if the journal is another or is finished. Safe to repeat.
local P = KEYS[1]
-- include: journal
-- include: lists

if not journal_begins_with(ARGV[1]) then
  return 0
end
local lists, malformed = read_lists(2, {2, 2})
if not lists then
  return malformed
end
local detached, attached = lists[1], lists[2]
for i = detached.first, detached.last, 2 do
  local id, place = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', P .. 'transactions', id) == place then
    redis.call('HDEL', P .. 'transactions', id)
  end
end
write_list('HSET', P .. 'transactions', attached)
return 1
