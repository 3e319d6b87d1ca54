-- Hand a proof of an open round, or a wish, to the node's desk (services/mining/desk.py).
-- KEYS: 1 the node's prefix.
-- ARGV: 1 the entry, 2 id of the round that must be open, or "" for none.
-- Returns 1, also if it is there already; or 0 if the round has ended or the list is full.
local P = KEYS[1]
-- include: inbox

if ARGV[2] ~= '' and redis.call('HGET', P .. 'round:' .. ARGV[2], 'state') ~= 'open' then
  return 0
end
return hand_in(ARGV[1]) and 1 or 0
