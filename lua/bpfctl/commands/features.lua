-- Shows what the kernel under bpfd offers, and why it does not offer the rest.

local features = {
  name = "features",
  summary = "Show what this kernel and bpfd offer, and why not the rest",
  options = {},
  draws = "features",
}

function features.run(session) return session:call("system.features", {}) end

return features
