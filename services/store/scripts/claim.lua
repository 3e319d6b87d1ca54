-- Report what was searched, and claim the next range of proofs.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 worker, 3 proofs wanted (0: only report), 4 version searched, 5 hashes done, 6 now,
--   7 seconds after which a template is old, 8 Unix seconds until which this worker counts as searching.
-- Returns {"open", version, prefix, difficulty, first proof}, {"stale", version} when the tip has moved, the template is
-- old or the proofs are used up (renew it), or {"ended"}.
local P = KEYS[1]
local round = P .. 'round:' .. ARGV[1]
local state = redis.call('HMGET', round, 'state', 'version', 'parent', 'prefix', 'difficulty', 'cursor', 'renewed_at')
if ARGV[5] ~= '0' then
  redis.call('HINCRBY', P .. 'counters', 'hashes', ARGV[5])
  if state[1] then
    local workers = P .. 'round-workers:' .. ARGV[1]
    local hashes, since = string.match(redis.call('HGET', workers, ARGV[2]) or '', '^(%d+):([%d.]+)')
    redis.call('HINCRBY', round, 'hashes', ARGV[5])
    redis.call('HSET', workers, ARGV[2],
      string.format('%.0f:%s:%s', (hashes or 0) + ARGV[5], since or ARGV[6], ARGV[6]))
  end
  if state[1] ~= 'open' or state[2] ~= ARGV[4] then
    redis.call('HINCRBY', P .. 'counters', 'wasted_hashes', ARGV[5])
    if state[1] then
      redis.call('HINCRBY', round, 'wasted', ARGV[5])
    end
  end
end
if state[1] ~= 'open' then
  return {'ended'}
end
redis.call('ZADD', P .. 'searchers', ARGV[8], ARGV[2])
if ARGV[3] == '0' then
  return {'open', state[2], state[4], state[5], state[6]}
end
local stale = redis.call('HGET', P .. 'tip', 'hash') ~= state[3]
stale = stale or tonumber(ARGV[6]) - tonumber(state[7]) > tonumber(ARGV[7])
stale = stale or tonumber(state[6]) + tonumber(ARGV[3]) > 9007199254740991
if stale then
  return {'stale', state[2]}
end
local first = redis.call('HINCRBY', round, 'cursor', ARGV[3]) - tonumber(ARGV[3])
return {'open', state[2], state[4], state[5], string.format('%.0f', first)}
