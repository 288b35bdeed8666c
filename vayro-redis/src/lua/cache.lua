-- Writes or removes one cached link and raises its floor. In a cluster edges are told apart from this.
--
-- KEYS: link key, its floor. ARGV: seconds to live of a link, of a floor, JSON (empty if the link is gone),
-- revision. Returns 1, or 0 if something newer is known.
local json, revision = ARGV[3], ARGV[4]
local known = tonumber(redis.call('GET', KEYS[2])) or -1
local cached = redis.pcall('GET', KEYS[1])
if type(cached) == 'string' then
  local is_json, link = pcall(cjson.decode, cached)
  if is_json and type(link) == 'table' then
    known = math.max(known, tonumber(link.revision) or 0)
  end
end
if tonumber(revision) < known then
  return 0
end
-- The first write of a script decides whether it is refused when memory is full, and a removal never is.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], revision, 'EX', ARGV[2])
if json ~= '' then
  redis.call('SET', KEYS[1], json, 'EX', ARGV[1])
end
return 1
