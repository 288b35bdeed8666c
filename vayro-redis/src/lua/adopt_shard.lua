-- Takes up a stream that is there and not known as a shard: somebody wrote into it who did not know yet that
-- it was retired, or the list of shards was lost.
--
-- KEYS: shards. ARGV: the shard that counts as active where there are none, the stream. Returns 1 if it is new.
-- The first write of a script decides whether it is refused when memory is full, and a removal never is.
redis.call('HDEL', KEYS[1], '')
if redis.call('HLEN', KEYS[1]) == 0 then
  if ARGV[1] == ARGV[2] then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[1], 'active')
end
return redis.call('HSETNX', KEYS[1], ARGV[2], 'retiring')
