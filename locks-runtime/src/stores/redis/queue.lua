-- Everything that is done to locks, each call in one step. KEYS are the names of locks. The keys that belong to a lock are
-- named after it, in the same slot of a cluster: naming all of them in each request would make it five times as long.
-- ARGV: the command, the prefix of all channels, and the arguments of the command.
local command, channels = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
-- How long the last fence is remembered. It matters only if the server's clock is set back.
local REMEMBERED = 30 * 24 * 3600 * 1000

local function lock(number)
  local name = KEYS[number]
  local prefix = '{' .. name .. '}:'
  return {
    name = name, fence = prefix .. 'fence', holder = prefix .. 'holder',
    queue = prefix .. 'queue', waiters = prefix .. 'waiters',
  }
end

-- The token in the lock's key: `false` if the lock is free, an empty one if the key is of another type, as Redisson's is.
local function owner(lock)
  local value = redis.pcall('GET', lock.name)
  if type(value) == 'table' then return '' end
  return value
end

-- A user may lack the right to publish: then clients find out by polling.
local function publish(channel, ...)
  redis.pcall('PUBLISH', channels .. channel, table.concat({ ... }, '\n'))
end

-- Notifies the client that made the token.
local function notify(token, sign, number)
  local client = string.match(token, '^(%x+)%.')
  if client then publish(client, sign, token, number or 0) end
end

local function last_fence(lock)
  local last = redis.pcall('GET', lock.fence)
  if type(last) ~= 'string' or #last > 16 or not string.match(last, '^%d+$') then return 0 end
  return tonumber(last)
end

-- What is known of the hold with this token, if it is one of ours: record, fence, until when it is extended.
local function hold(lock, token)
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
  publish('changes', '+', token, lock.name, record)
  return fence
end

-- When a waiter's entry lapses, and its record; 0 if there is no such waiter.
local function waiter(lock, token)
  local lapses, record = string.match(redis.call('HGET', lock.waiters, token) or '', '^(%d+) (.*)$')
  return tonumber(lapses or 0), record or ''
end

local function withdraw(lock, token)
  redis.call('ZREM', lock.queue, token)
  redis.call('HDEL', lock.waiters, token)
end

-- The first waiter whose entry has not lapsed.
local function first_waiter(lock)
  while true do
    local first = redis.call('ZRANGE', lock.queue, 0, 0)[1]
    if not first then return nil end
    local lapses, record = waiter(lock, first)
    if lapses > now then return first, lapses, record end
    withdraw(lock, first)
  end
end

-- Grants a free lock to the first waiter, for what is left of the entry's own time, and notifies the next waiter that it
-- is the first one now.
local function hand_off(lock)
  local first, lapses, record = first_waiter(lock)
  if not first then return false end
  local fence = grant(lock, first, record, lapses - now)
  withdraw(lock, first)
  notify(first, '+', fence)
  local next = first_waiter(lock)
  if next then notify(next, '^', lapses - now) end
  return first
end

-- The owner of the lock, once a free one is granted to the first waiter.
local function current_owner(lock)
  return owner(lock) or hand_off(lock)
end

local function release(lock, token)
  redis.call('DEL', lock.name, lock.holder)
  publish('changes', '-', token, lock.name)
  hand_off(lock)
end

-- The keys expire no sooner than after `px` milliseconds.
local function expire_no_sooner(px, ...)
  for _, key in ipairs({ ... }) do
    if redis.call('PTTL', key) < px then redis.call('PEXPIRE', key, px) end
  end
end

local function leave(lock, token)
  if owner(lock) ~= token then return withdraw(lock, token) end
  local record, fence, extended_until = hold(lock, token)
  if not extended_until or extended_until <= now then return release(lock, token) end
  -- Another token, so that no request for the entry that arrives later can affect the extended hold.
  redis.call('SET', lock.name, token .. '.kept', 'PX', extended_until - now)
  redis.call('HSET', lock.holder, 'token', token .. '.kept')
  redis.call('PEXPIRE', lock.holder, extended_until - now)
  publish('changes', '=', token, lock.name, token .. '.kept')
  local next = first_waiter(lock)
  if next then notify(next, '^', extended_until - now) end
end

-- Takes the entry out at once, extended, kept or not.
local function withdraw_now(lock, token)
  local current = owner(lock)
  if current == token or current == token .. '.kept' then return release(lock, current) end
  withdraw(lock, token)
end

-- The state of an entry: held with its fence, queued with what decides when its client has to poll, or gone.
local function state(lock, token)
  local current = current_owner(lock)
  if current == token then
    local _, fence = hold(lock, token)
    return { 'held', fence or string.format('%.0f', last_fence(lock)) }
  end
  if waiter(lock, token) <= now then return { 'gone' } end
  local ours = hold(lock, current) and 1 or 0
  return { 'queued', first_waiter(lock) == token and 1 or 0, ours, redis.call('PTTL', lock.name) }
end

local commands = {}

-- enter TTL TOKEN RECORD refuse|queue
function commands.enter()
  local lock, px, token, record, when_busy = lock(1), tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
  local current = current_owner(lock)
  if not current then return { 'held', grant(lock, token, record, px) } end
  if current == token then return state(lock, token) end
  if when_busy == 'refuse' then
    withdraw(lock, token)
    return { 'busy', hold(lock, current) or false, redis.call('PTTL', lock.name) }
  end
  if waiter(lock, token) == 0 then
    local last = redis.call('ZRANGE', lock.queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', lock.queue, (last or 0) + 1, token)
  end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  expire_no_sooner(px, lock.queue, lock.waiters)
  return state(lock, token)
end

-- poll TOKEN…: the state of each entry
function commands.poll()
  local states = {}
  for number = 1, #KEYS do states[number] = state(lock(number), ARGV[2 + number]) end
  return states
end

local function renew(lock, token, px)
  if current_owner(lock) == token then
    expire_no_sooner(px, lock.name, lock.holder)
    return 'h'
  end
  local lapses, record = waiter(lock, token)
  if lapses == 0 then return 'g' end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  expire_no_sooner(px, lock.queue, lock.waiters)
  return 'q'
end

-- renew TTL +TOKEN|-TOKEN|!TOKEN…: renews each entry, lets it lapse if it is extended, or withdraws it; returns a letter for each: held, queued, gone
function commands.renew()
  local px, states = tonumber(ARGV[3]), {}
  for number = 1, #KEYS do
    local sign, token = string.match(ARGV[3 + number], '^(.)(.*)$')
    if sign == '+' then
      states[number] = renew(lock(number), token, px)
    else
      if sign == '-' then leave(lock(number), token) else withdraw_now(lock(number), token) end
      states[number] = 'g'
    end
  end
  return table.concat(states)
end

-- extend PX TOKEN
function commands.extend()
  local lock, px, token = lock(1), tonumber(ARGV[3]), ARGV[4]
  if owner(lock) ~= token then return 0 end
  redis.call('HSET', lock.holder, 'kept', string.format('%.0f', now + px))
  expire_no_sooner(px, lock.name, lock.holder)
  return 1
end

-- force_release VALUE: releases the lock by force if its key still has this value
function commands.force_release()
  local lock, value = lock(1), ARGV[3]
  if owner(lock) ~= value then return 0 end
  if hold(lock, value) then notify(value, '-') end
  release(lock, value)
  return 1
end

-- inspect: for each lock its token, its PTTL, the holder's record, and the waiters' records in order
function commands.inspect()
  local found = {}
  for number = 1, #KEYS do
    local lock = lock(number)
    local current, waiters = owner(lock), {}
    for _, token in ipairs(redis.call('ZRANGE', lock.queue, 0, -1)) do
      local lapses, record = waiter(lock, token)
      if lapses > now then waiters[#waiters + 1] = record end
    end
    found[number] = { current, redis.call('PTTL', lock.name), current and hold(lock, current) or false, waiters }
  end
  return found
end

return commands[command]()
