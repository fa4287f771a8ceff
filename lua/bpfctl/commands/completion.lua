-- Completion for shells: a script for each, which asks `completion candidates` for its words.

local scripts <const> = {
  bash = [=[
_bpfctl() {
	local current=${COMP_WORDS[COMP_CWORD]} line IFS=$'\n'
	local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
	[[ $current == "=" ]] && current=
	COMPREPLY=()
	for line in $("${COMP_WORDS[0]}" completion candidates -- "${words[@]}" 2>/dev/null); do
		if [[ $line == :files ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY+=($(compgen -f -- "$current"))
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done
}
complete -F _bpfctl bpfctl
]=],
  zsh = [=[
#compdef bpfctl
_bpfctl() {
	local line
	local -a offered typed
	typed=("${(@)words[2,CURRENT]}")
	for line in "${(@f)$(${words[1]} completion candidates -- "${(@)typed}" 2>/dev/null)}"; do
		if [[ $line == :files ]]; then
			_files
		elif [[ -n $line ]]; then
			offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
		fi
	done
	(( $#offered )) && _describe bpfctl offered
}
if [[ $funcstack[1] == _bpfctl ]]; then _bpfctl; else compdef _bpfctl bpfctl; fi
]=],
  fish = [=[
function __bpfctl_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for line in ($words[1] completion candidates -- $words[2..-1] "$current" 2>/dev/null)
		if test "$line" = ":files"
			__fish_complete_path "$current"
		else
			echo $line
		end
	end
end
complete -c bpfctl -f -a '(__bpfctl_complete)'
]=],
}

local texts <const> = {
  bash = "Print the script for bash: source <(bpfctl completion bash)",
  zsh = "Print the script for zsh: source <(bpfctl completion zsh)",
  fish = "Print the script for fish: bpfctl completion fish | source",
}

-- One a line, what it is behind a tab; the line :files asks for names of files.
local function candidates(session, arguments)
  local root <const> = require "bpfctl.root"
  local offers <const>, wants_files <const> =
    require "bpfctl.completion"(root, arguments.words or {}, session)
  local lines = {}
  for i, offer in ipairs(offers) do
    lines[i] = offer[1] .. (offer[2] and "\t" .. offer[2] or "") .. "\n"
  end
  return (wants_files and ":files\n" or "") .. table.concat(lines)
end

local candidates_command <const> = {
  name = "candidates",
  summary = "Print what could stand for the last word of a line",
  options = {},
  operands = {
    {
      name = "words", kind = "string", metavar = "WORD", repeated = true, may_be_empty = true,
      text = "The words behind bpfctl, put behind --; the last one is being completed",
    },
  },
  verbatim = true,
  run = candidates,
}

return {
  name = "completion",
  summary = "Print a script that completes bpfctl's lines in a shell",
  noun = "shell",
  commands = { "bash", "zsh", "fish" },
  options = {},
  find = function(name)
    if name == "candidates" then return candidates_command end
    return scripts[name] and {
      name = name, summary = texts[name], options = {},
      run = function() return scripts[name] end,
    }
  end,
}
