-- Read what admission must know of one sender, at one moment.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 sender, 2 payer of the amount ("" = the sender), 3 "owner:spender" or ""; then nonces.
-- Returns {account, revision, next, total, total_revision, entries in the pool, cheapest end, tip height, payer's
-- account, allowance, per nonce: order member, per nonce: replacements, sender of the cheapest end, the sentence that
-- marks the stored state as wrong or ""}. Writes nothing.
local P = KEYS[1]
-- include: fault

local sender, payer, pair = ARGV[1], ARGV[2], ARGV[3]
local FIRST_NONCE = 4
local revision, next, total, total_revision = unpack(redis.call('HMGET', P .. 'pool:sender:' .. sender, 'revision',
  'next', 'total', 'total_revision'), 1, 4)
local queue = P .. 'pool:queue:' .. sender
local members, replacements = {}, {}
for i = FIRST_NONCE, #ARGV do
  local nonce = ARGV[i]
  local member = redis.call('ZRANGEBYSCORE', queue, nonce, nonce)[1] or ''
  members[#members + 1] = member
  local entry = member ~= '' and redis.call('HGET', P .. 'pool:entries', string.sub(member, -64))
  replacements[#replacements + 1] = entry and string.match(entry, '^%S+ %S+ %S+ (%d+)') or '0'
end
local cheapest = redis.call('ZREVRANGE', P .. 'pool:ends', 0, 0)[1] or ''
local cheapest_entry = cheapest ~= '' and redis.call('HGET', P .. 'pool:entries', string.sub(cheapest, -64)) or ''
return {
  redis.call('HGET', P .. 'accounts', sender) or '0:0',
  revision or '', next or '', total or '', total_revision or '',
  redis.call('HLEN', P .. 'pool:entries'),
  cheapest,
  redis.call('HGET', P .. 'tip', 'height') or '',
  payer ~= '' and redis.call('HGET', P .. 'accounts', payer) or '0:0',
  pair ~= '' and redis.call('HGET', P .. 'allowances', pair) or '0',
  members, replacements, string.match(cheapest_entry, '^%S+') or '',
  fault() or '',
}
