-- Reads of items, ids drawn evenly from 1 to a number. Arguments: seed, number of keys.
require("report")

local keys

function init(arguments)
  math.randomseed(tonumber(arguments[1]))
  keys = tonumber(arguments[2])
end

function request()
  return wrk.format("GET", "/items/" .. math.random(keys))
end
