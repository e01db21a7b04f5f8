-- Removes a job that does not run.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 i and an id, or k and a key
local id = resolve(ARGV[2])
local blob = blob_of(id)
if not blob then return refused('none') end
local state, rec = place_of(id, blob)
if state == '2' then return refused('state', id, state) end
if state < '2' then take_out(id, blob, state) else take_end(id, rec) end
forget_all({id})
return done(1, false, {id}, ARGV[1])
