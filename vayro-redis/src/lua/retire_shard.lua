-- Removes the keys of a shard that nobody should write to anymore, if nothing is left in it: every entry
-- settled by every group, none added within the window, no dead letter. One script, so that nothing can be
-- added in between; a stream that is written to afterwards comes into being again and is found.
--
-- KEYS: click stream, dead letters, counter. ARGV: window in milliseconds. Returns 1 if they are gone.
if redis.call('XLEN', KEYS[2]) > 0 then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  if #groups == 0 and redis.call('XLEN', KEYS[1]) > 0 then
    return 0
  end
  for _, group in ipairs(groups) do
    local fields = {}
    for i = 1, #group, 2 do
      fields[group[i]] = group[i + 1]
    end
    if fields['pending'] > 0 then
      return 0
    end
    if #redis.call('XRANGE', KEYS[1], '(' .. fields['last-delivered-id'], '+', 'COUNT', 1) > 0 then
      return 0
    end
  end
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if newest then
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    if now - tonumber(newest[1]:match('^(%d+)-')) < tonumber(ARGV[1]) then
      return 0
    end
  end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1
