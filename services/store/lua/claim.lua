-- Report what was searched, and claim the next range of proofs.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 worker, 3 proofs wanted (0: only report), 4 version searched, 5 hashes done, 6 now (Unix
--   seconds), 7 seconds after which a template is old, 8 Unix seconds until which this worker counts as searching,
--   9 the worker is not needed where others hold more proofs than this many times the difficulty (0: it is needed),
--   10 seconds after which a template is old if transactions have arrived since it was made (0: they do not count).
-- Returns {"open", version, prefix, difficulty, first proof}, {"stale", version} if the tip has moved, the template is
-- old or the proofs are used up (renew it), {"enough", version, prefix, difficulty} without a claim, or {"ended"}.
-- Every worker runs it again and again while it searches, so each command counts.
local P = KEYS[1]
local MAX_PROOF = 9007199254740991 -- 2^53 - 1

local round_id, worker, wanted, searched_version, hashes, now = unpack(ARGV, 1, 6)
local refresh_seconds, searching_until, enough, arrival_seconds = unpack(ARGV, 7, 10)
local round, workers = P .. 'round:' .. round_id, P .. 'round-workers:' .. round_id
local state, version, parent, prefix, difficulty, cursor, renewed_at, total, aside = unpack(redis.call('HMGET', round,
  'state', 'version', 'parent', 'prefix', 'difficulty', 'cursor', 'renewed_at', 'hashes', 'aside'), 1, 9)
local exists, is_open = state ~= false, state == 'open'
wanted = tonumber(wanted)
local has_report = tonumber(hashes) > 0
local total_after = exists and string.format('%.0f', total + hashes)

if has_report then
  redis.call('HINCRBY', P .. 'counters', 'hashes', hashes)
  if exists then
    local done, since = string.match(redis.call('HGET', workers, worker) or '', '^(%d+):([%d.]+)')
    redis.call('HSET', workers, worker, string.format('%.0f:%s:%s', (done or 0) + hashes, since or now, now))
  end
  if not is_open or version ~= searched_version then
    redis.call('HINCRBY', P .. 'counters', 'wasted_hashes', hashes)
    if exists then
      redis.call('HINCRBY', round, 'wasted', hashes)
    end
  end
end
local in_others_hands = is_open and cursor - total
if is_open and enough ~= '0' and in_others_hands > enough * difficulty then
  return {'enough', version, prefix, difficulty}
end
local function has_arrivals()
  return tonumber(arrival_seconds) > 0 and now - renewed_at > tonumber(arrival_seconds)
    and (redis.call('HGET', P .. 'pool:totals', 'sequence') or '0') ~= redis.call('HGET', round, 'arrivals')
end
-- A round aside keeps its template: who opened it waits for this very block.
local stale = wanted > 0 and is_open and not aside and (
  redis.call('HGET', P .. 'tip', 'hash') ~= parent
  or math.abs(now - renewed_at) > tonumber(refresh_seconds) -- a clock may have been set back
  or cursor + wanted > MAX_PROOF
  or has_arrivals())
if is_open and wanted > 0 and not stale then
  redis.call('HSET', round, 'hashes', total_after, 'cursor', string.format('%.0f', cursor + wanted))
elseif has_report and exists then
  redis.call('HSET', round, 'hashes', total_after)
end
if not is_open then
  return {'ended'}
end
redis.call('ZADD', P .. 'searchers', searching_until, worker)
if stale then
  return {'stale', version}
end
if wanted > 0 and not has_report then
  -- Its speed is counted from here; if it was here before, without the time for which it was away.
  local done, since, last = string.match(redis.call('HGET', workers, worker) or '', '^(%d+):([%d.]+):([%d.]+)$')
  local away = done and math.max(now - last, 0) or 0
  redis.call('HSET', workers, worker, (done or 0) .. ':' .. string.format('%.6f', (since or now) + away) .. ':' .. now)
  if aside then -- it may be left without being ended
    redis.call('EXPIRE', workers, math.max(redis.call('TTL', round), 1))
  end
end
return {'open', version, prefix, difficulty, string.format('%.0f', cursor)}
