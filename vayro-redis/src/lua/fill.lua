-- Caches what a reader found in the database, unless something newer was published meanwhile.
--
-- KEYS: link key, its floor. ARGV: JSON, revision, seconds to live. Returns 1 if it was cached.
-- Revisions are compared as doubles, which are exact up to 2^53.
local revision = tonumber(ARGV[2])
local floor = tonumber(redis.call('GET', KEYS[2]))
if floor and revision < floor then
  return 0
end
local cached = redis.pcall('GET', KEYS[1])
if type(cached) == 'string' then
  local is_json, link = pcall(cjson.decode, cached)
  if is_json and type(link) == 'table' and revision < (tonumber(link.revision) or 0) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return 1
