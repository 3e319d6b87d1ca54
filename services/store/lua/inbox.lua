-- The list of what mining workers hand to the node, and what processes of the node ask its desk to do; included by the
-- scripts that do so (services/mining/desk.py). `P` is the node's prefix.

local MOST_ENTRIES = 256

-- Add an entry, unless it is there already. Returns false if the list is full.
local function hand_in(entry)
  local inbox = P .. 'inbox'
  if redis.call('LPOS', inbox, entry) then
    return true
  end
  if redis.call('LLEN', inbox) >= MOST_ENTRIES then
    return false
  end
  redis.call('RPUSH', inbox, entry)
  return true
end
