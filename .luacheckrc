std = "lua54"
max_line_length = 100
files["spec"] = { std = "+busted" }
files["lua/bpfd/**"] = { std = "lua54" }
files["examples/policy"] = { read_globals = { "hooks", "log", "state", "lpeg" } }
files["examples/apply"] = { read_globals = { "program" } }
exclude_files = { "build*" }
