-- One page of documents.
-- KEYS  1 m of the namespace
-- ARGV  1 now, 2 collection, 3 I and an index, or '' for keys, 4 lower bound, 5 upper bound, 6 '1' to go down, 7 limit, 8 most bytes
-- Gives {'1' if there is a next page, the last member that was looked at, then key and record of each document}
local now, collection, limit, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[7]), tonumber(ARGV[8])
local source = Q .. 'k:' .. collection
local is_index = ARGV[3] ~= ''
if is_index then source = Q .. 'i:' .. collection .. '\0' .. sub(ARGV[3], 2) end
local function key_of(member)
  if not is_index then return member end
  local at = 1
  while true do
    local tag = byte(member, at)
    if tag == 0 then return sub(member, at + 1) end
    if tag == 1 then at = at + 9 else
      repeat
        at = string.find(member, '\0', at + 1, true)
        local escaped = byte(member, at + 1) == 255
        if escaped then at = at + 1 end
      until not escaped
      at = at + 1
    end
  end
end
local answer = {'0', ''}
local seen, bytes = 0, 0
local low, high = ARGV[4], ARGV[5]
while true do
  local members
  local want = math.min(limit + 1 - seen, 100)
  if ARGV[6] == '1' then members = call('ZREVRANGEBYLEX', source, high, low, 'LIMIT', 0, want)
  else members = call('ZRANGEBYLEX', source, low, high, 'LIMIT', 0, want) end
  if #members == 0 then return answer end
  local keys = {}
  for i = 1, #members do keys[i] = key_of(members[i]) end
  local records = call('HMGET', Q .. 'd:' .. collection, unpack(keys))
  for i = 1, #members do
    if seen == limit or (bytes >= most and seen > 0) then
      answer[1] = '1'
      return answer
    end
    seen = seen + 1
    answer[2] = members[i]
    local record = records[i]
    if record and is_live(sub(record, 33, 48), now) then
      answer[#answer + 1] = keys[i]
      answer[#answer + 1] = record
      bytes = bytes + #record - 56 - tonumber(sub(record, 49, 56))
    end
  end
  if #members < want then return answer end
  if ARGV[6] == '1' then high = '(' .. members[#members] else low = '(' .. members[#members] end
end
