-- Exit codes of bpfctl, after sysexits.h.

return {
  success = 0,
  failure = 1,
  usage = 64,
  unavailable = 69,
  not_permitted = 77,
  interrupted = 130,
}
