-- Log lines of a job.
-- KEYS  1 m of the queue
-- ARGV  1 i and an id, or k and a key; 2 the number before the first; 3 how many
-- Gives nil if there is no such job, else the lines: number(16) time(16) text
local id = resolve(ARGV[1])
if call('HEXISTS', home_of(id), id) == 0 then return false end
local g = P .. 'g:' .. id
local first = call('LINDEX', g, 0)
if not first then return {} end
local from = math.max(tonumber(ARGV[2]) + 1 - tonumber(sub(first, 1, 16)), 0)
return call('LRANGE', g, fmt('%d', from), fmt('%d', from + tonumber(ARGV[3]) - 1))
