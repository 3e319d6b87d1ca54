-- End the open round without an answer: what it was opened for is in a block already, or no block may be made yet.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now, 3 seconds to keep it, 4 "1": also where a request waits. It goes
--   on waiting, for another round.
-- Returns 1, or 0 when it is not open or a request waits.
local P = KEYS[1]
-- include: round

local request = redis.call('LINDEX', P .. 'requests', 0)
if redis.call('HGET', P .. 'round:' .. ARGV[1], 'state') ~= 'open' or (request and ARGV[4] ~= '1') then
  return 0
end
if request then
  redis.call('HSET', P .. 'request:' .. request, 'status', 'queued', 'round', '')
end
cancel_round(ARGV[1], ARGV[2], ARGV[3])
return 1
