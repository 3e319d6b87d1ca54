-- Whether deep blocks may be packed or pruned now, included by the scripts that do so. `P` is the node's prefix.
-- include: fault

-- Why not, as these scripts return it, or nil.
-- last: height of the last block. depth: how far the tip must be above it. changes, repairs: of the packs and of the
-- state (the end of its digest) when the blocks were read. now: Unix seconds.
local function not_sunk(last, depth, changes, repairs, now)
  if fault() then
    return 'differs'
  end
  if redis.call('EXISTS', P .. 'journal') == 1 then
    return 'unfinished'
  end
  local before, held = unpack(redis.call('HMGET', P .. 'packed', 'changes', 'held'), 1, 2)
  if tonumber(held or 0) > tonumber(now) then
    return 'held'
  end
  local tip, digest = unpack(redis.call('HMGET', P .. 'tip', 'height', 'digest'), 1, 2)
  if (before or '0') ~= changes or string.match(digest or '', '[^:]*$') ~= repairs
    or tonumber(last) + tonumber(depth) > tonumber(tip or 0) then
    return 'moved'
  end
end
