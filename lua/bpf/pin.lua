-- Pins: the bpffs, and the directories in it. No function follows a symbolic link that ends a path.

local core = require "bpf.core"

local pin = {}

---Mount a bpffs there, unless one is.
---@param directory string
---@param mode? integer of its root; 0755 if not given
---@return true?
---@return bpf.error? err
function pin.mount_bpffs(directory, mode) return core.pin.mount_bpffs(directory, mode or 493) end

---Take it away from whoever looks; it goes when nobody is inside any more.
---@param directory string
---@return true?
---@return bpf.error? err
function pin.unmount(directory) return core.pin.unmount(directory) end

---@param directory string
---@return boolean?
---@return bpf.error? err
function pin.is_bpffs(directory) return core.pin.is_bpffs(directory) end

---@param path string
---@param mode? integer 0700 if not given
---@return true?
---@return bpf.error? err
function pin.mkdir(path, mode) return core.pin.mkdir(path, mode or 448) end

---Atomically, and never over something that is there.
---@param from string
---@param to string
---@return true?
---@return bpf.error? err
function pin.rename(from, to) return core.pin.rename(from, to) end

---@param path string
---@return true?
---@return bpf.error? err
function pin.unlink(path) return core.pin.unlink(path) end

---What is in a directory: kinds ("directory", "file", "link", "other") by name.
---@param directory string
---@return table<string, string>?
---@return bpf.error? err
function pin.list(directory) return core.pin.list(directory) end

---A directory and all below it, on the same file system. Nothing there is fine.
---@param path string
---@return true?
---@return bpf.error? err
function pin.remove_tree(path) return core.pin.remove_tree(path) end

return pin
