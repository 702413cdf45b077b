-- Every item from 1 to a number in turn, again and again: fills a cache. Arguments: number of keys.
require("report")

local keys
local at = 0

function init(arguments)
  keys = tonumber(arguments[1])
end

function request()
  at = at % keys + 1
  return wrk.format("GET", "/items/" .. at)
end
