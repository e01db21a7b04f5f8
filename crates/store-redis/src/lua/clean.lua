-- Removes jobs of a state by their age, up to a slice.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 state, 3 before, 4 how many (at most a slice), 5 '1' if more than the slice was asked for, 6 where to go on
--       (a lane's number and an index, or '')
-- Gives as the others, and as a fifth where to go on, or ''
local state, before, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local SCAN = 2000
local ended, scanned, go_on = {}, 0, ''
local from_lane, from_index = string.match(ARGV[6], '^(%d+) (%d+)$')
from_lane, from_index = tonumber(from_lane or 1), tonumber(from_index or 0)
local function old_enough(ids)
  local found = {}
  local blobs = blobs_of(ids, 1, #ids)
  for i = 1, #ids do
    if blobs[i] and added_of(blobs[i]) < before then found[#found + 1] = {ids[i], blobs[i]} end
  end
  return found
end
-- Goes through a source in steps; next gives ids from an index on.
local function go_through(number, at, next, live)
  while #ended < most do
    if scanned >= SCAN then
      go_on = number .. ' ' .. fmt('%d', at)
      return false
    end
    local ids = next(at, at + 499)
    if #ids == 0 then return true end
    scanned = scanned + #ids
    local removed = 0
    for _, job in ipairs(old_enough(live and live(ids) or ids)) do
      if #ended == most then break end
      take_out(job[1], job[2], state)
      ended[#ended + 1] = job[1]
      if not live then removed = removed + 1 end
    end
    at = at + #ids - removed
  end
  return true
end
local function unpadded(key)
  return function(from, to)
    local ids = call('ZRANGE', key, from, to)
    for i = 1, #ids do ids[i] = fmt('%d', ids[i]) end
    return ids
  end
end
if state == '1' then
  go_through(1, from_index, unpadded(D))
elseif state == '0' then
  local lanes = {}
  for _, field in ipairs(call('HKEYS', P .. 'n')) do
    if byte(field) == 48 then lanes[#lanes + 1] = sub(field, 2) end
  end
  table.sort(lanes)
  for number = from_lane, 2 * #lanes do
    local lane = lanes[math.ceil(number / 2)]
    local at = number == from_lane and from_index or 0
    local whole
    if number % 2 == 1 then
      local l = P .. 'l:' .. lane
      whole = go_through(number, at, function(from, to) return call('LRANGE', l, from, to) end, function(ids)
        local dead, live = call('SMISMEMBER', X, unpack(ids)), {}
        for i = 1, #ids do if dead[i] == 0 then live[#live + 1] = ids[i] end end
        return live
      end)
    else
      whole = go_through(number, at, unpadded(P .. 'z:' .. lane))
    end
    if not whole or #ended == most then break end
  end
else
  local f = P .. 'f:' .. family(state)
  local total, length = tonumber(call('HGET', M, 'o' .. family(state)) or 0), call('LLEN', f)
  local at = from_index
  while #ended < most do
    if scanned >= SCAN then
      go_on = '1 ' .. fmt('%d', at)
      break
    end
    local ids = call('LRANGE', f, at, at + 499)
    if #ids == 0 then break end
    scanned = scanned + #ids
    local ends = call('HMGET', E, unpack(ids))
    for i = 1, #ids do
      local rec = ends[i]
      if #ended < most and rec and sub(rec, 2, 2) == state and tonumber(sub(rec, 3, 18)) < before
        and tonumber(sub(rec, 19, 34)) <= total - length + at + i then
        take_end(ids[i], rec)
        ended[#ended + 1] = ids[i]
      end
    end
    at = at + #ids
  end
  -- Entries that count no more go from the head, so that the list does not keep them for ever.
  local pops = 0
  for _, id in ipairs(call('LRANGE', f, 0, 1999)) do
    if call('HEXISTS', E, id) == 1 then break end
    pops = pops + 1
  end
  if pops > 0 then
    call('LPOP', f, pops)
    local _, index = string.match(go_on, '^(%d+) (%d+)$')
    if index then go_on = '1 ' .. fmt('%d', math.max(0, index - pops)) end
  end
end
forget_all(ended)
local answer = done(#ended, go_on ~= '' or (#ended == most and ARGV[5] == '1'), ended, ARGV[1])
answer[5] = go_on
return answer
