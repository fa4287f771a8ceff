-- image.pull, list, inspect, remove, prune, verify.

local error_object = require "bpf.error"
local images = require "bpfd.images"
local log = require "bpfd.log"

local image = {}

local function refuse(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- Does something with the store, in a job.
local function with_store(daemon, request, work)
  local path <const> = images.path(daemon)
  return request:run(function()
    local store, err = require("bpf.image.store").open(path)
    if not store then return nil, err end
    return work(store)
  end)
end

image["image.pull"] = {
  parameters = { image_url = true, registry_auth = true, pull_policy = true },
  run = function(daemon, request)
    local wish, err = images.wish(daemon, request.params)
    if not wish then return nil, err end
    local pulled
    pulled, err = images.pull(daemon, request, wish)
    if not pulled then return nil, err end
    return images.object(pulled, images.users(daemon))
  end,
}

image["image.list"] = {
  parameters = {},
  run = function(daemon, request)
    local object_size <const> = daemon.config.images.object_size
    local list, err = with_store(daemon, request, function(store)
      return require("bpf.image.described").all(store, object_size)
    end)
    if not list then return nil, err end
    local users <const> = images.users(daemon)
    for place, each in ipairs(list) do list[place] = images.object(each, users) end
    return { images = list }
  end,
}

-- Looks at one image of the store; work(store, wish, rules) in a job.
local function look(daemon, request, work)
  local wish, err = images.wish(daemon, request.params)
  if not wish then return nil, err end
  local found
  found, err = with_store(daemon, request, function(store)
    local rules, failure = require("bpf.image.signature").rules(wish.signatures)
    if not rules then return nil, failure end
    return work(store, { reference = wish.reference, object_size = wish.object_size,
      rules = rules })
  end)
  if found then return found end
  if err.code == "ENODATA" then err = err:with_advice "bpfctl pull-bytecode fetches it" end
  return nil, err:because("looking at " .. wish.reference:text())
end

image["image.inspect"] = {
  parameters = { image_url = true },
  run = function(daemon, request)
    local found, err = look(daemon, request, function(store, wish)
      return require("bpf.image.described").inspect(store, wish)
    end)
    if not found then return nil, err end
    return images.object(found, images.users(daemon))
  end,
}

image["image.verify"] = {
  parameters = { image_url = true },
  run = function(daemon, request)
    return look(daemon, request, function(store, wish)
      return require("bpf.image.described").verify(store, wish)
    end)
  end,
}

image["image.remove"] = {
  parameters = { image_url = true },
  run = function(daemon, request)
    local reference, err = images.reference(request.params)
    if not reference then return nil, err end
    local name <const>, keep <const> = reference:text(), images.kept(daemon)
    local removed
    removed, err = with_store(daemon, request, function(store)
      return require("bpf.image.prune").remove(store, name, keep)
    end)
    if removed == nil then return nil, err end
    if not removed then
      return refuse("ENOENT", name .. " is not in the store", "bpfctl image list shows what is")
    end
    log.info("%s is removed from the store, for user %d", name, request.peer.uid)
    return { image_url = name }
  end,
}

image["image.prune"] = {
  parameters = { all = true },
  run = function(daemon, request)
    local all <const> = request.params.all
    if all ~= nil and type(all) ~= "boolean" then
      return refuse("EINVAL", "all must be true or false")
    end
    local keep <const>, size <const> = images.kept(daemon), daemon.config.images.size
    return with_store(daemon, request, function(store)
      return require("bpf.image.prune").run(store, {
        keep = keep, size = size, all = all, nameless = true, partial = true,
      })
    end)
  end,
}

return image
