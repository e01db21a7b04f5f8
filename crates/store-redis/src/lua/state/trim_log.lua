-- Removes the oldest entries of a log.
-- KEYS  1 m of the namespace
-- ARGV  1 now, 2 log, 3 n newest, t through or b before, 4 its number, 5 limit
-- Gives {removed, '1' if there is more}
local now, limit, number = tonumber(ARGV[1]), tonumber(ARGV[5]), tonumber(ARGV[4])
local record = call('HGET', Q .. 'g', ARGV[2])
if not record or not is_live(sub(record, 49, 64), now) then return {0, '0'} end
local first, last = tonumber(sub(record, 17, 32)), tonumber(sub(record, 33, 48))
local e = Q .. 'e:' .. ARGV[2]
local stays_from
if ARGV[3] == 'n' then stays_from = last + 1 - number
elseif ARGV[3] == 't' then stays_from = number + 1
else
  stays_from = first
  -- One more than may be removed tells whether there is more to do.
  while stays_from - first <= limit do
    local entries = call('LRANGE', e, stays_from - first, stays_from - first + 99)
    local stop = #entries == 0
    for i = 1, #entries do
      if tonumber(sub(entries[i], 1, 16)) >= number then
        stop = true
        break
      end
      stays_from = stays_from + 1
    end
    if stop then break end
  end
end
local surplus = math.max(math.min(stays_from, last + 1), first) - first
local removed = math.min(surplus, limit)
if removed > 0 then
  call('LPOP', e, removed)
  call('HSET', Q .. 'g', ARGV[2], sub(record, 1, 16) .. pad(first + removed) .. sub(record, 33))
end
return {removed, removed < surplus and '1' or '0'}
