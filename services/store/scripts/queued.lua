-- One sender's waiting transactions, by nonce.
-- KEYS: 1 the node's prefix.   ARGV: 1 sender, 2 how many at most.
-- Returns their entries. Writes nothing.
local P = KEYS[1]
local found = {}
for _, member in ipairs(redis.call('ZRANGE', P .. 'pool:queue:' .. ARGV[1], 0, tonumber(ARGV[2]) - 1)) do
  found[#found + 1] = redis.call('HGET', P .. 'pool:entries', string.sub(member, -64))
end
return found
