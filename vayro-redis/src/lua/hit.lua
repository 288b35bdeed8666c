-- Counts one hit in a window that begins with the first one.
--
-- KEYS: window. ARGV: its length in milliseconds. Returns the hits so far and the milliseconds left.
local hits = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {hits, left}
