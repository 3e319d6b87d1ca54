-- Reserve the next time at which each of some peers may be asked for its tip.
-- KEYS: 1 the node's prefix.   ARGV: 1 now (Unix seconds), 2 least seconds between two questions to a peer; then URLs.
-- Returns after how many milliseconds all of them may be asked.
local P = KEYS[1]
local now, apart = tonumber(ARGV[1]), tonumber(ARGV[2])
local FIRST_URL = 3
local longest_wait = 0
for i = FIRST_URL, #ARGV do
  local url, wait = ARGV[i], 0
  local last = tonumber(redis.call('HGET', P .. 'asked', url) or '')
  -- A time far in the future was written by a clock that has been corrected since.
  if last and last + apart > now and last < now + 60 * apart then
    wait = last + apart - now
  end
  redis.call('HSET', P .. 'asked', url, string.format('%.6f', now + wait))
  longest_wait = math.max(longest_wait, wait)
end
return math.ceil(longest_wait * 1000)
