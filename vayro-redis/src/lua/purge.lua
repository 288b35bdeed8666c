-- Removes entries for good, whatever became of them. One that is out is settled first: what is gone from the
-- stream and still out would count as lost.
--
-- KEYS: click stream, counter. ARGV: group, ids.
-- Returns the count removed.
local settled = redis.call('XACK', KEYS[1], unpack(ARGV))
if settled > 0 then
  redis.call('INCRBY', KEYS[2], settled)
end
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
