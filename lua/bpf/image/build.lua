-- Makes bytecode images out of object files: the same files give the same bytes at any time.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local object_file = require "bpf.object"
local catalog = require "bpf.image.catalog"
local labels = require "bpf.image.labels"
local layer = require "bpf.image.layer"
local stored = require "bpf.image.stored"
local media_types = require "bpf.registry.media_types"
local platform = require "bpf.registry.platform"

local build = {}

local TAR_BLOCK <const> = 512
local ATTEMPTS <const> = 3 -- somebody may prune meanwhile
local LONGEST_NAME <const> = 100 -- of a file in the plainest tar

-- Names that compilers and people give architectures, as image indexes call them.
local architectures <const> = {
  amd64 = "amd64", x86_64 = "amd64", x86 = "amd64", arm64 = "arm64", aarch64 = "arm64",
  arm = "arm", ["386"] = "386", ppc64le = "ppc64le", powerpc = "ppc64le", s390x = "s390x",
  s390 = "s390x", riscv64 = "riscv64", riscv = "riscv64", mips64le = "mips64le",
  loong64 = "loong64", loongarch64 = "loong64",
}

local function refuse(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

local function base_name(path) return path:match "[^/]*$" end

--- The architecture that a word means.
---@param word string
---@return string?
function build.architecture(word) return architectures[word:lower()] end

--- The architecture that a file name tells of, as those of bpf2go do: counter_bpfel_x86.o.
---@param path string
---@return string?
function build.architecture_of(path)
  local found
  for word in base_name(path):gsub("%.o$", ""):gmatch "[%w]+" do
    found = architectures[word:lower()] or found
  end
  if base_name(path):find "x86_64" then return "amd64" end
  return found
end

-- Sections of one type by which programs are told apart.
local by_section <const> = {
  "kprobe", "kretprobe", "uprobe", "uretprobe", "fentry", "fexit", "xdp", "tcx", "tc",
}

local function type_of(program)
  for _, prefix in ipairs(by_section) do
    local rest <const> = program.section:match("^" .. prefix .. "(.*)$")
    if rest and not rest:find "^%w" then return prefix end
  end
  return program.type or "unspec"
end

--- What the labels of an image with this object say, by its ELF file.
---@param path string
---@return { programs: table<string, string>, maps: table<string, string>, filename: string }?
---@return bpf.error?
function build.contents(path)
  local object <close>, err = object_file.open(path)
  if not object then return nil, err end
  local contents = { programs = {}, maps = {}, filename = base_name(path) }
  for name, program in pairs(object.programs) do contents.programs[name] = type_of(program) end
  for name, map in pairs(object.maps) do
    if not map.is_data_section then contents.maps[name] = map.type end
  end
  if next(contents.programs) == nil then
    return refuse(path .. " has no eBPF program")
  end
  return contents
end

local function octal(number, digits) return ("%0" .. digits .. "o\0"):format(number) end

-- A tar archive with one file, owned by root, of no time.
local function tar(name, bytes)
  local function header(sum)
    return table.concat {
      name, ("\0"):rep(LONGEST_NAME - #name), octal(420, 7), octal(0, 7), octal(0, 7),
      octal(#bytes, 11), octal(0, 11), sum, "0", ("\0"):rep(100), "ustar\0", "00", ("\0"):rep(247),
    }
  end
  local sum = 0
  for character in header((" "):rep(8)):gmatch "." do sum = sum + character:byte() end
  return header(("%06o\0 "):format(sum)) .. bytes
    .. ("\0"):rep(-#bytes % TAR_BLOCK + 2 * TAR_BLOCK)
end

local function compress(store, archive)
  local path <const> = os.tmpname()
  local written <close>, err = core.system.open(path, "rw")
  os.remove(path)
  if not written then return nil, err end
  local good
  local plain <close> = assert(core.system.seal(archive, #archive, "layer"))
  local from <close> = assert(core.system.open("/proc/self/fd/" .. plain:fd()))
  good, err = core.layer.compress(from, written)
  if not good then return nil, err end
  local digest
  digest, err = store:put_file(written)
  if not digest then return nil, err end
  return digest, core.system.facts(written).size
end

local function read_file(path)
  local file <close>, why = io.open(path, "rb")
  if not file then return refuse(why) end
  local bytes <const> = file:read(stored.object_size + 1)
  if not bytes then return refuse(path .. " is no object file: it is empty") end
  if #bytes > stored.object_size then
    return refuse(("%s is larger than %d bytes"):format(path, stored.object_size))
  end
  return bytes
end

local function put_layer(store, path)
  local name <const> = base_name(path)
  if #name > LONGEST_NAME then return refuse(name .. " is too long for the name of a file") end
  local bytes, err = read_file(path)
  if not bytes then return nil, err end
  local archive <const> = tar(name, bytes)
  local digest, size = compress(store, archive)
  if not digest then return nil, size end
  return { mediaType = layer.media_type, digest = digest, size = size }, store.digest_of(archive)
end

local function digests_of(...)
  local digests = {}
  for place, descriptor in ipairs { ... } do digests[place] = descriptor.digest end
  return digests
end

local function put_json(store, media_type, value)
  local text <const> = json.encode(value, { sorted = true })
  local digest, err = store:put(text)
  if not digest then return nil, err end
  return { mediaType = media_type, digest = digest, size = #text }
end

---@class bpf.image.part
---@field path string            of the object file
---@field architecture string?   as image indexes call it; this machine's when left out
---@field types table<string, string>?  of programs whose section does not tell

-- One image: its layer, its configuration and its manifest. The manifest's descriptor, and the
-- digests of all.
local function put_image(store, part)
  local contents, err = build.contents(part.path)
  if not contents then return nil, err end
  for name, kind in pairs(part.types or {}) do
    if not contents.programs[name] then
      return refuse(("there is no program %s in %s"):format(name, part.path))
    end
    contents.programs[name] = kind
  end
  local packed, plain_digest = put_layer(store, part.path)
  if not packed then return nil, plain_digest end
  local config
  config, err = put_json(store, media_types.config, {
    architecture = part.architecture or platform.mine().architecture, os = "linux",
    config = { Labels = json.object(labels.write(contents)) },
    rootfs = { type = "layers", diff_ids = { plain_digest } },
  })
  if not config then return nil, err end
  local descriptor
  descriptor, err = put_json(store, media_types.manifest, {
    schemaVersion = 2, mediaType = media_types.manifest, config = config, layers = { packed },
  })
  if not descriptor then return nil, err end
  return descriptor, digests_of(packed, config, descriptor)
end

local function put_index(store, parts)
  local manifests, seen, needed = {}, {}, {}
  for place, part in ipairs(parts) do
    if not part.architecture then
      return refuse(("which architecture %s is for is not known"):format(part.path),
        "say it: --object ARCHITECTURE=" .. part.path)
    end
    if seen[part.architecture] then
      return refuse(("%s and %s are both for %s"):format(seen[part.architecture], part.path,
        part.architecture))
    end
    seen[part.architecture] = part.path
    local descriptor, digests = put_image(store, part)
    if not descriptor then return nil, digests end
    table.move(digests, 1, #digests, #needed + 1, needed)
    descriptor.platform = { architecture = part.architecture, os = "linux" }
    manifests[place] = descriptor
  end
  table.sort(manifests, function(a, b)
    return a.platform.architecture < b.platform.architecture
  end)
  local descriptor, err = put_json(store, media_types.index, {
    schemaVersion = 2, mediaType = media_types.index, manifests = manifests,
  })
  return descriptor, descriptor and needed or err
end

--- Makes an image, or one for each of several architectures under one index, and names it.
---@param store bpf.image.store
---@param options { reference: bpf.reference, parts: bpf.image.part[] }
---@return { image_url: string, digest: string, size: integer }?
---@return bpf.error?
function build.run(store, options)
  local name <const> = options.reference:text()
  local one <const> = #options.parts == 1
  local descriptor, needed, named, err
  for _ = 1, ATTEMPTS do
    descriptor, needed = (one and put_image or put_index)(store, one and options.parts[1]
      or options.parts)
    if not descriptor then return nil, needed:because("building " .. name) end
    named, err = catalog.name(store, name, descriptor, needed)
    if named ~= false then break end
  end
  if not named then
    err = err or error_object.new { code = "EAGAIN",
      message = "the store is pruned again and again meanwhile" }
    return nil, err:because("building " .. name)
  end
  return { image_url = name, digest = descriptor.digest, size = descriptor.size }
end

return build
