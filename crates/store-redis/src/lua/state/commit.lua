-- Writes that happen together or not at all.
-- KEYS  1 m of the namespace, 2 the names of namespaces, 3 those to be swept (both absent in a cluster)
-- ARGV  1 client, 2 now, 3 namespace, 4 '1' to tell of appends in any case, 5 most entries over its bound that an append removes;
--       then the writes, each a letter and its fields:
--       P collection key expect expires value n and n times index and value · D collection key expect
--       T collection key expect expires · C collection key expect · A collection key by floor ceiling expires
--       R collection key expect · L log entry keep expect expires · F log
--       expect: '' any, a absent, p present, or a number; expires: '' as before, - never, or a time; '' is no bound
-- Gives {'+', '1' if the namespace is new, '1' if it is new to those to be swept, then an answer for each}, or
--       {'-', place of the write, what was found}
local now = tonumber(ARGV[2])
local MAX = 9007199254740991
local revision = tonumber(call('HGET', KEYS[1], 'r') or 0)
local docs, counters, logs = {}, {}, {}
local answers, collections = {}, {}
local used, expires_some = false, false

local function doc_of(collection, key)
  local name = collection .. '\0' .. key
  local doc = docs[name]
  if not doc then
    local stored = call('HGET', Q .. 'd:' .. collection, key)
    doc = {collection = collection, key = key, stored = stored}
    if stored and is_live(sub(stored, 33, 48), now) then
      doc.version, doc.x = tonumber(sub(stored, 1, 16)), time_of(sub(stored, 33, 48))
    end
    docs[name] = doc
  end
  return doc
end
local function counter_of(collection, key)
  local name = collection .. '\0' .. key
  local counter = counters[name]
  if not counter then
    local stored = call('HGET', Q .. 'n:' .. collection, key)
    counter = {collection = collection, key = key, stored = stored}
    if stored and is_live(sub(stored, 1, 16), now) then
      counter.sum, counter.x = tonumber(sub(stored, 17)), time_of(sub(stored, 1, 16))
    end
    counters[name] = counter
  end
  return counter
end
local function log_of(name)
  local log = logs[name]
  if not log then
    local stored = call('HGET', Q .. 'g', name)
    log = {name = name, stored = stored, new = {}}
    if stored and is_live(sub(stored, 49, 64), now) then
      log.begin, log.first, log.last = tonumber(sub(stored, 1, 16)), tonumber(sub(stored, 17, 32)), tonumber(sub(stored, 33, 48))
      log.x, log.was_first, log.kept = time_of(sub(stored, 49, 64)), log.first, true
    end
    logs[name] = log
  end
  return log
end
local function after(expires, before)
  if expires == '' then return before end
  if expires == '-' then return nil end
  expires_some = true
  return tonumber(expires)
end
-- What a time in the past expires is gone at once.
local function gone(thing) return thing.x and thing.x <= now end
local function unmet(doc, expect)
  if expect == '' then return false end
  if expect == 'a' then return doc.version ~= nil end
  if expect == 'p' then return doc.version == nil end
  return doc.version ~= tonumber(expect)
end

local at, n = 6, 0
while at <= #ARGV do
  local what, a, b = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  n = n + 1
  revision = revision + 1
  local refused
  if what == 'P' or what == 'D' or what == 'T' or what == 'C' then
    local doc = doc_of(a, b)
    if unmet(doc, ARGV[at + 3]) then
      refused = doc.version or 0
    elseif what == 'P' then
      doc.x = after(ARGV[at + 4], doc.version and doc.x)
      doc.version, doc.updated, doc.value, doc.dirty = revision, now, ARGV[at + 5], true
      local count = tonumber(ARGV[at + 6])
      doc.entries = {}
      for i = 1, count do doc.entries[i] = {ARGV[at + 5 + 2 * i], ARGV[at + 6 + 2 * i]} end
      answers[n] = fmt('%d', revision)
      used, collections[a] = true, true
      if gone(doc) then doc.version, doc.x = nil, nil end
      at = at + 7 + 2 * count
    elseif what == 'D' then
      answers[n] = doc.version and '1' or '0'
      if doc.version then doc.version, doc.x, doc.dirty = nil, nil, true end
      at = at + 4
    else
      answers[n] = fmt('%d', doc.version or 0)
      if what == 'T' then
        if doc.version then
          doc.x, doc.dirty = after(ARGV[at + 4], doc.x), true
          if gone(doc) then doc.version, doc.x = nil, nil end
        end
        at = at + 5
      else
        at = at + 4
      end
    end
  elseif what == 'A' then
    local counter = counter_of(a, b)
    local sum, by = counter.sum or 0, tonumber(ARGV[at + 3])
    local floor, ceiling = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    local total = sum + by
    if math.abs(total) > MAX or (by <= 0 and floor and total < floor) or (by >= 0 and ceiling and total > ceiling) then
      refused = sum
    else
      counter.x = after(ARGV[at + 6], counter.sum and counter.x)
      counter.sum, counter.dirty = total, true
      answers[n] = fmt('%d', total)
      used, collections[a] = true, true
      if gone(counter) then counter.sum, counter.x = nil, nil end
      at = at + 7
    end
  elseif what == 'R' then
    local counter = counter_of(a, b)
    local sum = counter.sum or 0
    if ARGV[at + 3] ~= '' and tonumber(ARGV[at + 3]) ~= sum then
      refused = sum
    else
      answers[n] = fmt('%d', sum)
      if counter.sum then counter.sum, counter.x, counter.dirty = nil, nil, true end
      at = at + 4
    end
  elseif what == 'L' then
    local log = log_of(a)
    if ARGV[at + 4] ~= '' and tonumber(ARGV[at + 4]) ~= (log.last or 0) then
      refused = log.last or 0
    else
      if not log.begin then
        log.begin, log.first, log.last, log.x = revision, revision, revision - 1, nil
        log.kept, log.new = false, {}
      end
      log.last = log.last + 1
      log.new[#log.new + 1] = pad(now) .. b
      local keep = tonumber(ARGV[at + 3])
      if keep then
        local surplus = log.last - log.first + 1 - keep
        if surplus > 0 then log.first = log.first + math.min(surplus, tonumber(ARGV[5])) end
      end
      log.x, log.dirty, log.grew = after(ARGV[at + 5], log.x), true, true
      answers[n] = fmt('%d', log.last)
      used = true
      if gone(log) then log.begin, log.last, log.x, log.kept, log.new = nil, nil, nil, false, {} end
      at = at + 6
    end
  else
    local log = log_of(a)
    answers[n] = log.begin and '1' or '0'
    if log.begin then log.begin, log.last, log.x, log.kept, log.new, log.dirty = nil, nil, nil, false, {}, true end
    at = at + 2
  end
  if refused then return {'-', n - 1, fmt('%d', refused)} end
end

call('HSET', KEYS[1], 'r', fmt('%d', revision))
for name in pairs(collections) do call('ZADD', Q .. 'c', 0, name) end
local trash = false
local function note_expiry(member, x, had)
  if x then call('ZADD', Q .. 'x', x, member) elseif had then call('ZREM', Q .. 'x', member) end
end
for _, doc in pairs(docs) do
  if doc.dirty then
    local d, k, member = Q .. 'd:' .. doc.collection, Q .. 'k:' .. doc.collection, 'd' .. doc.collection .. '\0' .. doc.key
    local old, value_at = {}, nil
    if doc.stored then old, value_at = entries_of(doc.stored) end
    local had = doc.stored and sub(doc.stored, 33, 48) ~= NONE
    local before, wanted = {}, {}
    local is_touched = doc.version and not doc.entries
    if not is_touched then
      if doc.version then
        for _, entry in ipairs(doc.entries) do wanted[entry[1] .. '\0' .. entry[2]] = entry end
      end
      for _, entry in ipairs(old) do
        local name = entry[1] .. '\0' .. entry[2]
        before[name] = true
        if not wanted[name] then call('ZREM', Q .. 'i:' .. doc.collection .. '\0' .. entry[1], entry[2] .. '\0' .. doc.key) end
      end
    end
    if not doc.version then
      call('HDEL', d, doc.key)
      call('ZREM', k, doc.key)
      note_expiry(member, nil, had)
    elseif is_touched then
      call('HSET', d, doc.key, sub(doc.stored, 1, 32) .. padded_time(doc.x) .. sub(doc.stored, 49))
      note_expiry(member, doc.x, had)
    else
      local packed = {}
      for name, entry in pairs(wanted) do
        packed[#packed + 1] = fmt('%04d', #entry[1]) .. entry[1] .. fmt('%04d', #entry[2]) .. entry[2]
        if not before[name] then
          call('SADD', Q .. 'j:' .. doc.collection, entry[1])
          call('ZADD', Q .. 'i:' .. doc.collection .. '\0' .. entry[1], 0, entry[2] .. '\0' .. doc.key)
        end
      end
      packed = table.concat(packed)
      local head = pad(doc.version) .. pad(doc.updated) .. padded_time(doc.x) .. fmt('%08d', #packed) .. packed
      call('HSET', d, doc.key, head .. doc.value)
      if not doc.stored then call('ZADD', k, 0, doc.key) end
      note_expiry(member, doc.x, had)
    end
  end
end
for _, counter in pairs(counters) do
  if counter.dirty then
    local h, o = Q .. 'n:' .. counter.collection, Q .. 'o:' .. counter.collection
    local had = counter.stored and sub(counter.stored, 1, 16) ~= NONE
    if counter.sum then
      call('HSET', h, counter.key, padded_time(counter.x) .. fmt('%d', counter.sum))
      if not counter.stored then call('ZADD', o, 0, counter.key) end
    else
      call('HDEL', h, counter.key)
      call('ZREM', o, counter.key)
    end
    note_expiry('n' .. counter.collection .. '\0' .. counter.key, counter.sum and counter.x, had)
  end
end
local grown = {}
for name, log in pairs(logs) do
  if log.dirty then
    local e = Q .. 'e:' .. name
    local had = log.stored and sub(log.stored, 49, 64) ~= NONE
    if log.stored and not log.kept then
      -- The entries of before are swept away.
      if call('EXISTS', e) == 1 then
        local old = P .. 'z:' .. fmt('%d', revision) .. ':' .. name
        call('RENAME', e, old)
        call('RPUSH', P .. 't', 'k' .. old)
        trash = true
      end
    end
    if log.begin then
      local skip = 0
      if not log.kept then skip = log.first - log.begin end
      for i = skip + 1, #log.new do call('RPUSH', e, log.new[i]) end
      if log.kept and log.first > log.was_first then call('LPOP', e, log.first - log.was_first) end
      call('HSET', Q .. 'g', name, pad(log.begin) .. pad(log.first) .. pad(log.last) .. padded_time(log.x))
      if not log.stored then call('ZADD', Q .. 'l', 0, name) end
    else
      call('HDEL', Q .. 'g', name)
      call('ZREM', Q .. 'l', name)
    end
    note_expiry('l' .. name, log.begin and log.x, had)
    if log.grew then grown[#grown + 1] = name end
  end
end
local is_new, sweeps = '0', '0'
if used and call('HSETNX', KEYS[1], 'u', 1) == 1 then
  is_new = '1'
  if KEYS[2] then call('ZADD', KEYS[2], 0, ARGV[3]) end
end
if (expires_some or trash) and call('HSETNX', KEYS[1], 's', 1) == 1 then
  sweeps = '1'
  if KEYS[3] then call('SADD', KEYS[3], ARGV[3]) end
end
if #grown > 0 and (ARGV[4] == '1' or call('PUBSUB', 'NUMSUB', P .. 'w')[2] > 0) then
  call('PUBLISH', P .. 'w', ARGV[1] .. '\0' .. table.concat(grown, '\0'))
end
local answer = {'+', is_new, sweeps}
for i = 1, n do answer[i + 3] = answers[i] end
return answer
