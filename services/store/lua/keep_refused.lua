-- Keep a block that breaks a rule as evidence.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 its hash, 2 its record (Unix seconds, peer, JSON), 3 its canonical block, or '' if that is too large to keep, 4 how many are kept.
-- If that many are kept already, the oldest of the peer that has the most goes, so that one peer alone cannot take away
-- what others have shown. Returns 1, or 0 if the block is kept already.
local P = KEYS[1]
local hash, record, block, most = unpack(ARGV, 1, 4)
if redis.call('HEXISTS', P .. 'refused', hash) == 1 then
  return 0
end
local by_peer, largest = {}, nil
local all = redis.call('HGETALL', P .. 'refused')
for i = 1, #all, 2 do
  local at, peer = string.match(all[i + 1], '^(%S+) (%S+) ')
  local of = by_peer[peer] or {count = 0}
  at, by_peer[peer], of.count = tonumber(at), of, of.count + 1
  if not of.at or at < of.at or (at == of.at and all[i] < of.oldest) then
    of.at, of.oldest = at, all[i]
  end
end
if #all / 2 >= tonumber(most) then
  for _, of in pairs(by_peer) do
    local same = largest and of.count == largest.count
    if not largest or of.count > largest.count or (same and of.at < largest.at)
        or (same and of.at == largest.at and of.oldest < largest.oldest) then
      largest = of
    end
  end
  redis.call('HDEL', P .. 'refused', largest.oldest)
  redis.call('HDEL', P .. 'refused-blocks', largest.oldest)
end
redis.call('HSET', P .. 'refused', hash, record)
if block ~= '' then
  redis.call('HSET', P .. 'refused-blocks', hash, block)
end
return 1
