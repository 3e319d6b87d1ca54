-- Report what was searched, and claim the next range of proofs.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 round id, 2 worker, 3 proofs wanted (0: only report), 4 version searched, 5 hashes done, 6 now (Unix
--   seconds), 7 seconds after which a template is old, 8 Unix seconds until which this worker counts as searching,
--   9 the worker is not needed where others hold more proofs than this many times the difficulty (0: it is needed),
--   10 seconds after which a template is old if transactions have arrived since it was made (0: they do not count),
--   11 hashes per second that this worker can use (0: none for now).
-- Returns {"open", version, prefix, difficulty, first proof, share}, {"stale", version} if the tip has moved, the
-- template is old or the proofs are used up (the node is called to renew it), {"enough", version, prefix, difficulty}
-- without a claim, {"later", …} likewise, because other workers still hold this one's share of the hash-rate limit, or
-- {"ended"}.
-- `share`: hashes per second that this worker may do for the next seconds; '' without a limit.
-- Every worker runs it again and again while it searches, so each command counts.
local P = KEYS[1]
-- include: share
-- include: search
-- include: inbox

local round_id, worker, wanted, searched_version, hashes, now = unpack(ARGV, 1, 6)
local refresh_seconds, searching_until, enough, arrival_seconds, demand = unpack(ARGV, 7, 11)
local round, workers = P .. 'round:' .. round_id, P .. 'round-workers:' .. round_id
local search = P .. 'round-search:' .. round_id
local state, version, parent, prefix, difficulty, renewed_at, aside = unpack(redis.call('HMGET', round, 'state',
  'version', 'parent', 'prefix', 'difficulty', 'renewed_at', 'aside'), 1, 7)
local cursor, total, leased = unpack(redis.call('HMGET', search, 'cursor', 'hashes', 'leased'), 1, 3)
local exists, is_open = (total or cursor) ~= false, state == 'open'
total = total or 0
cursor = tonumber(cursor or '') or MAX_PROOF -- without one it was opened by an earlier release
wanted = tonumber(wanted)
local has_report = tonumber(hashes) > 0
if wanted == 0 or not is_open then
  give_back(worker)
end
local total_after = exists and string.format('%.0f', total + hashes)

if has_report then
  redis.call('HINCRBY', P .. 'counters', 'hashes', hashes)
  if exists then
    local done, since, _, before = part_of(workers, worker)
    note_part(workers, worker, (done or 0) + hashes, since or now, now, before)
  end
  if is_open then -- what the node's own workers do is for the node (window.lua)
    redis.call('HINCRBY', search, 'own', hashes)
  end
  if not is_open or not counts(round_id, version, searched_version) then
    redis.call('HINCRBY', P .. 'counters', 'wasted_hashes', hashes)
    if exists then
      redis.call('HINCRBY', search, 'wasted', hashes)
    end
  end
end
-- Leases do not count: nobody knows whether their holders work.
local in_others_hands = is_open and cursor - total - math.max(0, tonumber(leased or '') or 0)
if is_open and enough ~= '0' and in_others_hands > enough * difficulty then
  return {'enough', version, prefix, difficulty}
end
-- A round aside keeps its template: who opened it waits for this very block.
local stale = wanted > 0 and is_open and not aside
  and needs_template(round, parent, renewed_at, cursor + wanted, now, refresh_seconds, arrival_seconds)
local share, differs = '', false
if is_open and wanted > 0 and not stale then
  share, differs = take_share(worker, tonumber(demand), tonumber(now))
end
local is_later = share == '0'
if is_open and wanted > 0 and not stale and not is_later then
  redis.call('HSET', search, 'hashes', total_after, 'cursor', string.format('%.0f', cursor + wanted))
elseif has_report and exists then
  redis.call('HSET', search, 'hashes', total_after)
end
if not is_open then
  return {'ended'}
end
redis.call('ZADD', P .. 'searchers', searching_until, worker)
if stale then
  hand_in('template ' .. round_id .. ' ' .. version)
  return {'stale', version}
end
if is_later then
  return {'later', version, prefix, difficulty}
end
if wanted > 0 and (not has_report or differs) then
  local done, since, last, before = part_of(workers, worker)
  if differs then
    -- Its speed is counted anew, as if it had gone at the new one for a second.
    done, since, last = done or 0, now - 1, now
    before = done - math.min(share ~= '' and share or demand, demand)
  end
  -- Its speed is counted from here; if it was here before, without the time for which it was away.
  local away = done and math.max(now - last, 0) or 0
  note_part(workers, worker, done or 0, string.format('%.6f', (since or now) + away), now, before)
  if aside then -- it may be left without being ended
    redis.call('EXPIRE', workers, math.max(redis.call('TTL', round), 1))
  end
end
return {'open', version, prefix, difficulty, string.format('%.0f', cursor), share}
