-- What bpfctl has to print, by the rules of its output and the kernel's word: specs compare bytes.
local bpf = require "bpf"

local expected = {}

local function section(title, rows)
  local longest = 0
  for _, row in ipairs(rows) do longest = math.max(longest, #row[1] + 1) end
  local lines = { " " .. title, ("-"):rep(longest + 2) }
  for _, row in ipairs(rows) do
    local label = row[1] .. ":"
    for value in (row[2] .. "\n"):gmatch "([^\n]*)\n" do
      lines[#lines + 1] = (" %s%s  %s"):format(label, (" "):rep(longest - #label), value)
      label = ""
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

---The maps of a program, less the one in which bpfd keeps its own record of it.
local function users_maps(map_ids, record_pin)
  local record <close> = bpf.map.open_pin(record_pin)
  local own, ids = record and record:info().id, {}
  for _, id in ipairs(map_ids) do
    if id ~= own then ids[#ids + 1] = id end
  end
  table.sort(ids)
  return ids
end

---@param daemon table
---@param id string|integer
---@param name string
---@param type_name string   the word it was loaded with
---@param loaded_at string   as `list` shows it
function expected.kernel_state(daemon, id, name, type_name, loaded_at)
  local program <close> = assert(bpf.program.open_id(math.tointeger(id)))
  local info = assert(program:info())
  local map_ids = users_maps(info.map_ids, ("%s/fs/programs/%s/record"):format(daemon.run_dir, id))
  return section("Kernel State", {
    { "ID", tostring(id) }, { "Name", name }, { "Type", type_name }, { "Loaded At", loaded_at },
    { "Tag", info.tag }, { "GPL Compatible", tostring(info.gpl_compatible) },
    { "Map IDs", ("[%s]"):format(table.concat(map_ids, ", ")) },
    { "BTF ID", tostring(info.btf_id) }, { "Size Translated (bytes)", tostring(info.bytes_xlated) },
    { "JITed", tostring(info.jited) }, { "Size JITed (bytes)", tostring(info.bytes_jited) },
    { "Kernel Allocated Memory (bytes)", tostring(info.bytes_memlock) },
    { "Verified Instruction Count", tostring(info.verified_insns) },
  })
end

---@param rows string[][]  {label, value} pairs; a value's further lines are separate rows of it
function expected.bpfd_state(rows)
  return section("Bpfd State", rows)
end

---A `Bpfd State` of which only what differs from the defaults is given.
---@param program {name: string, path: string, global: string?, metadata: string?, maps: string?,
---  owner: string?, used_by: string?}
---@param attach string[][]  the rows of its type
function expected.loaded(program, attach)
  local rows = {
    { "Name", program.name }, { "Path", program.path }, { "Global", program.global or "None" },
    { "Metadata", program.metadata or "None" }, { "Map Pin Path", program.maps or "None" },
    { "Map Owner ID", program.owner or "None" }, { "Map Used By", program.used_by or "None" },
  }
  return section("Bpfd State", table.move(attach, 1, #attach, #rows + 1, rows))
end

---What `list` prints.
---@param programs string[][]  {id, name, type, load time} in the order of ids
function expected.list(programs)
  local all, widths = { { "Program ID", "Name", "Type", "Load Time" } }, { 0, 0, 0 }
  table.move(programs, 1, #programs, 2, all)
  for _, row in ipairs(all) do
    for column = 1, 3 do widths[column] = math.max(widths[column], #tostring(row[column])) end
  end
  local lines = {}
  for i, row in ipairs(all) do
    local line = ""
    for column = 1, 3 do
      line = line .. ("%-" .. widths[column] .. "s  "):format(row[column])
    end
    lines[i] = " " .. line .. row[4] .. "\n"
  end
  return table.concat(lines)
end

return expected
