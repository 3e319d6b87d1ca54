-- Write the window of shares, from a backup.
-- KEYS: 1 the node's prefix.
-- ARGV: the items of the log, oldest first (window.lua).
-- Returns 1, or 0 if the store has a window.
local P = KEYS[1]
if redis.call('EXISTS', P .. 'share-log') == 1 then
  return 0
end
redis.call('DEL', P .. 'share-window')
redis.call('HDEL', P .. 'payouts', 'total')
for _, item in ipairs(ARGV) do
  local hashes, payee = string.match(item, '^(%d+) (%S+)')
  redis.call('RPUSH', P .. 'share-log', item)
  redis.call('HINCRBY', P .. 'share-window', payee, hashes)
  redis.call('HINCRBY', P .. 'payouts', 'total', hashes)
end
return 1
