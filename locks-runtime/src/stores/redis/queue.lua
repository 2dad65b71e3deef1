-- Everything that is done to locks, each call in one step. KEYS are the names of locks. The keys that belong to a lock are
-- named after it, in the same slot of a cluster: naming all of them in each request would make it five times as long.
-- ARGV: the command, the namespace, the database (nothing in a cluster, where the keys of one command share a slot), and the
-- arguments of the command.
--
-- The value of a lock's key is the holder's token. While nobody else has to do with the hold, it is in one piece: the record
-- follows after a line feed, and no other key belongs to the lock. Whoever has more to note of it divides it first.
--
-- The server refuses a script's first write if it needs room and there is none (`maxmemory`), and none after it. So what
-- takes room comes first in a grant, which is then all or nothing; and what only renews or releases begins with a command
-- that needs none, so that it is never refused.
local command, namespace, database = ARGV[1], ARGV[2], ARGV[3]
local by_slot = database == ''
-- The greatest fence of all locks in the namespace. The server's time is greater unless its clock was set back.
local FENCES = '{' .. namespace .. '}:fence'
-- It is there while somebody watches the locks of the namespace.
local WATCHED = '{' .. namespace .. '}:watch'
-- Above this no number can be counted on exactly: up to the year 2255.
local GREATEST = 9e15

-- First the two commands that most calls are, of locks with which nobody else has to do. Nothing is made before that they do
-- not need, and no more is done than they need: each step here is a part of what every lock costs.

if command == 'enter' then
  -- The last of so many further fences; nothing if the user has no right to count them, or they are no number.
  --
  -- It never stays more than a millisecond behind the server's clock, so that what a server has forgotten in a restart or a
  -- failover is less than what it grants afterwards. Whoever calls knows below which number it has to be looked at, which
  -- is everything for the first call on a connection.
  local function next_fences(count)
    local fence = redis.pcall('INCRBY', FENCES, count)
    if type(fence) ~= 'number' or fence > GREATEST then return nil end
    if fence < tonumber(ARGV[6]) then
      local time = redis.call('TIME')
      local micros = time[1] * 1000000 + time[2]
      if fence < micros - 1000 then
        fence = micros + count
        redis.call('SET', FENCES, string.format('%.0f', fence))
      end
    end
    return fence
  end

  -- enter TTL refuse|queue LOOK VALUE: acquires the lock if it is free and nobody waits for it, or watches; and if not, see
  -- below
  if #KEYS == 1 then
    local name, prefix = KEYS[1], '{' .. KEYS[1] .. '}:'
    -- A lock's own fence is that of a user who has no right to the namespace's.
    local beside = by_slot and redis.pcall('EXISTS', prefix .. 'queue', prefix .. 'fence')
      or redis.pcall('EXISTS', prefix .. 'queue', prefix .. 'fence', WATCHED)
    if beside == 0 and not (by_slot and redis.pcall('EXISTS', WATCHED) ~= 0) then
      -- There may be no room.
      local set = redis.pcall('SET', name, ARGV[7], 'NX', 'PX', ARGV[4])
      if set and set.ok then
        local fence = next_fences('1')
        if fence then return { 'held', fence } end
        redis.call('DEL', name)
      end
    end
  end

  -- enter TTL refuse|queue LOOK VALUE…: the same for several; the fence of each, 0 of one that is to be asked for alone
  if #KEYS > 1 then
    local beside, names, numbers, fences = {}, {}, {}, {}
    for number, name in ipairs(KEYS) do
      local prefix = '{' .. name .. '}:'
      beside[2 * number - 1], beside[2 * number], fences[number] = prefix .. 'queue', prefix .. 'fence', 0
    end
    if redis.pcall('EXISTS', WATCHED) ~= 0 then return fences end
    local is_free = redis.pcall('EXISTS', unpack(beside)) == 0
    for number, name in ipairs(KEYS) do
      if is_free or redis.pcall('EXISTS', beside[2 * number - 1], beside[2 * number]) == 0 then
        local set = redis.pcall('SET', name, ARGV[6 + number], 'NX', 'PX', ARGV[4])
        if set and set.ok then names[#names + 1], numbers[#numbers + 1] = name, number end
      end
    end
    local last = #names > 0 and next_fences(tostring(#names))
    for at, number in ipairs(numbers) do fences[number] = last and last - #names + at or 0 end
    if #names > 0 and not last then redis.call('DEL', unpack(names)) end
    return fences
  end
end

if command == 'leave' then
  -- leave TOKEN: releases the lock that the entry with this token holds, if the hold is in one piece and nobody watches; and
  -- if not, see below
  if #KEYS == 1 then
    local values = by_slot and { redis.pcall('GET', KEYS[1]), redis.pcall('GET', WATCHED) }
      or redis.pcall('MGET', KEYS[1], WATCHED)
    local value, token = values[1], ARGV[4] .. '\n'
    if type(value) == 'string' and not values[2] and string.sub(value, 1, #token) == token then
      return redis.call('DEL', KEYS[1])
    end
  end

  -- leave TOKEN…: the same for several; 1 for each that is released, 0 for one that is to be asked for alone
  if #KEYS > 1 then
    local names, done = {}, {}
    local is_watched = redis.pcall('EXISTS', WATCHED) ~= 0
    local values = redis.pcall('MGET', unpack(KEYS))
    for number, name in ipairs(KEYS) do
      local value, token = values[number], ARGV[3 + number] .. '\n'
      local is_whole = value and not is_watched and string.sub(value, 1, #token) == token
      if is_whole then names[#names + 1] = name end
      done[number] = is_whole and 1 or 0
    end
    if #names > 0 then redis.call('DEL', unpack(names)) end
    return done
  end
end

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
-- The prefix of all channels: the database is in it because channels have none.
local channels = namespace .. 'locks@' .. (by_slot and '0' or database) .. ':'
-- For how long a lock's own fence is remembered, of a user who has no right to the one of the namespace.
local REMEMBERED = 10 * 60 * 1000
-- No token is longer than this many bytes, and no record: what is longer is somebody else's, and is not read.
local LONGEST_TOKEN, LONGEST_RECORD = 512, 65536
-- The beginning of a value in one piece: client, session and number.
local WHOLE = '^(%x+%.%x+%.%d+)\n'
-- How many waiters of a lock are shown, and for how many bytes their records.
local SHOWN, SHOWN_BYTES = 10000, 1048576

local function lock(number)
  local name = KEYS[number]
  local prefix = '{' .. name .. '}:'
  return {
    name = name, fence = prefix .. 'fence', holder = prefix .. 'holder',
    queue = prefix .. 'queue', waiters = prefix .. 'waiters',
  }
end

-- The holder's token. Of somebody else's key its value, or a little more of it than any token has: an empty text if the key
-- is of another type, as Redisson's is; `false` if the lock is free.
local function owner(lock)
  local value = redis.pcall('GETRANGE', lock.name, 0, LONGEST_TOKEN)
  if type(value) == 'table' then
    if string.find(value.err or '', 'WRONGTYPE', 1, true) then return '' end
    -- The same error once more: the user may lack the right to read, which says nothing about the lock.
    return redis.call('GETRANGE', lock.name, 0, LONGEST_TOKEN)
  end
  if value == '' and redis.call('EXISTS', lock.name) == 0 then return false end
  lock.whole = string.match(value, WHOLE)
  return lock.whole or value
end

-- What the lock's key is although it is none of ours: its type, or `redisson` for a hash such as that project's locks are.
local function foreign(lock)
  local kind = redis.call('TYPE', lock.name).ok
  if kind == 'hash' and redis.call('HLEN', lock.name) == 1 then
    local field = redis.call('HGETALL', lock.name)
    if string.match(field[1], '^[%w-]+:%d+$') and string.match(field[2], '^%d+$') then return 'redisson' end
  end
  return kind
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

-- What is greater than the greatest is no fence.
local function fence_in(key)
  local fence = redis.pcall('GETRANGE', key, 0, 16)
  if type(fence) ~= 'string' or #fence > 16 or not string.match(fence, '^%d+$') then return 0 end
  return tonumber(fence) <= GREATEST and tonumber(fence) or 0
end

-- A fence greater than all before. The lock's own one may be of an earlier version of this script.
local function next_fence(lock)
  local fence = math.max(micros, fence_in(FENCES) + 1, fence_in(lock.fence) + 1)
  return string.format('%.0f', fence), math.floor(fence / 1000) - now
end

local function remember(lock, fence, ahead)
  local remembered = redis.pcall('SET', FENCES, fence)
  if remembered.err then redis.call('SET', lock.fence, fence, 'PX', ahead + REMEMBERED) end
end

-- What is known of the hold with this token, if it is one of ours: its fence, until when it is extended.
local function hold(lock, token)
  if lock.whole == token then return '', 0 end
  local known = redis.call('HMGET', lock.holder, 'token', 'fence', 'kept')
  if known[1] ~= token then return nil end
  return known[2] or '', tonumber(known[3] or 0) or 0
end

-- The record of the holder with this token; `false` if it is none of ours.
local function record_of(lock, token)
  if not hold(lock, token) then return false end
  if lock.whole == token then
    if redis.call('STRLEN', lock.name) > #token + 1 + LONGEST_RECORD then return 'too long' end
    return redis.call('GETRANGE', lock.name, #token + 1, -1)
  end
  if redis.call('HSTRLEN', lock.holder, 'record') > LONGEST_RECORD then return 'too long' end
  return redis.call('HGET', lock.holder, 'record') or ''
end

-- Divides a hold that is in one piece. From now on its release is more than a deletion.
local function divide(lock)
  local token = lock.whole
  if not token then return end
  redis.call('HSET', lock.holder, 'token', token, 'record', record_of(lock, token))
  redis.call('HDEL', lock.holder, 'fence', 'kept')
  redis.call('PEXPIRE', lock.holder, math.max(1, redis.call('PTTL', lock.name)))
  redis.call('SET', lock.name, token, 'KEEPTTL')
  lock.whole = nil
end

local function grant(lock, token, record, px)
  local fence, ahead = next_fence(lock)
  redis.call('HSET', lock.holder, 'token', token, 'record', record, 'fence', fence)
  redis.call('HDEL', lock.holder, 'kept')
  redis.call('PEXPIRE', lock.holder, px)
  redis.call('SET', lock.name, token, 'PX', px)
  remember(lock, fence, ahead)
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

-- Notifies the first waiter that nothing but a hold of `px` milliseconds is before it.
local function notify_first(lock, px)
  local first = first_waiter(lock)
  if first then notify(first, '^', px) end
end

-- Grants a free lock to the first waiter, for what is left of the entry's own time.
local function hand_off(lock)
  local first, lapses, record = first_waiter(lock)
  if not first then return false end
  local fence = grant(lock, first, record, lapses - now)
  withdraw(lock, first)
  notify(first, '+', fence)
  notify_first(lock, lapses - now)
  return first
end

-- The owner of the lock, once a free one is granted to the first waiter.
local function current_owner(lock)
  return owner(lock) or hand_off(lock)
end

local function release(lock, token)
  redis.call('DEL', lock.name)
  redis.call('DEL', lock.holder)
  publish('changes', '-', token, lock.name)
  hand_off(lock)
end

-- The key expires no sooner than after `px` milliseconds.
local function expire_no_sooner(px, key)
  redis.call('PEXPIRE', key, math.max(px, redis.call('PTTL', key)))
end

-- Takes the entry out, unless it lapses by itself.
local function leave(lock, token)
  local current = owner(lock)
  if current == token then return release(lock, token) end
  withdraw(lock, token)
  if not current then hand_off(lock) end
end

-- The hold is over, and the lock stays taken for `px` milliseconds more.
local function lapse(lock, token, px)
  -- Another token, so that no request for the entry that arrives later can affect it.
  local kept = token .. '.kept'
  local current = owner(lock)
  if current ~= token and current ~= kept then return 0 end
  redis.call('PEXPIRE', lock.name, px)
  divide(lock)
  redis.call('SET', lock.name, kept, 'PX', px)
  redis.call('HSET', lock.holder, 'token', kept)
  redis.call('PEXPIRE', lock.holder, px)
  publish('changes', '=', token, lock.name, kept)
  notify_first(lock, px)
  return 1
end

-- The session is closed: an extended hold lapses when its time is over.
local function close(lock, token)
  if owner(lock) ~= token then return withdraw(lock, token) end
  local _, extended_until = hold(lock, token)
  if (extended_until or 0) > now then return lapse(lock, token, extended_until - now) end
  release(lock, token)
end

-- The fence of a hold. If it was forgotten, another one, which is greater.
local function fence_of(lock, token)
  local fence = hold(lock, token)
  if fence and #fence <= 16 and string.match(fence, '^%d+$') then return fence end
  local ahead
  fence, ahead = next_fence(lock)
  divide(lock)
  redis.call('HSET', lock.holder, 'token', token, 'fence', fence)
  redis.call('PEXPIRE', lock.holder, math.max(1, redis.call('PTTL', lock.name)))
  remember(lock, fence, ahead)
  return fence
end

-- The state of an entry: held with its fence, or with any if it `is_known`; queued with what decides when its client has to
-- poll; or gone.
local function state(lock, token, is_known)
  local current = current_owner(lock)
  if current == token then return { 'held', is_known and '0' or fence_of(lock, token) } end
  if waiter(lock, token) <= now then return { 'gone' } end
  if not redis.call('ZSCORE', lock.queue, token) then
    -- The queue was deleted by hand, or evicted. The client has to enter again: nobody would call this entry.
    withdraw(lock, token)
    return { 'gone' }
  end
  local ours = hold(lock, current) and 1 or 0
  -- Of a holder that is none of ours, what tells it from the next one.
  local mark = ours == 1 and '' or string.sub(current, 1, 64)
  return { 'queued', first_waiter(lock) == token and 1 or 0, ours, redis.call('PTTL', lock.name), mark }
end

local function renew(lock, token, px)
  local current = owner(lock)
  if current == token then
    expire_no_sooner(px, lock.name)
    if not lock.whole then expire_no_sooner(px, lock.holder) end
    return { 'held' }
  end
  local lapses, record = waiter(lock, token)
  if lapses == 0 then return { 'gone' } end
  expire_no_sooner(px, lock.queue)
  expire_no_sooner(px, lock.waiters)
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  return { (current or hand_off(lock)) == token and 'held' or 'queued' }
end

-- What `work` returns for the number of each lock. What the server refuses for one of them is reported for that one alone.
local function each(work)
  local replies = {}
  for number = 1, #KEYS do
    local done, reply = pcall(work, number, ARGV[4 + number])
    if not done then
      local text = type(reply) == 'table' and reply.err or tostring(reply)
      reply = { 'failed', string.sub(text, 1, 300) }
    end
    replies[number] = reply
  end
  return replies
end

-- The values of the keys of all locks whose item begins with `*` or `=`, by their numbers, in one command.
local function values_of_held()
  local names, numbers, values = {}, {}, {}
  for number = 1, #KEYS do
    if string.find(ARGV[4 + number], '^[*=]') then
      names[#names + 1], numbers[#numbers + 1] = KEYS[number], number
    end
  end
  if #names == 0 then return values end
  -- It may be refused because of one of them: then each is read alone.
  local found = redis.pcall('MGET', unpack(names))
  for at, number in ipairs(numbers) do values[number] = found[at] end
  return values
end

local commands = {}

-- enter TTL refuse|queue LOOK VALUE: acquires the lock, or enters the queue
function commands.enter()
  local lock, px, when_busy = lock(1), tonumber(ARGV[4]), ARGV[5]
  local token, record = string.match(ARGV[7], '^([^\n]*)\n(.*)$')
  local current = current_owner(lock)
  if not current then return { 'held', grant(lock, token, record, px) } end
  if current == token then return state(lock, token) end
  if when_busy == 'refuse' then
    withdraw(lock, token)
    local known = record_of(lock, current)
    return { 'busy', known, redis.call('PTTL', lock.name), not known and foreign(lock) or '' }
  end
  divide(lock)
  if waiter(lock, token) == 0 then
    local last = redis.call('ZRANGE', lock.queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', lock.queue, (last or 0) + 1, token)
  end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. record)
  expire_no_sooner(px, lock.queue)
  expire_no_sooner(px, lock.waiters)
  return state(lock, token)
end

-- leave TOKEN: takes the entry out, whatever it does
function commands.leave()
  local lock, token = lock(1), ARGV[4]
  leave(lock, token)
  leave(lock, token .. '.kept')
  return 1
end

-- poll 0 TOKEN|=TOKEN…: the state of each entry; `=` of one whose fence is known if it holds
function commands.poll()
  return each(function(number, item)
    local known, token = string.match(item, '^(=?)(.*)$')
    return state(lock(number), token, known == '=')
  end)
end

-- renew TTL/HELD *TOKEN|=TOKEN|+TOKEN|-TOKEN|!TOKEN|.TOKEN…: renews each entry; takes it out unless it lapses, or whatever
-- it does; closes it. One that is said to hold gets HELD milliseconds, or what it has is enough and it is looked at only.
function commands.renew()
  local ttl, held = string.match(ARGV[4], '^(%d+)/(%d+)$')
  local px, held_px, values = tonumber(ttl), tonumber(held), values_of_held()
  return each(function(number, item)
    local sign, token = string.match(item, '^(.)(.*)$')
    local value = values[number]
    if value and (sign == '=' or sign == '*') then
      local is_whole = string.sub(value, 1, #token + 1) == token .. '\n'
      if sign == '=' and (is_whole or value == token) then return { 'held' } end
      if is_whole then
        redis.call('PEXPIRE', KEYS[number], held_px)
        return { 'held' }
      end
    end
    local lock = lock(number)
    if sign == '*' then return renew(lock, token, held_px) end
    if sign == '+' or sign == '=' then return renew(lock, token, px) end
    if sign == '.' then close(lock, token) else leave(lock, token) end
    if sign == '!' then leave(lock, token .. '.kept') end
    return { 'gone' }
  end)
end

-- extend PX TOKEN: the lock stays taken for so long even if its holder dies, or closes its session
function commands.extend()
  local lock, px, token = lock(1), tonumber(ARGV[4]), ARGV[5]
  if owner(lock) ~= token then return 0 end
  divide(lock)
  redis.call('HSET', lock.holder, 'kept', string.format('%.0f', now + px))
  expire_no_sooner(px, lock.name)
  expire_no_sooner(px, lock.holder)
  return 1
end

-- lapse PX TOKEN: the hold is over, and its lock free only after so long
function commands.lapse()
  return lapse(lock(1), ARGV[5], tonumber(ARGV[4]))
end

-- force_release VALUE: releases the lock by force if its key still has this value, which the client knows for a token;
-- with an empty one, if it is Redisson's
function commands.force_release()
  local lock, value = lock(1), ARGV[4]
  if owner(lock) ~= value or (value == '' and foreign(lock) ~= 'redisson') then return 0 end
  if hold(lock, value) then notify(value, '-') end
  release(lock, value)
  return 1
end

-- inspect: for each lock its value, its PTTL, the holder's record, the waiters' records in order, and what the key is if
-- it is none of ours
function commands.inspect()
  return each(function(number)
    local lock = lock(number)
    local current, waiters, left = owner(lock), {}, SHOWN_BYTES
    for _, token in ipairs(redis.call('ZRANGE', lock.queue, 0, SHOWN - 1)) do
      local lapses, record = waiter(lock, token)
      if lapses > now then
        local is_shown = #record <= math.min(left, LONGEST_RECORD)
        waiters[#waiters + 1] = is_shown and record or 'too long'
        left = left - (is_shown and #record or 0)
      end
    end
    local known = current and record_of(lock, current)
    local kind = current and not known and foreign(lock) or ''
    return { current, redis.call('PTTL', lock.name), known, waiters, kind }
  end)
end

-- scan CURSOR PATTERN COUNT: the names of some keys whose value is a hold in one piece, and the next cursor. No lock of KEYS.
function commands.scan()
  local found, names = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[5], 'COUNT', ARGV[6], 'TYPE', 'string'), {}
  for _, name in ipairs(found[2]) do
    local value = redis.pcall('GETRANGE', name, 0, LONGEST_TOKEN)
    if type(value) == 'string' and string.find(value, WHOLE) then names[#names + 1] = name end
  end
  return { found[1], names }
end

-- watch PX: for so long nothing happens to a lock of the namespace that is not published. Whether that was so until now.
function commands.watch()
  if redis.call('PEXPIRE', WATCHED, ARGV[4]) == 1 then return 1 end
  redis.call('SET', WATCHED, '', 'PX', ARGV[4])
  return 0
end

return commands[command]()
