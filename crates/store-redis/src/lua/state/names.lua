-- One page of names.
-- KEYS  1 m of the namespace
-- ARGV  1 now, 2 c collections, o counters or l logs, 3 collection, 4 lower bound, 5 upper bound, 6 limit
-- Gives {'1' if there is a next page, the last name that was looked at, then the names}
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[6])
local source, records, from = Q .. 'c', nil, 0
if ARGV[2] == 'o' then source, records, from = Q .. 'o:' .. ARGV[3], Q .. 'n:' .. ARGV[3], 1
elseif ARGV[2] == 'l' then source, records, from = Q .. 'l', Q .. 'g', 49 end
local names = call('ZRANGEBYLEX', source, ARGV[4], ARGV[5], 'LIMIT', 0, limit + 1)
local answer = {'0', ''}
if #names > limit then
  answer[1] = '1'
  names[#names] = nil
end
if #names == 0 then return answer end
answer[2] = names[#names]
local found = records and call('HMGET', records, unpack(names))
for i = 1, #names do
  local record = found and found[i]
  if not found or (record and is_live(sub(record, from, from + 15), now)) then answer[#answer + 1] = names[i] end
end
return answer
