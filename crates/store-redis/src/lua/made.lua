return {settle = settle, trim = trim, depart = depart, pop = pop, merge = merge}
end
local made
local function slow()
  if not made then made = make() end
  return made
end
