-- Take the peers that are said to have a block and were not asked since; they count as asked from now on.
-- KEYS: 1 the node's prefix.   ARGV: 1 now (Unix seconds).
-- Returns their URLs.
local P = KEYS[1]
local now = ARGV[1]
local heard = redis.call('HGETALL', P .. 'heard')
local taken = {}
for i = 1, #heard, 2 do
  local url = heard[i]
  local hash = string.match(heard[i + 1], '^waiting %S+ (%x+)$')
  if hash then
    taken[#taken + 1] = url
    redis.call('HSET', P .. 'heard', url, 'asked ' .. now .. ' ' .. hash)
  end
end
return taken
