-- Mark the stored state as wrong, and end the round that is open: nobody searches for a block that nobody will take.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 now, 2 seconds to keep the round, 3 mark that must be there: "" for none, "*" for any or none, else its token,
--   then fields and values of the mark, its token among them.
-- Returns 1, or 0 where the mark is another: then nothing was written. Requests that wait stay; they are answered when
-- the state is repaired.
local P = KEYS[1]
-- include: round

local token = redis.call('HGET', P .. 'fault', 'token') or ''
if ARGV[3] ~= '*' and token ~= ARGV[3] then
  return 0
end
redis.call('DEL', P .. 'fault')
redis.call('HSET', P .. 'fault', unpack(ARGV, 4, #ARGV))
local open = redis.call('GET', P .. 'round')
if open then
  cancel_round(open, ARGV[1], ARGV[2])
end
return 1
