-- Whether a block is on the chain, included by the scripts that ask. `P` is the node's prefix.

-- `hash` has 64 hex digits. The list of heights has the hash of a packed block as 32 bytes (pack.lua).
local function is_on_chain(height, hash)
  local stored = redis.call('LINDEX', P .. 'heights', height - 1)
  if stored and #stored == 32 then
    stored = string.gsub(stored, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  end
  return stored == hash
end
