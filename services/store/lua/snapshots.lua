-- How snapshots are removed, included by the scripts that do so. `P` is the node's prefix.

local function remove_snapshot(id)
  local bytes = redis.call('HGET', P .. 'snapshot:' .. id, 'bytes') or '0'
  redis.call('DEL', P .. 'snapshot:' .. id, P .. 'snapshot-pool:' .. id)
  redis.call('ZREM', P .. 'snapshots', id)
  if bytes ~= '0' then -- HINCRBY does not take "-0"
    redis.call('HINCRBY', P .. 'snapshot-totals', 'bytes', '-' .. bytes)
  end
end

-- Remove the snapshots with this id and with higher ones.
local function remove_snapshots(first)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'snapshots', first, '+inf')) do
    remove_snapshot(id)
  end
end
