-- Cancel mining requests, and the open round if no request is left that it would answer.
-- KEYS: 1 the node's prefix.   ARGV: 1 now (Unix seconds), 2 seconds to keep requests and round, 3 "1" if auto-mining
-- must open no other round on this tip, 4 … the requests' ids; none: every request that waits, and the open round even
-- if none does.
-- Returns how many requests were cancelled. A request that has been answered, or is unknown, stays as it is.
local P = KEYS[1]
-- include: round

local now, keep, holds = ARGV[1], ARGV[2], ARGV[3] == '1'
local ids, all = {}, #ARGV == 3
if all then
  ids = redis.call('LRANGE', P .. 'requests', 0, -1)
else
  ids = {unpack(ARGV, 4)}
end
local cancelled = 0
for _, id in ipairs(ids) do
  if redis.call('LREM', P .. 'requests', 1, id) == 1 then
    redis.call('LPUSH', P .. 'requests', id)
    answer_oldest(keep, 'status', 'cancelled')
    cancelled = cancelled + 1
  end
end
local round = redis.call('GET', P .. 'round')
if round and redis.call('LLEN', P .. 'requests') == 0 and (all or cancelled > 0) then
  if holds then
    redis.call('SET', P .. 'held', redis.call('HGET', P .. 'tip', 'hash'))
  end
  cancel_round(round, now, keep)
end
return cancelled
