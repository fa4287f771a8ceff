std = "lua54"
max_line_length = 100
files["spec"] = { std = "+busted" }
files["lua/bpfd/**"] = { std = "lua54" }
exclude_files = { "build*" }
