-- Append one block, if its parent is still the tip.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 parent hash, 2 block hash, 3 height, 4 timestamp, 5 chainwork, 6 supply, 7 block, 8 header, 9 undo record,
--   10 transaction ids (32 bytes each), 11 the same in hex, 12 round that sealed it or "", 13 worker that sealed it or
--   "", 14 seconds to keep answered requests and ended rounds, 15 now (Unix seconds), 16 digest of the state as it was
--   read, 17 digest of the state after the block (services/store/digest.py), 18 version of the round's
--   template, which must still count, or "" for any; then five lists, each after its length:
--   accounts: address, "balance:nonce" or "" for none · allowances: "owner:spender", units or "" for none ·
--   transaction index: id, "height:position" · history: address, "height:position …" ·
--   senders: address, nonce before, nonce after.
-- Returns {"appended", answered request or ""}, {"already", ""} if the block is part of the chain, {"moved", ""},
-- {"unfinished", ""} while the journal of a reorganisation exists, or {"differs", sentence} while the stored state is
-- marked as wrong. Only "appended" writes.
local P = KEYS[1]
-- include: pool
-- include: lists
-- include: round
-- include: fault
-- include: heights

local parent, hash, height, timestamp, chainwork, supply, block, header, undo = unpack(ARGV, 1, 9)
local ids, ids_hex, round, worker, keep, now, digest_before, digest_after, version = unpack(ARGV, 10, 18)

-- Seconds for which the desk may let transactions gather (services/mining/desk.py); longer if it was killed.
local MOST_REST = 1
local wrong = fault()
if wrong then
  return {'differs', wrong}
end
if redis.call('HGET', P .. 'tip', 'hash') ~= parent then
  if is_on_chain(height, hash) then
    return {'already', ''}
  end
  return {'moved', ''}
end
-- A repair keeps the tip, but the block was validated against the state before the repair.
if (redis.call('HGET', P .. 'tip', 'digest') or '') ~= digest_before then
  return {'moved', ''}
end
if redis.call('EXISTS', P .. 'journal') == 1 then
  return {'unfinished', ''}
end

-- A cancelled round seals nothing, however late its proof arrives: the next request belongs to another round. Nor does
-- a template that was made before the clock of the chain was set (set_times.lua).
if round ~= '' then
  local state, renewed_at = unpack(redis.call('HMGET', P .. 'round:' .. round, 'state', 'renewed_at'), 1, 2)
  if state ~= 'open' or renewed_at == '0' then
    return {'moved', ''}
  end
end
-- The template was made anew, and the old one does not count any more: a transaction of it was dropped, for example.
if version ~= '' and redis.call('HEXISTS', P .. 'round-templates:' .. round, version) == 0 then
  return {'moved', ''}
end

-- An error after the first write would keep that write, so every argument that is used as a number is checked now.
if not (tonumber(height) and tonumber(keep) and tonumber(now) and tonumber(timestamp)) then
  return redis.error_reply('ERR append: height, timestamp, seconds and now are numbers')
end
local lists, malformed = read_lists(19, {2, 2, 2, 2, 3})
if not lists then
  return malformed
end
local accounts, allowances, index, histories, senders = unpack(lists)
for i = senders.first, senders.last, 3 do
  if not (tonumber(ARGV[i + 1]) and tonumber(ARGV[i + 2])) then
    return redis.error_reply('ERR append: nonces are numbers')
  end
end

redis.call('HSET', P .. 'blocks', hash, block)
redis.call('HSET', P .. 'headers', hash, header)
redis.call('HSET', P .. 'undo', hash, undo)
redis.call('HSET', P .. 'ids', hash, ids)
redis.call('RPUSH', P .. 'heights', hash)
redis.call('ZREM', P .. 'staged', hash)
redis.call('HSET', P .. 'tip', 'hash', hash, 'height', height, 'timestamp', timestamp, 'chainwork', chainwork,
  'supply', supply, 'digest', digest_after)
write_ledger(P .. 'accounts', accounts)
write_ledger(P .. 'allowances', allowances)
write_list('HSET', P .. 'transactions', index)
for i = histories.first, histories.last, 2 do
  local address, places = ARGV[i], {}
  for place in string.gmatch(ARGV[i + 1], '%S+') do
    places[#places + 1] = place
  end
  for j = 1, #places, 2000 do
    redis.call('RPUSH', P .. 'history:' .. address, unpack(places, j, math.min(j + 1999, #places)))
  end
end

-- The block's transactions leave the mempool, and so do those that it makes impossible.
local mined, left = {}, {}
for i = 1, string.len(ids_hex), 64 do
  mined[string.sub(ids_hex, i, i + 63)] = true
end
for i = senders.first, senders.last, 3 do
  local sender, nonce_after = ARGV[i], ARGV[i + 2]
  local next = redis.call('HGET', P .. 'pool:sender:' .. sender, 'next')
  if next then
    local queue, used = P .. 'pool:queue:' .. sender, '(' .. nonce_after
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', used)) do
      left[#left + 1] = member
      local id = pool_id(member)
      if not mined[id] then
        pool_record(id, 'dropped', 'nonce used by another transaction in block ' .. height, now)
      end
    end
    redis.call('ZREMRANGEBYSCORE', queue, '-inf', used)
    pool_settle(sender, math.max(tonumber(next), tonumber(nonce_after)))
  end
end
pool_forget(left)

local answered = ''
if round ~= '' then
  local transactions = string.len(ids) / 32 - 1 -- besides the reward
  redis.call('HSET', P .. 'tip', 'sealed_at', now, 'sealed_transactions', transactions)
  if transactions > 0 then
    redis.call('SET', P .. 'resting', string.format('%.3f', now + MOST_REST))
  end
  -- A timestamp that was asked for holds for one block, and the clock of the chain goes on from it.
  local next, interval, offset = unpack(redis.call('HMGET', P .. 'tip', 'next_timestamp', 'timestamp_interval',
    'time_offset'), 1, 3)
  if next or interval then
    local ahead = tonumber(timestamp) - math.floor(tonumber(now))
    if not next then
      ahead = math.max(ahead, tonumber(offset or 0) or 0)
    end
    redis.call('HSET', P .. 'tip', 'time_offset', string.format('%.0f', ahead))
    redis.call('HDEL', P .. 'tip', 'next_timestamp')
  end
  end_round(round, 'sealed', now, keep, hash, worker)
  window_keep(hash, height)
  answered = answer_oldest(keep, 'status', 'finished', 'round', round, 'block', hash)
end
redis.call('HINCRBY', P .. 'counters', round ~= '' and 'blocks_mined' or 'blocks_fetched', 1)
tell('block', height .. ' ' .. hash)
return {'appended', answered}
