-- Removes what no loaded program needs from the daemon's store.

local prune = {
  name = "prune",
  summary = "Remove what is left of pulls and of images whose name is another's now",
  options = {
    {
      name = "all", short = "a", kind = "flag",
      text = "Remove every image that no loaded program came from",
    },
  },
  draws = "pruned",
}

function prune.run(session, arguments)
  return session:call("image.prune", { all = arguments.all })
end

return prune
