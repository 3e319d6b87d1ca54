-- What admission must know of one sender, read at one moment.
-- KEYS: 1 the node's prefix.   ARGV: 1 sender, 2 payer of the amount ("" = the sender), 3 "owner:spender" or "",
--   4… nonces.
-- Returns {account, revision, next, total, total_revision, entries in the pool, cheapest end, tip height,
--   payer's account, allowance, per nonce: order member, per nonce: replacements, sender of the cheapest
--   end, the sentence that marks the stored state as wrong or ""}. Writes nothing.
local P = KEYS[1]
-- include: fault

local sender = ARGV[1]
local state = redis.call('HMGET', P .. 'pool:sender:' .. sender, 'revision', 'next', 'total', 'total_revision')
local members, replacements = {}, {}
for i = 4, #ARGV do
  local member = redis.call('ZRANGEBYSCORE', P .. 'pool:queue:' .. sender, ARGV[i], ARGV[i])[1] or ''
  members[#members + 1] = member
  local entry = member ~= '' and redis.call('HGET', P .. 'pool:entries', string.sub(member, -64))
  replacements[#replacements + 1] = entry and string.match(entry, '^%S+ %S+ %S+ (%d+)') or '0'
end
local cheapest = redis.call('ZREVRANGE', P .. 'pool:ends', 0, 0)[1] or ''
local cheapest_entry = cheapest ~= '' and redis.call('HGET', P .. 'pool:entries', string.sub(cheapest, -64)) or ''
return {
  redis.call('HGET', P .. 'accounts', sender) or '0:0',
  state[1] or '', state[2] or '', state[3] or '', state[4] or '',
  redis.call('HLEN', P .. 'pool:entries'),
  cheapest,
  redis.call('HGET', P .. 'tip', 'height') or '',
  ARGV[2] ~= '' and redis.call('HGET', P .. 'accounts', ARGV[2]) or '0:0',
  ARGV[3] ~= '' and redis.call('HGET', P .. 'allowances', ARGV[3]) or '0',
  members, replacements, string.match(cheapest_entry, '^%S+') or '',
  fault() or '',
}
