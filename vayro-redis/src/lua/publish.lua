-- Writes or removes cached links, raises their floors and tells every edge, all at once.
--
-- KEYS: invalidation stream, then per change: link key, its floor.
-- ARGV: seconds to live of a link, of a floor, length of the stream, then per change: JSON (empty if the
-- link is gone), revision, domain (empty for the default one), short code.
-- Returns how many changes were not older than what is known.
local applied = 0
for change = 0, (#KEYS - 1) / 2 - 1 do
  local link_key, floor_key = KEYS[2 * change + 2], KEYS[2 * change + 3]
  local json, revision, domain, short_code = unpack(ARGV, 4 * change + 4, 4 * change + 7)
  local known = tonumber(redis.call('GET', floor_key)) or -1
  local cached = redis.pcall('GET', link_key)
  if type(cached) == 'string' then
    local is_json, link = pcall(cjson.decode, cached)
    if is_json and type(link) == 'table' then
      known = math.max(known, tonumber(link.revision) or 0)
    end
  end
  if tonumber(revision) >= known then
    -- The first write of a script decides whether it is refused when memory is full, and a removal never
    -- is. So a link can be switched off although clicks have filled the server.
    redis.call('DEL', link_key)
    redis.call('SET', floor_key, revision, 'EX', ARGV[2])
    if json ~= '' then
      redis.call('SET', link_key, json, 'EX', ARGV[1])
    end
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*',
      'kind', 'link', 'domain', domain, 'short_code', short_code, 'revision', revision)
    applied = applied + 1
  end
end
return applied
