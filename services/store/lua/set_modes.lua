-- Set how this node mines, until its API starts again.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 auto-mining: "1", "0", or "" for what holds now; 2 seconds between two blocks ("0": no interval), or "" for
--   what holds now; 3 now (Unix seconds).
-- The first block of an interval comes when it is over.
local P = KEYS[1]
local automine, interval, now = unpack(ARGV, 1, 3)
if automine ~= '' then
  redis.call('HSET', P .. 'modes', 'automine', automine)
end
if interval ~= '' then
  redis.call('HSET', P .. 'modes', 'interval', interval)
  redis.call('HSET', P .. 'pulse', 'at', now)
end
return 1
