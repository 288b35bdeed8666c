-- Judges one visit by the marks of its visitor and link, and marks it if it is counted; the same as
-- `vayro_core::visits`.
--
-- KEYS[1]  the marks: ids of counted clicks, sorted, separated by commas
-- ARGV     the click's id, the window and the marks' time to live in milliseconds, the most marks kept
--
-- Returns 1 if the visit is counted, 0 if it is a repeat.
local function millis(id)
  return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) or 0
end

local marks = {}
local is_repeat = false
for mark in string.gmatch(redis.call('GET', KEYS[1]) or '', '[^,]+') do
  if mark == ARGV[1] then
    return 1
  end
  if math.abs(millis(mark) - millis(ARGV[1])) <= tonumber(ARGV[2]) then
    is_repeat = true
  end
  marks[#marks + 1] = mark
end
if is_repeat then
  return 0
end
marks[#marks + 1] = ARGV[1]
table.sort(marks)
while #marks > tonumber(ARGV[4]) do
  table.remove(marks, 1)
end
redis.call('SET', KEYS[1], table.concat(marks, ','), 'PX', ARGV[3])
return 1
