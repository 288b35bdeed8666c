-- Gives up all leases of a worker, so that the others need not wait until they run out.
--
-- KEYS: workers, leases. ARGV: worker.
redis.call('HDEL', KEYS[1], ARGV[1])
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  if leases[i + 1] == ARGV[1] then
    redis.call('HDEL', KEYS[2], leases[i])
  end
end
return 1
