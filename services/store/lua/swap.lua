-- Swap the part of the chain above the fork point for another branch, whose blocks are verified and staged.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 tip that the branch was verified against, 2 height of the fork point, 3 new tip, 4 its height, 5 its
--   timestamp, 6 its chainwork, 7 its supply, 8 journal, 9 digest of the state as it was read, 10 digest of the state
--   after the swap, 11 snapshot that is reverted to, "*" to remove all snapshots, or ""; then three lists, each after
--   its length: hashes of the branch, oldest first · accounts: address, "balance:nonce" or "" ·
--   allowances: "owner:spender", units or "".
-- Returns "swapped", "moved" (the tip is another, or the state was repaired), "missing" (a block of the branch was
-- forgotten), "unfinished" (the journal of an earlier swap still exists), "gone" (there is no such snapshot), or
-- "packed" (the fork point or a block above it is packed), or "differs" (the stored state is marked as wrong). Only
-- "swapped" writes. Indexes, histories and the mempool follow in slices, from the journal. The branch may be empty; if
-- it also detaches nothing, only the mempool changes.
local P = KEYS[1]
-- include: lists
-- include: fault
-- include: event
-- include: snapshots

local old_tip, fork, new_tip, height, timestamp, chainwork, supply, journal = unpack(ARGV, 1, 8)
local digest_before, digest_after, snapshot = unpack(ARGV, 9, 11)

if redis.call('EXISTS', P .. 'journal') == 1 then
  return 'unfinished'
end
if redis.call('HGET', P .. 'tip', 'hash') ~= old_tip then
  return 'moved'
end
if fault() then
  return 'differs'
end
if (redis.call('HGET', P .. 'tip', 'digest') or '') ~= digest_before then
  return 'moved'
end
if snapshot ~= '' and snapshot ~= '*' and not redis.call('ZSCORE', P .. 'snapshots', snapshot) then
  return 'gone'
end
if tonumber(redis.call('HGET', P .. 'packed', 'height') or 0) >= math.max(tonumber(fork), 1) then
  return 'packed'
end
local lists, malformed = read_lists(12, {1, 2, 2})
if not lists then
  return malformed
end
local branch, accounts, allowances = unpack(lists)
-- A staged block is stored: both are written and removed together. Asked in bulk, since a branch may be long.
for i = branch.first, branch.last, 2000 do
  local found = redis.call('ZMSCORE', P .. 'staged', unpack(ARGV, i, math.min(i + 1999, branch.last)))
  for _, score in ipairs(found) do
    if not score then
      return 'missing'
    end
  end
end
local height_before = tonumber(redis.call('HGET', P .. 'tip', 'height'))
if fork == '0' then -- LTRIM to -1 would keep all
  redis.call('DEL', P .. 'heights')
else
  redis.call('LTRIM', P .. 'heights', 0, tonumber(fork) - 1)
end
write_list('RPUSH', P .. 'heights', branch)
write_list('ZREM', P .. 'staged', branch)
write_ledger(P .. 'accounts', accounts)
write_ledger(P .. 'allowances', allowances)
redis.call('HSET', P .. 'tip', 'hash', new_tip, 'height', height, 'timestamp', timestamp, 'chainwork', chainwork,
  'supply', supply, 'digest', digest_after)
redis.call('SET', P .. 'journal', journal)
if snapshot == '*' then
  remove_snapshots(0)
elseif snapshot ~= '' then
  -- Its mempool is kept for the slices. A snapshot of an empty mempool has no such key.
  redis.call('DEL', P .. 'restoring')
  if redis.call('EXISTS', P .. 'snapshot-pool:' .. snapshot) == 1 then
    redis.call('RENAME', P .. 'snapshot-pool:' .. snapshot, P .. 'restoring')
  end
  remove_snapshots(snapshot)
end
if new_tip == old_tip then
  return 'swapped'
end
redis.call('HINCRBY', P .. 'counters', 'reorganisations', 1)
local depth, bucket = height_before - tonumber(fork), 0
for _, bound in ipairs({1, 2, 5, 10, 100}) do
  bucket = depth >= bound and bound or bucket
end
redis.call('HINCRBY', P .. 'counters', 'reorganisations_' .. bucket, 1)
tell('reorganisation', fork .. ' ' .. height .. ' ' .. new_tip)
return 'swapped'
