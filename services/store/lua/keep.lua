-- Take a slot of housekeeping, so that it is done once however many tickers run.
-- KEYS: 1 the node's prefix.   ARGV: 1 now (Unix seconds), 2 seconds that a slot lasts.
-- Returns 1 if the slot is the caller's now, 0 if it is taken.
local P = KEYS[1]
local now, slot = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', P .. 'kept') or '')
-- A time far in the future was written by a clock that has been corrected since.
if last and math.floor(last / slot) >= math.floor(now / slot) and last < now + 12 * slot then
  return 0
end
redis.call('SET', P .. 'kept', ARGV[1])
return 1
