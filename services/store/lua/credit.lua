-- Credit a miner with the shares of one lease, which have been verified, and note the hashes that it says it has done.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 SHA-256 of the miner's secret (hex), 2 id of the lease, 3 now (Unix seconds), 4 hashes, 5 seconds after its
--   beginning for which shares of a lease whose tip has moved still count, 6 how many of the shares are proofs of a
--   block, 7 name of the round's worker, 8 "check": write nothing; "sealed": one of the shares has just sealed the round,
--   so the lease was good; or ""; then the shares, each once.
-- Returns {"unknown"}: no voucher has this secret; {"ended"}: it has no such lease; {"repeated"}: a share was handed in
-- before; or {"noted", shares that count, 1 if the tip has moved or the round has ended, else 0}. Only "noted" writes, but
-- "repeated" counts the refusal.
local P = KEYS[1]
-- include: search
-- include: window

local FIRST = 9 -- position of the first share in ARGV
local MOST = 4611686018427387904 -- 2^62: sums stop here, and never overflow
local secret, lease_id, now, hashes, grace, proofs, worker, mode = unpack(ARGV, 1, 8)
local voucher = redis.call('HGET', P .. 'vouchers', secret)
if not voucher then
  return {'unknown'}
end
local lease, taken = P .. 'lease:' .. lease_id, P .. 'lease-shares:' .. lease_id
local holder, miner, round_id, height, version, parent, difficulty, share_difficulty, made_at, expires, start, stop, done =
  unpack(redis.call('HMGET', lease, 'voucher', 'miner', 'round', 'height', 'version', 'parent', 'difficulty',
    'share_difficulty', 'made_at', 'expires', 'start', 'stop', 'done'), 1, 13)
if holder ~= voucher or tonumber(expires) <= tonumber(now) then
  return {'ended'}
end
local own = P .. 'miner:' .. voucher .. ':' .. miner
for i = FIRST, #ARGV do
  if redis.call('SISMEMBER', taken, ARGV[i]) == 1 then
    redis.call('HINCRBY', own, 'refused', 1)
    redis.call('HINCRBY', P .. 'counters', 'reports_refused', 1)
    return {'repeated'}
  end
end

local round, search = P .. 'round:' .. round_id, P .. 'round-search:' .. round_id
local state, round_version, sealed = unpack(redis.call('HMGET', round, 'state', 'version', 'block'), 1, 3)
local is_stale = mode ~= 'sealed' and (state ~= 'open' or redis.call('HGET', P .. 'tip', 'hash') ~= parent
  or not counts(round_id, round_version, version))
local shares = #ARGV - FIRST + 1
if mode == 'check' then
  return {'noted', shares, is_stale and 1 or 0}
end
if shares > 0 then
  redis.call('SADD', taken, unpack(ARGV, FIRST, #ARGV))
  redis.call('EXPIRE', taken, math.ceil(expires - now) + 1)
end
-- Sums in doubles: they may be wrong by one in 2^53.
local function add(field, amount, form)
  local before = tonumber(redis.call('HGET', own, field) or '0')
  redis.call('HSET', own, field, string.format(form or '%.0f', math.min(form and 1e300 or MOST, before + amount)))
end
if tonumber(hashes) > 0 then
  add('reported', tonumber(hashes))
  done = math.min(MOST, done + hashes)
  redis.call('HSET', lease, 'done', string.format('%.0f', done))
end
if is_stale or mode == 'sealed' or tonumber(done) >= stop - start then -- it is worked off, as far as the miner says
  redis.call('ZREM', P .. 'leases:' .. voucher .. ':' .. miner, lease_id)
end
local now_number = tonumber(now)
redis.call('ZADD', P .. 'miners:' .. voucher, now, miner)
redis.call('ZADD', P .. 'vouchers-seen', now, voucher)
if is_stale and math.abs(now_number - made_at) > tonumber(grace) then
  if shares > 0 then
    redis.call('HINCRBY', own, 'late', shares)
    redis.call('HINCRBY', P .. 'counters', 'shares_late', shares)
  end
  return {'noted', 0, 1}
end
if shares > 0 then
  local credit = shares * share_difficulty
  local credited = string.format('%.0f', credit)
  add('credited', credit)
  add('squares', credit * share_difficulty, '%.17g')
  redis.call('HINCRBY', own, 'shares', shares)
  redis.call('HINCRBY', P .. 'counters', 'shares', shares)
  redis.call('HINCRBY', P .. 'counters', 'hashes', credited)
  if state then
    redis.call('HINCRBY', search, 'hashes', credited)
    local workers = P .. 'round-workers:' .. round_id
    local so_far, since, _, before = part_of(workers, worker)
    note_part(workers, worker, (so_far or 0) + credit, since or made_at, now, before)
    if state ~= 'open' then
      redis.call('EXPIRE', workers, math.max(redis.call('TTL', round), 1))
      redis.call('EXPIRE', search, math.max(redis.call('TTL', round), 1))
    end
  end
  -- That of the lease: whoever else has the voucher may lease by the same name with another one. Leases of an earlier
  -- release have none.
  local address = redis.call('HGET', lease, 'address') or redis.call('HGET', own, 'address')
  local payee = address and address ~= '' and address or '-'
  -- The shares of the report that made the block are part of its payout, although the block is on the chain already.
  if mode == 'sealed' and sealed and redis.call('ZSCORE', P .. 'payouts-due', sealed) then
    redis.call('HINCRBY', P .. 'payout-shares:' .. sealed, payee, credited)
  end
  window_take_own(round_id) -- it came before
  window_add(payee, voucher .. ' ' .. miner, height, credit, difficulty)
  if is_stale then
    redis.call('HINCRBY', P .. 'counters', 'wasted_hashes', credited)
    if state then
      redis.call('HINCRBY', search, 'wasted', credited)
    end
  else
    if state == 'open' then
      redis.call('HINCRBY', search, 'leased', -credit)
    end
    redis.call('HINCRBYFLOAT', own, 'expected', string.format('%.17g', credit / difficulty))
    if proofs ~= '0' then
      redis.call('HINCRBY', own, 'proofs', proofs)
    end
    if mode == 'sealed' then
      redis.call('HINCRBY', own, 'blocks', 1)
    end
  end
end
return {'noted', shares, is_stale and 1 or 0}
