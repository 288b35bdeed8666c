-- Removes settled entries that are old enough, at most some of them a call.
--
-- KEYS: click stream. ARGV: window in milliseconds, longest stay of a settled entry in milliseconds, now in
-- milliseconds, most entries to remove.
-- Everything below the bound was settled by every group: not undelivered, not pending. One script, so that
-- the bound still holds when the stream is cut.
-- Returns the count removed.
local function parse(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local bound_ms, bound_seq
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for i = 1, #group, 2 do
    fields[group[i]] = group[i + 1]
  end
  local ms, seq = parse(fields['last-delivered-id'])
  seq = seq + 1
  if fields['pending'] > 0 then
    ms, seq = parse(redis.call('XPENDING', KEYS[1], fields['name'])[2])
  end
  if not bound_ms or ms < bound_ms or (ms == bound_ms and seq < bound_seq) then
    bound_ms, bound_seq = ms, seq
  end
end
if not bound_ms then
  return 0
end

-- The window is counted back from the bound, so that after a backlog it still holds what was settled last.
-- On a quiet stream that would keep visitors' addresses for ever; hence the longest stay.
local cut = math.max(bound_ms - ARGV[1], math.min(bound_ms, ARGV[3] - ARGV[2]))
local cut_id = string.format('%.0f-0', cut)
if cut >= bound_ms then
  cut_id = string.format('%.0f-%.0f', bound_ms, bound_seq)
elseif cut <= 0 then
  return 0
end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', cut_id, 'LIMIT', ARGV[4])
if removed == 0 then
  -- Whole nodes are gone; what is left below the bound shares one node with what must stay.
  removed = redis.call('XTRIM', KEYS[1], 'MINID', '=', cut_id)
end
return removed
