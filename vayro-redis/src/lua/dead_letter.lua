-- Puts one entry aside and settles it. In two steps a crash between them would lose or double it.
--
-- KEYS: click stream, dead letters, counter. ARGV: group, id, then the fields of the letter.
-- Returns 1, or 0 if the entry was settled before.
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then
  return 0
end
-- Adding comes first: where memory is full it is refused, and nothing has happened yet.
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCRBY', KEYS[3], 1)
return 1
