-- The stream of events, included by the scripts that write to it. `P` is the node's prefix.

local MOST_EVENTS = 10000 -- about: Redis removes entries in groups

-- Append an event. `data`: one word or several, as services/store/events.py reads them.
local function tell(type, data)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', MOST_EVENTS, '*', 'type', type, 'data', data)
end
