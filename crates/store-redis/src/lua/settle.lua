-- Settlements of every kind, one by one: what work.lua does not do at once. It gives the digits, the ids that ended and
-- the due time.
local M, A, H, E, N = KEYS[1], P .. 'a', P .. 'h:', P .. 'e', P .. 'n'
-- told: whether ends that are hardly kept are remembered for other processes.
local function settle(n, now, first_id, first_kind, first_value, told)
  local due
  local again = ARGV[3] == '1'
  local now16 = pad(now)
  local digits, seen, ended = {}, {}, {}
  local heads, parsed = {}, {}
  -- What was ended and is not written yet.
  local ends, en, out, taken, by_lane = {}, 0, {c = {}, f = {}}, {}, {}
  local forgotten, forgotten_flags = {}, {}
  local departing, departed = {}, {}
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
    if #departing > 0 then
      local blobs, what = blobs_of(departing, 1, #departing), {}
      for i = 1, #departing do
        local of = departed[i]
        local blob = blobs[i]
        -- The failure of a job that is kept is counted there already.
        if of[4] then blob = sub(blob, 1, 1) .. struct.pack('>I4', u32(blob, 2) + 1) .. sub(blob, 6) end
        what[i] = {blob, of[1], of[2], of[3]}
      end
      depart(departing, what, now)
      departing, departed = {}, {}
    end
    if en > 0 then
      each(ends, 2000, function(from, to) call('HSET', E, unpack(ends, from, to)) end)
      for fam, ids in pairs(out) do
        if #ids > 0 then
          each(ids, 2000, function(from, to) call('RPUSH', P .. 'f:' .. fam, unpack(ids, from, to)) end)
          call('HINCRBY', M, 'o' .. fam, #ids)
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
  local function order_of(fam)
    local order = orders[fam]
    if not order then
      order = pad(tonumber(call('HGET', M, 'o' .. fam) or 0) + 1)
      orders[fam] = order
    end
    return order
  end
  -- What a settlement that finds no claim was, if it is repeated.
  local function settled_before(id, what, state)
    local rec = call('HGET', E, id)
    -- What would have waited again ended if it was to be cancelled.
    if what ~= 67 and what ~= 69 then state = rec and sub(rec, 2, 2) == '6' and '6' or '5' end
    if rec then
      if sub(rec, 3, 18) == now16 and sub(rec, 2, 2) == state then return state end
    elseif call('HEXISTS', home_of(id), id) == 0 then
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
        if again and not rec and not seen[id] then digit = settled_before(id, byte(kind), sub(kind, 2, 2)) end
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
        if what == 67 or what == 69 then
          if p.flag == '1' then call('HDEL', P .. 'c', id) end
          local head = rec == last_rec and kind == last_kind and heads[1]
          if not head then
            local state, bound = sub(kind, 2, 2), byte(kind, 4) - 48
            local keep_count, keep_age = tonumber(ARGV[7 + 2 * bound]), tonumber(ARGV[8 + 2 * bound])
            local fam = family(state)
            head = {state = state, fam = fam, failed = sub(kind, 3, 3) == '1', nothing = is_nothing(keep_count, keep_age)}
            head.brief = told and is_brief(keep_count, keep_age)
            head.keep = {keep_count, keep_age}
            head.field = state .. p.lane
            if not head.nothing then
              head.text = p.flag .. state .. now16 .. order_of(fam) .. p.claimed .. fmt('%04d', #p.lane) .. p.lane
            end
            heads[1] = head
            last_rec, last_kind = rec, kind
          end
          digit = head.state
          if head.brief then
            departing[#departing + 1] = id
            departed[#departing] = {head.state, p.claimed, value, head.failed and head.nothing}
          end
          if head.nothing then
            forgotten[#forgotten + 1] = id
            forgotten_flags[#forgotten] = p.flag
          else
            if head.failed then
              local blob = blob_of(id)
              write_blob(id, sub(blob, 1, 1) .. struct.pack('>I4', u32(blob, 2) + 1) .. sub(blob, 6))
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
          if p.flag == '1' and end_cancelled(id, blob, p.lane, p.claimed, now) then
            digit = '5'
            ended[#ended + 1] = id
          elseif what == 82 then
            local at = tonumber(sub(value, 1, 16))
            write_blob(id, changed(blob, u32(blob, 2) + 1))
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
            if p.flag == '1' and byte(blob) ~= 49 then write_blob(id, '1' .. sub(blob, 2)) end
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
  return table.concat(digits), ended, due
end
-- Up to want ids from the head of a list, without those that wait no more (which dead counts).
local function pop(list, want, dead)
  local live = {}
  while #live < want do
    local ids = call('LPOP', list, want - #live)
    if not ids then break end
    if dead <= 0 then
      for i = 1, #ids do live[#live + 1] = ids[i] end
      break
    end
    local found, gone = call('SMISMEMBER', P .. 'x', unpack(ids)), {}
    for i = 1, #ids do
      if found[i] == 1 then gone[#gone + 1] = ids[i] else live[#live + 1] = ids[i] end
    end
    if #gone > 0 then
      call('SREM', P .. 'x', unpack(gone))
      call('HINCRBY', M, 'x', -#gone)
      dead = dead - #gone
    end
  end
  return live, dead
end
-- The heads of a lane's list and zset in one order, and which of them are from the zset.
local function merge(list, zset, want, dead)
  local l, z = {}, call('ZRANGE', zset, 0, want - 1, 'WITHSCORES')
  l, dead = pop(list, want, dead)
  local ids, from_z = {}, {}
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
  for i = #l, li, -1 do call('LPUSH', list, l[i]) end
  return ids, from_z, dead
end
