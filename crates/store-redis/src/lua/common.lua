-- What changes jobs: base.lua comes before it.
local KEEP_FAIL_COUNT, KEEP_FAIL_AGE, MAX_STALLS = 100000, 604800000, 3
local function priority_of(blob) return u32(blob, 10) end
local function added_of(blob) return (struct.unpack('>i8', blob, 18)) end
-- Where the lane begins: behind the policy.
local function lane_at(blob) if byte(blob, 26) == 0 then return 27 end return 100 end
local function lane_of(blob)
  local at = lane_at(blob)
  local a, b = byte(blob, at, at + 1)
  return sub(blob, at + 2, at + 1 + a * 256 + b)
end
local function key_of(blob)
  local at = lane_at(blob)
  local a, b = byte(blob, at, at + 1)
  at = at + 2 + a * 256 + b
  a, b = byte(blob, at, at + 1)
  local n = a * 256 + b
  if n > 0 then return sub(blob, at + 2, at + n) end
end
-- What becomes of a failure: most stalls, count and age (negative: without bound).
local function fail_policy(blob)
  if byte(blob, 26) == 0 then return MAX_STALLS, KEEP_FAIL_COUNT, KEEP_FAIL_AGE end
  local stalls = u32(blob, 27)
  local count, age = struct.unpack('>i8i8', blob, 31)
  return stalls, count, age
end
-- The blob with more failures and stalls (absent: as before), its flag raised.
local function changed(blob, failures, stalls)
  return '1' .. struct.pack('>I4I4', failures or u32(blob, 2), stalls or u32(blob, 6)) .. sub(blob, 10)
end
local function count(state, lane, by) call('HINCRBY', P .. 'n', state .. lane, by) end

local function make_waiting(id, lane, priority)
  call('ZADD', P .. 'z:' .. lane, priority, pad(id))
  count('0', lane, 1)
  is_ready(lane)
end
-- Removes jobs that are in no place any more. flags: '1' for those that have more than a blob.
local function forget(ids, flags)
  local flagged = {}
  for i = 1, #ids do if flags[i] == '1' then flagged[#flagged + 1] = ids[i] end end
  each(flagged, 500, function(from, to)
    local blobs = blobs_of(flagged, from, to)
    local keys = {}
    for i = 1, #blobs do
      local key = blobs[i] and key_of(blobs[i])
      if key then keys[#keys + 1] = key end
      call('DEL', P .. 'g:' .. flagged[from + i - 1])
    end
    if #keys > 0 then call('HDEL', P .. 'k', unpack(keys)) end
    for _, name in ipairs({'r', 'p', 'c'}) do call('HDEL', P .. name, unpack(flagged, from, to)) end
  end)
  drop_blobs(ids, 1, #ids)
end
-- Removes the oldest ends of a family that are over the bound, at most slice of them.
local function trim(fam, keep_count, keep_age, now, slice)
  local m, f = P .. 'm', P .. 'f:' .. fam
  local got = call('HMGET', m, 'o' .. fam, 'u' .. fam, 'g' .. fam)
  local total, oldest = tonumber(got[1] or 0), got[3] and tonumber(got[3])
  local kept = total - tonumber(got[2] or 0)
  local excess = 0
  if keep_count >= 0 then excess = kept - keep_count end
  local before = -1
  if keep_age >= 0 then before = now - keep_age end
  if excess <= 0 and (before < 0 or (oldest and oldest >= before)) then return end
  local gone, flags, lanes, removed, head, stop = {}, {}, {}, 0, nil, false
  -- Ends of one settle begin alike: read once.
  local known, flag, finished, lane
  while removed < slice and not stop do
    -- One more than goes, to see how old it is.
    local want = math.min(slice - removed, math.max(excess - removed, 0) + 1, 500)
    local length = call('LLEN', f)
    local ids = call('LRANGE', f, 0, want - 1)
    if #ids == 0 then break end
    local ends = call('HMGET', P .. 'e', unpack(ids))
    local pops = 0
    for i = 1, #ids do
      local rec = ends[i]
      local counts = rec and known and sub(rec, 1, #known) == known
      if rec and not counts then
        local state = sub(rec, 2, 2)
        counts = family(state) == fam and tonumber(sub(rec, 19, 34)) <= total - length + i
        if counts then
          local last = 54 + tonumber(sub(rec, 51, 54))
          known, flag, finished, lane = sub(rec, 1, last), sub(rec, 1, 1), tonumber(sub(rec, 3, 18)), state .. sub(rec, 55, last)
        end
      end
      if counts then
        if removed >= excess and finished >= before then
          stop, head = true, finished
          break
        end
        removed = removed + 1
        gone[removed], flags[removed] = ids[i], flag
        lanes[lane] = (lanes[lane] or 0) + 1
      end
      pops = pops + 1
    end
    if pops > 0 then call('LPOP', f, pops) end
  end
  if head then call('HSET', m, 'g' .. fam, fmt('%d', head)) else call('HDEL', m, 'g' .. fam) end
  if removed == 0 then return end
  each(gone, 1000, function(from, to) call('HDEL', P .. 'e', unpack(gone, from, to)) end)
  forget(gone, flags)
  call('HINCRBY', m, 'u' .. fam, removed)
  for lane, n in pairs(lanes) do call('HINCRBY', P .. 'n', lane, -n) end
end
-- Whether an ended job may be gone before a wait for it begins: as Keep::is_brief.
local function is_brief(count, age) return (count >= 0 and count < 1000) or (age >= 0 and age < 10000) end
local MOST_DEPARTED, MOST_DEPARTED_BYTES = 10000, 16777216
-- Remembers ends for who waits in other processes. what gives {blob, state, claimed, value} of each.
local function depart(ids, what, now)
  local fields, entries, bytes = {}, {}, 0
  for i = 1, #ids do
    local blob, state, claimed, value = unpack(what[i])
    local head = sub(blob, 1, 13) .. '\0\0\0\0' .. sub(blob, 18, #blob - u32(blob, 14))
    local rec = state .. pad(now) .. claimed .. struct.pack('>I4', #head) .. head .. value
    local key = key_of(blob)
    fields[#fields + 1], fields[#fields + 2] = ids[i], rec
    if key then fields[#fields + 1], fields[#fields + 2] = 'k' .. key, ids[i] end
    entries[i] = ids[i] .. ' ' .. #rec .. ' ' .. (key or '')
    bytes = bytes + #rec
  end
  local q, l, m = P .. 'q', P .. 'q:l', P .. 'm'
  local length = 0
  each(fields, 2000, function(from, to) call('HSET', q, unpack(fields, from, to)) end)
  each(entries, 2000, function(from, to) length = call('RPUSH', l, unpack(entries, from, to)) end)
  -- The list goes a minute after the last end, and what was counted of it with it.
  if length == #entries then call('HSET', m, 'q', bytes) else bytes = call('HINCRBY', m, 'q', bytes) end
  local before = bytes
  while length > MOST_DEPARTED or (bytes > MOST_DEPARTED_BYTES and length > 1) do
    local some = call('LPOP', l, math.min(math.max(length - MOST_DEPARTED, 1), 1000))
    if not some then break end
    local gone = {}
    for i = 1, #some do
      local id, size, key = string.match(some[i], '^(%d+) (%d+) (.*)$')
      bytes = bytes - size
      gone[#gone + 1] = id
      if key ~= '' and call('HGET', q, 'k' .. key) == id then gone[#gone + 1] = 'k' .. key end
    end
    call('HDEL', q, unpack(gone))
    length = length - #some
  end
  if bytes ~= before then call('HINCRBY', m, 'q', bytes - before) end
  call('EXPIRE', q, 60)
  call('EXPIRE', l, 60)
end
-- Ends one job that is in no place. Answers whether it stays.
local function end_one(id, state, lane, flag, now, claimed, value, keep_count, keep_age)
  if is_brief(keep_count, keep_age) then
    depart({id}, {{blob_of(id), state, claimed, value}}, now)
  end
  if is_nothing(keep_count, keep_age) then
    forget({id}, {flag})
    return false
  end
  local fam = family(state)
  local order = call('HINCRBY', P .. 'm', 'o' .. fam, 1)
  call('RPUSH', P .. 'f:' .. fam, id)
  call('HSET', P .. 'e', id, flag .. state .. pad(now) .. pad(order) .. claimed .. fmt('%04d', #lane) .. lane .. value)
  count(state, lane, 1)
  return true
end
local NEVER = fmt('%016d', 0)
-- Ends a job that no worker holds any more and that somebody asked to cancel: it never waits again.
local function end_cancelled(id, blob, lane, claimed, now)
  local error = call('HGET', P .. 'c', id)
  if not error then return false end
  call('HDEL', P .. 'c', id)
  local _, keep_count, keep_age = fail_policy(blob)
  if end_one(id, '5', lane, '1', now, claimed, error, keep_count, keep_age) then
    trim('f', keep_count, keep_age, now, 102)
  end
  return true
end
-- A job that no worker holds any more lost its worker: it waits again, or is dead.
local function stall(id, blob, lane, flag, claimed, now, error)
  local most, keep_count, keep_age = fail_policy(blob)
  local stalls = u32(blob, 6) + 1
  write_blob(id, changed(blob, nil, stalls))
  call('HSET', P .. 'r', id, error)
  if stalls <= most then
    make_waiting(id, lane, priority_of(blob))
    return '0'
  end
  if end_one(id, '6', lane, '1', now, claimed, error, keep_count, keep_age) then
    trim('f', keep_count, keep_age, now, 102)
  end
  return '6'
end
