-- Set the clock of a development chain (services/store/block_times.py).
-- KEYS: 1 the node's prefix.
-- ARGV: 1 hash of the tip; then offset, next timestamp and interval as they were read, and as they are to be: whole
--   seconds, or "" for none.
-- Returns "set", or "moved" if the tip is another, or the clock is not as it was read. Only "set" writes. The open
-- round's template is outdated then: it seals nothing any more, and the next claim renews it.
local P = KEYS[1]
-- include: event

local FIELDS = {'time_offset', 'next_timestamp', 'timestamp_interval'}
local tip = P .. 'tip'
if redis.call('HGET', tip, 'hash') ~= ARGV[1] then
  return 'moved'
end
for i, name in ipairs(FIELDS) do
  local value = redis.call('HGET', tip, name) or ''
  if not string.match(value, '^-?%d+$') or #value > 15 then
    value = '' -- damaged: it counts as not set
  end
  if value ~= ARGV[1 + i] then
    return 'moved'
  end
end
for i = 2, 7 do
  if ARGV[i] ~= '' and not tonumber(ARGV[i]) then
    return redis.error_reply('ERR set_times: times are numbers')
  end
end

for i, name in ipairs(FIELDS) do
  if ARGV[4 + i] == '' then
    redis.call('HDEL', tip, name)
  else
    redis.call('HSET', tip, name, ARGV[4 + i])
  end
end
local open = redis.call('GET', P .. 'round')
if open and redis.call('HGET', P .. 'round:' .. open, 'state') == 'open' then
  redis.call('HSET', P .. 'round:' .. open, 'renewed_at', 0)
  redis.call('DEL', P .. 'round-templates:' .. open)
  tell('round', open .. ' ' .. redis.call('HGET', P .. 'round:' .. open, 'height'))
end
return 'set'
