-- Removes what expired, was forgotten or cleared.
-- KEYS  1 m of the namespace, 2 those to be swept (absent in a cluster)
-- ARGV  1 now, 2 limit, 3 namespace
-- Gives {removed, next time or '', '1' if nothing is left to be swept ever}
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local removed = 0
local x, trash = Q .. 'x', P .. 't'
for _, member in ipairs(call('ZRANGEBYSCORE', x, '-inf', fmt('%d', now), 'LIMIT', 0, limit)) do
  local what, name = sub(member, 1, 1), sub(member, 2)
  if what == 'l' then
    local e = Q .. 'e:' .. name
    if call('EXISTS', e) == 1 then
      local revision = call('HINCRBY', KEYS[1], 'r', 1)
      local old = P .. 'z:' .. fmt('%d', revision) .. ':' .. name
      call('RENAME', e, old)
      call('RPUSH', trash, 'k' .. old)
    end
    call('HDEL', Q .. 'g', name)
    call('ZREM', Q .. 'l', name)
  else
    local at = string.find(name, '\0', 1, true)
    -- A collection's name may hold a NUL: the right cut is the one at which there is something.
    while at do
      local collection, key = sub(name, 1, at - 1), sub(name, at + 1)
      if what == 'd' then
        local stored = call('HGET', Q .. 'd:' .. collection, key)
        if stored and not is_live(sub(stored, 33, 48), now) then
          for _, entry in ipairs(entries_of(stored)) do
            call('ZREM', Q .. 'i:' .. collection .. '\0' .. entry[1], entry[2] .. '\0' .. key)
          end
          call('HDEL', Q .. 'd:' .. collection, key)
          call('ZREM', Q .. 'k:' .. collection, key)
        end
      else
        local stored = call('HGET', Q .. 'n:' .. collection, key)
        if stored and not is_live(sub(stored, 1, 16), now) then
          call('HDEL', Q .. 'n:' .. collection, key)
          call('ZREM', Q .. 'o:' .. collection, key)
        end
      end
      at = string.find(name, '\0', at + 1, true)
    end
  end
  call('ZREM', x, member)
  removed = removed + 1
end
while removed < limit do
  local item = call('LINDEX', trash, 0)
  if not item then break end
  local name = sub(item, 2)
  if sub(item, 1, 1) == 'k' then
    call('UNLINK', name)
    call('LPOP', trash)
    removed = removed + 1
  else
    -- What was cleared goes key by key; each is freed behind the back of others.
    local O = P .. name .. ':'
    local log = call('ZPOPMIN', O .. 'l')[1]
    local collection = not log and call('ZPOPMIN', O .. 'c')[1]
    if log then
      call('UNLINK', O .. 'e:' .. log)
    elseif collection then
      for _, index in ipairs(call('SMEMBERS', O .. 'j:' .. collection)) do call('UNLINK', O .. 'i:' .. collection .. '\0' .. index) end
      for _, kind in ipairs({'d:', 'k:', 'j:', 'n:', 'o:'}) do call('UNLINK', O .. kind .. collection) end
    else
      call('UNLINK', O .. 'g', O .. 'x')
      call('LPOP', trash)
    end
    removed = removed + 1
  end
end
local next = call('ZRANGE', x, 0, 0, 'WITHSCORES')
local idle = '0'
if not next[1] and call('EXISTS', trash) == 0 then
  idle = '1'
  call('HDEL', KEYS[1], 's')
  if KEYS[2] then call('SREM', KEYS[2], ARGV[3]) end
end
return {removed, next[2] and fmt('%d', next[2]) or '', idle}
