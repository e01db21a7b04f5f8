-- What the scripts of users' changes share. They give {how many were changed, '1' if there is more, lanes that are ready, ids that
-- ended or are gone}, or {'-', what is wrong, id, state}.
local A, E, D, X, M = P .. 'a', P .. 'e', P .. 'd', P .. 'x', KEYS[1]
local function done(affected, more, ended, client)
  wake(client)
  if #ended > 0 then tell_ends(ended, 0) end
  return {affected, more and '1' or '0', ready, ended}
end
local function refused(why, id, state) return {'-', why, id or '', state or ''} end
-- Where a job is: its state, and its record if it runs or ended.
local function place_of(id, blob)
  local rec = call('HGET', A, id)
  if rec then return '2', rec end
  rec = call('HGET', E, id)
  if rec then return sub(rec, 2, 2), rec end
  if call('ZSCORE', D, pad(id)) then return '1' end
  return '0'
end
-- Takes a waiting or delayed job out of its place.
local function take_out(id, blob, state)
  local lane = lane_of(blob)
  count(state, lane, -1)
  if state == '1' then
    call('ZREM', D, pad(id))
  elseif call('ZREM', P .. 'z:' .. lane, pad(id)) == 0 then
    -- It is somewhere in a list, and passed over when its turn comes.
    call('SADD', X, id)
    call('HINCRBY', M, 'x', 1)
  end
  return lane
end
-- Takes an ended job out of the ends; its entry in the list counts no more.
local function take_end(id, rec)
  local state = sub(rec, 2, 2)
  local fam = family(state)
  call('HDEL', E, id)
  call('HINCRBY', M, 'u' .. fam, 1)
  call('HDEL', M, 'g' .. fam)
  local lane = sub(rec, 55, 54 + tonumber(sub(rec, 51, 54)))
  count(state, lane, -1)
  return lane
end
-- Removes up to most jobs that wait; ids in z are padded.
local function drain_waiting(most)
  local ended, flags = {}, {}
  for _, field in ipairs(call('HKEYS', P .. 'n')) do
    if byte(field) == 48 and #ended < most then
      local lane = sub(field, 2)
      local l, z = P .. 'l:' .. lane, P .. 'z:' .. lane
      local n = 0
      while #ended < most do
        local ids = call('LPOP', l, most - #ended)
        if not ids then break end
        local dead = call('SMISMEMBER', X, unpack(ids))
        local gone = {}
        for i = 1, #ids do
          if dead[i] == 1 then gone[#gone + 1] = ids[i] else
            ended[#ended + 1] = ids[i]
            n = n + 1
          end
        end
        if #gone > 0 then
          call('SREM', X, unpack(gone))
          call('HINCRBY', M, 'x', -#gone)
        end
      end
      if #ended < most then
        local some = call('ZPOPMIN', z, most - #ended)
        for i = 1, #some, 2 do
          ended[#ended + 1] = fmt('%d', some[i])
          n = n + 1
        end
      end
      if n > 0 then count('0', lane, -n) end
    end
  end
  return ended
end
local function drain_delayed(most)
  local some = call('ZPOPMIN', D, most)
  local ended = {}
  for i = 1, #some, 2 do ended[#ended + 1] = fmt('%d', some[i]) end
  for _, blob in ipairs(blobs_of(ended, 1, #ended)) do
    if blob then count('1', lane_of(blob), -1) end
  end
  return ended
end
-- Forgets jobs whatever they have.
local function forget_all(ids)
  local flags = {}
  for i = 1, #ids do flags[i] = '1' end
  forget(ids, flags)
end
