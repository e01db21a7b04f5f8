-- An ended job waits again, as if it were new.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 i and an id, or k and a key
local id = resolve(ARGV[2])
local blob = blob_of(id)
if not blob then return refused('none') end
local state, rec = place_of(id, blob)
if state < '3' then return refused('state', id, state) end
local lane = take_end(id, rec)
write_blob(id, (sub(rec, 1, 1) == '1' and '1' or sub(blob, 1, 1)) .. struct.pack('>I4I4', 0, 0) .. sub(blob, 10))
call('HDEL', P .. 'r', id)
call('HDEL', P .. 'q', id)
make_waiting(id, lane, priority_of(blob))
return done(1, false, {}, ARGV[1])
