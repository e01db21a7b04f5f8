-- Removes what waits, up to a slice.
-- KEYS  1 m of the queue
-- ARGV  1 client, 2 '1' to remove what is delayed too, 3 size of the slice
local most = tonumber(ARGV[3])
local ended = drain_waiting(most)
if ARGV[2] == '1' and #ended < most then
  for _, id in ipairs(drain_delayed(most - #ended)) do ended[#ended + 1] = id end
end
forget_all(ended)
return done(#ended, #ended == most, ended, ARGV[1])
