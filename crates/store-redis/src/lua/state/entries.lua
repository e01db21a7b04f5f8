-- The index entries of a stored document, and where its value begins.
local function entries_of(stored)
  local length = tonumber(sub(stored, 49, 56))
  local from, last, entries = 57, 56 + length, {}
  while from <= last do
    local size = tonumber(sub(stored, from, from + 3))
    local index = sub(stored, from + 4, from + 3 + size)
    from = from + 4 + size
    size = tonumber(sub(stored, from, from + 3))
    entries[#entries + 1] = {index, sub(stored, from + 4, from + 3 + size)}
    from = from + 4 + size
  end
  return entries, from
end
