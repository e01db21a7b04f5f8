-- A process that has begun to listen wants to hear of the next jobs.
-- KEYS  1 m of the queue
-- ARGV  1 client
local idle = redis.call('HGET', KEYS[1], 'i')
if idle ~= ARGV[1] and idle ~= '*' then
  local all = idle and idle ~= ''
  redis.call('HSET', KEYS[1], 'i', all and '*' or ARGV[1])
end
return 1
