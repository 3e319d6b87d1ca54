-- Take transactions out of the mempool and record why.
-- KEYS: 1 the node's prefix.   ARGV: 1 status, 2 reason, 3 now (Unix seconds); then ids.
-- Returns how many were in the mempool. The others are passed over.
local P = KEYS[1]
-- include: pool

local status, reason, now = unpack(ARGV, 1, 3)
local FIRST_ID = 4
local dropped = 0
for i = FIRST_ID, #ARGV do
  local id = ARGV[i]
  local entry = redis.call('HGET', P .. 'pool:entries', id)
  local sender, nonce = string.match(entry or '', '^(%S+) (%d+) ')
  local member = sender and pool_at(sender, nonce)
  if member and pool_id(member) == id then
    pool_record(pool_remove(sender, member), status, reason, now)
    local next = tonumber(redis.call('HGET', P .. 'pool:sender:' .. sender, 'next'))
    pool_settle(sender, math.min(next, tonumber(nonce)))
    dropped = dropped + 1
  end
end
return dropped
