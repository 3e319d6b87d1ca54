-- Add a named admin token, or revoke one.
-- KEYS: 1 the node's prefix.
-- ARGV: 1 the name as it is compared with others, 2 SHA-256 of the secret ("" revokes), 3 JSON {name, scopes, created_at},
--   4 how many tokens there may be.
-- Returns "done"; "none" if there was none to revoke; "taken" if there is one of this name; "full" if there are as many
--   as there may be.
local P = KEYS[1]
local compared, digest, text, most = unpack(ARGV, 1, 4)
local tokens, names = P .. 'tokens', P .. 'token-names'

local before = redis.call('HGET', names, compared)
if digest == '' then
  if not before then
    return 'none'
  end
  redis.call('HDEL', names, compared)
  redis.call('HDEL', tokens, before)
  return 'done'
end
if before then
  return 'taken'
end
if redis.call('HLEN', names) >= tonumber(most) then
  return 'full'
end
redis.call('HSET', names, compared, digest)
redis.call('HSET', tokens, digest, text)
return 'done'
