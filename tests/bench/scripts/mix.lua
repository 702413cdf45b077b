-- 80% read, 8% create, 8% change, 4% delete. Arguments: seed, number of seeded items, token.
--
-- What is read follows Zipf's law with exponent 1 over the seeded items (floor(n ^ u) for u even in [0, 1)), spread over
-- the ids by a stride; what is changed is drawn evenly. Deleted are items that this run has created, so that no read is
-- of an item that is gone and every answer is a success. The same seed gives the same stream.
require("report")

local STRIDE = 61813  -- has no factor in common with 100,000: every rank is another id
local items, headers
local created, first, last = {}, 1, 0
local number = 0

function init(arguments)
  math.randomseed(tonumber(arguments[1]))
  items = tonumber(arguments[2])
  headers = {["Authorization"] = "Bearer " .. arguments[3], ["Content-Type"] = "application/json"}
end

local function create()
  number = number + 1
  local body = string.format(
    '{"name":"copper kettle %d","description":"Made under load.","category":"kitchen/new","price_cents":%d,"stock":%d}',
    number, math.random(100, 20000), math.random(1, 1000))
  return wrk.format("POST", "/items", headers, body)
end

function request()
  local kind = math.random(100)
  if kind <= 80 then
    local rank = math.floor(items ^ math.random())
    return wrk.format("GET", "/items/" .. (rank * STRIDE % items + 1))
  elseif kind <= 88 then
    return create()
  elseif kind <= 96 then
    local body = string.format('{"price_cents":%d}', math.random(100, 20000))
    return wrk.format("PATCH", "/items/" .. math.random(items), headers, body)
  elseif first > last then
    return create()  -- nothing to delete yet
  end
  local id = created[first]
  created[first] = nil
  first = first + 1
  return wrk.format("DELETE", "/items/" .. id, headers)
end

function response(status, answer_headers, body)
  if status == 201 then
    last = last + 1
    created[last] = body:match('"id":%s*(%d+)')
  end
end
