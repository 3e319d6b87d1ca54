-- Lease the next range of the open round's proofs to a miner that is not trusted. As claim.lua, but the search is not
-- known to go on: neither the miner nor its proofs are counted among those that search.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 SHA-256 of the miner's secret (hex), 2 its name, 3 its address, or "" for none, 4 id of the lease, 5 now (Unix
--   seconds), 6 proofs wanted, 7 seconds after which a template is old, 8 the same if transactions have arrived since it
--   was made (0: they do not count), 9 Unix seconds at which the lease ends, 10 proofs for one share at most, 11 how many
--   leases a miner may hold, 12 how many miners a voucher may have.
-- Returns {"unknown"}: no voucher has this secret; {"none"}: no round is open; {"stale", round id}: it needs a new
-- template first; {"leases"} or {"miners"}: there are too many already; or {"leased", name of the voucher, round id,
-- version, parent, prefix, difficulty, share difficulty, first proof, height}. Only "leased" writes.
local P = KEYS[1]
-- include: search

local secret, miner, address, lease_id, now, wanted = unpack(ARGV, 1, 6)
local refresh_seconds, arrival_seconds, expires, most_per_share, most_leases, most_miners = unpack(ARGV, 7, 12)
local voucher = redis.call('HGET', P .. 'vouchers', secret)
if not voucher then
  return {'unknown'}
end
local round_id = redis.call('GET', P .. 'round')
if not round_id then
  return {'none'}
end
local round, search = P .. 'round:' .. round_id, P .. 'round-search:' .. round_id
local version, parent, prefix, difficulty, renewed_at, height = unpack(redis.call('HMGET', round, 'version', 'parent',
  'prefix', 'difficulty', 'renewed_at', 'height'), 1, 6)
local cursor = redis.call('HGET', search, 'cursor')
local stop = (tonumber(cursor or '') or MAX_PROOF) + wanted -- without a cursor it was opened by an earlier release
if needs_template(round, parent, renewed_at, stop, now, refresh_seconds, arrival_seconds) then
  return {'stale', round_id}
end
local own, miners = P .. 'miner:' .. voucher .. ':' .. miner, P .. 'miners:' .. voucher
local known = redis.call('HMGET', own, 'address', 'difficulty')
if not known[1] and redis.call('ZCARD', miners) >= tonumber(most_miners) then
  return {'miners'}
end
local held = P .. 'leases:' .. voucher .. ':' .. miner
if redis.call('ZCOUNT', held, '(' .. now, '+inf') >= tonumber(most_leases) then
  return {'leases'}
end

local share_difficulty = difficulty -- as text: it may be too large for a number of Lua
if tonumber(difficulty) > tonumber(most_per_share) then
  share_difficulty = most_per_share
end
redis.call('HSET', search, 'cursor', string.format('%.0f', stop))
redis.call('HINCRBY', search, 'leased', wanted)
redis.call('HINCRBY', P .. 'counters', 'leases', 1)
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
redis.call('ZADD', held, expires, lease_id)
local lease, seconds = P .. 'lease:' .. lease_id, math.ceil(expires - now) + 1
local name = redis.call('HGET', P .. 'voucher:' .. voucher, 'name')
redis.call('HSET', lease, 'voucher', voucher, 'voucher_name', name, 'secret', secret, 'miner', miner, 'address',
  address, 'round', round_id, 'version', version, 'height', height, 'parent', parent, 'prefix', prefix, 'difficulty',
  difficulty, 'share_difficulty', share_difficulty, 'start', cursor, 'stop', string.format('%.0f', stop), 'made_at', now,
  'expires', expires, 'done', 0)
redis.call('EXPIRE', lease, seconds)
redis.call('EXPIRE', held, seconds)
if known[1] ~= address or known[2] ~= share_difficulty then
  redis.call('HSET', own, 'address', address, 'difficulty', share_difficulty)
end
redis.call('ZADD', miners, now, miner)
redis.call('ZADD', P .. 'vouchers-seen', now, voucher)
return {'leased', name, round_id, version, parent, prefix, difficulty, share_difficulty, cursor, height}
