-- What a declaration wants against what runs of it: a plan, and nothing of the kernel or the store.

local error_object = require "bpf.error"
local verdict = require "bpf.verdict"
local chain_order = require "bpfd.chain_order"
local program_difference = require "bpfd.program_difference"

local declaration_diff = {}

---@class bpfd.instance    one program of a declaration at one place
---@field label string
---@field name string
---@field digest string    of the object
---@field global table
---@field metadata table
---@field persist boolean
---@field attach table     checked; iface is one interface
---@field map_owner string?
---@field place string     for messages: where it stands in its file

---@class bpfd.declared_row  a program of the declaration that runs
---@field id integer
---@field label string
---@field iface string?    the interface's present name; nil: it is gone, or there is none
---@field has_place boolean  the program is on an interface
---@field note table
---@field map_owner_id integer?
---@field hook string?

---@class bpfd.planned
---@field action "add"|"replace"|"adjust"|"remove"|"keep"  adjust: in place, by a swap alone
---@field label string
---@field iface string?
---@field why string
---@field wanted bpfd.instance?
---@field row bpfd.declared_row?

local function key(label, netns, iface)
  return table.concat({ label, netns or "", iface or "" }, "\0")
end

-- Of two programs of one label at one place, which a killed change may leave, the newer counts.
local function index_of(running)
  local index, doubles = {}, {}
  for _, row in ipairs(running) do
    local at <const> = key(row.label, row.note.attach.netns, row.iface)
    if index[at] then table.insert(doubles, index[at]) end
    index[at] = row
  end
  return index, doubles
end

local function plan_one(wanted, row, options)
  local planned = { label = wanted.label, iface = wanted.attach.iface, wanted = wanted, row = row }
  if not row then
    planned.action, planned.why = "add", options.only and "its interface has come" or "new"
    return planned
  end
  if options.only then
    planned.action, planned.why = "keep", "not looked at"
    return planned
  end
  local reasons, adjustable = program_difference.reasons(wanted, row.note)
  planned.why = table.concat(reasons, ", ")
  if #reasons == 0 then
    planned.action, planned.why = "keep", "unchanged"
  else
    planned.action = adjustable and options.adjust and "adjust" or "replace"
  end
  return planned
end

-- The program whose maps one shares: that of its own interface or, if there is but one, that one.
local function find_owner(planned, by_label)
  local all <const> = by_label[planned.wanted.map_owner] or {}
  local attach <const> = planned.wanted.attach
  for _, other in ipairs(all) do
    local place <const> = other.wanted.attach
    if place.iface and place.iface == attach.iface and place.netns == attach.netns then
      return other
    end
  end
  if #all == 1 then return all[1] end
  return nil, error_object.new { code = #all == 0 and "ENOENT" or "EINVAL",
    message = ('%s: map_owner "%s" runs %s'):format(planned.wanted.place,
      planned.wanted.map_owner, #all == 0 and "on no interface now"
        or "on several interfaces, and not on " .. tostring(attach.iface)) }
end

local comes <const> = { add = true, replace = true }

local function plan_owner(planned, by_label, options)
  local owner, err
  local row <const> = planned.row
  if planned.wanted.map_owner then
    owner, err = find_owner(planned, by_label)
    if not owner and options.absent then -- it waits for its owner, or runs on without
      planned.action = row and "keep" or "wait"
      return true
    end
    if not owner then return nil, err end
    planned.owner = owner
  end
  if not row or planned.action == "replace" or options.only then return true end
  if owner and comes[owner.action] then
    planned.action, planned.why = "replace", ("its map owner %s is loaded anew"):format(owner.label)
  elseif row.map_owner_id ~= (owner and owner.row.id) then
    planned.action, planned.why = "replace", "map_owner"
  end
  return true
end

local function plan_owners(plan, options)
  local by_label = {}
  for _, planned in ipairs(plan) do
    by_label[planned.label] = by_label[planned.label] or {}
    table.insert(by_label[planned.label], planned)
  end
  for _, planned in ipairs(plan) do
    local good, err = plan_owner(planned, by_label, options)
    if not good then return nil, err end
  end
  for at = #plan, 1, -1 do
    if plan[at].action == "wait" then table.remove(plan, at) end
  end
  return true
end

-- Labels of programs that come with an interface: who waited to share their maps comes, too.
local function coming_owners(wanted, index, only)
  local labels = {}
  for _, one in ipairs(only and wanted or {}) do
    local attach <const> = one.attach
    if only[attach.iface] and not index[key(one.label, attach.netns, attach.iface)] then
      labels[one.label] = true
    end
  end
  return labels
end

local function leave(row, labels, options)
  local leaving = { action = "remove", label = row.label, iface = row.iface, row = row }
  if labels[row.label] then
    leaving.why = row.has_place and not row.iface and "its interface is gone"
      or "no longer declared for this place"
  elseif options.prune then
    leaving.why = "no longer in the file"
  else
    leaving.action, leaving.why = "keep", "no longer in the file; --prune removes it"
  end
  return leaving
end

local function plan_leaving(plan, index, doubles, labels, options)
  local left = {}
  for _, planned in ipairs(plan) do
    if planned.row then index[key(planned.label, planned.row.note.attach.netns,
      planned.row.iface)] = nil end
  end
  for _, row in pairs(index) do table.insert(left, leave(row, labels, options)) end
  for _, row in ipairs(doubles) do
    table.insert(left, { action = "remove", label = row.label, iface = row.iface, row = row,
      why = "there is a newer one of its label" })
  end
  table.sort(left, function(a, b) return a.row.id < b.row.id end)
  table.move(left, 1, #left, #plan + 1, plan)
end

-- Equals on one hook run in the file's order; where nothing else of a hook changes, that is one.
local function plan_order(plan, chains)
  local by_hook, changing = {}, {}
  for _, planned in ipairs(plan) do
    local hook <const> = planned.row and planned.row.hook
    if hook then
      changing[hook] = changing[hook] or planned.action ~= "keep"
      by_hook[hook] = by_hook[hook] or {}
      if planned.wanted then table.insert(by_hook[hook], planned) end
    end
  end
  for hook, keeping in pairs(by_hook) do
    local members <const>, put, place = chains(hook), {}, {}
    for i, planned in ipairs(changing[hook] and {} or keeping) do
      local attach <const> = planned.row.note.attach
      put[i] = { id = planned.row.id, priority = attach.priority,
        mask = verdict.encode(attach.type, attach.proceed_on) }
    end
    for at, member in ipairs(chain_order.arrange(members, { drop = {}, put = put })) do
      place[member.id] = at
    end
    for i, planned in ipairs(keeping) do
      local at <const> = put[i] and place[planned.row.id]
      if at and members[at].id ~= planned.row.id then
        planned.action, planned.why = "adjust", "order"
      end
    end
  end
end

--- The plan.
---@param wanted bpfd.instance[]  in the file's order
---@param running bpfd.declared_row[]  by id
---@param options { labels: table<string, boolean>, chains: (fun(hook: string): bpfd.member[]),
---  adjust: boolean, prune: boolean?, absent: boolean?, only: table<string, boolean>? }  labels:
---  all that the file has; adjust: members may change their places in place; absent: who shares
---  maps of one that is not there waits; only: interfaces that have come, nothing else is touched
---@return bpfd.planned[]? plan, bpf.error? err
function declaration_diff.plan(wanted, running, options)
  local plan, index, doubles = {}, index_of(running)
  local coming <const> = coming_owners(wanted, index, options.only)
  for _, one in ipairs(wanted) do
    local row <const> = index[key(one.label, one.attach.netns, one.attach.iface)]
    if row or not options.only or options.only[one.attach.iface] or coming[one.map_owner] then
      table.insert(plan, plan_one(one, row, options))
    end
  end
  local good, err = plan_owners(plan, options)
  if not good then return nil, err end
  if options.only then return plan end
  plan_leaving(plan, index, doubles, options.labels, options)
  plan_order(plan, options.chains)
  return plan
end

return declaration_diff
