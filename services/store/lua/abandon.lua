-- End the open round without a block: what it was opened for is in a block already, or no block may be made yet.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 now (Unix seconds), 3 seconds to keep the round, 4 "1": even if a request waits. The
--   request then waits for another round.
-- Returns 1, or 0 if the round is not open or a request waits.
local P = KEYS[1]
-- include: round

local round_id, now, keep, is_awaited = unpack(ARGV, 1, 4)
local request = redis.call('LINDEX', P .. 'requests', 0)
if redis.call('HGET', P .. 'round:' .. round_id, 'state') ~= 'open' or (request and is_awaited ~= '1') then
  return 0
end
if request then
  redis.call('HSET', P .. 'request:' .. request, 'status', 'queued', 'round', '')
end
cancel_round(round_id, now, keep)
return 1
