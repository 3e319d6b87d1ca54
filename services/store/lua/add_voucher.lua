-- Add a voucher: a secret by which miners that are not trusted take leases.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 id, 2 name, 3 the name as it is compared with others, 4 SHA-256 of the secret (hex), 5 the same of its short
--   code, or "" for none, 6 now (Unix seconds), 7 how many vouchers there may be.
-- Returns "added"; "taken" if another voucher has the name; "full" if there are as many as there may be.
local P = KEYS[1]
local id, name, compared, secret, code, now, most = unpack(ARGV, 1, 7)
local names = P .. 'voucher-names'
if redis.call('HEXISTS', names, compared) == 1 then
  return 'taken'
end
if redis.call('HLEN', names) >= tonumber(most) then
  return 'full'
end
redis.call('HSET', names, compared, id)
redis.call('HSET', P .. 'voucher:' .. id, 'name', name, 'compared', compared, 'created_at', now, 'secret', secret,
  'code', code)
redis.call('HSET', P .. 'vouchers', secret, id)
if code ~= '' then
  redis.call('HSET', P .. 'vouchers', code, id)
end
return 'added'
