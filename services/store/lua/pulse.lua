-- Interval mining: add a mining request if the interval is over.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 id of the request, 2 now (Unix seconds), 3 the interval that the settings say in seconds, 4 how many requests
--   may wait.
-- Returns {1 if the request was added, else 0; seconds until the interval is over, as text, "" if there is none}.
-- However many tickers ask, one request is added per interval; and none while the last one waits, or while the stored
-- state is marked as wrong: blocks that could not be mined are not caught up.
local P = KEYS[1]
-- include: fault
-- include: request_add

local id, now, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local interval = tonumber(redis.call('HGET', P .. 'modes', 'interval') or ARGV[3])
if interval <= 0 then
  return {0, ''}
end
local at, asked = unpack(redis.call('HMGET', P .. 'pulse', 'at', 'asked'), 1, 2)
at = tonumber(at)
if not at or at > now then -- the first look, or a clock was set back
  redis.call('HSET', P .. 'pulse', 'at', ARGV[2])
  return {0, string.format('%.3f', interval)}
end
if now < at + interval then
  return {0, string.format('%.3f', at + interval - now)}
end
-- On time, the next interval begins where this one ends, so that they do not drift. After a pause it begins now.
local next = at + interval
if now >= next + interval then
  next = now
end
redis.call('HSET', P .. 'pulse', 'at', string.format('%.6f', next))
local wait = string.format('%.3f', next + interval - now)
local status = asked and redis.call('HGET', P .. 'request:' .. asked, 'status')
if fault() or status == 'queued' or status == 'started' or redis.call('LLEN', P .. 'requests') >= cap then
  return {0, wait}
end
add_request(id, ARGV[2])
redis.call('HSET', P .. 'pulse', 'asked', id)
return {1, wait}
