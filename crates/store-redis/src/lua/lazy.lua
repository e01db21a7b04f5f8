-- What follows is rarely needed, and made only then.
local function make()
