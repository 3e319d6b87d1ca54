-- One slice of a swap's journal: the histories of some addresses.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 journal, 2 height of the fork point, then one list per address behind its length: address, "height:position" of
--   the branch, oldest first.
-- Returns 1, or 0 when the journal is another's or done. Safe to repeat.
local P = KEYS[1]
if redis.call('GET', P .. 'journal') ~= ARGV[1] then
  return 0
end
local fork = tonumber(ARGV[2])
local position = 3
while position < #ARGV do
  local key = P .. 'history:' .. ARGV[position + 1]
  local last = position + tonumber(ARGV[position])
  local newest = redis.call('LINDEX', key, -1)
  while newest and tonumber(string.match(newest, '^%d+')) > fork do
    redis.call('RPOP', key)
    newest = redis.call('LINDEX', key, -1)
  end
  for i = position + 2, last, 2000 do
    redis.call('RPUSH', key, unpack(ARGV, i, math.min(i + 1999, last)))
  end
  position = last + 1
end
return 1
