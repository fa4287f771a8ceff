-- The daemon's configuration: a Lua file that returns a table; every key has a default.

local error_object = require "bpf.error"
local reference = require "bpf.registry.reference"
local sandbox = require "bpf.sandbox"
local signature_rules = require "bpf.image.signature_rules"
local schema = require "bpfd.schema"

local config = {}

config.default_path = "/etc/bpfd/bpfd.lua"

local INSTRUCTIONS <const> = 1000000

local listener <const> = schema.record {
  path = { schema.absolute_path, required = true },
  group = { schema.text },
  mode = { schema.mode, default = "0660" },
  allow = { schema.list_of(schema.text), default = { "*" } },
}

local interface <const> = schema.record {
  engine = { schema.one_of { "auto", "fuse", "freplace" } },
  xdp_mode = { schema.one_of { "auto", "native", "generic" } },
  tc_end = { schema.one_of { "next", "ok" } },
  tc_attach = { schema.one_of { "auto", "tcx", "clsact" } },
  libxdp = { schema.one_of { "auto", "share", "never" } },
  dispatcher_version = { schema.one_of { 2, 3 } },
}

local interface_defaults <const> = {
  engine = "auto", xdp_mode = "auto", tc_end = "next", tc_attach = "auto",
  libxdp = "auto", dispatcher_version = 2,
}

local registry <const> = schema.map_of(schema.record {
  plain_http = { schema.boolean, default = false },
  ca = { schema.absolute_path },
})

-- A name that no reference has would never be looked up.
local function registries(value, place)
  local checked, complaint = registry(value, place)
  if not checked then return nil, complaint end
  for name in pairs(checked) do
    local read <const> = reference.parse(name .. "/x")
    if not read or read.registry ~= name then
      return nil, ('%s["%s"] is no registry as references name it, HOST or HOST:PORT'):format(
        place, name)
    end
  end
  return checked
end

local signature <const> = schema.record {
  match = { schema.text, required = true },
  require = { schema.one_of { "required", "optional", "off" }, default = "optional" },
  key = { schema.absolute_path },
}

local function signature_rule(value, place)
  local checked, complaint = signature(value, place)
  if not checked then return nil, complaint end
  complaint = signature_rules.complaint(checked)
  if complaint then return nil, ("%s: %s"):format(place, complaint) end
  return checked
end

local whole <const> = schema.record {
  listen = { schema.list_of(listener) },
  interfaces = { schema.map_of(interface), default = {} },
  object_dirs = { schema.list_of(schema.absolute_path), default = { "/run/bpfd/examples" } },
  images = { schema.record {
    size = { schema.size, default = "2GiB" },
    object_size = { schema.size, default = "64MiB" },
    timeout = { schema.duration, default = "30s" },
  }, default = {} },
  registries = { registries, default = {} },
  signatures = { schema.list_of(signature_rule), default = {} },
  policy = { schema.record {
    instructions = { schema.count, default = 1000000 },
    memory = { schema.size, default = "8MiB" },
    time = { schema.duration, default = "50ms" },
  }, default = {} },
  limits = { schema.record {
    request = { schema.size, default = "1MiB" },
    connections = { schema.count, default = 256 },
    idle = { schema.duration, default = "60s" },
  }, default = {} },
  log_level = { schema.one_of { "error", "warning", "info", "debug" }, default = "info" },
}

local methods = {}
methods.__index = methods

--- The settings of one interface: its own, else those of "*", else the defaults.
---@param name string
---@return { engine: string, xdp_mode: string, tc_end: string, tc_attach: string, libxdp: string,
---  dispatcher_version: integer }
function methods:interface(name)
  local result = {}
  local own, every = self.interfaces[name] or {}, self.interfaces["*"] or {}
  for key, default in pairs(interface_defaults) do
    result[key] = own[key] or every[key] or default
  end
  return result
end

local function default_listeners(run_dir)
  return { { path = run_dir .. "/bpfd.sock", group = "bpfd", mode = tonumber("660", 8),
    allow = { "*" }, group_may_lack = true } }
end

--- What a table says, with defaults for the rest.
---@param value table
---@param run_dir string
---@return table? config, bpf.error? err
function config.check(value, run_dir)
  if type(value) ~= "table" then
    return nil, error_object.new { code = "EINVAL", message = "it must return a table" }
  end
  local checked, complaint = whole(value, "")
  if not checked then
    return nil, error_object.new { code = "EINVAL", message = complaint }
  end
  checked.listen = checked.listen or default_listeners(run_dir)
  return setmetatable(checked, methods)
end

--- Reads the configuration. A missing default file is fine, a missing named one is not.
---@param path string?  as named by --config
---@param run_dir string
---@return table? config, bpf.error? err
function config.load(path, run_dir)
  local file <const> = path or config.default_path
  local value, err = sandbox.run(file, { instructions = INSTRUCTIONS })
  if not value and err and err.code == "ENOENT" and not path then value, err = {}, nil end
  if err then return nil, err:because("reading the configuration " .. file) end
  local checked
  checked, err = config.check(value, run_dir)
  if not checked then return nil, err:because("reading the configuration " .. file) end
  checked.directory = file:match "^(.*)/[^/]*$" or "."
  return checked
end

return config
