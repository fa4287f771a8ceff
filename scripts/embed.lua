-- Writes C source: Lua files as bytecode behind a module table, or (--bytes NAME FILE) one array.

local function write_bytes(data, signed)
  for at = 1, #data, 24 do
    io.write("\t", (data:sub(at, at + 23):gsub(".", function(c)
      local value = c:byte()
      return (signed and value > 127 and value - 256 or value) .. ","
    end)), "\n")
  end
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

if arg[1] == "--bytes" then
  local name, data = arg[2], read(arg[3])
  io.write("#include <stddef.h>\n\n")
  io.write(("extern const unsigned char %s[];\n"):format(name))
  io.write(("extern const size_t %s_size;\n\n"):format(name))
  io.write(("const unsigned char %s[] __attribute__((aligned(8))) = {\n"):format(name))
  write_bytes(data, false)
  io.write(("};\nconst size_t %s_size = %d;\n"):format(name, #data))
  return
end

-- Chunk names are source paths and debug information stays in, so that tracebacks can be read.
local root, names = arg[1], {}
io.write('#include <stddef.h>\n#include "core/embedded.h"\n\n')
for i = 2, #arg do
  local path = arg[i]
  local name = path:sub(#root + 2):gsub("%.lua$", ""):gsub("/init$", "")
  names[#names + 1] = name:gsub("/", ".")
  io.write(("static const char chunk_%d[] = {\n"):format(#names))
  write_bytes(string.dump(assert(load(read(path), "@" .. path))), true)
  io.write("};\n")
end
io.write("\nconst struct embedded_module embedded_modules[] = {\n")
for i, name in ipairs(names) do
  io.write(('\t{"%s", chunk_%d, sizeof(chunk_%d)},\n'):format(name, i, i))
end
io.write("\t{NULL, NULL, 0},\n};\n")
