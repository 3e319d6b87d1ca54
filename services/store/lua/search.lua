-- What claim.lua, lease.lua and credit.lua have in common. `P` is the node's prefix.

local MAX_PROOF = 9007199254740991 -- 2^53 - 1

-- A worker's part of a round: hashes, since when, its last report, and the hashes of before that its speed leaves out.
local function part_of(workers, worker)
  return string.match(redis.call('HGET', workers, worker) or '', '^(%d+):([%d.]+):([%d.]+):?(-?%d*)$')
end

local function note_part(workers, worker, done, since, last, before)
  local text = string.format('%.0f:%s:%s', done, since, last)
  if before and before ~= '' and tonumber(before) ~= 0 then
    text = text .. string.format(':%.0f', before)
  end
  redis.call('HSET', workers, worker, text)
end

-- Whether a proof for the template `searched` would still seal the open round, whose template is `version`.
local function counts(round_id, version, searched)
  return version == searched or redis.call('HEXISTS', P .. 'round-templates:' .. round_id, searched) == 1
end

-- Whether an open round needs a new template before proofs of it are handed out: the tip has moved, the template is old,
-- its proofs would be used up (`end_of_range`), or transactions have arrived since (arrival_seconds 0: they do not
-- count).
local function needs_template(round, parent, renewed_at, end_of_range, now, refresh_seconds, arrival_seconds)
  return redis.call('HGET', P .. 'tip', 'hash') ~= parent
    or math.abs(now - renewed_at) > tonumber(refresh_seconds) -- a clock may have been set back
    or end_of_range > MAX_PROOF
    or (tonumber(arrival_seconds) > 0 and now - renewed_at > tonumber(arrival_seconds)
      and (redis.call('HGET', P .. 'pool:totals', 'sequence') or '0') ~= redis.call('HGET', round, 'arrivals'))
end
