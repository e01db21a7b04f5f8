-- Removes a queue with everything in it, up to a slice.
-- KEYS  1 m of the queue, 2 the set of queues (absent in a cluster)
-- ARGV  1 client, 2 '1' also if jobs run, 3 size of the slice, 4 queue
local most = tonumber(ARGV[3])
local active = call('HLEN', A)
if active > 0 and ARGV[2] ~= '1' then return refused('active') end
local ended = {}
if active > 0 then
  -- A cursor has no end that a slice could rely on: the workers know what runs.
  for _, worker in ipairs(call('HKEYS', P .. 'w')) do
    if #ended < most then
      local ids = call('SPOP', P .. 'h:' .. worker, most - #ended)
      for _, id in ipairs(ids) do
        local rec = call('HGET', A, id)
        if rec then
          call('HDEL', A, id)
          count('2', sub(rec, 50), -1)
          ended[#ended + 1] = id
        end
      end
    end
  end
end
if #ended < most then
  for _, id in ipairs(drain_waiting(most - #ended)) do ended[#ended + 1] = id end
end
if #ended < most then
  for _, id in ipairs(drain_delayed(most - #ended)) do ended[#ended + 1] = id end
end
for _, fam in ipairs({'c', 'f'}) do
  local f = P .. 'f:' .. fam
  while #ended < most do
    local ids = call('LPOP', f, most - #ended)
    if not ids then break end
    local ends = call('HMGET', E, unpack(ids))
    for i = 1, #ids do
      if ends[i] and family(sub(ends[i], 2, 2)) == fam and call('HEXISTS', E, ids[i]) == 1 then
        take_end(ids[i], ends[i])
        ended[#ended + 1] = ids[i]
      end
    end
  end
end
forget_all(ended)
local more = #ended == most
if not more then
  for _, name in ipairs({'k', 'n', 'x', 'd', 'a', 'e', 'f:c', 'f:f', 'r', 'p', 'c', 'q', 'q:l'}) do call('UNLINK', P .. name) end
  if KEYS[2] then call('SREM', KEYS[2], ARGV[4]) end
  -- The orders of ends begin anew with the lists.
  local idle, by = unpack(call('HMGET', M, 'i', 'by'))
  call('DEL', M)
  if idle then call('HSET', M, 'i', idle) end
  if by then call('HSET', M, 'by', by) end
end
return done(#ended, more, ended, ARGV[1])
