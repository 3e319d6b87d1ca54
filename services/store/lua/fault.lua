-- Whether the stored state is marked as wrong, shared by the scripts that then refuse. `P` is the node's prefix.

-- The sentence that says what is wrong, or false.
local function fault()
  return redis.call('HGET', P .. 'fault', 'sentence')
end
