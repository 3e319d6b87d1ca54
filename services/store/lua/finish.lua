-- The last slice of a swap's journal: delete it.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 beginning of the journal, 2 "1" if the swap was asked for, 3 now (Unix seconds), 4 seconds to keep a round,
--   5 the tip that was detached, or "", 6 how many such ends are kept; then ends of before that are on the chain now.
-- After a swap that was asked for, no round goes on and no template is used that was made before: it could hold
-- transactions that have left. A request that the open round would have answered waits for another.
-- Returns 1, or 0 if the journal is another or is finished.
local P = KEYS[1]
-- include: journal
-- include: round

local beginning, asked, now, keep, detached, most = unpack(ARGV, 1, 6)
if not journal_begins_with(beginning) then
  return 0
end
if asked == '1' then
  redis.call('HINCRBY', P .. 'pool:totals', 'restored', 1)
  redis.call('DEL', P .. 'restoring', P .. 'held')
  local open, request = redis.call('GET', P .. 'round'), redis.call('LINDEX', P .. 'requests', 0)
  if request then
    redis.call('HSET', P .. 'request:' .. request, 'status', 'queued', 'round', '')
  end
  if open then
    cancel_round(open, now, keep)
  end
end
for i = 7, #ARGV do
  redis.call('ZREM', P .. 'branch-ends', ARGV[i])
end
if detached ~= '' then
  redis.call('ZADD', P .. 'branch-ends', now, detached)
  for _, oldest in ipairs(redis.call('ZREVRANGE', P .. 'branch-ends', most, -1)) do
    redis.call('ZREM', P .. 'branch-ends', oldest)
  end
end
redis.call('DEL', P .. 'journal')
return 1
