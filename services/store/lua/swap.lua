-- Swap the part of the chain above the fork point for another branch, whose blocks are staged and verified.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 tip that the branch was verified against, 2 height of the fork point, 3 new tip, 4 its height, 5 its timestamp,
--   6 its chainwork, 7 its supply, 8 journal, 9 digest of the state as it was read, 10 digest of the state afterwards,
--   then three lists, each behind its length: hashes of the branch, oldest first · accounts: address, "balance:nonce" or "" · allowances: "owner:spender", units or "".
-- Returns "swapped", "moved" (the tip is another, or the state was repaired), "missing" (a block of the branch was
-- forgotten), "unfinished" (an earlier swap's journal is still there), or "differs" (the stored state is marked as
-- wrong). Nothing is written but on "swapped".
-- Indexes, histories and the mempool follow in slices, from the journal.
local P = KEYS[1]
-- include: lists
-- include: fault
-- include: event

if redis.call('EXISTS', P .. 'journal') == 1 then
  return 'unfinished'
end
if redis.call('HGET', P .. 'tip', 'hash') ~= ARGV[1] then
  return 'moved'
end
if fault() then
  return 'differs'
end
if (redis.call('HGET', P .. 'tip', 'digest') or '') ~= ARGV[9] then
  return 'moved'
end
local lists, wrong = read_lists(11, {1, 2, 2})
if not lists then
  return wrong
end
-- What is staged is stored: both come and go together. Asked in bulk, since a branch may be long.
for i = lists[1].first, lists[1].last, 2000 do
  local found = redis.call('ZMSCORE', P .. 'staged', unpack(ARGV, i, math.min(i + 1999, lists[1].last)))
  for _, score in ipairs(found) do
    if not score then
      return 'missing'
    end
  end
end
local height_before = tonumber(redis.call('HGET', P .. 'tip', 'height'))
if ARGV[2] == '0' then -- LTRIM to -1 would keep all
  redis.call('DEL', P .. 'heights')
else
  redis.call('LTRIM', P .. 'heights', 0, tonumber(ARGV[2]) - 1)
end
write_list('RPUSH', P .. 'heights', lists[1])
write_list('ZREM', P .. 'staged', lists[1])
write_ledger(P .. 'accounts', lists[2])
write_ledger(P .. 'allowances', lists[3])
redis.call('HSET', P .. 'tip', 'hash', ARGV[3], 'height', ARGV[4], 'timestamp', ARGV[5], 'chainwork', ARGV[6],
  'supply', ARGV[7], 'digest', ARGV[10])
redis.call('SET', P .. 'journal', ARGV[8])
redis.call('HINCRBY', P .. 'counters', 'reorganisations', 1)
local depth, bucket = height_before - tonumber(ARGV[2]), 0
for _, bound in ipairs({1, 2, 5, 10, 100}) do
  bucket = depth >= bound and bound or bucket
end
redis.call('HINCRBY', P .. 'counters', 'reorganisations_' .. bucket, 1)
tell('reorganisation', ARGV[2] .. ' ' .. ARGV[4] .. ' ' .. ARGV[3])
return 'swapped'
