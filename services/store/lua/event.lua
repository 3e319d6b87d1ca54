-- The stream of events, shared by the scripts that include this. `P` is the node's prefix.

-- Tell everybody who follows the stream. `data`: one word or several, as docs/redis-schema.md has them.
local function tell(type, data)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', 10000, '*', 'type', type, 'data', data)
end
