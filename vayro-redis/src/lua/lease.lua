-- Says that a worker is alive and returns the shards it is to read: its fair share, which is the same for
-- all workers or differs by one. What it has stays with it as long as that is no more than its share.
--
-- KEYS: workers, leases. ARGV: worker, milliseconds it counts as alive, then all shards.
-- A worker that has none, because there are more workers than shards or because the others have not let go
-- yet, helps with one: several may read the same shard, each entry goes to one of them.
local me, ttl = ARGV[1], tonumber(ARGV[2])
local shards = {unpack(ARGV, 3)}
-- The first write of a script decides whether it is refused when memory is full, and a removal never is.
redis.call('HDEL', KEYS[1], '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], me, string.format('%.0f', now + ttl))

local workers, is_alive = {}, {}
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  if tonumber(known[i + 1]) > now then
    workers[#workers + 1] = known[i]
    is_alive[known[i]] = true
  else
    redis.call('HDEL', KEYS[1], known[i])
  end
end
table.sort(workers)
local rank = 0
for i, worker in ipairs(workers) do
  if worker == me then
    rank = i
  end
end
local share = math.floor(#shards / #workers)
if rank <= #shards % #workers then
  share = share + 1
end

local is_shard, owner = {}, {}
for _, shard in ipairs(shards) do
  is_shard[shard] = true
end
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  local shard, worker = leases[i], leases[i + 1]
  if is_shard[shard] and is_alive[worker] then
    owner[shard] = worker
  else
    redis.call('HDEL', KEYS[2], shard)
  end
end
local held = {}
for _, shard in ipairs(shards) do
  if owner[shard] == me then
    if #held < share then
      held[#held + 1] = shard
    else
      redis.call('HDEL', KEYS[2], shard)
    end
  end
end
for _, shard in ipairs(shards) do
  if not owner[shard] and #held < share then
    redis.call('HSET', KEYS[2], shard, me)
    held[#held + 1] = shard
  end
end
if #held == 0 then
  held[1] = shards[(rank - 1) % #shards + 1]
end
return held
