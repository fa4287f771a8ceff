-- Fetches a bytecode image without a daemon, and tells what is in it:
--     lua5.4 examples/image.lua quay.io/bpfd-bytecode/xdp_pass:latest [STORE] [plain]
-- What it fetched stays in STORE (./images), an OCI layout; `plain` is for a registry without TLS.
local bpf = require "bpf"

local name, path, plain = arg[1], arg[2] or "images", arg[3] == "plain"
local reference = assert(bpf.registry.parse(name))
local store = assert(bpf.image.store.open(path))
local image, err = bpf.image.pull.run {
  store = store, reference = reference,
  settings = { registries = { [reference.registry] = { plain_http = plain } } },
}
if not image then
  io.stderr:write(tostring(err), "\n")
  os.exit(1)
end

local sealed <close>, file = bpf.image.stored.object(store, image)
assert(sealed, file)
local object <close> = assert(bpf.object.open({ fd = sealed:fd() }, { name = name }))
print(("%s %s"):format(image.reference, image.digest))
print(("%s, %d bytes, %s"):format(file.path, file.size, object.license))
for program, facts in pairs(object.programs) do
  print(("program %s (%s)"):format(program, image.labels.programs[program] or facts.section))
end
for map, facts in pairs(object.maps) do
  if not facts.is_data_section then print(("map %s (%s)"):format(map, facts.type)) end
end
