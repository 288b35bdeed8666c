-- Settles entries and counts those that were not settled before.
--
-- KEYS: click stream, counter. ARGV: group, ids.
local settled = redis.call('XACK', KEYS[1], unpack(ARGV))
if settled > 0 then
  redis.call('INCRBY', KEYS[2], settled)
end
return settled
