-- Take a turn of housekeeping, so that it is done once however many tickers run.
-- KEYS: 1 the node's prefix.   ARGV: 1 now (Unix seconds), 2 seconds that a turn lasts.
-- Returns 1 if the turn is the caller's, 0 if it is taken.
local P = KEYS[1]
local now, turn = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', P .. 'kept') or '')
-- A time far in the future was written by a clock that has been corrected since.
if last and math.floor(last / turn) >= math.floor(now / turn) and last < now + 12 * turn then
  return 0
end
redis.call('SET', P .. 'kept', ARGV[1])
return 1
