-- Whose journal it is, shared by the slices that finish a swap. `P` is the node's prefix.

-- Whether the journal that waits is the one that begins with ARGV[1]: its id. A journal of a thousand blocks is long, and
-- its slices are many.
local function journal_is_ours()
  return ARGV[1] ~= '' and redis.call('GETRANGE', P .. 'journal', 0, #ARGV[1] - 1) == ARGV[1]
end
