local uv = require "luv"
local job = require "bpfd.job"
local loop = require "bpfd.loop"
local process = require "spec.support.process"

describe("a job", function()
  -- Its result, by turns of the loop; `each` is called between them.
  local function run(work, options, each)
    local outcome
    loop.spawn(function() outcome = table.pack(job.run(work, options)) end)
    assert.is_true(process.eventually(function()
      uv.run "nowait"
      if each then each(outcome) end
      return outcome ~= nil
    end))
    return table.unpack(outcome, 1, outcome.n)
  end

  local function told(arguments) return { module = "spec.support.told", arguments = arguments } end

  it("is done in another process", function()
    local pid = run(function() return uv.os_getpid() end)
    assert.is_number(pid)
    assert.not_equal(uv.os_getpid(), pid)
  end)

  it("counts until whoever waits for it has its result", function()
    for _, work in ipairs { function() return true end, told {} } do
      local began = false
      run(work, nil, function(outcome)
        began = began or job.count() > 0
        assert.is_true(not began or outcome ~= nil or job.count() > 0)
      end)
      assert.equal(0, job.count())
    end
  end)

  it("is done by the process of the one before, where it can be told", function()
    local first, second = run(told {}), run(told {})
    assert.equal(first.pid, second.pid)
    assert.not_equal(first.pid, run(told { print }).pid) -- a function goes by a fork alone
  end)

  it("says that it is in a process of its own after one that broke off", function()
    local first = run(told {})
    local _, err = run(told { breaks = true })
    assert.matches("a fault of bpfd's own", err.message)
    assert.not_equal(first.pid, run(told {}).pid)
  end)

  it("finds nothing open of the one before", function()
    local first = run(told { opens = "/proc/self/status" })
    assert.equal("/proc/" .. first.pid .. "/status", first.open)
    local second = run(told { looks_at = first.fd })
    assert.equal(first.pid, second.pid)
    assert.not_equal(first.open, second.open)
  end)

  it("may ask", function()
    local result = run(told { asks = 20 }, { answer = function(number) return number + 1 end })
    assert.equal(21, result.answer)
  end)
end)
