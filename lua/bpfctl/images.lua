-- What this build answers to image commands.

local error_object = require "bpf.error"

local images = {}

function images.unsupported()
  return nil, error_object.new {
    code = "ENOTSUP", message = "image support is not part of this build yet",
    advice = "copy the object file out of the image and use load-from-file",
  }
end

return images
