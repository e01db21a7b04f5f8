-- How jobs ended that are hardly kept.
-- KEYS  1 m of the queue
-- ARGV  i and an id, or k and a key, each
-- Gives id and record by turns, nil for each that is not remembered
local call, sub = redis.call, string.sub
local q = sub(KEYS[1], 1, -2) .. 'q'
local answer = {}
for i = 1, #ARGV do
  local id = sub(ARGV[i], 2)
  if sub(ARGV[i], 1, 1) == 'k' then id = call('HGET', q, ARGV[i]) end
  answer[2 * i - 1] = id
  answer[2 * i] = id and call('HGET', q, id)
end
return answer
