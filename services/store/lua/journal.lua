-- Which journal exists, included by the slices that finish a swap. `P` is the node's prefix.

-- Whether the journal begins with this text, which holds its id. Only the beginning is read: the journal of a thousand
-- blocks is long, and its slices are many.
local function journal_begins_with(beginning)
  return beginning ~= '' and redis.call('GETRANGE', P .. 'journal', 0, #beginning - 1) == beginning
end
