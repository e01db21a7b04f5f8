-- Looks jobs up.
-- KEYS  1 m of the queue
-- ARGV  i and an id, or k and a key, each
-- Gives a view or nil for each
local ids = {}
for i = 1, #ARGV do ids[i] = resolve(ARGV[i]) end
return views(ids)
