-- Take transactions out of the mempool and record why.
-- KEYS: 1 the node's prefix.   ARGV: 1 status, 2 reason, 3 now, 4… ids.
-- Returns how many were there. Ids that have left meanwhile are passed over.
local P = KEYS[1]
-- include: pool

local dropped = 0
for i = 4, #ARGV do
  local entry = redis.call('HGET', P .. 'pool:entries', ARGV[i])
  local sender, nonce = string.match(entry or '', '^(%S+) (%d+) ')
  local member = sender and pool_at(sender, nonce)
  if member and pool_id(member) == ARGV[i] then
    pool_record(pool_remove(sender, member), ARGV[1], ARGV[2], ARGV[3])
    local next = tonumber(redis.call('HGET', P .. 'pool:sender:' .. sender, 'next'))
    pool_settle(sender, math.min(next, tonumber(nonce)))
    dropped = dropped + 1
  end
end
return dropped
