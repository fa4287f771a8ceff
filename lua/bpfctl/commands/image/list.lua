-- Lists the images that bpfd has.

local list = {
  name = "list",
  summary = "List the bytecode images that bpfd has stored",
  options = {},
  draws = "images",
}

function list.run(session)
  local result, err = session:call("image.list", {})
  return result and result.images, err
end

--- With -q.
function list.brief(images)
  local lines = {}
  for _, image in ipairs(images) do
    local name <const> = type(image.image_url) == "string" and image.image_url or image.digest
    lines[#lines + 1] = name .. "\n"
  end
  return table.concat(lines)
end

return list
