-- Pauses a queue, or resumes it.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 '1' to pause, '0' to resume
if ARGV[2] == '1' then
  return done(call('HSET', M, 'p', 1), false, {}, ARGV[1])
end
local changed_to = call('HDEL', M, 'p')
local counts = call('HGETALL', P .. 'n')
for i = 1, #counts, 2 do
  if byte(counts[i]) == 48 and tonumber(counts[i + 1]) > 0 then is_ready(sub(counts[i], 2)) end
end
return done(changed_to, false, {}, ARGV[1])
