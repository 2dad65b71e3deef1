-- Every entry that has not lapsed: the lock, the entry's token, the owner's record, and whether it holds beside others.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}

local function holders_of(name)
  if redis.call('TYPE', name).ok ~= 'string' then return end
  local value, prefix = redis.call('GET', name), '{' .. name .. '}:'
  -- Nobody else has to do with the hold: it is in one piece.
  local whole, record = string.match(value, '^(%x+%.%x+%.%d+[%w%.]*)\n%d*\n(.*)$')
  if whole then
    found[#found + 1] = { name, whole, record, '' }
  elseif string.match(value, '^%x+%.%x+%.%d+%.[sp][%w%.]*%+$') then
    for _, token in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'holders', '(' .. now, '+inf')) do
      local shared = string.match(redis.call('HGET', prefix .. 'holder', token) or '', '^%d* %d+ (.*)$')
      found[#found + 1] = { name, token, shared or '', 'beside' }
    end
  else
    local known = redis.call('HMGET', prefix .. 'holder', 'token', 'record')
    if known[1] and string.sub(value, 1, #known[1]) == known[1] then
      found[#found + 1] = { name, known[1], known[2] or '', '' }
    end
  end
end

for _, key in ipairs(redis.call('KEYS', '*')) do
  local name, part = string.match(key, '^{(.*)}:(%a+)$')
  if not name then
    holders_of(key)
  elseif part == 'waiters' then
    local all = redis.call('HGETALL', key)
    for index = 1, #all, 2 do
      local lapses, record = string.match(all[index + 1], '^(%d+) (.*)$')
      if lapses and tonumber(lapses) > now then found[#found + 1] = { name, all[index], record, '' } end
    end
  end
end
return found
