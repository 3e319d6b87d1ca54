-- Add one mining request.
-- KEYS: 1 the node's prefix.   ARGV: 1 request id, 2 now (Unix seconds), 3 how many may wait.
-- Returns 1, 0 if too many wait, or the sentence that marks the stored state as wrong. Safe to repeat with the same id.
local P = KEYS[1]
-- include: fault
-- include: request_add

local id, now, cap = ARGV[1], ARGV[2], tonumber(ARGV[3])
local wrong = fault()
if wrong then
  return wrong
end
local request = P .. 'request:' .. id
if redis.call('EXISTS', request) == 1 then
  return 1
end
if redis.call('LLEN', P .. 'requests') >= cap then
  return 0
end
add_request(id, now)
return 1
