-- Register peers, or note candidates; all that count are counted here, so that nobody gets past the limit beside us.
-- KEYS: 1 the node's prefix.   ARGV: 1 "peers" or "candidates", 2 how many there may be, 3 … URL, record.
-- Returns 1, or 0 where there would be too many peers: then nothing is written. Of candidates as many are noted as there
-- is room for, and no URL that is known already.
local P = KEYS[1]
local limit = tonumber(ARGV[2])
local all = redis.call('HGETALL', P .. 'peers')
local known, count = {}, 0
for i = 1, #all, 2 do
  -- As json.dumps writes it. A quotation mark in another field would have a backslash before it.
  local candidate = string.find(all[i + 1], '"state": "candidate"', 1, true) ~= nil
  known[all[i]] = candidate and 'candidate' or 'peer'
  if candidate == (ARGV[1] == 'candidates') then
    count = count + 1
  end
end
if ARGV[1] == 'candidates' then
  for i = 3, #ARGV, 2 do
    if not known[ARGV[i]] and count < limit then
      redis.call('HSET', P .. 'peers', ARGV[i], ARGV[i + 1])
      known[ARGV[i]] = 'candidate'
      count = count + 1
    end
  end
  return 1
end
local before = count
for i = 3, #ARGV, 2 do
  if known[ARGV[i]] ~= 'peer' then
    known[ARGV[i]] = 'peer'
    count = count + 1
  end
end
-- Those that are registered stay, even if the limit has been lowered below them.
if count > limit and count > before then
  return 0
end
for i = 3, #ARGV, 2 do
  redis.call('HSET', P .. 'peers', ARGV[i], ARGV[i + 1])
end
return 1
