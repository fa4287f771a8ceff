-- Runs the same command in the test VM on several kernels, one after the other, and prints one
-- table: kernel by spec file. Usage: matrix.lua COMMAND KERNEL...
-- Fails unless every kernel ran to its end without a failure.

local command, kernels = arg[1], table.move(arg, 2, #arg, 1, {})

local function run(kernel)
  local results, order, total = {}, {}, nil
  local pipe = assert(io.popen(("scripts/vm/run.sh %s '%s' 2>&1"):format(
    kernel, (command:gsub("'", [['\'']])))))
  print("kernel " .. kernel)
  for line in pipe:lines() do
    print("  " .. line)
    local file, counts = line:match "^(%S+_spec%.lua)%s+(%d+ passed.-)%s+%("
    if file then
      results[file] = counts:gsub(" passed", ""):gsub(" failed", " FAILED")
      order[#order + 1] = file
    end
    total = line:match "^%d+ passed, %d+ failed, %d+ skipped$" or total
  end
  local ok, _, status = pipe:close()
  return { results = results, order = order, total = total or "no result", status = status,
    ok = ok and total ~= nil }
end

local runs, files, seen, ok = {}, {}, {}, true
for _, kernel in ipairs(kernels) do
  local result = run(kernel)
  runs[kernel] = result
  ok = ok and result.ok
  for _, file in ipairs(result.order) do
    if not seen[file] then files[#files + 1] = file end
    seen[file] = true
  end
end
table.sort(files)

local function row(name, cell)
  local line = ("%-44s"):format(name)
  for _, kernel in ipairs(kernels) do
    line = line .. (" %-22s"):format(cell(runs[kernel], kernel))
  end
  print((line:gsub("%s+$", "")))
end

print ""
row("passed", function(_, kernel) return "kernel " .. kernel end)
for _, file in ipairs(files) do
  row(file, function(result) return result.results[file] or "-" end)
end
row("all", function(result) return result.total:gsub(" passed", ""):gsub(", 0 failed", "") end)
row("exit status", function(result) return tostring(result.status) end)
os.exit(ok)
