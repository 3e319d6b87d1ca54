-- One slice of a swap's journal: the transaction index.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, then two lists behind their lengths: detached: id (32 bytes), "height:position" ·
--   attached: the same.
-- Returns 1, or 0 when the journal is another's or done. Safe to repeat.
local P = KEYS[1]
-- include: journal
-- include: lists

if not journal_is_ours() then
  return 0
end
local lists, wrong = read_lists(2, {2, 2})
if not lists then
  return wrong
end
for i = lists[1].first, lists[1].last, 2 do
  if redis.call('HGET', P .. 'transactions', ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', P .. 'transactions', ARGV[i])
  end
end
write_list('HSET', P .. 'transactions', lists[2])
return 1
