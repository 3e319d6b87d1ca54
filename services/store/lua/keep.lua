-- Take a slot of housekeeping, so that several tickers do it once.
-- KEYS: 1 the node's prefix.   ARGV: 1 now, 2 seconds of a slot.
-- Returns 1 if the slot is the caller's, 0 if somebody has it.
local P = KEYS[1]
local now, slot = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', P .. 'kept') or '')
-- A moment far ahead was written by a clock that has been corrected since.
if last and math.floor(last / slot) >= math.floor(now / slot) and last < now + 12 * slot then
  return 0
end
redis.call('SET', P .. 'kept', ARGV[1])
return 1
