-- The streams of events, included by the scripts that write to them. `P` is the node's prefix.

local MOST_EVENTS, MOST_SEARCH_NEWS = 10000, 100 -- about: Redis removes entries in groups

-- Append an event. `data`: one word or several, as services/store/events.py reads them.
local function tell(type, data)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', MOST_EVENTS, '*', 'type', type, 'data', data)
  if type ~= 'transaction' then -- thousands a second may come, and each would wake every worker that searches
    redis.call('XADD', P .. 'search-news', 'MAXLEN', '~', MOST_SEARCH_NEWS, '*', 'type', type, 'data', data)
  end
end
