-- Mark the stored state as wrong, and end the open round: its block would be refused.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 now (Unix seconds), 2 seconds to keep the round, 3 the mark to replace: its token, "" for none, "*" for any or
--   none; then fields and values of the new mark, its token among them.
-- Returns 1, or 0 if the mark is another: then nothing is written. Waiting requests stay; they are answered once the
-- state is repaired.
local P = KEYS[1]
-- include: round

local now, keep, replaced_token = ARGV[1], ARGV[2], ARGV[3]
local FIRST = 4 -- position of the mark's first field in ARGV
local token = redis.call('HGET', P .. 'fault', 'token') or ''
if replaced_token ~= '*' and token ~= replaced_token then
  return 0
end
redis.call('DEL', P .. 'fault')
redis.call('HSET', P .. 'fault', unpack(ARGV, FIRST, #ARGV))
local open = redis.call('GET', P .. 'round')
if open then
  cancel_round(open, now, keep)
end
return 1
