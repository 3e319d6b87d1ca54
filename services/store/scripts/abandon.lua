-- End the open round if nobody waits for it: what it was opened for is in a block already.
-- KEYS: 1 the node's prefix.   ARGV: 1 round id, 2 now, 3 seconds to keep it.
-- Returns 1, or 0 when it is not open or a request waits.
local P = KEYS[1]
-- include: round

if redis.call('HGET', P .. 'round:' .. ARGV[1], 'state') ~= 'open' or redis.call('LLEN', P .. 'requests') > 0 then
  return 0
end
cancel_round(ARGV[1], ARGV[2], ARGV[3])
return 1
