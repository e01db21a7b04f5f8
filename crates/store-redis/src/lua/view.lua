-- Jobs as they are shown: {id, state, blob, record of the end or of the claim, due time, error, progress}; false where there is none.
local STATE_OF = {}
local function views(ids)
  local answer = {}
  each(ids, 500, function(from, to)
    local blobs = blobs_of(ids, from, to)
    local active = call('HMGET', P .. 'a', unpack(ids, from, to))
    local ends = call('HMGET', P .. 'e', unpack(ids, from, to))
    for i = 1, #blobs do
      local id, blob = ids[from + i - 1], blobs[i]
      if not blob then
        answer[#answer + 1] = false
      else
        local state, rec, run_at, error, progress = '0', '', '', '', ''
        if active[i] then state, rec = '2', active[i]
        elseif ends[i] then state, rec = sub(ends[i], 2, 2), ends[i]
        else
          local score = call('ZSCORE', P .. 'd', pad(id))
          if score then state, run_at = '1', fmt('%d', score) end
        end
        if byte(blob) == 49 or (active[i] and byte(rec, 33) == 49) or (ends[i] and byte(rec, 1) == 49) then
          error = call('HGET', P .. 'r', id) or ''
          progress = call('HGET', P .. 'p', id) or ''
        end
        answer[#answer + 1] = {id, state, blob, rec, run_at, error, progress}
      end
    end
  end)
  return answer
end
local function resolve(ref)
  if byte(ref) == 105 then return sub(ref, 2) end
  return call('HGET', P .. 'k', sub(ref, 2)) or '0'
end
