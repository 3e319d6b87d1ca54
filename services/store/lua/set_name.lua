-- Give an address a name, or take its name away.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 address, 2 the name ("" takes it away), 3 the name as it is compared with others, 4 how many names there may be,
--   5 a random token, by which readers see that names have changed.
-- Returns {"done"}; {"none"} if there was no name to take away; {"taken", address} if another address has the name;
--   {"full"} if there are as many names as there may be.
local P = KEYS[1]
local address, name, compared, most, revision = unpack(ARGV, 1, 5)
local names, owners = P .. 'names', P .. 'name-owners'

local entry = redis.call('HGET', names, address)
if name == '' and not entry then
  return {'none'}
end
local owner = name ~= '' and redis.call('HGET', owners, compared)
if owner and owner ~= address then
  return {'taken', owner}
end
if name ~= '' and not entry and redis.call('HLEN', names) >= tonumber(most) then
  return {'full'}
end
redis.call('SET', P .. 'names-revision', revision)
if entry then -- the name as it is compared, a line break, the name as it is shown
  redis.call('HDEL', owners, string.match(entry, '^[^\n]*'))
end
if name == '' then
  redis.call('HDEL', names, address)
else
  redis.call('HSET', names, address, compared .. '\n' .. name)
  redis.call('HSET', owners, compared, address)
end
return {'done'}
