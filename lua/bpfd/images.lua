-- Images on the daemon's side: what requests ask for, pulls in jobs of their own lane, and which
-- images loaded programs need.

local field = require "bpf.field"
local error_object = require "bpf.error"
local json = require "bpf.json"
local consult = require "bpfd.consult"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local time = require "bpfd.time"

local images = {}

local POLICIES <const> = { "Always", "IfNotPresent", "Never" }

local function refuse(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

function images.path(daemon) return daemon.state_dir .. "/images" end

--- The image that a request names.
---@return bpf.reference?, bpf.error? err
function images.reference(params)
  if type(params.image_url) ~= "string" or params.image_url == "" then
    return refuse("EINVAL", "image_url must be an image reference, such as quay.io/acme/guard:1.4")
  end
  return require("bpf.registry.reference").parse(params.image_url)
end

--- What a request says of an image to use.
---@return bpfd.image_wish?, bpf.error? err
function images.wish(daemon, params)
  local reference, err = images.reference(params)
  if not reference then return nil, err end
  local policy <const> = params.pull_policy or "IfNotPresent"
  if not field.is_one_of(policy, POLICIES) then
    return refuse("EINVAL", "pull_policy " .. field.unknown(policy, POLICIES))
  end
  local credentials
  if params.registry_auth ~= nil then
    if type(params.registry_auth) ~= "string" then
      return refuse("EINVAL", "registry_auth must be a text")
    end
    credentials, err = require("bpf.registry.credentials").decode(params.registry_auth)
    if not credentials then return nil, err end
  end
  require "bpfd.image_source" -- once and here: jobs are forks, and need not load it each
  return { url = params.image_url, reference = reference, policy = policy,
    credentials = credentials, store = images.path(daemon),
    object_size = daemon.config.images.object_size, signatures = daemon.config.signatures }
end

--- Ids of the loaded programs that came out of an image, by its digest. What comes back after a
--- reboot needs its image too.
---@return table<string, integer[]>
function images.users(daemon)
  local users = {}
  for digest, id in daemon.store:image_users() do
    users[digest] = users[digest] or {}
    table.insert(users[digest], id)
  end
  return users
end

local in_hand = {} -- names and digests of images that are being loaded from: how often

--- Images that must stay, by digest or name, and for which programs.
---@return table<string, boolean|integer[]>
function images.kept(daemon)
  local keep <const> = images.users(daemon)
  for which in pairs(in_hand) do keep[which] = keep[which] or true end
  for _, name in ipairs(daemon.store:declarations()) do
    for _, entry in ipairs(daemon.store:declaration(name).programs) do
      if entry.image_digest then keep[entry.image_digest] = keep[entry.image_digest] or true end
    end
  end
  return keep
end

local held = { __close = function(self)
  local left <const> = in_hand[self.which] - 1
  in_hand[self.which] = left > 0 and left or nil
end }

local function hold(which)
  in_hand[which] = (in_hand[which] or 0) + 1
  return setmetatable({ which = which }, held)
end

local function pull_options(daemon, wish)
  return { reference = wish.reference, policy = wish.policy, credentials = wish.credentials,
    object_size = wish.object_size, size = daemon.config.images.size,
    settings = { registries = daemon.config.registries, timeout = daemon.config.images.timeout } }
end

-- In a job.
local function run_pull(wish, options, progress, ask)
  local store, err = require("bpf.image.store").open(wish.store)
  if not store then return nil, err end
  options.store = store
  options.rules, err = require("bpf.image.signature").rules(wish.signatures)
  if not options.rules then return nil, err end
  options.progress = function(done, total) progress("pull", done, total) end
  options.keep = function() return ask "kept" end
  local image
  image, err = require("bpf.image.pull").run(options)
  if not image then return nil, err end
  return require("bpf.image.described").of(store, image)
end

-- Later requests for one image find what the first has fetched.
local function pull_in_turn(daemon, request, wish)
  local held <close> = lock.hold { "image:" .. wish.reference:text() } -- luacheck: ignore held
  local options <const> = pull_options(daemon, wish)
  local image, err = request:run(function(progress, ask)
    return run_pull(wish, options, progress, ask)
  end, { lane = "pull", answer = function() return json.object(images.kept(daemon)) end })
  if image and image.fetched then
    log.info("%s is pulled, %s, for user %d", wish.reference:text(), image.digest, request.peer.uid)
  end
  return image, err
end

--- Pulls as the pull policy says, if the policies let it be. Requests for one image wait for each
--- other.
---@param wish bpfd.image_wish
---@return table? image, bpf.error? err
function images.pull(daemon, request, wish)
  local facts <const> = { image_url = wish.url, pull_policy = wish.policy,
    registry = wish.reference.registry, repository = wish.reference.repository,
    tag = wish.reference.tag, digest = wish.reference.digest }
  local allowed, err = consult.allowed(daemon, request, "image.pull", facts)
  local image
  if allowed then image, err = pull_in_turn(daemon, request, wish) end
  consult.tell(daemon, request, "image.pull", facts, not image and err or nil)
  return image, err
end

--- Does something with an image of the store: work(digest) returns nil and ENODATA where it is not
--- there or not whole. Then it is pulled, if the policy lets it be, and the work is tried again;
--- with `wish.offline` no registry is asked, and the answer is ENODATA.
---@generic T
---@param work fun(digest: string?): T?, bpf.error?, any
---@return T?, bpf.error?, any
function images.with(daemon, request, wish, work)
  local in_use <close> = hold(wish.reference:text()) -- luacheck: ignore in_use
  local function pull_and_work()
    local image, err = images.pull(daemon, request, wish)
    if not image then return nil, err end
    local needed <close> = hold(image.digest) -- luacheck: ignore needed
    return work(image.digest)
  end
  if wish.policy == "Always" and wish.offline then
    return refuse("ENODATA", "the pull policy Always asks the registry each time")
  end
  if wish.policy == "Always" then return pull_and_work() end
  local result, err, more = work(nil)
  if result or err.code ~= "ENODATA" or wish.offline then return result, err, more end
  if wish.policy == "Never" then
    return nil, err:with_advice "the pull policy Never asks no registry; IfNotPresent would"
  end
  return pull_and_work()
end

--- An image as the protocol has it.
---@param described table  of bpf.image.described
---@param users table<string, integer[]>
function images.object(described, users)
  local object = {}
  for key, value in pairs(described) do object[key] = value end
  for _, key in ipairs { "image_url", "platform", "signed_by", "problem", "object", "used_at" } do
    object[key] = json.or_null(described[key])
  end
  if described.used_at then object.used_at = time.text(described.used_at) end
  object.programs = json.object(described.programs or {})
  object.maps = json.object(described.maps or {})
  object.used_by = users[described.digest] or {}
  object.fetched = nil
  return object
end

return images
