---@meta bpf
-- For editors: what `require "bpf"` gives, and the globals of scripts under bpfctl. Written by
-- `make docs`.

---@class bpf
bpf = {}

---@type bpf.client
client = nil

bpf.btf = require "bpf.btf"
bpf.chain = require "bpf.chain"
bpf.client = require "bpf.client"
bpf.deadline = require "bpf.deadline"
bpf.error = require "bpf.error"
bpf.features = require "bpf.features"
bpf.image = require "bpf.image"
bpf.json = require "bpf.json"
bpf.layout = require "bpf.layout"
bpf.link = require "bpf.link"
bpf.map = require "bpf.map"
bpf.network = require "bpf.network"
bpf.object = require "bpf.object"
bpf.pin = require "bpf.pin"
bpf.policy = require "bpf.policy"
bpf.pretty = require "bpf.pretty"
bpf.program = require "bpf.program"
bpf.registry = require "bpf.registry"
bpf.ring = require "bpf.ring"
bpf.sleep = require "bpf.sleep"
bpf.verdict = require "bpf.verdict"

return bpf
