-- How snapshots are removed, and what of the chain's clock they keep; included by the scripts that do so. `P` is the
-- node's prefix.

local CLOCK = {'time_offset', 'next_timestamp', 'timestamp_interval'} -- fields of the tip

-- Copy the clock's fields from one hash to another. A field that is missing there is removed.
local function copy_clock(from, to)
  for _, name in ipairs(CLOCK) do
    local value = redis.call('HGET', from, name)
    if value then
      redis.call('HSET', to, name, value)
    else
      redis.call('HDEL', to, name)
    end
  end
end

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
