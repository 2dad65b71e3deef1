-- Every entry that has not lapsed: the lock, the token with the fence or without, the owner's record.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, key in ipairs(redis.call('KEYS', '{*}:*')) do
  local name, part = string.match(key, '^{(.*)}:(%a+)$')
  if part == 'holder' then
    local token = redis.call('GET', name)
    local known = redis.call('HMGET', key, 'token', 'record')
    if token and known[1] and string.sub(token, 1, #known[1]) == known[1] then
      found[#found + 1] = { name, known[1], known[2] or '' }
    end
  elseif part == 'waiters' then
    local all = redis.call('HGETALL', key)
    for index = 1, #all, 2 do
      local lapses, record = string.match(all[index + 1], '^(%d+) (.*)$')
      if lapses and tonumber(lapses) > now then found[#found + 1] = { name, all[index], record } end
    end
  end
end
return found
