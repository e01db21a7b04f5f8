-- Forgets a worker; what it holds waits again. In slices.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 worker(16), 3 now, 4 only claims with a higher token(16) than this, and the worker stays; '' for all
-- Gives {'1' if there is more, lanes that are ready}
local worker, now, above = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local H, A = P .. 'h:' .. worker, P .. 'a'
local ids = call('SMEMBERS', H)
local done, ended = 0, {}
for from = 1, #ids, 500 do
  if done >= 500 then break end
  local recs = call('HMGET', A, unpack(ids, from, math.min(from + 499, #ids)))
  for i = 1, #recs do
    local id, rec = ids[from + i - 1], recs[i]
    if not rec then
      call('SREM', H, id)
    elseif above == '' or sub(rec, 1, 16) > above then
      local blob = blob_of(id)
      call('HDEL', A, id)
      call('SREM', H, id)
      local lane = sub(rec, 50)
      count('2', lane, -1)
      if blob and end_cancelled(id, blob, lane, sub(rec, 34, 49), now) then
        ended[#ended + 1] = id
      elseif blob then
        if sub(rec, 33, 33) == '1' and byte(blob) ~= 49 then write_blob(id, '1' .. sub(blob, 2)) end
        make_waiting(id, lane, priority_of(blob))
      end
      done = done + 1
    end
  end
end
local more = done >= 500 and call('EXISTS', H) == 1
if not more and above == '' then call('HDEL', P .. 'w', worker) end
wake(ARGV[1])
if #ended > 0 then tell_ends(ended, 0) end
return {more and '1' or '0', ready}
