-- One page of the jobs in a state.
-- KEYS  1 m of the queue
-- ARGV  1 state, 2 lane with an L before it, or '' for all, 3 limit, 4 and 5 the place before the page (or '' and '')
-- Gives {where the search goes on (two numbers, or ''), '1' if there is a next page, then place and place of each view}, {views}
local state, lane, limit = ARGV[1], nil, tonumber(ARGV[3])
if ARGV[2] ~= '' then lane = sub(ARGV[2], 2) end
local cursor = ARGV[4] ~= '' and {tonumber(ARGV[4]), tonumber(ARGV[5])}
local SCAN = 2000
-- The first index from 0 to n at which after(index) holds; it holds from there on.
local function lower_bound(n, after)
  local low, high = 0, n
  while low < high do
    local middle = math.floor((low + high) / 2)
    if after(middle) then high = middle else low = middle + 1 end
  end
  return low
end
local function zset_from(key, from_score, from_id)
  return lower_bound(call('ZCARD', key), function(i)
    local at = call('ZRANGE', key, i, i, 'WITHSCORES')
    local score, id = tonumber(at[2]), tonumber(at[1])
    return score > from_score or (score == from_score and id > from_id)
  end)
end
local places, ids = {}, {}
local function add(a, b, id)
  places[#places + 1] = {a, b}
  ids[#ids + 1] = id
end
local go_on = ''
if state == '0' then
  local lanes = {}
  if lane then lanes[1] = lane else
    for _, field in ipairs(call('HKEYS', P .. 'n')) do
      if byte(field) == 48 then lanes[#lanes + 1] = sub(field, 2) end
    end
  end
  local found = {}
  local a, b = -1, -1
  if cursor then a, b = cursor[1], cursor[2] end
  for _, name in ipairs(lanes) do
    local z, l = P .. 'z:' .. name, P .. 'l:' .. name
    local from = zset_from(z, a, b)
    local some = call('ZRANGE', z, from, from + limit, 'WITHSCORES')
    for i = 1, #some, 2 do found[#found + 1] = {tonumber(some[i + 1]), tonumber(some[i])} end
    if a <= 0 then
      local at = lower_bound(call('LLEN', l), function(i) return a < 0 or tonumber(call('LINDEX', l, i)) > b end)
      local n = 0
      while n <= limit do
        local chunk = call('LRANGE', l, at, at + limit)
        if #chunk == 0 then break end
        local dead = call('SMISMEMBER', P .. 'x', unpack(chunk))
        for i = 1, #chunk do
          if dead[i] == 0 then
            found[#found + 1] = {0, tonumber(chunk[i])}
            n = n + 1
          end
        end
        at = at + #chunk
      end
    end
  end
  table.sort(found, function(x, y) return x[1] < y[1] or (x[1] == y[1] and x[2] < y[2]) end)
  for i = 1, math.min(#found, limit + 1) do add(found[i][1], found[i][2], fmt('%d', found[i][2])) end
elseif state == '1' then
  local d = P .. 'd'
  local at = 0
  if cursor then at = zset_from(d, cursor[1], cursor[2]) end
  local some = call('ZRANGE', d, at, at + (lane and SCAN or limit), 'WITHSCORES')
  for i = 1, #some, 2 do
    local id = fmt('%d', some[i])
    local blob = lane and blob_of(id)
    if #ids > limit then break end
    if not lane or (blob and lane_of(blob) == lane) then add(tonumber(some[i + 1]), tonumber(id), id) end
  end
  if #ids <= limit and lane and #some / 2 > SCAN then
    go_on = fmt('%d %d', some[#some], some[#some - 1])
  end
elseif state == '2' then
  local after = cursor and cursor[2] or -1
  local all = call('HGETALL', P .. 'a')
  local found = {}
  for i = 1, #all, 2 do
    local id = tonumber(all[i])
    if id > after and (not lane or sub(all[i + 1], 50) == lane) then found[#found + 1] = id end
  end
  table.sort(found)
  for i = 1, math.min(#found, limit + 1) do add(0, found[i], fmt('%d', found[i])) end
else
  local fam = family(state)
  local f = P .. 'f:' .. fam
  local length, total = call('LLEN', f), tonumber(call('HGET', P .. 'm', 'o' .. fam) or 0)
  -- The entry at index i has the order total - length + i + 1; the newest come first.
  local at = length - 1
  if cursor then at = math.min(at, -cursor[1] - (total - length) - 2) end
  local scanned = 0
  while at >= 0 and #ids <= limit and scanned < SCAN do
    local from = math.max(0, at - math.max(limit, 100))
    local chunk = call('LRANGE', f, from, at)
    local ends = call('HMGET', P .. 'e', unpack(chunk))
    for i = #chunk, 1, -1 do
      local order, rec = total - length + from + i, ends[i]
      if #ids > limit then break end
      if rec and sub(rec, 2, 2) == state and tonumber(sub(rec, 19, 34)) <= order then
        if not lane or sub(rec, 55, 54 + tonumber(sub(rec, 51, 54))) == lane then add(-order, tonumber(chunk[i]), chunk[i]) end
      end
    end
    scanned = scanned + #chunk
    at = from - 1
  end
  if #ids <= limit and at >= 0 then go_on = fmt('%d %d', -(total - length + at + 2), 0) end
end
local more = '0'
if #ids > limit then
  more = '1'
  ids[#ids], places[#places] = nil, nil
end
local head = {go_on, more}
for i = 1, #places do
  head[#head + 1] = fmt('%d', places[i][1])
  head[#head + 1] = fmt('%d', places[i][2])
end
return {head, views(ids)}
