-- Everything that is done to locks, each call in one step. KEYS are locks. What is beside each is named after it, in the
-- same slot of a cluster: naming all of them in each request would make it five times as long.
-- ARGV: what to do, what the names of channels begin with, and more by what is to be done.
local what, channels = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
-- For so long the last fence is remembered. It matters only if the server's clock is set back.
local REMEMBERED = 30 * 24 * 3600 * 1000

local function lock(number)
  local name = KEYS[number]
  local beside = '{' .. name .. '}:'
  return {
    name = name, fence = beside .. 'fence', holder = beside .. 'holder',
    queue = beside .. 'queue', waiters = beside .. 'waiters',
  }
end

-- The token at the lock: `false` if it is free, nobody's if it is of another type, as Redisson's is.
local function owner(lock)
  local value = redis.pcall('GET', lock.name)
  if type(value) == 'table' then return '' end
  return value
end

-- A user may lack the right to publish: then others find out by asking.
local function tell(channel, ...)
  redis.pcall('PUBLISH', channels .. channel, table.concat({ ... }, '\n'))
end

-- Tells the client whose token it is.
local function tell_client(token, sign, number)
  local client = string.match(token, '^(%x+)%.')
  if client then tell(client, sign, token, number or 0) end
end

local function last_fence(lock)
  local last = redis.pcall('GET', lock.fence)
  if type(last) ~= 'string' or #last > 16 or not string.match(last, '^%d+$') then return 0 end
  return tonumber(last)
end

-- What is known of the token at the lock, if it is one of ours: record, fence, until when it is kept.
local function holder(lock, token)
  local known = redis.call('HMGET', lock.holder, 'token', 'record', 'fence', 'kept')
  if known[1] ~= token then return nil end
  return known[2] or '', known[3], tonumber(known[4] or 0)
end

local function grant(lock, token, record, px)
  local fence = string.format('%.0f', math.max(micros, last_fence(lock) + 1))
  redis.call('SET', lock.fence, fence, 'PX', REMEMBERED)
  redis.call('SET', lock.name, token, 'PX', px)
  redis.call('DEL', lock.holder)
  redis.call('HSET', lock.holder, 'token', token, 'record', record, 'fence', fence)
  redis.call('PEXPIRE', lock.holder, px)
  tell('changes', '+', token, lock.name, record)
  return fence
end

-- Until when a waiter's place lasts, and its record; 0 if it has none.
local function place(lock, token)
  local till, record = string.match(redis.call('HGET', lock.waiters, token) or '', '^(%d+) (.*)$')
  return tonumber(till or 0), record or ''
end

local function withdraw(lock, token)
  redis.call('ZREM', lock.queue, token)
  redis.call('HDEL', lock.waiters, token)
end

-- The first waiter whose place has not lapsed.
local function first(lock)
  while true do
    local head = redis.call('ZRANGE', lock.queue, 0, 0)[1]
    if not head then return nil end
    local till, record = place(lock, head)
    if till > now then return head, till, record end
    withdraw(lock, head)
  end
end

-- Gives a free lock to the first waiter, for what is left of its place, and tells the next one that it is first now.
local function promote(lock)
  local head, till, record = first(lock)
  if not head then return false end
  local fence = grant(lock, head, record, till - now)
  withdraw(lock, head)
  tell_client(head, '+', fence)
  local next = first(lock)
  if next then tell_client(next, '^', till - now) end
  return head
end

-- Who has the lock, after a free one went to whom it is due.
local function settled(lock)
  return owner(lock) or promote(lock)
end

local function vacate(lock, token)
  redis.call('DEL', lock.name, lock.holder)
  tell('changes', '-', token, lock.name)
  promote(lock)
end

-- Keys last at least for so long.
local function stretch(px, ...)
  for _, key in ipairs({ ... }) do
    if redis.call('PTTL', key) < px then redis.call('PEXPIRE', key, px) end
  end
end

local function leave(lock, token)
  if owner(lock) ~= token then return withdraw(lock, token) end
  local record, fence, kept = holder(lock, token)
  if not kept or kept <= now then return vacate(lock, token) end
  -- Another token, so that nothing that is still on its way for the entry can touch it.
  redis.call('SET', lock.name, token .. '.kept', 'PX', kept - now)
  redis.call('HSET', lock.holder, 'token', token .. '.kept')
  redis.call('PEXPIRE', lock.holder, kept - now)
  tell('changes', '=', token, lock.name, token .. '.kept')
  local next = first(lock)
  if next then tell_client(next, '^', kept - now) end
end

-- Where an entry stands: held with its fence, queued with what its client should look out for, or gone.
local function standing(lock, token)
  local who = settled(lock)
  if who == token then
    local _, fence = holder(lock, token)
    return { 'held', fence or string.format('%.0f', last_fence(lock)) }
  end
  if place(lock, token) <= now then return { 'gone' } end
  local ours = holder(lock, who) and 1 or 0
  return { 'queued', first(lock) == token and 1 or 0, ours, redis.call('PTTL', lock.name) }
end

local act = {}

-- enter TTL TOKEN RECORD try|wait
function act.enter()
  local lock, px, token, record, patience = lock(1), tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
  local who = settled(lock)
  if not who then return { 'held', grant(lock, token, record, px) } end
  if who == token then return standing(lock, token) end
  if patience == 'try' then
    withdraw(lock, token)
    return { 'busy', holder(lock, who) or false, redis.call('PTTL', lock.name) }
  end
  if place(lock, token) == 0 then
    local last = redis.call('ZRANGE', lock.queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', lock.queue, (last or 0) + 1, token)
  end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  stretch(px, lock.queue, lock.waiters)
  return standing(lock, token)
end

-- look TOKEN…: where each stands
function act.look()
  local found = {}
  for number = 1, #KEYS do found[number] = standing(lock(number), ARGV[2 + number]) end
  return found
end

local function renew(lock, token, px)
  if settled(lock) == token then
    stretch(px, lock.name, lock.holder)
    return 'h'
  end
  local till, record = place(lock, token)
  if till == 0 then return 'g' end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  stretch(px, lock.queue, lock.waiters)
  return 'q'
end

-- tend TTL +TOKEN|-TOKEN…: renews each or takes it out; a letter for each: held, queued, gone
function act.tend()
  local px, found = tonumber(ARGV[3]), {}
  for number = 1, #KEYS do
    local sign, token = string.match(ARGV[3 + number], '^(.)(.*)$')
    if sign == '+' then
      found[number] = renew(lock(number), token, px)
    else
      leave(lock(number), token)
      found[number] = 'g'
    end
  end
  return table.concat(found)
end

-- keep PX TOKEN
function act.keep()
  local lock, px, token = lock(1), tonumber(ARGV[3]), ARGV[4]
  if owner(lock) ~= token then return 0 end
  redis.call('HSETNX', lock.holder, 'kept', string.format('%.0f', now + px))
  stretch(px, lock.name, lock.holder)
  return 1
end

-- force VALUE: takes the lock away from whoever has it, if that is still the one
function act.force()
  local lock, value = lock(1), ARGV[3]
  if owner(lock) ~= value then return 0 end
  if holder(lock, value) then tell_client(value, '-') end
  vacate(lock, value)
  return 1
end

-- read: for each its token, its PTTL, the holder's record, and the waiters' records in order
function act.read()
  local found = {}
  for number = 1, #KEYS do
    local lock = lock(number)
    local who, waiters = owner(lock), {}
    for _, token in ipairs(redis.call('ZRANGE', lock.queue, 0, -1)) do
      local till, record = place(lock, token)
      if till > now then waiters[#waiters + 1] = record end
    end
    found[number] = { who, redis.call('PTTL', lock.name), who and holder(lock, who) or false, waiters }
  end
  return found
end

return act[what]()
