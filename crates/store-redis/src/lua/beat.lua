-- Registers a worker or extends its lease.
-- KEYS  1 m of the queue
-- ARGV  1 worker(16), 2 what is known of it: lease(16) beat(16) started(16) concurrency(10) name
-- Gives {id and token of each job that it holds, by turns; id and reason of those to be cancelled}
local call, sub = redis.call, string.sub
local P = sub(KEYS[1], 1, -2)
call('HSET', P .. 'w', ARGV[1], ARGV[2])
local ids = call('SMEMBERS', P .. 'h:' .. ARGV[1])
local held, cancelled = {}, {}
local any = call('EXISTS', P .. 'c') == 1
for from = 1, #ids, 2000 do
  local to = math.min(from + 1999, #ids)
  local recs = call('HMGET', P .. 'a', unpack(ids, from, to))
  local reasons = any and call('HMGET', P .. 'c', unpack(ids, from, to))
  for i = from, to do
    local rec = recs[i - from + 1]
    if rec then
      held[#held + 1] = ids[i]
      held[#held + 1] = sub(rec, 1, 16)
      if reasons and reasons[i - from + 1] then
        cancelled[#cancelled + 1] = ids[i]
        cancelled[#cancelled + 1] = reasons[i - from + 1]
      end
    end
  end
end
return {held, cancelled}
