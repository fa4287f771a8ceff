-- What user space can do with each type of map.

local map_types = {}

--- Types without entries that could be listed, and why.
map_types.without_entries = {
  ringbuf = "it holds records, which are read as they come",
  perf_event_array = "it holds records, which are read as they come",
  user_ringbuf = "user space writes it and programs read it",
  queue = "it has values and no keys",
  stack = "it has values and no keys",
  bloom_filter = "it only tells whether a value may be in it",
  sk_storage = "its keys are sockets, which only their descriptors name",
  inode_storage = "its keys are files, which only their descriptors name",
  task_storage = "its keys are processes, which only their descriptors name",
  cgrp_storage = "its keys are control groups, which only their descriptors name",
  struct_ops = "it holds functions for the kernel",
  arena = "it is memory without entries",
}

--- Types whose records a bpf.ring reads.
map_types.of_records = { ringbuf = true, perf_event_array = true }

--- Types whose keys count from 0.
map_types.counted = {
  array = true, percpu_array = true, prog_array = true, array_of_maps = true, devmap = true,
  cpumap = true, xskmap = true, cgroup_array = true, reuseport_sockarray = true, sockmap = true,
  perf_event_array = true,
}

--- Types whose values are objects: read as their ids, written from them.
map_types.holds = { prog_array = "program", array_of_maps = "map", hash_of_maps = "map" }

--- Formats of values that the kernel itself has given a form.
map_types.formats = {
  cpumap = { [4] = "u32", [8] = "qsize:u32 prog_id:u32" },
  devmap = { [4] = "u32", [8] = "ifindex:u32 prog_id:u32" },
  devmap_hash = { [4] = "u32", [8] = "ifindex:u32 prog_id:u32" },
  sockmap = { [4] = "u32", [8] = "u64" },
  sockhash = { [4] = "u32", [8] = "u64" },
  prog_array = { [4] = "u32" },
  array_of_maps = { [4] = "u32" },
  hash_of_maps = { [4] = "u32" },
}

---@return boolean
function map_types.is_per_cpu(name) return name:find("percpu", 1, true) ~= nil end

return map_types
