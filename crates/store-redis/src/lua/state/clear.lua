-- Takes everything from a namespace at once; sweeps remove it.
-- KEYS  1 m of the namespace, 2 the names of namespaces, 3 those to be swept (both absent in a cluster)
-- ARGV  1 namespace
-- Gives '1' if it was in use
if call('HDEL', KEYS[1], 'u') == 0 then return '0' end
call('RPUSH', P .. 't', 'g' .. generation())
call('HINCRBY', KEYS[1], 'g', 1)
call('HSET', KEYS[1], 's', 1)
if KEYS[2] then
  call('ZREM', KEYS[2], ARGV[1])
  call('SADD', KEYS[3], ARGV[1])
end
return '1'
