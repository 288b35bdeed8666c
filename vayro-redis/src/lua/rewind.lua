-- Makes entries of the stream ones that were never handed out to a group.
--
-- KEYS: click stream. ARGV: group, instant in milliseconds of the server's clock.
-- What waits anyway must not be skipped, so the group never goes forward here. One script, because a worker may
-- read meanwhile.
-- Returns 1 if the group went back, 0 if there was nothing to go back to.
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for i = 1, #group, 2 do
    fields[group[i]] = group[i + 1]
  end
  if fields['name'] == ARGV[1] then
    local delivered = tonumber(fields['last-delivered-id']:match('^(%d+)-'))
    local since = tonumber(ARGV[2])
    if delivered < since then
      return 0
    end
    local before = since > 0 and string.format('%.0f-18446744073709551615', since - 1) or '0-0'
    redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], before)
    return 1
  end
end
return redis.error_reply('NOGROUP the workers have no group')
