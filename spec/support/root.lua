-- For specs that only root can run: says so at once instead of failing in a hundred places.
if require "luv".getuid() ~= 0 then
  io.stderr:write "spec/kernel needs root: it loads programs and makes network namespaces\n"
  os.exit(1)
end
return true
