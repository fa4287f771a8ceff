rockspec_format = "3.0"
package = "bpfd"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "eBPF programs, maps, links and chains from Lua",
  detailed = [[
The Lua module of bpfd: open, load and attach eBPF objects, several programs on one XDP or TC hook,
maps with values typed by BTF, and a client for the daemon.]],
  license = "MIT",
  labels = { "linux", "ebpf", "networking" },
}
supported_platforms = { "linux" }
dependencies = { "lua ~> 5.4", "lpeg >= 1.0" }
-- The Makefile builds with gcc and compiles the project's own BPF programs with clang, against
-- libbpf, libelf, libnl-3 and libnl-route-3: `scripts/deps.sh build` lists the packages.
build = {
  type = "make",
  build_target = "module",
  install_target = "install-module",
  build_variables = { LUA = "$(LUA)" },
  install_variables = { INST_LUADIR = "$(LUADIR)", INST_LIBDIR = "$(LIBDIR)" },
}
