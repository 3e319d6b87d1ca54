-- The index of packed blocks and transactions, included by the scripts that use it. `P` is the node's prefix.
--
-- A name is five bytes of a block's hash or of a transaction's id; a record is a name and a height in four bytes. They
-- lie in buckets, the fields 0 to n - 1 of `pack-names`, which are added one by one as the records become more (linear
-- hashing): the first four bytes of a name, modulo a power of two, give its bucket. Several records may have one name,
-- so readers compare what they find with the block.
local NAME, RECORD, FILL = 5, 9, 100

local function names_value(name)
  local a, b, c, d = string.byte(name, 1, 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- How many buckets there are, and the largest power of two up to that.
local function names_buckets()
  local buckets = tonumber(redis.call('HGET', P .. 'packed', 'buckets') or 1)
  local power = 1
  while power * 2 <= buckets do
    power = power * 2
  end
  return buckets, power
end

local function names_bucket(name, buckets, power)
  local value = names_value(name)
  local bucket = value % (2 * power)
  if bucket >= buckets then
    bucket = value % power
  end
  return string.format('%d', bucket)
end

-- The heights that the records of a name give, each as its four bytes.
local function names_find(name, buckets, power)
  local text = redis.call('HGET', P .. 'pack-names', names_bucket(name, buckets, power))
  local found, from = {}, 1
  while text do
    local at = string.find(text, name, from, true)
    if not at then
      break
    end
    if (at - 1) % RECORD == 0 then
      found[#found + 1] = string.sub(text, at + NAME, at + RECORD - 1)
    end
    from = at + 1
  end
  return found
end

-- The records at ARGV[first] to ARGV[last], by their bucket.
local function names_grouped(first, last, buckets, power)
  local groups = {}
  for i = first, last do
    local bucket = names_bucket(ARGV[i], buckets, power)
    local group = groups[bucket] or {}
    group[#group + 1] = ARGV[i]
    groups[bucket] = group
  end
  return groups
end

-- Divide the bucket whose turn it is between itself and a new one.
local function names_split(buckets, power)
  local from, to = string.format('%d', buckets - power), string.format('%d', buckets)
  local text = redis.call('HGET', P .. 'pack-names', from) or ''
  local stay, go = {}, {}
  for at = 1, #text, RECORD do
    local record = string.sub(text, at, at + RECORD - 1)
    if names_value(record) % (2 * power) == buckets then
      go[#go + 1] = record
    else
      stay[#stay + 1] = record
    end
  end
  if #go > 0 then
    redis.call('HSET', P .. 'pack-names', to, table.concat(go))
    if #stay > 0 then
      redis.call('HSET', P .. 'pack-names', from, table.concat(stay))
    else
      redis.call('HDEL', P .. 'pack-names', from)
    end
  end
end

-- The buckets of some groups, and their texts. Asked in bulk: a call takes longer than a bucket.
local function names_texts(groups)
  local buckets, texts = {}, {}
  for bucket in pairs(groups) do
    buckets[#buckets + 1] = bucket
  end
  for i = 1, #buckets, 1000 do
    local last = math.min(i + 999, #buckets)
    for j, text in ipairs(redis.call('HMGET', P .. 'pack-names', unpack(buckets, i, last))) do
      texts[i + j - 1] = text or ''
    end
  end
  return buckets, texts
end

-- Add the records at ARGV[first] to ARGV[last].
local function names_add(first, last)
  local buckets, power = names_buckets()
  local groups = names_grouped(first, last, buckets, power)
  local written, texts = names_texts(groups)
  local values = {}
  for i, bucket in ipairs(written) do
    values[2 * i - 1], values[2 * i] = bucket, texts[i] .. table.concat(groups[bucket])
  end
  for i = 1, #values, 2000 do
    redis.call('HSET', P .. 'pack-names', unpack(values, i, math.min(i + 1999, #values)))
  end
  local records = redis.call('HINCRBY', P .. 'packed', 'names', last - first + 1)
  while buckets * FILL < records do
    names_split(buckets, power)
    buckets = buckets + 1
    if buckets == 2 * power then
      power = buckets
    end
  end
  redis.call('HSET', P .. 'packed', 'buckets', buckets)
end

-- Remove the records at ARGV[first] to ARGV[last], as far as they are there.
local function names_remove(first, last)
  local buckets, power = names_buckets()
  local groups = names_grouped(first, last, buckets, power)
  local written, texts = names_texts(groups)
  local gone = 0
  for i, bucket in ipairs(written) do
    local unwanted, stay = {}, {}
    for _, record in ipairs(groups[bucket]) do
      unwanted[record] = true
    end
    for at = 1, #texts[i], RECORD do
      local record = string.sub(texts[i], at, at + RECORD - 1)
      if unwanted[record] then
        unwanted[record] = nil
        gone = gone + 1
      else
        stay[#stay + 1] = record
      end
    end
    if #stay > 0 then
      redis.call('HSET', P .. 'pack-names', bucket, table.concat(stay))
    else
      redis.call('HDEL', P .. 'pack-names', bucket)
    end
  end
  redis.call('HINCRBY', P .. 'packed', 'names', -gone)
end
