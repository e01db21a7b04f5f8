-- Looks things up.
-- KEYS  1 m of the namespace
-- ARGV  1 now, then per item: d collection key, n collection key, or l log and ''
-- Gives a record or nil for each
local now, answer = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 3 do
  local what, a, b = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local found, expires
  if what == 'd' then
    found = call('HGET', Q .. 'd:' .. a, b)
    expires = found and sub(found, 33, 48)
  elseif what == 'n' then
    found = call('HGET', Q .. 'n:' .. a, b)
    expires = found and sub(found, 1, 16)
  else
    found = call('HGET', Q .. 'g', a)
    expires = found and sub(found, 49, 64)
  end
  answer[#answer + 1] = found and is_live(expires, now) and found or false
end
return answer
