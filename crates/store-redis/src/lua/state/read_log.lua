-- One page of a log.
-- KEYS  1 m of the namespace
-- ARGV  1 now, 2 log, 3 after, 4 limit, 5 most bytes
-- Gives {} if there is none, else {record, number of the first entry, entries}
local now, after, limit, most = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local record = call('HGET', Q .. 'g', ARGV[2])
if not record or not is_live(sub(record, 49, 64), now) then return {} end
local first = tonumber(sub(record, 17, 32))
local from = math.max(after + 1, first)
local e, at = Q .. 'e:' .. ARGV[2], from - first
local answer, bytes, n = {record, fmt('%d', from)}, 0, 0
while n < limit do
  local entries = call('LRANGE', e, fmt('%d', at), fmt('%d', at + math.min(limit - n, 100) - 1))
  if #entries == 0 then break end
  for i = 1, #entries do
    n = n + 1
    answer[n + 2] = entries[i]
    bytes = bytes + #entries[i] - 16
    if bytes >= most then return answer end
  end
  at = at + #entries
end
return answer
