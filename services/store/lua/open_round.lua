-- Open a round, or give the open one a new template.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 version that it must have ("0" = no round may be open), 3 parent hash, 4 height, 5 difficulty,
--   6 prefix of the proofs, 7 template, 8 now (Unix seconds), 9 transactions in the template, besides the reward,
--   10 arrivals in the mempool (pool:totals, sequence) before the template was made, 11 how often the mempool had been
--   restored then, 12 "1": proofs for the templates that the round had on this tip before may still seal it.
-- Returns {"open", round id, version}: the round that is open now, the caller's or another; {"moved"} if the tip is not
-- the template's parent, or the mempool was restored since; {"differs"} while the stored state is marked as wrong.
local P = KEYS[1]
-- include: fault
-- include: event

local round_id, version_before, parent, height, difficulty, prefix, template, now = unpack(ARGV, 1, 8)
local transactions, arrivals, restored, keeps = unpack(ARGV, 9, 12)
-- Templates of before that stay: more than a lease lasts where they are renewed every five seconds.
local MOST_BEFORE = 8
if fault() then
  return {'differs'}
end
local open = redis.call('GET', P .. 'round')
if redis.call('HGET', P .. 'tip', 'hash') ~= parent
    or (redis.call('HGET', P .. 'pool:totals', 'restored') or '0') ~= restored then
  return {'moved'}
end
local round, version = P .. 'round:' .. round_id, tonumber(version_before) + 1
local search, templates = P .. 'round-search:' .. round_id, P .. 'round-templates:' .. round_id
if version == 1 then
  if open then
    return {'open', open, redis.call('HGET', P .. 'round:' .. open, 'version')}
  end
  redis.call('HSET', round, 'id', round_id, 'state', 'open', 'opened_at', now)
  redis.call('HSET', search, 'hashes', 0, 'wasted', 0)
  redis.call('SET', P .. 'round', round_id)
  redis.call('HINCRBY', P .. 'counters', 'rounds_opened', 1)
elseif open ~= round_id or redis.call('HGET', round, 'version') ~= version_before then
  return {'open', open or '', '0'}
else
  if keeps == '1' and redis.call('HGET', round, 'parent') == parent and redis.call('HGET', round, 'renewed_at') ~= '0'
    then
    redis.call('HDEL', templates, tostring(version - 1 - MOST_BEFORE))
  else
    redis.call('DEL', templates)
  end
end
redis.call('HSET', templates, version, difficulty .. ' ' .. prefix .. '\n' .. template)
redis.call('HSET', round, 'version', version, 'parent', parent, 'height', height, 'difficulty', difficulty, 'prefix',
  prefix, 'renewed_at', now, 'transactions', transactions, 'arrivals', arrivals)
redis.call('HSET', search, 'cursor', 0, 'leased', 0)
local request = redis.call('LINDEX', P .. 'requests', 0)
if request then
  redis.call('HSET', P .. 'request:' .. request, 'status', 'started', 'round', round_id)
end
tell('round', round_id .. ' ' .. height)
return {'open', round_id, tostring(version)}
