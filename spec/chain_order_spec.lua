local chain_order = require "bpfd.chain_order"

describe("the order of a chain", function()
  -- "a10 b20" -> members; ids are letters' codes
  local function members(text)
    local list = {}
    for letter, priority in text:gmatch "(%a)(%d+)" do
      list[#list + 1] = { id = letter:byte(), priority = tonumber(priority), mask = 4 }
    end
    return list
  end

  local function shown(list)
    local words = {}
    for i, member in ipairs(list) do
      words[i] = ("%c%d"):format(member.id, member.priority)
    end
    return table.concat(words, " ")
  end

  -- "x10 y20>b": y stands in for b
  local function change(drop, put)
    local result = { drop = {}, put = members(put) }
    for letter in drop:gmatch "%a" do result.drop[letter:byte()] = true end
    local at = 0
    for stand_in in put:gmatch "%a%d+(>?%a?)" do
      at = at + 1
      if stand_in ~= "" and stand_in:find ">" then
        result.put[at].replaces = stand_in:byte(2)
        result.drop[stand_in:byte(2)] = true
      end
    end
    return result
  end

  local cases <const> = {
    { "", "", "a10", "a10" },
    { "a10 b20", "", "x15", "a10 x15 b20" },
    { "a10 b10 c20", "", "x10", "x10 a10 b10 c20", "the newer first" },
    { "a10 b20", "", "x10 y10 z20", "x10 y10 a10 z20 b20", "as they are listed" },
    { "a10 b20 c30", "b", "", "a10 c30" },
    { "a10 b20 c20 d30", "", "x20>c", "a10 b20 x20 d30", "in the place of the old" },
    { "a10 b20 c20 d30", "", "x5>c", "x5 a10 b20 d30", "elsewhere with another priority" },
    { "a10 b20 c30", "", "c5 a10", "c5 a10 b20", "a member moves" },
    { "a10 b10 c10", "", "c10 a10", "c10 b10 a10", "equals change places, others stay" },
    { "a10 b10 c10", "", "a10 c10", "a10 b10 c10" },
    { "a10 b10", "a b", "x10 y10", "x10 y10" },
  }

  for _, case in ipairs(cases) do
    local before, drop, put, after, why = table.unpack(case, 1, 5)
    it(("of [%s] without [%s] and with [%s] is [%s]%s"):format(before, drop, put, after,
      why and ": " .. why or ""), function()
      assert.equal(after, shown(chain_order.arrange(members(before), change(drop, put))))
    end)
  end

  it("keeps what it promises, whatever the change", function()
    math.randomseed(6502)
    for _ = 1, 3000 do
      local before, wanted = {}, { drop = {}, put = {} }
      for id = 1, math.random(0, 6) do
        table.insert(before, chain_order.place_for(before, id % 3),
          { id = id, priority = id % 3, mask = 1 })
      end
      local untouched = {}
      for _, member in ipairs(before) do
        local fate = math.random(4)
        if fate == 1 then
          wanted.drop[member.id] = true
        elseif fate == 2 then
          table.insert(wanted.put, math.random(#wanted.put + 1),
            { id = member.id, priority = math.random(0, 2), mask = 2 })
        elseif fate == 3 then
          wanted.drop[member.id] = true
          table.insert(wanted.put, math.random(#wanted.put + 1),
            { id = member.id + 100, replaces = member.id, priority = math.random(0, 2), mask = 2 })
        else
          table.insert(untouched, member.id)
        end
      end
      for id = 201, 200 + math.random(0, 2) do
        table.insert(wanted.put, math.random(#wanted.put + 1),
          { id = id, priority = math.random(0, 2), mask = 2 })
      end
      local after = chain_order.arrange(before, wanted)

      local left, seen, last = {}, {}, -1
      for place, member in ipairs(after) do
        assert.is_true(member.priority >= last) -- by priority
        last, seen[member.id] = member.priority, place
        if member.mask == 1 then table.insert(left, member.id) end
      end
      assert.same(untouched, left) -- nobody else's members change places
      assert.equal(#untouched + #wanted.put, #after)
      for i, one in ipairs(wanted.put) do
        assert.equal(one.priority, after[seen[one.id]].priority)
        for j = i + 1, #wanted.put do
          local other = wanted.put[j]
          if other.priority == one.priority then
            assert.is_true(seen[one.id] < seen[other.id]) -- equals in the wanted order
          end
        end
      end
      assert.is_true(chain_order.equal(after,
        chain_order.arrange(after, { drop = {}, put = wanted.put }))) -- once is enough
    end
  end)
end)
