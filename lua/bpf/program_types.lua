-- Words for the type of a program, as `list` shows and filters them.

local program_types = {}

--- What bpfd loads programs as, then the kernel's other types, then `probe`: kprobe or uprobe.
program_types.names = {
  "xdp", "tc", "tcx", "tracepoint", "kprobe", "uprobe", "raw_tracepoint", "fentry", "fexit",
  "unspec", "socket_filter", "sched_act", "perf_event", "cgroup_skb", "cgroup_sock", "lwt_in",
  "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg",
  "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector",
  "cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext",
  "lsm", "sk_lookup", "syscall", "netfilter", "probe",
}

return program_types
