-- Open a round, or give the open one a new template.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 version it must have ("0" = there must be no open round), 3 parent hash, 4 height, 5 difficulty,
--   6 prefix, 7 template, 8 now, 9 transactions in the template.
-- Returns {"open", round id, version}: the round that is open now, ours or another's; {"moved"} if the tip is no
-- longer the template's parent; {"differs"} while the stored state is marked as wrong.
local P = KEYS[1]
-- include: fault
-- include: event

if fault() then
  return {'differs'}
end
local open = redis.call('GET', P .. 'round')
if redis.call('HGET', P .. 'tip', 'hash') ~= ARGV[3] then
  return {'moved'}
end
local round = P .. 'round:' .. ARGV[1]
local version = tonumber(ARGV[2])
if version == 0 then
  if open then
    return {'open', open, redis.call('HGET', P .. 'round:' .. open, 'version')}
  end
  redis.call('HSET', round, 'id', ARGV[1], 'state', 'open', 'hashes', 0, 'wasted', 0, 'opened_at', ARGV[8])
  redis.call('SET', P .. 'round', ARGV[1])
  redis.call('HINCRBY', P .. 'counters', 'rounds_opened', 1)
elseif open ~= ARGV[1] or redis.call('HGET', round, 'version') ~= ARGV[2] then
  return {'open', open or '', '0'}
end
redis.call('HSET', round, 'version', version + 1, 'parent', ARGV[3], 'height', ARGV[4], 'difficulty', ARGV[5],
  'prefix', ARGV[6], 'template', ARGV[7], 'cursor', 0, 'renewed_at', ARGV[8], 'transactions', ARGV[9])
local request = redis.call('LINDEX', P .. 'requests', 0)
if request then
  redis.call('HSET', P .. 'request:' .. request, 'status', 'started', 'round', ARGV[1])
end
tell('round', ARGV[1] .. ' ' .. ARGV[4])
return {'open', ARGV[1], tostring(version + 1)}
