-- Lists chains with their members, also those that somebody else has loaded.

local offers = require "bpfctl.offers"

local list = {
  name = "list",
  summary = "List chains with their members in running order, those of xdp-loader included",
  options = {
    {
      name = "iface", short = "i", kind = "string", complete = offers.interfaces,
      text = "List the chains of this interface",
    },
  },
  draws = function(chains) return require "bpfctl.format.chains"(chains) end,
}

function list.run(session, arguments)
  local result, err = session:call("chain.list", { iface = arguments.iface })
  if not result then return nil, err end
  return result.chains
end

--- With -q: the members' ids.
function list.brief(chains)
  local lines = {}
  for _, chain in ipairs(chains) do
    for _, member in ipairs(chain.members) do lines[#lines + 1] = tostring(member.id) .. "\n" end
  end
  return table.concat(lines)
end

return list
