-- The labels of bytecode images: which programs and maps an image says that it has.

local error_object = require "bpf.error"
local json = require "bpf.json"
local sorted_keys = require "bpf.sorted_keys"

local labels = {}

-- Of images with one program, and of those with any number.
local TYPE <const>, FILE <const> = "io.ebpf.program_type", "io.ebpf.filename"
local TITLE <const>, FUNCTION <const> = "io.ebpf.program_name", "io.ebpf.bpf_function_name"
local PROGRAMS <const>, MAPS <const> = "io.ebpf.programs", "io.ebpf.maps"

---@class bpf.image.labels
---@field programs table<string, string>   name -> type; empty where no label names one
---@field maps table<string, string>       name -> type
---@field filename string?                 of the object in the layer
---@field title string?                    what the author calls it

local function refuse(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- {"NAME":"TYPE", ...} -> the same as a table
local function read_names(text, label)
  local value, err = json.decode(text)
  if err then return refuse("EBADMSG", ("its label %s is %s"):format(label, err.message)) end
  if type(value) ~= "table" then
    return refuse("EBADMSG", ("its label %s is no JSON object of names and types"):format(label))
  end
  for name, kind in pairs(value) do
    if type(name) ~= "string" or name == "" or name:find "[%z/]" or type(kind) ~= "string" then
      return refuse("EBADMSG",
        ("its label %s is no JSON object of names and types"):format(label))
    end
  end
  return value
end

--- Reads either form; where both are there, the newer decides.
---@param set table<string, string>  of the image's configuration
---@return bpf.image.labels?
---@return bpf.error?
function labels.read(set)
  local err
  local found = { programs = {}, maps = {}, filename = set[FILE], title = set[TITLE] }
  if set[PROGRAMS] then
    found.programs, err = read_names(set[PROGRAMS], PROGRAMS)
    if not found.programs then return nil, err end
  elseif set[FUNCTION] and set[FUNCTION] ~= "" then
    found.programs[set[FUNCTION]] = set[TYPE] or ""
  end
  if set[MAPS] then
    found.maps, err = read_names(set[MAPS], MAPS)
    if not found.maps then return nil, err end
  end
  return found
end

--- The labels of a new image: the older form too where one program allows it, for older readers.
---@param contents { programs: table<string, string>, maps: table<string, string>,
---  filename: string }
---@return table<string, string>
function labels.write(contents)
  local function names(set) return json.encode(json.object(set), { sorted = true }) end
  local set = { [PROGRAMS] = names(contents.programs), [MAPS] = names(contents.maps),
    [FILE] = contents.filename }
  local name <const>, kind <const> = next(contents.programs)
  if name and next(contents.programs, name) == nil then
    set[FUNCTION], set[TYPE], set[TITLE] = name, kind, name
  end
  return set
end

--- The program to load where the user names none.
---@param found bpf.image.labels
---@return string? name
---@return bpf.error?
function labels.only_program(found)
  local names <const> = sorted_keys(found.programs)
  if #names == 1 then return names[1] end
  if #names == 0 then
    return refuse("EINVAL", "no label of it names a program", "name one with --name")
  end
  return refuse("EINVAL", ("it has %d programs: %s"):format(#names, table.concat(names, ", ")),
    "choose one with --name")
end

--- Which of a layer's objects is the image's.
---@generic T: { path: string }
---@param objects T[]
---@param filename string?  as the label has it
---@return T?
---@return bpf.error?
function labels.only_object(objects, filename)
  if #objects == 1 then return objects[1] end
  if #objects == 0 then
    return refuse("EBADMSG", "it has no eBPF layer: no eBPF object is in its layer")
  end
  local paths = {}
  for place, object in ipairs(objects) do
    local path <const> = object.path:gsub("^%./", "")
    if filename and (path == filename or path == filename:gsub("^%.?/", "")) then return object end
    paths[place] = path
  end
  table.sort(paths)
  return refuse("EBADMSG", ("it has %d eBPF objects where one was expected: %s"):format(#objects,
    table.concat(paths, ", ")))
end

return labels
