-- The end of a repair: the tip as the blocks give it, and no mark any more.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 token of the repair's mark, 2 hash of the tip that the repair found, 3 height of the tip now, 4 its hash, then
--   fields and values of the tip.
-- Returns "repaired", or "moved" where the mark or the tip is another's, or heights does not end with the tip: then
-- nothing was written, and the mark stays.
local P = KEYS[1]
if redis.call('HGET', P .. 'fault', 'token') ~= ARGV[1]
  or (redis.call('HGET', P .. 'tip', 'hash') or '') ~= ARGV[2]
  or redis.call('LLEN', P .. 'heights') ~= tonumber(ARGV[3])
  or redis.call('LINDEX', P .. 'heights', -1) ~= ARGV[4] then
  return 'moved'
end
redis.call('HSET', P .. 'tip', unpack(ARGV, 5, #ARGV))
redis.call('DEL', P .. 'fault')
return 'repaired'
