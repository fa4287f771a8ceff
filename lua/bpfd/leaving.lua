-- Programs that leave with a change, in its job: marked before the swap, gone after it.

local bpf = require "bpf"
local uv = require "luv"
local tree = require "bpfd.tree"

local leaving = {}

local MOST_WAITED <const> = 2000 * 1000000 -- nanoseconds

--- Before the swap: what is detached and was to leave is not taken for what somebody else has
--- detached.
---@param plan bpfd.change_plan
---@return true?, bpf.error? err
function leaving.mark(plan)
  for _, member in ipairs(plan.drop) do
    local good, err = tree.mark_leaving(plan.dirs, member.id)
    if not good then return nil, err end
  end
  return true
end

--- Where there was no swap: they stay.
---@param plan bpfd.change_plan
function leaving.unmark(plan)
  for _, member in ipairs(plan.drop) do tree.unmark_leaving(plan.dirs, member.id) end
end

-- TCX programs stop at once, others some time after the last pin of their links is gone.
local function unlink(dirs, member)
  local path <const> = dirs:program(member.id) .. "/link"
  local link <close> = member.note.attach.type == "tcx" and bpf.link.open_pin(path) or nil
  local info = link and link:info()
  if info and not info.severed then
    local good, err = link:detach()
    if not good then return nil, err end
  end
  local good, err = bpf.pin.unlink(path)
  if good or err.code == "ENOENT" then return true end
  return nil, err
end

-- Once the kernel has let go of the program nothing of it runs any more. Somebody else may hold it.
local function await_end(id)
  local deadline <const> = uv.hrtime() + MOST_WAITED
  repeat
    local program <close> = bpf.program.open_id(id)
    if not program then return end
    program:close()
    uv.sleep(1)
  until uv.hrtime() > deadline
end

--- After it: takes away what is no member of a chain any more, and all pins.
---@param plan bpfd.change_plan
function leaving.drop(plan)
  local dirs <const> = plan.dirs
  for _, member in ipairs(plan.drop) do
    if not member.hook_name then assert(unlink(dirs, member)) end
  end
  for _, member in ipairs(plan.drop) do
    assert(tree.remove_program(dirs, member.id))
    if member.own_maps then assert(bpf.pin.remove_tree(member.own_maps)) end
    if member.maps then assert(bpf.pin.remove_tree(member.maps)) end
  end
  for _, member in ipairs(plan.drop) do
    if not member.hook_name then await_end(member.id) end
  end
end

return leaving
