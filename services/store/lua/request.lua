-- Add one mining request.
-- KEYS: 1 the node's prefix.   ARGV: 1 request id, 2 now, 3 how many may wait, 4 seconds to keep it.
-- Returns 1, 0 when too many wait, or the sentence that says what is wrong while the stored state is marked as wrong.
-- Safe to repeat with the same id.
local P = KEYS[1]
-- include: fault

if fault() then
  return fault()
end
local request = P .. 'request:' .. ARGV[1]
if redis.call('EXISTS', request) == 1 then
  return 1
end
if redis.call('LLEN', P .. 'requests') >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', request, 'status', 'queued', 'round', '', 'block', '', 'created_at', ARGV[2])
redis.call('RPUSH', P .. 'requests', ARGV[1])
return 1
