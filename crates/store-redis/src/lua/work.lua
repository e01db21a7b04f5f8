-- Ends claims in the order of the batch, then takes new jobs.
-- KEYS  1 m of the queue, 2 the numbers
-- ARGV  1 client, 2 now, 3 '1' if it may have been carried out before, 4 how many settlements, 5 how many bounds, 6 how many of
--       those who are told of ends are the client itself (negative: tell in any case); per bound: count, age (negative: none); then all ids, then all kinds: what (C complete,
--       E end, R retry, L release, S stall), state, '1' if it failed, bound (as the character 48 + number), token(16); then all
--       values (of R: time(16) and error); and for a claim: worker(16), lease, free, most bytes, then lane and limit
--       (negative: none) by turns
-- Gives {state digits, '-' for refused; lanes that are ready; due time or ''; token; then id and blob of each job}
local n = tonumber(ARGV[4])
local now = tonumber(ARGV[2])
local client = ARGV[1]
local A, H, J, E, M, N = P .. 'a', P .. 'h:', P .. 'j', P .. 'e', KEYS[1], P .. 'n'
local first_id = 7 + 2 * tonumber(ARGV[5])
local first_kind, first_value = first_id + n, first_id + 2 * n
local due
local result = ''

if n > 0 then
  local again = ARGV[3] == '1'
  local now16 = pad(now)
  local digits, seen, ended = {}, {}, {}
  local heads, parsed = {}, {}
  -- What was ended and is not written yet.
  local ends, en, out, taken, by_lane = {}, 0, {c = {}, f = {}}, {}, {}
  local forgotten, forgotten_flags = {}, {}
  local last_keep = {}
  local orders = {}
  local held = {}
  local function release(id, worker)
    local list = held[worker]
    if not list then
      list = {}
      held[worker] = list
    end
    list[#list + 1] = id
  end
  local function flush()
    if en > 0 then
      each(ends, 2000, function(from, to) call('HSET', E, unpack(ends, from, to)) end)
      for fam, ids in pairs(out) do
        if #ids > 0 then
          each(ids, 2000, function(from, to) call('RPUSH', P .. 'f:' .. fam, unpack(ids, from, to)) end)
          call('HINCRBY', M, 'o' .. fam, #ids)
          call('HINCRBY', M, 'v' .. fam, #ids)
        end
      end
      ends, en, out, heads, orders = {}, 0, {c = {}, f = {}}, {}, {}
    end
    if #forgotten > 0 then
      forget(forgotten, forgotten_flags)
      forgotten, forgotten_flags = {}, {}
    end
    for worker, list in pairs(held) do
      each(list, 2000, function(from, to)
        call('HDEL', A, unpack(list, from, to))
        call('SREM', H .. worker, unpack(list, from, to))
      end)
    end
    held = {}
    for field, by in pairs(by_lane) do
      if by ~= 0 then call('HINCRBY', N, field, by) end
    end
    by_lane = {}
  end
  local function add(field, by) by_lane[field] = (by_lane[field] or 0) + by end
  local function blob_of(id) return call('HGET', J, id) end
  local function order_of(fam)
    local order = orders[fam]
    if not order then
      order = pad(tonumber(call('HGET', M, 'o' .. fam) or 0) + 1)
      orders[fam] = order
    end
    return order
  end
  -- What a settlement that finds no claim was, if it is repeated.
  local function settled_before(id, state)
    local rec = call('HGET', E, id)
    if rec then
      if sub(rec, 3, 18) == now16 and sub(rec, 2, 2) == state then return state end
    elseif call('HEXISTS', J, id) == 0 then
      return state
    end
    return '-'
  end

  local last_rec, last_kind, head, what
  for from = 0, n - 1, 2000 do
    local to = math.min(from + 2000, n) - 1
    local recs = call('HMGET', A, unpack(ARGV, first_id + from, first_id + to))
    for i = from, to do
      local id, kind, rec = ARGV[first_id + i], ARGV[first_kind + i], recs[i - from + 1]
      local digit = '-'
      if not rec or seen[id] or sub(rec, 1, 16) ~= sub(kind, 5) then
        if again and not rec and not seen[id] then digit = settled_before(id, sub(kind, 2, 2)) end
      else
        seen[id] = true
        -- Jobs of one claim share their record, and jobs that end alike their head.
        local p = parsed[rec]
        if not p then
          local lane = sub(rec, 50)
          p = {worker = sub(rec, 17, 32), flag = sub(rec, 33, 33), claimed = sub(rec, 34, 49), lane = lane, active = '2' .. lane}
          parsed[rec] = p
        end
        local value = ARGV[first_value + i]
        what = byte(kind)
        release(id, p.worker)
        add(p.active, -1)
        if p.flag == '1' then call('HDEL', P .. 'c', id) end
        if what == 67 or what == 69 then
          local head = rec == last_rec and kind == last_kind and heads[1]
          if not head then
            local state, bound = sub(kind, 2, 2), byte(kind, 4) - 48
            local keep_count, keep_age = tonumber(ARGV[7 + 2 * bound]), tonumber(ARGV[8 + 2 * bound])
            local fam = family(state)
            head = {state = state, fam = fam, failed = sub(kind, 3, 3) == '1', nothing = is_nothing(keep_count, keep_age)}
            head.keep = {keep_count, keep_age}
            head.field = state .. p.lane
            if not head.nothing then
              head.text = p.flag .. state .. now16 .. order_of(fam) .. p.claimed .. fmt('%04d', #p.lane) .. p.lane
            end
            heads[1] = head
            last_rec, last_kind = rec, kind
          end
          digit = head.state
          if head.nothing then
            forgotten[#forgotten + 1] = id
            forgotten_flags[#forgotten] = p.flag
          else
            if head.failed then
              local blob = blob_of(id)
              call('HSET', J, id, sub(blob, 1, 1) .. struct.pack('>I4', u32(blob, 2) + 1) .. sub(blob, 6))
            end
            ends[en + 1], ends[en + 2] = id, head.text .. value
            en = en + 2
            local list = out[head.fam]
            list[#list + 1] = id
            add(head.field, 1)
            last_keep[head.fam] = head.keep
          end
          ended[#ended + 1] = id
        else
          flush()
          local blob = blob_of(id)
          if what == 82 then
            local at = tonumber(sub(value, 1, 16))
            call('HSET', J, id, changed(blob, u32(blob, 2) + 1))
            call('HSET', P .. 'r', id, sub(value, 17))
            if at > now then
              call('ZADD', P .. 'd', at, pad(id))
              add('1' .. p.lane, 1)
              if not due or at < due then due = at end
              digit = '1'
            else
              make_waiting(id, p.lane, priority_of(blob))
              digit = '0'
            end
          elseif what == 76 then
            if p.flag == '1' and byte(blob) ~= 49 then call('HSET', J, id, '1' .. sub(blob, 2)) end
            make_waiting(id, p.lane, priority_of(blob))
            digit = '0'
          else
            digit = stall(id, blob, p.lane, p.flag, p.claimed, now, value)
            if digit == '6' then ended[#ended + 1] = id end
          end
          heads = {}
        end
      end
      digits[i + 1] = digit
    end
  end
  flush()
  for fam, keep in pairs(last_keep) do trim(fam, keep[1], keep[2], now, 2 * n + 100) end
  if #ended > 0 then
    tell_ends(ended, tonumber(ARGV[6]))
  end
  result = table.concat(digits)
  if due then
    local first = call('ZRANGE', P .. 'd', 0, 0, 'WITHSCORES')
    if tonumber(first[2]) >= due then call('PUBLISH', P .. 'r', 'D' .. client .. '\0' .. first[2]) end
  end
end

local answer = {result, ready, due and fmt('%d', due) or '', ''}
local at = first_id + 3 * n
local worker = ARGV[at]
if not worker then
  wake(client)
  return answer
end
local free, most_bytes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
local meta = call('HMGET', M, 'p', 'i', 'x')
local open, fields = {}, {}
if free > 0 and not meta[1] then
  for i = at + 4, #ARGV, 2 do
    local limit = tonumber(ARGV[i + 1])
    if limit ~= 0 then
      open[#open + 1] = {ARGV[i], limit < 0 and free or limit}
      fields[#open] = '0' .. ARGV[i]
    end
  end
end
local got, bytes, full = 0, 0, false
local dead = tonumber(meta[3] or 0)
if #open > 0 then
  local waiting = call('HMGET', N, unpack(fields))
  local filled = {}
  for i = 1, #open do
    local m = tonumber(waiting[i] or 0)
    if m > 0 then
      open[i][3] = m
      filled[#filled + 1] = open[i]
    end
  end
  open = filled
end
local token, rec_head, record
-- Up to want ids from the head of a list, without those that wait no more.
local function pop(list, want)
  local ids = call('LPOP', list, want)
  if not ids then return {} end
  if dead == 0 then return ids end
  local live = {}
  while ids and #ids > 0 do
    local found = call('SMISMEMBER', P .. 'x', unpack(ids))
    local gone = {}
    for i = 1, #ids do
      if found[i] == 1 then gone[#gone + 1] = ids[i] else live[#live + 1] = ids[i] end
    end
    if #gone == 0 then return live end
    call('SREM', P .. 'x', unpack(gone))
    dead = dead - #gone
    call('HINCRBY', M, 'x', -#gone)
    if #live >= want then return live end
    ids = call('LPOP', list, want - #live)
  end
  return live
end
local function take(lane, want)
  local list, zset = P .. 'l:' .. lane, P .. 'z:' .. lane
  local ids, from_z, rest
  if call('ZCARD', zset) == 0 then
    ids = pop(list, want)
  else
    -- Two sources in order, and each is: merge them.
    local l, z = pop(list, want), call('ZRANGE', zset, 0, want - 1, 'WITHSCORES')
    ids, from_z = {}, {}
    local li, zi = 1, 1
    while #ids < want and (l[li] or z[zi]) do
      if z[zi] and (not l[li] or (tonumber(z[zi + 1]) == 0 and tonumber(z[zi]) < tonumber(l[li]))) then
        ids[#ids + 1] = fmt('%d', z[zi])
        from_z[#ids] = z[zi]
        zi = zi + 2
      else
        ids[#ids + 1] = l[li]
        li = li + 1
      end
    end
    rest = li
    for i = #l, rest, -1 do call('LPUSH', list, l[i]) end
  end
  local m = #ids
  if m == 0 then return 0 end
  local blobs = call('HMGET', J, unpack(ids))
  local sum = 0
  for i = 1, m do sum = sum + #(blobs[i] or '') end
  if bytes + sum >= most_bytes then
    for i = 1, m do
      bytes = bytes + u32(blobs[i], 14)
      if bytes >= most_bytes then
        full = true
        for back = m, i + 1, -1 do
          if not (from_z and from_z[back]) then call('LPUSH', list, ids[back]) end
          ids[back], blobs[back] = nil, nil
          if from_z then from_z[back] = nil end
        end
        m = i
        break
      end
    end
  else
    bytes = bytes + sum
  end
  if from_z then
    local members = {}
    for i = 1, m do if from_z[i] then members[#members + 1] = from_z[i] end end
    if #members > 0 then call('ZREM', zset, unpack(members)) end
  end
  if not token then
    token = pad(call('HINCRBY', KEYS[2], 'token', 1))
    answer[4] = token
    local known = call('HGET', P .. 'w', worker)
    local lease = now + tonumber(ARGV[at + 1])
    if not known then
      call('HSET', P .. 'w', worker, pad(lease) .. pad(now) .. pad(now) .. '0000000000')
    elseif tonumber(sub(known, 1, 16)) < now then
      call('HSET', P .. 'w', worker, pad(lease) .. pad(now) .. sub(known, 33))
    end
  end
  local plain = token .. worker .. '0' .. pad(now) .. lane
  local flagged = token .. worker .. '1' .. pad(now) .. lane
  local fields, k, a = {}, 0, #answer
  for i = 1, m do
    local blob = blobs[i]
    fields[k + 1] = ids[i]
    fields[k + 2] = byte(blob) == 49 and flagged or plain
    k = k + 2
    answer[a + 1], answer[a + 2] = ids[i], blob
    a = a + 2
  end
  call('HSET', A, unpack(fields))
  call('SADD', H .. worker, unpack(ids))
  call('HINCRBY', N, '0' .. lane, -m)
  call('HINCRBY', N, '2' .. lane, m)
  got = got + m
  return m
end
-- Every lane gets an equal share of the free slots, then what others left over.
while got < free and not full and #open > 0 do
  local share = math.ceil((free - got) / #open)
  local still = {}
  for _, lane in ipairs(open) do
    local want = math.min(share, lane[2], lane[3], free - got, 2000)
    if want > 0 and not full then
      local m = take(lane[1], want)
      lane[2], lane[3] = lane[2] - m, lane[3] - m
      if m == want and lane[2] > 0 and lane[3] > 0 then still[#still + 1] = lane end
    end
  end
  open = still
end
wake(client)
if got < free and not full then
  local idle = meta[2]
  if not idle or idle == '' then call('HSET', M, 'i', client)
  elseif idle ~= client and idle ~= '*' then call('HSET', M, 'i', '*') end
end
return answer
