-- What several scripts share. Every key of a queue begins with P: ma:{queue}:
--   m  hash    p paused · i the idle client, * for several · by who uses the queue, * for several · x dead entries in lists
--              · q bytes of what q holds · oc of: ends so far, by family
--              · uc uf: how many of them are gone · gc gf: when the oldest that is kept ended
--   j:n hash   id → job: flag(1) failures(4) stalls(4) priority(4) length of data(4) added(8) policy lane key …
--              n: the id without its last three digits; neighbours come and go together, and one hash of all misses every cache
--   k  hash    key → id
--   n  hash    state digit and lane → how many jobs
--   l:lane     list of ids that wait with priority 0, in the order of adding; x: set of those in a list that wait no more
--   z:lane     zset of the other waiting ids: priority, id in 16 digits
--   d  zset    delayed: time, id in 16 digits
--   a  hash    id → token(16) worker(16) flag(1) claimed(16) lane
--   h:worker   set of the ids that it holds; w: hash worker → lease(16) beat(16) started(16) concurrency(10) name
--   e  hash    id → flag(1) state(1) finished(16) order(16) claimed(16) length of lane(4) lane value
--   f:c f:f    lists of ended ids, oldest first; an entry counts if the job's order is not above its place
--   q  hash    ends that are hardly kept: id → state(1) finished(16) claimed(16) length of the job(4) job without data, value;
--              k and a key → id · q:l list of what is in it, oldest first: id, size, key
--   r p c      hashes id → error of the last attempt, progress, reason of a cancel; g:id list of log lines
-- The flag is 1 where a job has a key or something in r, p, c or g.
local call, sub, byte, fmt = redis.call, string.sub, string.byte, string.format
local P = sub(KEYS[1], 1, -2)
local function pad(n) return fmt('%016d', n) end
local function each(list, step, f)
  for i = 1, #list, step do f(i, math.min(i + step - 1, #list)) end
end
local function u32(s, at) local a, b, c, d = byte(s, at, at + 3) return ((a * 256 + b) * 256 + c) * 256 + d end
local function is_nothing(count, age) return count == 0 or age == 0 end
-- Lanes that got jobs, and what else is to be told at the end.
local ready, ready_set = {}, {}
local function is_ready(lane)
  if not ready_set[lane] then
    ready_set[lane] = true
    ready[#ready + 1] = lane
  end
end
-- Tells idle workers of other processes.
local function wake(client)
  if #ready == 0 then return end
  local idle = call('HGET', P .. 'm', 'i')
  if idle and idle ~= '' and idle ~= client then
    call('HSET', P .. 'm', 'i', '')
    call('PUBLISH', P .. 'r', 'R' .. client .. '\0' .. table.concat(ready, '\0'))
  end
end
local function home_of(id) return P .. 'j:' .. sub(id, 1, -4) end
local function blob_of(id) return call('HGET', home_of(id), id) end
local function write_blob(id, blob) call('HSET', home_of(id), id, blob) end
-- Calls f with the hash of each run of neighbours, and where it begins and ends.
local function by_home(ids, from, to, f)
  if from > to then return end
  local first, near = from, sub(ids[from], 1, -4)
  for i = from + 1, to do
    local next = sub(ids[i], 1, -4)
    if next ~= near then
      f(P .. 'j:' .. near, first, i - 1)
      first, near = i, next
    end
  end
  f(P .. 'j:' .. near, first, to)
end
local function blobs_of(ids, from, to)
  if from == to then return {blob_of(ids[from])} end
  local blobs, n
  by_home(ids, from, to, function(home, first, last)
    local some = call('HMGET', home, unpack(ids, first, last))
    if not blobs then
      blobs, n = some, #some
    else
      for i = 1, #some do blobs[n + i] = some[i] end
      n = n + #some
    end
  end)
  return blobs or {}
end
local function drop_blobs(ids, from, to)
  by_home(ids, from, to, function(home, first, last) call('HDEL', home, unpack(ids, first, last)) end)
end
local function family(state) if state == '3' then return 'c' end return 'f' end
-- Who waits for jobs in other processes is told of their ends. mine: this client listens itself.
local function tell_ends(ids, mine)
  local channel = P .. 'e'
  -- In a cluster who listens may be connected to another server.
  if cluster or call('PUBSUB', 'NUMSUB', channel)[2] > mine then
    each(ids, 500, function(from, to) call('PUBLISH', channel, table.concat(ids, ',', from, to)) end)
  end
end
