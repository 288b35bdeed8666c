-- Forgets a shard whose keys are removed, unless it is written to again meanwhile.
--
-- KEYS: shards. ARGV: the shard. Returns 1 if it was forgotten.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= 'retiring' then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
