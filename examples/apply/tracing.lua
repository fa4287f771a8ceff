-- Programs without an interface stand beside chains in one declaration: all of it is applied, or
-- nothing is.

local objects = "/run/bpfd/examples/"

program "opened-files" {
  path = objects .. "sys_enter_openat.o", name = "sys_enter_openat",
  attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_openat" },
}

program "allocations" {
  path = objects .. "uprobe.o", name = "requested",
  attach = { type = "uprobe", fn_name = "malloc", target = "libc" },
}
