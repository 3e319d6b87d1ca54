-- Whether the stored state is marked as wrong, included by the scripts that refuse then. `P` is the node's prefix.

-- The sentence that says what is wrong, or false.
local function fault()
  return redis.call('HGET', P .. 'fault', 'sentence')
end
