-- Delete blocks that were staged long ago and are not part of the chain.
-- KEYS: 1 the node's prefix.   ARGV: 1 Unix seconds, 2 how many at most.
-- Returns how many were deleted. One that is on the chain only leaves the list: it was staged by somebody who was slower
-- than an append. While a journal waits nothing is deleted: it may name these blocks.
local P = KEYS[1]
if redis.call('EXISTS', P .. 'journal') == 1 then
  return 0
end
local forgotten = 0
for _, hash in ipairs(redis.call('ZRANGEBYSCORE', P .. 'staged', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local header = redis.call('HGET', P .. 'headers', hash)
  if not (header and redis.call('LINDEX', P .. 'heights', cjson.decode(header).index - 1) == hash) then
    for _, name in ipairs({'blocks', 'headers', 'undo', 'ids'}) do
      redis.call('HDEL', P .. name, hash)
    end
    forgotten = forgotten + 1
  end
  redis.call('ZREM', P .. 'staged', hash)
end
return forgotten
