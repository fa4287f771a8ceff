local fairness = require "bpfd.fairness"

describe("fairness", function()
  -- Connections by name, and the set of them as the server has it.
  local function connections(list)
    local set, by_name = {}, {}
    for _, one in ipairs(list) do
      local client = { name = one[1], peer = { uid = one[2], pid = one[3] }, used_at = one[4],
        request_count = one.busy and 1 or 0, requests = one.requests or {},
        descriptors = {}, staged = one.staged or {}, unsent_size = one.unsent or 0 }
      set[client], by_name[one[1]] = client, client
    end
    return set, by_name
  end

  local function leaves(list, peer)
    local client = fairness.to_leave((connections(list)), peer)
    return client and client.name
  end

  it("takes the connection that has been idle the longest, of whom there is one of each", function()
    local all <const> = { { "a", 1, 10, 3 }, { "b", 2, 20, 1 }, { "c", 3, 30, 2 } }
    assert.equal("b", leaves(all, { uid = 4, pid = 40 }))
  end)

  it("takes the user's who has the most, and of that one's the process's that has", function()
    local all <const> = { { "a", 1, 10, 1 }, { "b", 2, 20, 2 }, { "c", 2, 21, 3 },
      { "d", 2, 21, 4 } }
    assert.equal("c", leaves(all, { uid = 3, pid = 30 }))
    assert.equal("c", leaves(all, { uid = 1, pid = 10 }))
  end)

  it("cuts off who is busy only if that one has more than the newcomer would have", function()
    local greedy <const> = { { "a", 1, 10, 1, busy = true }, { "b", 2, 20, 3, busy = true },
      { "c", 2, 20, 2, busy = true } }
    assert.equal("c", leaves(greedy, { uid = 3, pid = 30 }))
    assert.is_nil(leaves(greedy, { uid = 1, pid = 11 })) -- each would have two
    assert.is_nil(leaves(greedy, { uid = 2, pid = 20 }))
    assert.equal("c", leaves(greedy, { uid = 2, pid = 21 })) -- another process of the same user
    local others <const> = { { "a", 1, 10, 9 }, { "b", 2, 20, 2, busy = true },
      { "c", 2, 20, 3, busy = true } }
    assert.equal("a", leaves(others, { uid = 2, pid = 20 })) -- a's is the only idle one
  end)

  it("counts what all connections of a user hold together", function()
    local half <const> = {}
    for i = 1, 2048 do half[i] = true end
    local set = connections { { "a", 1, 10, 1, staged = half }, { "b", 1, 11, 1, staged = half },
      { "c", 2, 20, 1, staged = half } }
    assert.is_nil(fairness.excess(set, 1))
    local more = connections { { "a", 1, 10, 1, staged = half }, { "b", 1, 11, 1, staged = half,
      requests = { [{ descriptors = { true } }] = true } } }
    assert.matches("user 1 has more than 4096 descriptors", fairness.excess(more, 1))
    assert.is_nil(fairness.excess(more, 2))
    local unread = connections { { "a", 1, 10, 1, unsent = 40 << 20 },
      { "b", 1, 10, 1, unsent = 40 << 20 } }
    assert.matches("user 1 has more than %d+ bytes of answers unread", fairness.excess(unread, 1))
  end)

  local function job(uid, connection) return { owner = { uid = uid, connection = connection } } end

  it("runs next what is the daemon's own, then who has the fewest jobs running", function()
    local queue <const> = { job(1, "a"), job(1, "b"), job(2, "c"), {} }
    assert.equal(4, fairness.next_job(queue, {}))
    queue[4] = nil
    assert.equal(1, fairness.next_job(queue, {}))
    assert.equal(3, fairness.next_job(queue, { job(1, "a") }))
    assert.equal(2, fairness.next_job(queue, { job(1, "a"), job(2, "c") }))
    assert.equal(1, fairness.next_job(queue, { job(1, "a"), job(1, "b"), job(2, "c"), job(2, "c"),
      job(2, "d") }))
  end)
end)
