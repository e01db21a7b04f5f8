-- Ends a job that waits as cancelled; asks the worker of one that runs.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 i and an id, or k and a key, 3 the error, 4 now
local id = resolve(ARGV[2])
local blob = blob_of(id)
if not blob then return refused('none') end
local state, rec = place_of(id, blob)
local now = tonumber(ARGV[4])
if state > '2' then return done(0, false, {}, ARGV[1]) end
if state == '2' then
  call('HSETNX', P .. 'c', id, ARGV[3])
  if sub(rec, 33, 33) ~= '1' then call('HSET', A, id, sub(rec, 1, 32) .. '1' .. sub(rec, 34)) end
  -- Its worker may be in another process.
  call('PUBLISH', P .. 'r', 'C' .. ARGV[1] .. '\0')
  return done(1, false, {}, ARGV[1])
end
local lane = take_out(id, blob, state)
local _, keep_count, keep_age = fail_policy(blob)
if end_one(id, '5', lane, '1', now, NEVER, ARGV[3], keep_count, keep_age) then
  trim('f', keep_count, keep_age, now, 102)
end
return done(1, false, {id}, ARGV[1])
