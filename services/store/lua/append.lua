-- Append one block, only if its parent is still the tip. All checks come before the first write.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 parent hash, 2 block hash, 3 height, 4 timestamp, 5 chainwork, 6 supply, 7 block, 8 header, 9 undo,
--   10 ids (32 bytes each), 11 the same in hex, 12 round that sealed it or "", 13 worker that sealed it or "",
--   14 seconds to keep answered requests and ended rounds, 15 now, 16 digest of the state as it was read, 17 digest of
--   the state after the block (services/store/digest.py), then five lists, each behind its length:
--   accounts: address, "balance:nonce" or "" for none · allowances: "owner:spender", units or "" for none ·
--   transaction index: id, "height:position" · history: address, "height:position" ·
--   senders: address, nonce before, nonce after.
-- Returns {"appended", answered request or ""}, {"already"} if the block is part of the chain, {"moved"},
-- {"unfinished"} while the journal of a reorganisation waits to be finished, or {"differs", sentence} while the stored
-- state is marked as wrong.
-- Nothing is written but on "appended".
local P = KEYS[1]
-- include: pool
-- include: lists
-- include: round
-- include: fault

if fault() then
  return {'differs', fault()}
end
local tip = redis.call('HGET', P .. 'tip', 'hash')
local height = tonumber(ARGV[3])
if tip ~= ARGV[1] then
  if redis.call('LINDEX', P .. 'heights', height - 1) == ARGV[2] then
    return {'already', ''}
  end
  return {'moved', ''}
end
-- The tip stays when the state is repaired, but the block was validated against the state before.
if (redis.call('HGET', P .. 'tip', 'digest') or '') ~= ARGV[16] then
  return {'moved', ''}
end
if redis.call('EXISTS', P .. 'journal') == 1 then
  return {'unfinished', ''}
end

-- A round that was cancelled seals nothing, however late its proof comes: the next request is another round's.
if ARGV[12] ~= '' and redis.call('HGET', P .. 'round:' .. ARGV[12], 'state') ~= 'open' then
  return {'moved', ''}
end

-- An error in the middle would keep the writes before it, so whatever is used as a number is looked at now.
if not (height and tonumber(ARGV[14]) and tonumber(ARGV[15])) then
  return redis.error_reply('ERR append: height, seconds and now are numbers')
end
local lists, wrong = read_lists(18, {2, 2, 2, 2, 3})
if not lists then
  return wrong
end
for i = lists[5].first, lists[5].last, 3 do
  if not (tonumber(ARGV[i + 1]) and tonumber(ARGV[i + 2])) then
    return redis.error_reply('ERR append: nonces are numbers')
  end
end

redis.call('HSET', P .. 'blocks', ARGV[2], ARGV[7])
redis.call('HSET', P .. 'headers', ARGV[2], ARGV[8])
redis.call('HSET', P .. 'undo', ARGV[2], ARGV[9])
redis.call('HSET', P .. 'ids', ARGV[2], ARGV[10])
redis.call('RPUSH', P .. 'heights', ARGV[2])
redis.call('ZREM', P .. 'staged', ARGV[2])
redis.call('HSET', P .. 'tip', 'hash', ARGV[2], 'height', ARGV[3], 'timestamp', ARGV[4], 'chainwork', ARGV[5],
  'supply', ARGV[6], 'digest', ARGV[17])
write_ledger(P .. 'accounts', lists[1])
write_ledger(P .. 'allowances', lists[2])
write_list('HSET', P .. 'transactions', lists[3])
for i = lists[4].first, lists[4].last, 2 do
  redis.call('RPUSH', P .. 'history:' .. ARGV[i], ARGV[i + 1])
end

-- What the block holds leaves the mempool; so does whatever it makes impossible.
local mined, left = {}, {}
for i = 1, string.len(ARGV[11]), 64 do
  mined[string.sub(ARGV[11], i, i + 63)] = true
end
for i = lists[5].first, lists[5].last, 3 do
  local sender, after = ARGV[i], tonumber(ARGV[i + 2])
  local next = redis.call('HGET', P .. 'pool:sender:' .. sender, 'next')
  if next then
    local queue = P .. 'pool:queue:' .. sender
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', queue, '-inf', '(' .. ARGV[i + 2])) do
      left[#left + 1] = member
      local id = pool_id(member)
      if not mined[id] then
        pool_record(id, 'dropped', 'nonce used by another transaction in block ' .. ARGV[3], ARGV[15])
      end
    end
    redis.call('ZREMRANGEBYSCORE', queue, '-inf', '(' .. ARGV[i + 2])
    pool_settle(sender, math.max(tonumber(next), after))
  end
end
pool_forget(left)

local answered = ''
if ARGV[12] ~= '' then
  redis.call('HSET', P .. 'tip', 'sealed_at', ARGV[15], 'sealed_transactions', string.len(ARGV[10]) / 32 - 1)
  end_round(ARGV[12], 'sealed', ARGV[15], ARGV[14], ARGV[2], ARGV[13])
  answered = answer_oldest(ARGV[14], 'status', 'finished', 'round', ARGV[12], 'block', ARGV[2])
end
redis.call('HINCRBY', P .. 'counters', ARGV[12] ~= '' and 'blocks_mined' or 'blocks_fetched', 1)
tell('block', ARGV[3] .. ' ' .. ARGV[2])
return {'appended', answered}
