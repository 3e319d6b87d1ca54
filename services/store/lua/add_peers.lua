-- Register peers, or note candidates. The script counts them, so that concurrent callers cannot exceed the limit.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 "peers" or "candidates", 2 how many there may be; then per peer: URL, record.
-- Returns 1, or 0 if there would be too many peers: then nothing is written. Candidates are noted while there is room,
-- unless their URL is known.
local P = KEYS[1]
local kind, limit = ARGV[1], tonumber(ARGV[2])
local FIRST = 3 -- position of the first URL in ARGV
local stored = redis.call('HGETALL', P .. 'peers')
local known, count = {}, 0
for i = 1, #stored, 2 do
  local url, record = stored[i], stored[i + 1]
  -- As json.dumps writes it. A quotation mark in another field would have a backslash before it.
  local is_candidate = string.find(record, '"state": "candidate"', 1, true) ~= nil
  known[url] = is_candidate and 'candidates' or 'peers'
  if known[url] == kind then
    count = count + 1
  end
end
if kind == 'candidates' then
  for i = FIRST, #ARGV, 2 do
    local url, record = ARGV[i], ARGV[i + 1]
    if not known[url] and count < limit then
      redis.call('HSET', P .. 'peers', url, record)
      known[url] = 'candidates'
      count = count + 1
    end
  end
  return 1
end
local count_before = count
for i = FIRST, #ARGV, 2 do
  local url = ARGV[i]
  if known[url] ~= 'peers' then
    known[url] = 'peers'
    count = count + 1
  end
end
-- Registered peers stay, even if the limit has been lowered below their number.
if count > limit and count > count_before then
  return 0
end
for i = FIRST, #ARGV, 2 do
  local url, record = ARGV[i], ARGV[i + 1]
  redis.call('HSET', P .. 'peers', url, record)
end
return 1
