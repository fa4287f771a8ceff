-- What an apply has changed or would change, and in one line what that comes to.

local columns_of = require "bpfctl.format.columns"
local json = require "bpf.json"
local printable = require "bpfctl.printable"

local titles <const> = { "Action", "Label", "Iface", "Program ID", "Why" }

-- In the order of the last line; done, and would be done.
local actions <const> = {
  { "add", "added", "to add" }, { "replace", "replaced", "to replace" },
  { "adjust", "adjusted", "to adjust" }, { "remove", "removed", "to remove" },
  { "keep", "unchanged", "unchanged" },
}

local function shown(value)
  if value == nil or value == json.null then return "" end
  return printable(tostring(value))
end

local function summary(applied)
  local counts, words, changing = {}, {}, false
  for _, change in ipairs(applied.changes) do
    counts[change.action] = (counts[change.action] or 0) + 1
    changing = changing or change.action ~= "keep"
  end
  if not changing then return "nothing to change" end
  for _, action in ipairs(actions) do
    local count <const> = counts[action[1]]
    if count then
      words[#words + 1] = ("%d %s"):format(count, applied.dry_run and action[3] or action[2])
    end
  end
  return table.concat(words, ", ")
end

---@param applied { name: string, dry_run: boolean, changes: table[] }
---@param style bpfctl.style
---@return string
return function(applied, style)
  local rows = {}
  for i, change in ipairs(applied.changes) do
    rows[i] = { shown(change.action), shown(change.label), shown(change.iface), shown(change.id),
      shown(change.why) }
  end
  return columns_of(titles, rows, { width = style.width, folded = { 5 } })
    .. ("%s: %s\n"):format(printable(applied.name), summary(applied))
end
