-- A process that has begun to listen wants to hear of the next jobs.
-- KEYS  1 m of the queue
-- ARGV  1 client
local known = redis.call('HMGET', KEYS[1], 'i', 'by')
local idle, by = known[1], known[2]
if by ~= ARGV[1] and by ~= '*' then redis.call('HSET', KEYS[1], 'by', by and '*' or ARGV[1]) end
if idle ~= ARGV[1] and idle ~= '*' then
  local all = idle and idle ~= ''
  redis.call('HSET', KEYS[1], 'i', all and '*' or ARGV[1])
end
return 1
