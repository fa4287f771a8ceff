-- Text of others on the user's terminal: no control characters, which could steer it.

local function escape(bytes)
  return (bytes:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end))
end

--- The text with control characters written out.
---@param text string
---@param kept string?  characters that may stay, as in "\n\t"
---@return string
return function(text, kept)
  if not text:find "[%c\194]" then return text end
  return (text:gsub("%c", function(character)
    if kept and kept:find(character, 1, true) then return character end
    return escape(character)
  end):gsub("\194[\128-\159]", escape))
end
