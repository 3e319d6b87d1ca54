-- End a repair: write the tip as the blocks give it, and remove the mark.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 token of the repair's mark, 2 hash of the tip that the repair found, 3 height of the new tip, 4 its hash;
--   then fields and values of the new tip.
-- Returns "repaired", or "moved" if the mark or the tip is another, or the list of heights does not end with the new
-- tip: then nothing is written, and the mark stays.
local P = KEYS[1]
local token, old_tip, height, new_tip = unpack(ARGV, 1, 4)
local FIRST = 5 -- position of the tip's first field in ARGV
if redis.call('HGET', P .. 'fault', 'token') ~= token
  or (redis.call('HGET', P .. 'tip', 'hash') or '') ~= old_tip
  or redis.call('LLEN', P .. 'heights') ~= tonumber(height)
  or redis.call('LINDEX', P .. 'heights', -1) ~= new_tip then
  return 'moved'
end
redis.call('HSET', P .. 'tip', unpack(ARGV, FIRST, #ARGV))
redis.call('DEL', P .. 'fault')
return 'repaired'
