-- How a mining request begins to wait, included by the scripts that add one. `P` is the node's prefix.
local function add_request(id, now)
  redis.call('HSET', P .. 'request:' .. id, 'status', 'queued', 'round', '', 'block', '', 'created_at', now)
  redis.call('RPUSH', P .. 'requests', id)
end
