-- Puts one dead letter back into the click stream, as it was, and removes it.
--
-- KEYS: dead letters, click stream. ARGV: id of the letter, count of leading values that describe it.
-- Returns 1, or 0 if there is no such letter.
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', unpack(found[1][2], tonumber(ARGV[2]) + 1))
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
