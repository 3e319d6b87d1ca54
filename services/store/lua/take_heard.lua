-- The peers that have announced something and were not asked since; they count as asked from now on.
-- KEYS: 1 the node's prefix.   ARGV: 1 now.
-- Returns their URLs.
local P = KEYS[1]
local all = redis.call('HGETALL', P .. 'heard')
local taken = {}
for i = 1, #all, 2 do
  local hash = string.match(all[i + 1], '^waiting %S+ (%x+)$')
  if hash then
    taken[#taken + 1] = all[i]
    redis.call('HSET', P .. 'heard', all[i], 'asked ' .. ARGV[1] .. ' ' .. hash)
  end
end
return taken
