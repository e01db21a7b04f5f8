-- A delayed job waits now.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 i and an id, or k and a key
local id = resolve(ARGV[2])
local blob = blob_of(id)
if not blob then return refused('none') end
local state = place_of(id, blob)
if state ~= '1' then return refused('state', id, state) end
make_waiting(id, take_out(id, blob, state), priority_of(blob))
return done(1, false, {}, ARGV[1])
