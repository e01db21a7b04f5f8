-- Ends claims in the order of the batch, then takes new jobs.
-- KEYS  1 m of the queue, 2 the numbers
-- ARGV  1 client, 2 now, 3 '1' if it may have been carried out before, 4 how many settlements, 5 how many bounds, 6 how many of
--       those who are told of ends are the client itself (negative: tell in any case); per bound: count, age (negative: none); then all ids, then all kinds: what (C complete,
--       E end, R retry, L release, S stall), state, '1' if it failed, bound (as the character 48 + number), token(16); then all
--       values (of R: time(16) and error); and for a claim: worker(16), lease, free, most bytes, then lane and limit
--       (negative: none) by turns
-- Gives {state digits, '-' for refused; lanes that are ready; due time or ''; token; then id and blob of each job}
local n, now, client = tonumber(ARGV[4]), tonumber(ARGV[2]), ARGV[1]
local A, H, E, M, N = P .. 'a', P .. 'h:', P .. 'e', KEYS[1], P .. 'n'
local first_id = 7 + 2 * tonumber(ARGV[5])
local first_kind, first_value = first_id + n, first_id + 2 * n
local at = first_id + 3 * n
local worker = ARGV[at]
local meta = call('HMGET', M, 'p', 'i', 'x', 'oc', 'uc', 'gc', 'of', 'uf', 'gf', 'by')
local heard, told
local due
local result = ''
-- How the counts change: what a settle and its claim do to one is written once.
local counts = {}

-- The rule: every job ends alike, of one worker, with nothing beside its blob. Nothing is written until that is sure.
if n > 0 then
  heard = call('PUBSUB', 'NUMSUB', P .. 'e')[2]
  told = heard > tonumber(ARGV[6]) or (meta[10] and meta[10] ~= client)
  local head4 = sub(ARGV[first_kind], 1, 4)
  local op, state = byte(head4), sub(head4, 2, 2)
  local plain = n <= 2000 and ARGV[3] == '0' and (op == 67 or (op == 69 and byte(head4, 3) == 48))
  if plain then
    local bound = 7 + 2 * (byte(head4, 4) - 48)
    local keep_count, keep_age = tonumber(ARGV[bound]), tonumber(ARGV[bound + 1])
    local nothing = is_nothing(keep_count, keep_age)
    local fam, o = 'c', 4
    if state ~= '3' then fam, o = 'f', 7 end
    local total = tonumber(meta[o] or 0)
    local recs = call('HMGET', A, unpack(ARGV, first_id, first_id + n - 1))
    local ends, en, seen = {}, 0, {}
    local kind, rec, holder, lane, head
    local run = 0
    for i = 0, n - 1 do
      local k, r, id = ARGV[first_kind + i], recs[i + 1], ARGV[first_id + i]
      if k ~= kind or r ~= rec then
        if not r or sub(r, 1, 16) ~= sub(k, 5) or sub(k, 1, 4) ~= head4 or byte(r, 33) ~= 48 then
          plain = false
          break
        end
        local w = sub(r, 17, 32)
        if holder and w ~= holder then
          plain = false
          break
        end
        if run > 0 then counts[lane] = (counts[lane] or 0) + run end
        kind, rec, holder, lane, run = k, r, w, sub(r, 50), 0
        if not nothing then
          head = '0' .. state .. pad(now) .. pad(total + 1) .. sub(r, 34, 49) .. fmt('%04d', #lane) .. lane
        end
      end
      if seen[id] then
        plain = false
        break
      end
      seen[id] = true
      run = run + 1
      if not nothing then
        ends[en + 1], ends[en + 2] = id, head .. ARGV[first_value + i]
        en = en + 2
      end
    end
    if plain then
      if run > 0 then counts[lane] = (counts[lane] or 0) + run end
      local of = counts
      counts = {}
      for name, by in pairs(of) do
        counts['2' .. name] = -by
        if not nothing then counts[state .. name] = by end
      end
      local last_id = first_id + n - 1
      if told and ((keep_count >= 0 and keep_count < 1000) or (keep_age >= 0 and keep_age < 10000)) then
        local ids, what = {}, blobs_of(ARGV, first_id, last_id)
        for i = 1, n do
          ids[i] = ARGV[first_id + i - 1]
          what[i] = {what[i], state, sub(recs[i], 34, 49), ARGV[first_value + i - 1]}
        end
        slow().depart(ids, what, now)
      end
      call('HDEL', A, unpack(ARGV, first_id, last_id))
      call('SREM', H .. holder, unpack(ARGV, first_id, last_id))
      if nothing then
        drop_blobs(ARGV, first_id, last_id)
      else
        call('HSET', E, unpack(ends))
        call('RPUSH', P .. 'f:' .. fam, unpack(ARGV, first_id, last_id))
        call('HINCRBY', M, 'o' .. fam, n)
        local oldest = meta[o + 2]
        if (keep_count >= 0 and total + n - tonumber(meta[o + 1] or 0) > keep_count)
          or (keep_age >= 0 and not (oldest and tonumber(oldest) >= now - keep_age)) then
          slow().trim(fam, keep_count, keep_age, now, 2 * n + 100)
        end
      end
      result = string.rep(state, n)
      if heard > tonumber(ARGV[6]) then call('PUBLISH', P .. 'e', table.concat(ARGV, ',', first_id, last_id)) end
    end
  end
  if not plain then
    counts = {}
    local ended
    result, ended, due = slow().settle(n, now, first_id, first_kind, first_value, told)
    if #ended > 0 then tell_ends(ended, tonumber(ARGV[6])) end
    if due then
      local first = call('ZRANGE', P .. 'd', 0, 0, 'WITHSCORES')
      if tonumber(first[2]) >= due then call('PUBLISH', P .. 'r', 'D' .. client .. '\0' .. first[2]) end
    end
    meta = call('HMGET', M, 'p', 'i', 'x')
  end
end

local answer = {result, ready, due and fmt('%d', due) or '', ''}
if worker then
  local free, most_bytes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local open, fields = {}, {}
  if free > 0 and not meta[1] then
    for i = at + 4, #ARGV, 2 do
      local limit = tonumber(ARGV[i + 1])
      if limit ~= 0 then
        open[#open + 1] = {ARGV[i], limit < 0 and free or limit, free}
        fields[#open] = '0' .. ARGV[i]
      end
    end
  end
  if #open > 1 then
    -- Of several lanes only those are looked at that hold something.
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
  -- bytes is an upper bound (whole blobs) until it matters, and then the bytes of data.
  local got, bytes, exact, full = 0, 0, false, false
  local dead = tonumber(meta[3] or 0)
  local token
  -- Every lane gets an equal share of the free slots, then what others left over.
  while got < free and not full and #open > 0 do
    local share = math.ceil((free - got) / #open)
    local still = {}
    for _, of in ipairs(open) do
      local lane, want = of[1], math.min(share, of[2], of[3], free - got, 2000)
      if want > 0 and not full then
        local list, zset = P .. 'l:' .. lane, P .. 'z:' .. lane
        local ids, from_z
        if call('ZCARD', zset) > 0 then
          ids, from_z, dead = slow().merge(list, zset, want, dead)
        elseif dead > 0 then
          ids, dead = slow().pop(list, want, dead)
        else
          ids = call('LPOP', list, want) or {}
        end
        local m = #ids
        if m > 0 then
          local blobs = blobs_of(ids, 1, m)
          local sum = 0
          for i = 1, m do sum = sum + #(blobs[i] or '') end
          if not exact and bytes + sum >= most_bytes then
            exact, bytes = true, 0
            for i = 6, #answer, 2 do bytes = bytes + u32(answer[i], 14) end
          end
          if exact then
            for i = 1, m do
              bytes = bytes + u32(blobs[i], 14)
              if bytes >= most_bytes then
                full = true
                for back = m, i + 1, -1 do
                  if not (from_z and from_z[back]) then call('LPUSH', list, ids[back]) end
                  ids[back] = nil
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
          local begun = pad(now)
          local plain, flagged = token .. worker .. '0' .. begun .. lane
          local records, k, a = {}, 0, #answer
          for i = 1, m do
            local blob = blobs[i]
            local record = plain
            if byte(blob) == 49 then
              flagged = flagged or token .. worker .. '1' .. begun .. lane
              record = flagged
            end
            records[k + 1], records[k + 2] = ids[i], record
            k = k + 2
            answer[a + 1], answer[a + 2] = ids[i], blob
            a = a + 2
          end
          call('HSET', A, unpack(records))
          call('SADD', H .. worker, unpack(ids))
          counts['0' .. lane] = (counts['0' .. lane] or 0) - m
          counts['2' .. lane] = (counts['2' .. lane] or 0) + m
          got = got + m
        end
        of[2], of[3] = of[2] - m, of[3] - m
        if m == want and of[2] > 0 and of[3] > 0 then still[#still + 1] = of end
      end
    end
    open = still
  end
  if got < free and not full then
    local idle = meta[2]
    if not idle or idle == '' then call('HSET', M, 'i', client)
    elseif idle ~= client and idle ~= '*' then call('HSET', M, 'i', '*') end
  end
end
for field, by in pairs(counts) do
  if by ~= 0 then call('HINCRBY', N, field, by) end
end
wake(client)
return answer
