-- Makes due jobs claimable and takes back what expired. In slices.
-- KEYS  1 m of the queue, 2 the set of queues (absent in a cluster)
-- ARGV  1 client, 2 now, 3 most jobs to promote, 4 error of a lost job
-- Gives {promoted, recovered, '1' if more is to be recovered, next due time or '', how many queues there are or '-1', lanes that
--        are ready or wait while a worker is idle, ids that ended, how many listen to events, how soon the first lease ends of a
--        worker that holds jobs, or ''}
local now, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local D, W, A = P .. 'd', P .. 'w', P .. 'a'
local promoted, recovered, more, dead = 0, 0, '0', {}
if most > 0 then
  local due = call('ZRANGEBYSCORE', D, '-inf', fmt('%d', now), 'LIMIT', 0, most)
  each(due, 500, function(from, to)
    local ids = {}
    for i = from, to do ids[#ids + 1] = fmt('%d', due[i]) end
    local blobs = blobs_of(ids, 1, #ids)
    for i = 1, #ids do
      if blobs[i] then
        local lane = lane_of(blobs[i])
        count('1', lane, -1)
        make_waiting(ids[i], lane, priority_of(blobs[i]))
      end
    end
    call('ZREM', D, unpack(due, from, to))
  end)
  promoted = #due
end
local workers = call('HGETALL', W)
local lost, of, ends = {}, {}, ''
for i = 1, #workers, 2 do
  if tonumber(sub(workers[i + 1], 1, 16)) < now then
    local worker = workers[i]
    local ids = call('SMEMBERS', P .. 'h:' .. worker)
    if #ids == 0 then call('HDEL', W, worker) end
    for _, id in ipairs(ids) do
      lost[#lost + 1] = tonumber(id)
      of[tonumber(id)] = worker
    end
  else
    local left = tonumber(sub(workers[i + 1], 1, 16)) - now + 1
    if (ends == '' or left < ends) and call('EXISTS', P .. 'h:' .. workers[i]) == 1 then ends = left end
  end
end
if #lost > 0 then
  table.sort(lost)
  local last = math.min(#lost, 500)
  for i = 1, last do
    local id, worker = fmt('%d', lost[i]), of[lost[i]]
    local rec, blob = call('HGET', A, id), blob_of(id)
    call('SREM', P .. 'h:' .. worker, id)
    if rec then
      call('HDEL', A, id)
      local lane = sub(rec, 50)
      count('2', lane, -1)
      if blob then
        recovered = recovered + 1
        local claimed = sub(rec, 34, 49)
        if end_cancelled(id, blob, lane, claimed, now) or stall(id, blob, lane, '1', claimed, now, ARGV[4]) == '6' then
          dead[#dead + 1] = id
        end
      end
    end
  end
  if last < #lost then
    more = '1'
  else
    for i = 1, #workers, 2 do
      if tonumber(sub(workers[i + 1], 1, 16)) < now then call('HDEL', W, workers[i]) end
    end
  end
  if #dead > 0 then tell_ends(dead, 0) end
end
local next = call('ZRANGE', D, 0, 0, 'WITHSCORES')
wake(ARGV[1])
local idle = call('HGET', KEYS[1], 'i')
if idle and idle ~= '' then
  -- Behind the notices: a worker that missed one finds its jobs here.
  local counts = call('HGETALL', P .. 'n')
  for i = 1, #counts, 2 do
    if byte(counts[i]) == 48 and tonumber(counts[i + 1]) > 0 then is_ready(sub(counts[i], 2)) end
  end
end
return {promoted, recovered, more, next[2] and fmt('%d', next[2]) or '', KEYS[2] and call('SCARD', KEYS[2]) or -1, ready, dead,
  call('PUBSUB', 'NUMSUB', P .. 'v')[2], ends}
