-- What a policy file sees. The function below runs inside the file's own Lua state, where nothing
-- else of ours is: it uses that state's libraries and its arguments, and no upvalues.

-- luacheck: push ignore 111 113 121 122 (its globals are those of that state)

local function inside(source, chunk_name)
  local error, line_of, select, type = error, line_of, select, type
  local MOST_LINES <const>, LONGEST_LINE <const> = 64, 2048
  local found, runs, made, lines, is_read = {}, {}, {}, {}, false

  local function texts(value, key)
    if value == nil then return {} end
    if type(value) == "string" then return { value } end
    local list = {}
    for place, text in pairs(type(value) == "table" and value or { false }) do
      if type(place) ~= "number" or type(text) ~= "string" then
        error(("%s is a name or a list of names"):format(key), 3)
      end
      list[#list + 1] = value[#list + 1]
    end
    return list
  end

  local hooks = {}

  function hooks.add(hook)
    if is_read then error("hooks are added while the file is read, not later", 2) end
    if type(hook) ~= "table" then error("hooks.add takes a table: name, on, run ...", 2) end
    if type(hook.name) ~= "string" then error("a hook needs a name, as in \"site/bands\"", 2) end
    if type(hook.run) ~= "function" then error("a hook needs a function run", 2) end
    local keys = {}
    for key in pairs(hook) do keys[#keys + 1] = tostring(key) end
    found[#found + 1] = { name = hook.name, on = texts(hook.on, "on"), keys = keys,
      before = texts(hook.before, "before"), after = texts(hook.after, "after"),
      line = line_of(hook.run) }
    runs[#runs + 1] = hook.run
  end

  function hooks.deny(reason)
    if type(reason) ~= "string" or reason == "" then error("hooks.deny takes a reason", 2) end
    local decision = {}
    made[decision] = { deny = reason }
    return decision
  end

  function hooks.amend(changes)
    if type(changes) ~= "table" then
      error("hooks.amend takes a table, as in { attach = { priority = 100 } }", 2)
    end
    local decision = {}
    made[decision] = { amend = changes }
    return decision
  end

  local log = {}
  for _, level in ipairs { "error", "warning", "info", "debug" } do
    log[level] = function(format, ...)
      local text = select("#", ...) > 0 and format:format(...) or tostring(format)
      if #lines < MOST_LINES then
        lines[#lines + 1] = { level = level, text = text:sub(1, LONGEST_LINE) }
      end
    end
  end

  local function copy(library, without)
    local own = {}
    for name, value in pairs(library) do own[name] = value end
    for _, name in ipairs(without or {}) do own[name] = nil end
    return own
  end

  string.dump = nil -- also behind ("").dump
  local env = {
    assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, select = select,
    tonumber = tonumber, tostring = tostring, type = type,
    string = copy(string), table = copy(table), math = copy(math), utf8 = copy(utf8),
    lpeg = lpeg and copy(lpeg, { "pcode", "ptree" }),
    hooks = hooks, log = log, state = {},
  }
  local in_reach = {}
  for name in pairs(env) do in_reach[#in_reach + 1] = name end
  table.sort(in_reach)
  setmetatable(env, { __index = function(_, name)
    error(("there is no %s in a policy; in reach are %s"):format(tostring(name),
      table.concat(in_reach, ", ")), 2)
  end })

  local function as_set(list)
    local set = {}
    for _, one in pairs(list) do set[one] = true end
    return set
  end

  -- A decision, or what is none; the lines for the log.
  function decide(place, event)
    lines, made = {}, {}
    local peer = event.peer
    if type(peer) == "table" and type(peer.groups) == "table" then
      peer.groups = as_set(peer.groups)
    end
    local said = runs[place](event)
    if said == nil then return nil, lines end
    return made[said] or { nonsense = type(said) == "boolean" and tostring(said)
      or "a " .. type(said) }, lines
  end

  local chunk, complaint = load(source, chunk_name, "t", env)
  if not chunk then error(complaint, 0) end
  chunk()
  if #found == 0 then error("(policy):1: it adds no hook: hooks.add { name, on, run }", 0) end
  is_read = true
  return found, lines
end

-- luacheck: pop

-- Without names and lines of ours: those in messages are the policy's.
return string.dump(inside, true)
