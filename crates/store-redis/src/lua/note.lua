-- Writes progress and log lines of running jobs.
-- KEYS  1 m of the queue
-- ARGV  1 most log lines of a job; then per note: id, token(16), P and a value, or L, time(16) and a line
-- Gives a string: '1' for each note that was written, '0' for the others
local call, sub = redis.call, string.sub
local P = sub(KEYS[1], 1, -2)
local most = tonumber(ARGV[1])
local answer = {}
for i = 2, #ARGV, 3 do
  local id, token, what = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local rec = call('HGET', P .. 'a', id)
  if rec and sub(rec, 1, 16) == token then
    if sub(rec, 33, 33) ~= '1' then call('HSET', P .. 'a', id, sub(rec, 1, 32) .. '1' .. sub(rec, 34)) end
    if string.byte(what) == 80 then
      call('HSET', P .. 'p', id, sub(what, 2))
    else
      local g = P .. 'g:' .. id
      local last = call('LINDEX', g, -1)
      local seq = last and tonumber(sub(last, 1, 16)) + 1 or 1
      call('RPUSH', g, string.format('%016d', seq) .. sub(what, 2))
      if seq > most then call('LTRIM', g, -most, -1) end
    end
    answer[#answer + 1] = '1'
  else
    answer[#answer + 1] = '0'
  end
end
return table.concat(answer)
