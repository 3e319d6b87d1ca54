-- Delete blocks that were staged long ago and are not part of the chain.
-- KEYS: 1 the node's prefix.   ARGV: 1 Unix seconds: those staged until then, 2 how many at most.
-- Returns how many were deleted. A staged block that is on the chain is only taken off the list: it was
-- appended before it was staged. While a journal exists nothing is deleted, since it may name these blocks.
local P = KEYS[1]
-- include: heights

local staged_until, limit = ARGV[1], ARGV[2]
if redis.call('EXISTS', P .. 'journal') == 1 then
  return 0
end
local forgotten = 0
for _, hash in ipairs(redis.call('ZRANGEBYSCORE', P .. 'staged', '-inf', staged_until, 'LIMIT', 0, limit)) do
  local header = redis.call('HGET', P .. 'headers', hash) -- false also for a packed block, which is then left alone
  if not (header and is_on_chain(cjson.decode(header).index, hash)) then
    for _, name in ipairs({'blocks', 'headers', 'undo', 'ids'}) do
      redis.call('HDEL', P .. name, hash)
    end
    forgotten = forgotten + 1
  end
  redis.call('ZREM', P .. 'staged', hash)
end
return forgotten
