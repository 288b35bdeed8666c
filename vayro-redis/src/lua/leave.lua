-- Forgets a consumer that holds nothing. Asking and deleting in two steps would lose what it was handed
-- in between: entries of a deleted consumer can never be claimed.
--
-- KEYS: click stream. ARGV: group, consumer. Returns 1 if it was forgotten.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
