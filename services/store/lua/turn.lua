-- Take the node's turn, or give it back. One process at a time has it.
-- KEYS: 1 the node's prefix.   ARGV: 1 token of the caller, 2 milliseconds to keep it (0: give it back).
-- Returns 1 if the caller has it now (or had it, when giving it back), else 0. It ends by itself, so that a process that
-- dies with it stops nobody for long.
local P = KEYS[1]
local turn, token, milliseconds = P .. 'turn', ARGV[1], tonumber(ARGV[2])
local holder = redis.call('GET', turn)
if milliseconds == 0 then
  if holder ~= token then
    return 0
  end
  redis.call('DEL', turn)
  return 1
end
if holder and holder ~= token then
  return 0
end
redis.call('SET', turn, token, 'PX', milliseconds)
return 1
