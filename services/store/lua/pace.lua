-- Reserve the next moment at which each of some peers may be asked for its tip.
-- KEYS: 1 the node's prefix.   ARGV: 1 now, 2 seconds between two moments, 3 … URLs.
-- Returns how many milliseconds to wait until all of them may be asked.
local P = KEYS[1]
local now, apart, latest = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for i = 3, #ARGV do
  local wait = 0
  local last = tonumber(redis.call('HGET', P .. 'asked', ARGV[i]) or '')
  -- A moment far ahead was written by a clock that has been corrected since.
  if last and last + apart > now and last < now + 60 * apart then
    wait = last + apart - now
  end
  redis.call('HSET', P .. 'asked', ARGV[i], string.format('%.6f', now + wait))
  latest = math.max(latest, wait)
end
return math.ceil(latest * 1000)
