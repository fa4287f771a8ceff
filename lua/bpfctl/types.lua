-- The program types behind load-from-file and load-from-image: bpf.attach's fields as options.

local attach = require "bpf.attach"
local field = require "bpf.field"
local offers = require "bpfctl.offers"

local types = {}

-- In the order of the guide, then ours.
types.names = {
  "xdp", "tc", "tracepoint", "kprobe", "uprobe", "tcx", "raw_tracepoint", "fentry", "fexit",
}

local summaries <const> = {
  xdp = "Run an eBPF program on the XDP hook of an interface",
  tc = "Run an eBPF program on the TC hook of an interface, in one direction",
  tracepoint = "Run an eBPF program on a tracepoint",
  kprobe = "Run an eBPF program as kprobe or kretprobe of a kernel function",
  uprobe = "Run an eBPF program as uprobe or uretprobe of a program or library",
  tcx = "Run an eBPF program on a TCX link of its own, in one direction of an interface",
  raw_tracepoint = "Run an eBPF program on a tracepoint, with its raw arguments",
  fentry = "Run an eBPF program when a kernel function is entered",
  fexit = "Run an eBPF program when a kernel function returns",
}

local shorts <const> = {
  iface = "i", priority = "p", direction = "d", tracepoint = "t", fn_name = "f", offset = "o",
  retprobe = "r", target = "t", pid = "p",
}

local proceed_on <const> = [[
Verdicts after which the next program of the chain runs.
Any other verdict ends the chain and stands. A program whose own drop
(TC: shot) is listed here does not drop. Several values may follow, and
the option may be given again.
Example: --proceed-on %s --proceed-on %s]]

local texts <const> = {
  iface = "Interface to run the program on",
  priority = "Place of the program in the chain. Lower runs first",
  netns = "Network namespace of the interface: a path, or a name as in ip netns",
  direction = "Packets to run the program on",
  tracepoint = "Tracepoint to run the program on, as CATEGORY/NAME\n"
    .. "Example: --tracepoint sched/sched_switch",
  retprobe = "Run the program when the function returns",
  target = "Program or library to probe: a path, or the name of a library\n"
    .. "Example: --target libc",
  pid = "Probe this process only",
  container_pid = "Look for the target in the container of this process",
  offset = "Bytes behind the start of the function",
  fn_name = "Function to probe",
  ["xdp.proceed_on"] = proceed_on:format("pass", "drop"),
  ["tc.proceed_on"] = proceed_on:format("ok", "pipe"),
  ["uprobe.fn_name"] = "Function to probe\n"
    .. "Without it --offset counts from the start of the file.",
  ["raw_tracepoint.tracepoint"] = "Tracepoint to run the program on, by its name alone\n"
    .. "Example: --tracepoint sched_switch",
  ["kprobe.offset"] = "Bytes behind the start of the function\n"
    .. "Not allowed with --retprobe.",
}

local completions <const> = { iface = offers.interfaces, target = "file", netns = "file" }

local function any_word() return true end

local function as_option(type_name, description)
  local name <const> = description.name
  local option = {
    text = texts[type_name .. "." .. name] or texts[name], short = shorts[name],
    complete = completions[name],
  }
  for key, value in pairs(description) do option[key] = value end
  if description.kind == "choices" then
    option.continues, option.empty = any_word, "a verdict: " .. table.concat(option.values, ", ")
  elseif name == "offset" then
    option.not_a_number = "offset must be a number; for the output format write --output json"
  end
  return option
end

local function contradiction(type_name, values)
  if type_name == "kprobe" and values.retprobe and values.offset then
    return "--offset is not allowed with --retprobe"
  end
  if type_name == "uprobe" and not values.fn_name and not values.offset then
    return "uprobe needs --fn-name <FN_NAME>, --offset <OFFSET> or both"
  end
  if type_name == "uprobe" and values.fn_name and values.retprobe
    and (values.offset or 0) ~= 0 then
    return "--offset is not allowed with --retprobe and --fn-name"
  end
  return nil
end

---@param type_name string
---@return bpfctl.command?
function types.find(type_name)
  if not field.is_one_of(type_name, types.names) then return nil end
  local options = {}
  for _, description in ipairs(attach.types[type_name]) do
    if description.kind ~= "descriptor" then
      options[#options + 1] = as_option(type_name, description)
    end
  end
  return {
    name = type_name, summary = summaries[type_name], options = options,
    validate = function(values) return contradiction(type_name, values) end,
  }
end

return types
