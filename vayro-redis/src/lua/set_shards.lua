-- Changes which shards are written to. The others are read until they are empty.
--
-- KEYS: shards. ARGV: the shard that counts as active where there are none, then the active ones from now on.
-- The first write of a script decides whether it is refused when memory is full, and a removal never is.
redis.call('HDEL', KEYS[1], '')
local known = redis.call('HKEYS', KEYS[1])
if #known == 0 then
  known = {ARGV[1]}
end
for _, shard in ipairs(known) do
  redis.call('HSET', KEYS[1], shard, 'retiring')
end
for i = 2, #ARGV do
  redis.call('HSET', KEYS[1], ARGV[i], 'active')
end
return 1
