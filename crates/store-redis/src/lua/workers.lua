-- The workers of a queue.
-- KEYS  1 m of the queue
-- Gives worker, what is known of it, and how many jobs it holds, by turns
local call = redis.call
local P = string.sub(KEYS[1], 1, -2)
local known, answer = call('HGETALL', P .. 'w'), {}
for i = 1, #known, 2 do
  answer[#answer + 1] = known[i]
  answer[#answer + 1] = known[i + 1]
  answer[#answer + 1] = call('SCARD', P .. 'h:' .. known[i])
end
return answer
