-- Images, as people read them.

local sorted_keys = require "bpf.sorted_keys"
local columns_of = require "bpfctl.format.columns"
local local_time = require "bpfctl.format.time"
local printable = require "bpfctl.printable"
local section = require "bpfctl.format.section"
local shown_size = require "bpfctl.format.size"

local shown <const> = section.shown

local draw = {}

local function short_digest(digest) return digest:gsub("^sha256:", ""):sub(1, 12) end

local function assignments(set)
  local lines = {}
  for _, name in ipairs(sorted_keys(set or {})) do
    lines[#lines + 1] = printable(set[name] ~= "" and ("%s (%s)"):format(name, set[name]) or name)
  end
  return lines
end

local function ids(list)
  local texts = {}
  for i, id in ipairs(list or {}) do texts[i] = tostring(id) end
  return table.concat(texts, ", ")
end

local titles <const> = { "Image URL", "Digest", "Size", "Programs", "Used By", "Last Used" }

--- `image list`.
function draw.images(images)
  local rows = {}
  for i, image in ipairs(images) do
    local programs <const> = table.concat(sorted_keys(image.programs or {}), ", ")
    rows[i] = {
      shown(image.image_url), short_digest(image.digest), shown_size(image.size),
      image.problem and "unusable" or printable(programs), ids(image.used_by),
      image.used_at and local_time(image.used_at) or "",
    }
  end
  return columns_of(titles, rows)
end

local function object_text(object)
  return object and ("%s, %s"):format(object.path, shown_size(object.size))
end

--- `image inspect`.
function draw.image(image, style)
  local rows, add = section.new_rows()
  local signature <const> = image.signature or {}
  add("Image URL:", image.image_url)
  add("Digest:", image.digest)
  if image.manifest_digest then add("Manifest:", image.manifest_digest) end
  add("Platform:", image.platform)
  add("Size:", shown_size(image.size))
  add("Object:", object_text(image.object))
  add("Object Digest:", image.object and image.object.digest)
  add("Programs:", assignments(image.programs))
  add("Maps:", assignments(image.maps))
  add("Signature:", signature.reason)
  add("Signed By:", image.signed_by)
  add("Used By:", ids(image.used_by))
  add("Last Used:", image.used_at and local_time(image.used_at))
  if image.problem then add("Problem:", image.problem) end
  return section.draw("Image", rows, style)
end

--- `pull-bytecode`.
function draw.pulled() return "Successfully downloaded bytecode\n" end

local function named(image)
  return ("%s %s\n"):format(printable(image.image_url), image.digest)
end

--- `image build`, `image push`.
draw.built, draw.pushed = named, named

--- `image sign`.
function draw.signed(signed)
  local lines = {}
  for i, digest in ipairs(signed.signed) do
    lines[i] = ("signed %s %s\n"):format(printable(signed.image_url), digest)
  end
  return table.concat(lines)
end

--- `image verify`.
function draw.verified(verified, style)
  local rows, add = section.new_rows()
  add("Image URL:", verified.image_url)
  add("Digest:", verified.digest)
  add("Decision:", verified.decision)
  add("Signed By:", verified.signed_by)
  add("Reason:", verified.reason)
  return section.draw("Signature", rows, style)
end

--- `image generate-keys`.
function draw.generated(pair)
  return ("private key %s\npublic key %s\n"):format(printable(pair.private),
    printable(pair.public))
end

--- `image prune`.
function draw.pruned(pruned)
  local lines = {}
  for i, name in ipairs(pruned.removed) do lines[i] = "removed " .. printable(name) .. "\n" end
  lines[#lines + 1] = ("freed %s, %s in use\n"):format(shown_size(pruned.freed),
    shown_size(pruned.size))
  return table.concat(lines)
end

return draw
