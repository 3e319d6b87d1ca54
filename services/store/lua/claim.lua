-- Report what was searched, and claim the next range of proofs.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 worker, 3 proofs wanted (0: only report), 4 version searched, 5 hashes done, 6 now,
--   7 seconds after which a template is old, 8 Unix seconds until which this worker counts as searching,
--   9 proofs in others' hands from which on this worker is not needed, in multiples of the difficulty (0: it is).
-- Returns {"open", version, prefix, difficulty, first proof}, {"stale", version} when the tip has moved, the template is
-- old or the proofs are used up (renew it), {"enough", version, prefix, difficulty}, with nothing written, or {"ended"}.
-- Every worker runs it again and again while it searches, so each command in here counts.
local P = KEYS[1]
local round, workers = P .. 'round:' .. ARGV[1], P .. 'round-workers:' .. ARGV[1]
local state = redis.call('HMGET', round, 'state', 'version', 'parent', 'prefix', 'difficulty', 'cursor', 'renewed_at',
  'hashes')
local hashes = tonumber(ARGV[5])
local total = state[1] and string.format('%.0f', state[8] + hashes)
if hashes > 0 then
  redis.call('HINCRBY', P .. 'counters', 'hashes', ARGV[5])
  if state[1] then
    local done, since = string.match(redis.call('HGET', workers, ARGV[2]) or '', '^(%d+):([%d.]+)')
    redis.call('HSET', workers, ARGV[2],
      string.format('%.0f:%s:%s', (done or 0) + hashes, since or ARGV[6], ARGV[6]))
  end
  if state[1] ~= 'open' or state[2] ~= ARGV[4] then
    redis.call('HINCRBY', P .. 'counters', 'wasted_hashes', ARGV[5])
    if state[1] then
      redis.call('HINCRBY', round, 'wasted', ARGV[5])
    end
  end
end
local wanted = tonumber(ARGV[3])
if state[1] == 'open' and ARGV[9] ~= '0' and state[6] - state[8] > tonumber(ARGV[9]) * state[5] then
  return {'enough', state[2], state[4], state[5]}
end
local stale = wanted > 0 and state[1] == 'open' and (
  redis.call('HGET', P .. 'tip', 'hash') ~= state[3]
  or math.abs(tonumber(ARGV[6]) - tonumber(state[7])) > tonumber(ARGV[7]) -- a clock may have been set back
  or tonumber(state[6]) + wanted > 9007199254740991)
if state[1] == 'open' and wanted > 0 and not stale then
  redis.call('HSET', round, 'hashes', total, 'cursor', string.format('%.0f', state[6] + wanted))
elseif hashes > 0 and state[1] then
  redis.call('HSET', round, 'hashes', total)
end
if state[1] ~= 'open' then
  return {'ended'}
end
redis.call('ZADD', P .. 'searchers', ARGV[8], ARGV[2])
if stale then
  return {'stale', state[2]}
end
if wanted > 0 and hashes == 0 then
  redis.call('HSETNX', workers, ARGV[2], '0:' .. ARGV[6] .. ':' .. ARGV[6]) -- its rate counts from here
end
return {'open', state[2], state[4], state[5], string.format('%.0f', state[6])}
