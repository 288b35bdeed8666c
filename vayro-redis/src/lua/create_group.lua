-- Makes the group of the workers, reading from the first entry on: clicks may have waited for them.
--
-- KEYS: click stream, a key that is never there. ARGV: group.
-- The first write of a script decides whether it is refused when memory is full, and a removal never is.
-- Otherwise clicks that filled the server before the first worker came could never be read.
redis.call('DEL', KEYS[2])
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not made.err:find('^BUSYGROUP') then
  return made
end
return 1
