-- Adds jobs, in order.
-- KEYS  1 m of the queue, 2 the numbers, 3 the set of queues (absent in a cluster)
-- ARGV  1 client, 2 number of this call, 3 '1' if it may have been carried out before, 4 '1' to keep the answers for another
--       hour, 5 queue, 6 how many jobs, then operations: a job's blob (begins with its flag), or what comes before it:
--       L and a lane for all that follow; for the next job K and a key, P and a priority, D and a time
-- Gives {first id, '1' if the queue is new, then place and id of jobs that were there under their key}
local call, sub, byte, fmt = redis.call, string.sub, string.byte, string.format
local P = sub(KEYS[1], 1, -2)
local client, seq = ARGV[1], ARGV[2]
local answers = P .. 'o:' .. client
if ARGV[3] == '1' then
  local given = call('HGET', answers, seq % 1024)
  if given then
    local words = {}
    for word in string.gmatch(given, '%S+') do words[#words + 1] = word end
    if table.remove(words, 1) == seq then return words end
  end
end
local meta = call('HMGET', KEYS[1], 'i', 'made', 'by')
if meta[3] ~= client and meta[3] ~= '*' then call('HSET', KEYS[1], 'by', meta[3] and '*' or client) end
local is_new = '0'
if not meta[2] then
  call('HSET', KEYS[1], 'made', 1)
  if KEYS[3] then call('SADD', KEYS[3], ARGV[5]) end
  is_new = '1'
end
local n = tonumber(ARGV[6])
local id = 0
if n > 0 then
  id = call('HINCRBY', KEYS[2], 'id', n) - n
  if id < 0 then return redis.error_reply('ERR the numbers of jobs are damaged') end
end
local answer = {fmt('%d', id + 1), is_new}
local jobs, jn, near, ids, idn, place = {}, 0, nil, {}, 0, 0
local lane, key, priority, run_at
local earliest, woken = nil, {}
local function flush_jobs()
  if jn > 0 then
    call('HSET', P .. 'j:' .. near, unpack(jobs, 1, jn))
    jn = 0
  end
end
local function flush_lane()
  if idn > 0 then
    call('RPUSH', P .. 'l:' .. lane, unpack(ids, 1, idn))
    call('HINCRBY', P .. 'n', '0' .. lane, idn)
    woken[#woken + 1] = lane
    idn = 0
  end
end
for i = 7, #ARGV do
  local s = ARGV[i]
  local b = byte(s)
  if b == 48 or b == 49 then
    place = place + 1
    local there = key and call('HGET', P .. 'k', key)
    if there then
      answer[#answer + 1] = place
      answer[#answer + 1] = there
    else
      id = id + 1
      local name = fmt('%d', id)
      -- As home_of.
      local home = sub(name, 1, -4)
      if home ~= near then
        flush_jobs()
        near = home
      end
      jobs[jn + 1], jobs[jn + 2] = name, s
      jn = jn + 2
      if key then call('HSET', P .. 'k', key, name) end
      if run_at then
        call('ZADD', P .. 'd', run_at, fmt('%016d', id))
        call('HINCRBY', P .. 'n', '1' .. lane, 1)
        local at = tonumber(run_at)
        if not earliest or at < earliest then earliest = at end
      elseif priority then
        call('ZADD', P .. 'z:' .. lane, priority, fmt('%016d', id))
        call('HINCRBY', P .. 'n', '0' .. lane, 1)
        if woken[#woken] ~= lane then woken[#woken + 1] = lane end
      else
        idn = idn + 1
        ids[idn] = name
        if idn >= 2000 then flush_lane() end
      end
    end
    key, priority, run_at = nil, nil, nil
  elseif b == 76 then
    flush_lane()
    lane = sub(s, 2)
  elseif b == 75 then key = sub(s, 2)
  elseif b == 80 then priority = sub(s, 2)
  else run_at = sub(s, 2) end
end
flush_jobs()
flush_lane()
call('HSET', answers, seq % 1024, seq .. ' ' .. table.concat(answer, ' '))
if ARGV[4] == '1' then call('EXPIRE', answers, 7200) end
local idle = meta[1]
if #woken > 0 and idle and idle ~= '' and idle ~= client then
  call('HSET', KEYS[1], 'i', '')
  call('PUBLISH', P .. 'r', 'R' .. client .. '\0' .. table.concat(woken, '\0'))
end
if earliest then
  -- Whoever maintains the queue must know of a job that is due before all others.
  local first = call('ZRANGE', P .. 'd', 0, 0, 'WITHSCORES')
  if tonumber(first[2]) >= earliest then call('PUBLISH', P .. 'r', 'D' .. client .. '\0' .. first[2]) end
end
return answer
