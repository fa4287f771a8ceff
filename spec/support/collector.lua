-- An aggressive collector, for LUA_INIT: a bit of a cycle with every few bytes, and the next cycle
-- at once. What a binding holds on to without saying so to Lua is gone when it is used.
collectgarbage("incremental", 1, 1000, 3)
collectgarbage("setpause", 0)
