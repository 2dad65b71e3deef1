-- Everything that is done to locks, each call in one step. KEYS are the names of locks. The keys that belong to a lock are
-- named after it, in the same slot of a cluster: naming all of them in each request would make it five times as long.
-- ARGV: the command, the namespace, the database, and the arguments of the command. In a cluster, where the keys of one command
-- share a slot, the database is nothing, and after the namespace are, each after a line feed, what the names of the namespace's
-- keys begin with that are in this slot, and in one of this shard.
--
-- The value of a lock's key is the holder's token. While nobody else has to do with the hold, it is in one piece: fence and
-- record follow, each after a line feed, and no other key belongs to the lock. Whoever has more to note of it divides it first.
--
-- A token says by its end what its entry wants: `.s` to share the lock, `.p5` one of five permits, nothing to have it alone;
-- an `m` after it, all of several locks. If several hold, the value of the key is `+` after the token of one of them, and each
-- has a time of its own. The key lasts as long as the last of them, so that whoever else uses it is kept out.
--
-- Who holds is one rule: an entry does when all ahead of it in the line, holders and waiters, may hold beside it, and fewer are
-- ahead than it allows. One of several locks does when that is so in each line.
--
-- The server refuses a script's first write if it needs room and there is none (`maxmemory`), and none after it. So what
-- takes room comes first in a grant, which is then all or nothing; and what only renews or releases begins with a command
-- that needs none, so that it is never refused.
local command, namespace, database = ARGV[1], ARGV[2], ARGV[3]
local by_slot, of_slot, of_shard = database == '', nil, nil
if by_slot then namespace, of_slot, of_shard = string.match(namespace, '^(.*)\n(.*)\n(.*)$') end
-- The greatest fence of all locks in the namespace, in a cluster of those in this slot, with which it moves. The server's time is
-- greater unless its clock was set back.
local FENCES = (of_slot or '{' .. namespace .. '}') .. ':fence'
-- It is there while somebody watches the locks of the namespace.
local WATCHED = (of_shard or '{' .. namespace .. '}') .. ':watch'
-- Above this no number can be counted on exactly: up to the year 2255.
local GREATEST = 9e15

-- What the names of the other keys of a lock begin with: in its slot, by what is in the first braces.
local function prefix_of(name)
  return (by_slot and string.find(name, '}', 1, true) and of_slot or '') .. '{' .. name .. '}:'
end

-- First the two commands that most calls are, of locks with which nobody else has to do. Nothing is made before that they do
-- not need, and no more is done than they need: each step here is a part of what every lock costs.

if command == 'enter' or command == 'enter_all' then
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

  -- enter TTL refuse|queue LOOK TOKEN RECORD: acquires the lock if it is free and nobody waits for it, or watches; and if not,
  -- see below
  if #KEYS == 1 and command == 'enter' then
    local name, prefix = KEYS[1], prefix_of(KEYS[1])
    -- A lock's own fence is that of a user who has no right to the namespace's.
    local beside = by_slot and redis.pcall('EXISTS', name, prefix .. 'queue', prefix .. 'fence')
      or redis.pcall('EXISTS', name, prefix .. 'queue', prefix .. 'fence', WATCHED)
    if beside == 0 and not (by_slot and redis.pcall('EXISTS', WATCHED) ~= 0) then
      -- There may be no room.
      local fence = next_fences('1')
      if fence then
        local value = ARGV[7] .. string.format('\n%.0f\n', fence) .. ARGV[8]
        local set = redis.pcall('SET', name, value, 'NX', 'PX', ARGV[4])
        if set and set.ok then return { 'held', fence } end
      end
    end
  end

  -- enter_all TTL refuse|queue LOOK TOKEN RECORD: the same for one entry, and all locks or none
  if command == 'enter_all' then
    local beside = { unpack(KEYS) }
    if not by_slot then beside[#beside + 1] = WATCHED end
    for _, name in ipairs(KEYS) do
      local prefix = prefix_of(name)
      beside[#beside + 1], beside[#beside + 2] = prefix .. 'queue', prefix .. 'fence'
    end
    if redis.pcall('EXISTS', unpack(beside)) == 0 and not (by_slot and redis.pcall('EXISTS', WATCHED) ~= 0) then
      local last, set, fences = next_fences(tostring(#KEYS)), 0, { 'held' }
      for number, name in ipairs(last and KEYS or {}) do
        local fence = last - #KEYS + number
        local value = ARGV[7] .. string.format('\n%.0f\n', fence) .. ARGV[8]
        local done = redis.pcall('SET', name, value, 'NX', 'PX', ARGV[4])
        if not done or not done.ok then break end
        set, fences[number + 1] = number, fence
      end
      if set == #KEYS then return fences end
      if set > 0 then redis.call('DEL', unpack(KEYS, 1, set)) end
    end
  end

  -- enter TTL refuse|queue LOOK (TOKEN RECORD)…: the same for several entries, each of one lock; the fence of each, 0 of one
  -- that is to be asked for alone
  if #KEYS > 1 and command == 'enter' then
    local beside, numbers, fences = {}, {}, {}
    for number, name in ipairs(KEYS) do
      local prefix = prefix_of(name)
      beside[3 * number - 2] = name
      beside[3 * number - 1], beside[3 * number], fences[number] = prefix .. 'queue', prefix .. 'fence', 0
    end
    if redis.pcall('EXISTS', WATCHED) ~= 0 then return fences end
    local all_free = redis.pcall('EXISTS', unpack(beside)) == 0
    for number = 1, #KEYS do
      if all_free or redis.pcall('EXISTS', unpack(beside, 3 * number - 2, 3 * number)) == 0 then
        numbers[#numbers + 1] = number
      end
    end
    local last = #numbers > 0 and next_fences(tostring(#numbers))
    for at, number in ipairs(last and numbers or {}) do
      local fence = last - #numbers + at
      local value = ARGV[5 + 2 * number] .. string.format('\n%.0f\n', fence) .. ARGV[6 + 2 * number]
      local set = redis.pcall('SET', KEYS[number], value, 'NX', 'PX', ARGV[4])
      if set and set.ok then fences[number] = fence end
    end
    return fences
  end
end

-- leave_all TOKEN: releases all locks that this entry holds, if its holds are in one piece and nobody watches; and if not, see
-- below
if command == 'leave_all' then
  local is_whole, token = redis.pcall('EXISTS', WATCHED) == 0, ARGV[4] .. '\n'
  local values = redis.pcall('MGET', unpack(KEYS))
  for number = 1, #KEYS do
    local value = values[number]
    is_whole = is_whole and type(value) == 'string' and string.sub(value, 1, #token) == token
  end
  if is_whole then return redis.call('DEL', unpack(KEYS)) end
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
-- The beginning of a value in one piece, token and fence, which an earlier version does not have; and a value of several holders.
local WHOLE = '^(%x+%.%x+%.%d+[%w%.]*)\n(%d*)'
local GROUP = '^%x+%.%x+%.%d+%.([sp])[%w%.]*%+$'
-- How many entries of a lock are shown, and for how many bytes their records.
local SHOWN, SHOWN_BYTES = 10000, 1048576

-- The locks of this request, by name, with what is known of each: nothing but the script changes anything while it runs.
local locks_by_name = {}
-- Those whose line somebody has left: whoever may hold them by that does at the end of the request.
local locks_to_settle = {}

local function named(name)
  if not locks_by_name[name] then
    local prefix = prefix_of(name)
    locks_by_name[name] = {
      name = name, fence = prefix .. 'fence', holder = prefix .. 'holder', holders = prefix .. 'holders',
      queue = prefix .. 'queue', waiters = prefix .. 'waiters',
    }
  end
  return locks_by_name[name]
end

local function lock(number)
  return named(KEYS[number])
end

-- What the entry with this token wants: `s` or `p` if not to have the lock alone, and then how many it allows; and whether it
-- wants several.
local function mode(token)
  local kind, limit, several = string.match(token, '^%x+%.%x+%.%d+%.([sp]?)(%d*)(m?)')
  return kind or '', tonumber(limit) or math.huge, several == 'm'
end

-- One of several holders goes.
local function remove_one(lock, token)
  redis.call('ZREM', lock.holders, token)
  redis.call('HDEL', lock.holder, token)
  if lock.group == 'p' then redis.call('ZREM', lock.queue, token .. '+') end
end

-- The token of the holder; of several the value of the key, with their kind in `lock.group`. Of somebody else's key its value,
-- or a little more of it than any token has: an empty text if the key is of another type, as Redisson's is; `false` if the
-- lock is free.
local function read_owner(lock)
  lock.whole, lock.group = nil, nil
  local value = redis.pcall('GETRANGE', lock.name, 0, LONGEST_TOKEN)
  if type(value) == 'table' then
    if string.find(value.err or '', 'WRONGTYPE', 1, true) then return '' end
    -- The same error once more: the user may lack the right to read, which says nothing about the lock.
    return redis.call('GETRANGE', lock.name, 0, LONGEST_TOKEN)
  end
  if value == '' and redis.call('EXISTS', lock.name) == 0 then return false end
  lock.whole, lock.whole_fence = string.match(value, WHOLE)
  lock.group = string.match(value, GROUP)
  if lock.group then
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', lock.holders, '-inf', now)) do remove_one(lock, gone) end
    if redis.call('ZCARD', lock.holders) == 0 then
      redis.call('DEL', lock.name, lock.holder)
      lock.group = nil
      return false
    end
  end
  return lock.whole or value
end

-- The same, read once. Whatever changes it notes that in the lock.
local function owner(lock)
  if lock.owner == nil then lock.owner = read_owner(lock) end
  return lock.owner
end

-- It has this owner from now on. Whoever may hold it beside that one does not yet.
local function note_owner(lock, current)
  lock.owner, lock.whole, lock.is_settled = current, nil, false
end

-- Somebody has left the lock's line. Whoever may hold it by that does at the end of the request, when all have left that do.
local function note_left(lock)
  lock.is_settled = false
  if not lock.is_left then
    lock.is_left = true
    locks_to_settle[#locks_to_settle + 1] = lock
  end
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
--
-- In a cluster within this shard, to whoever is subscribed there. If nobody is, to all members: who has another view of the
-- cluster is subscribed to that, and so is everybody before version 7, which has no other.
local function publish(channel, ...)
  local message = table.concat({ ... }, '\n')
  local received = by_slot and redis.pcall('SPUBLISH', of_shard .. channels .. channel, message)
  if type(received) == 'number' and received > 0 then return end
  redis.pcall('PUBLISH', channels .. channel, message)
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
  if lock.whole == token then return lock.whole_fence, 0 end
  if lock.group then
    local fence, kept = string.match(redis.call('HGET', lock.holder, token) or '', '^(%d*) (%d+) ')
    return fence, tonumber(kept or 0)
  end
  local known = redis.call('HMGET', lock.holder, 'token', 'fence', 'kept')
  if known[1] ~= token then return nil end
  return known[2] or '', tonumber(known[3] or 0) or 0
end

-- Whether the entry with this token holds the lock, which has this owner.
local function holds(lock, current, token)
  if lock.group then return redis.call('ZSCORE', lock.holders, token) and true or false end
  return current == token
end

-- Whether the owner is one of ours.
local function is_ours(lock, current)
  return lock.group ~= nil or hold(lock, current) ~= nil
end

-- `s` or `p` if others may hold the lock beside its owner.
local function kind_of(lock, current)
  if lock.group then return lock.group end
  local kind = mode(current)
  return kind ~= '' and is_ours(lock, current) and kind or nil
end

-- The record of the holder with this token; `false` if it is none of ours.
local function record_of(lock, token)
  if lock.group then
    local record = string.match(redis.call('HGET', lock.holder, token) or '', '^%d* %d+ (.*)$')
    return record and #record > LONGEST_RECORD and 'too long' or record or ''
  end
  if not hold(lock, token) then return false end
  if lock.whole == token then
    local begin = #token + 1 + (lock.whole_fence ~= '' and #lock.whole_fence + 1 or 0)
    if redis.call('STRLEN', lock.name) > begin + LONGEST_RECORD then return 'too long' end
    return redis.call('GETRANGE', lock.name, begin, -1)
  end
  if redis.call('HSTRLEN', lock.holder, 'record') > LONGEST_RECORD then return 'too long' end
  return redis.call('HGET', lock.holder, 'record') or ''
end

-- Divides a hold that is in one piece. From now on its release is more than a deletion.
local function divide(lock)
  local token = lock.whole
  if not token then return end
  redis.call('HSET', lock.holder, 'token', token, 'record', record_of(lock, token), 'fence', lock.whole_fence)
  redis.call('HDEL', lock.holder, 'kept')
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
  note_owner(lock, token)
  remember(lock, fence, ahead)
  publish('changes', '+', token, lock.name, record)
  return fence
end

-- In how many milliseconds the last of several holders lapses; or the first.
local function lapses_in(lock, place)
  return tonumber(redis.call('ZRANGE', lock.holders, place, place, 'WITHSCORES')[2]) - now
end

-- What several holders have lasts as long as the last of them.
local function expire(lock)
  local px = lapses_in(lock, -1)
  redis.call('PEXPIRE', lock.name, px)
  redis.call('PEXPIRE', lock.holders, px)
  redis.call('PEXPIRE', lock.holder, px)
end

-- Makes the only holder, one of ours, the first of several.
local function widen(lock, token)
  local left, record, fence, extended_until = redis.call('PTTL', lock.name), record_of(lock, token), hold(lock, token)
  redis.call('HSET', lock.holder, token, fence .. string.format(' %.0f ', extended_until) .. record)
  -- Whoever was in it lost the lock when the key went.
  redis.call('DEL', lock.holders)
  -- Somebody may have made it persist.
  redis.call('ZADD', lock.holders, now + (left < 0 and REMEMBERED or math.max(1, left)), token)
  redis.call('SET', lock.name, token .. '+', 'KEEPTTL')
  redis.call('HDEL', lock.holder, 'token', 'record', 'fence', 'kept')
  note_owner(lock, token .. '+')
  lock.group = mode(token)
end

-- Grants the lock beside its owner, who lets the entry hold.
local function join(lock, current, token, record, px)
  if not lock.group then widen(lock, current) end
  local fence, ahead = next_fence(lock)
  redis.call('HSET', lock.holder, token, fence .. ' 0 ' .. record)
  redis.call('ZADD', lock.holders, now + px, token)
  lock.is_settled = false
  expire(lock)
  remember(lock, fence, ahead)
  publish('changes', '+', token, lock.name, record)
  return fence
end

-- When a waiter's entry lapses, and what follows: its record, after the names of its locks if it wants several. 0 if there is
-- no such waiter.
local function waiting(lock, token)
  local lapses, rest = string.match(redis.call('HGET', lock.waiters, token) or '', '^(%d+) (.*)$')
  return tonumber(lapses or 0), rest or ''
end

-- When a waiter's entry lapses, its record, and the names of its locks if it wants several.
local function waiter(lock, token)
  local lapses, rest = waiting(lock, token)
  local _, _, several = mode(token)
  local size, from = string.match(rest, '^(%d+):()')
  if not several or not size then return lapses, rest, '' end
  return lapses, string.sub(rest, from + size), string.sub(rest, from, from + size - 1)
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
    local lapses, record, names = waiter(lock, first)
    if lapses > now then return first, lapses, record, names end
    withdraw(lock, first)
  end
end

-- In how many milliseconds the lock may be free for this waiter if nothing is renewed.
local function expires_in(lock, token)
  if not lock.group then return redis.call('PTTL', lock.name) end
  return lapses_in(lock, mode(token) == 'p' and lock.group == 'p' and 0 or -1)
end

-- Notifies the first waiter that nothing but a hold of `px` milliseconds is before it, or several of which that is known.
local function notify_first(lock, px)
  local first = first_waiter(lock)
  if first then notify(first, '^', lock.group and expires_in(lock, first) or px) end
end

-- How many hold the lock that no waiter is ahead of, and the items of the queue in order, up to this place if there is one.
-- `+` is at the end of those that hold already, although one is ahead of them that allows less.
local function line(lock, current, place)
  local count, items = current and (lock.group and redis.call('ZCARD', lock.holders) or 1) or 0, {}
  local found = place and redis.call('ZRANGEBYSCORE', lock.queue, '-inf', place) or redis.call('ZRANGE', lock.queue, 0, -1)
  for _, item in ipairs(found) do
    local token = string.sub(item, -1) == '+' and string.sub(item, 1, -2)
    if not token then
      items[#items + 1] = item
    elseif current and holds(lock, current, token) then
      items[#items + 1], count = item, count - 1
    else
      redis.call('ZREM', lock.queue, item)
    end
  end
  return count, items
end

-- Whether the lock's line lets an entry hold: at this place in it, or else at its end.
local function lets_hold(lock, current, token, place)
  local kind, limit = mode(token)
  if current and (kind == '' or kind_of(lock, current) ~= kind) then return false end
  local ahead, items = line(lock, current, place)
  for _, item in ipairs(items) do
    if item == token or ahead >= limit then break end
    local is_holder = string.sub(item, -1) == '+'
    if not is_holder and waiter(lock, item) <= now then
      withdraw(lock, item)
    elseif kind == '' or mode(item) ~= kind then
      return false
    else
      ahead = ahead + 1
    end
  end
  if ahead < limit then return true end
  -- Of those who have permits some may be behind it.
  return kind == 'p' and place and lets_hold(lock, current, token)
end

-- Grants the lock to an entry that its line lets hold, which waits at this place there, or comes last.
local function admit(lock, current, token, record, px, place)
  local fence = current and join(lock, current, token, record, px) or grant(lock, token, record, px)
  if mode(token) == 'p' then
    -- Who is ahead of it may allow less, and wait.
    local first = redis.call('ZRANGE', lock.queue, 0, 0)[1]
    if first and first ~= token then
      place = place or redis.call('ZRANGE', lock.queue, -1, -1, 'WITHSCORES')[2] + 1
      redis.call('ZADD', lock.queue, place, token .. '+')
    end
  end
  return fence
end

-- Fails, and has changed nothing, if one of the lock's keys but its fence cannot be written: the user may lack the right, or it
-- is another program's. All or none of several locks are granted, so each is tried first. With the command that needs room before any.
local function try_to_write(lock)
  if lock.is_writable then return end
  redis.call('SET', lock.name, '', owner(lock) and 'NX' or 'XX')
  redis.call('ZREM', lock.holders, '')
  redis.call('ZREM', lock.queue, '')
  redis.call('HDEL', lock.holder, '')
  redis.call('HDEL', lock.waiters, '')
  lock.is_writable = true
end

-- Grants all locks of an entry, whose names these are, if each lets it hold; returns whether they did. `settling` does.
--
-- Nobody else may hold by that: behind a waiter as behind a holder, those do who may hold beside it.
local function admit_all(token, names, settling)
  local grants, at, fence = {}, 1, nil
  while at <= #names do
    local size, from = string.match(names, '^(%d+):()', at)
    local lock = named(string.sub(names, from, from + size - 1))
    at = from + size
    local current = owner(lock)
    local lapses, record = waiter(lock, token)
    if not holds(lock, current, token) then
      local place = redis.call('ZSCORE', lock.queue, token)
      if lapses <= now or not (lock == settling or lets_hold(lock, current, token, place)) then return false end
      grants[#grants + 1] = { lock, current, token, record, lapses - now, place }
    end
  end
  if #grants == 0 then return false end
  for _, each in ipairs(grants) do try_to_write(each[1]) end
  for _, each in ipairs(grants) do
    fence = admit(unpack(each))
    withdraw(each[1], token)
  end
  notify(token, '+', fence)
  return true
end

-- Lets those waiters hold the lock that may: first a free one, and then beside those who have it.
local function settle(lock)
  local current = owner(lock)
  local kind = current and kind_of(lock, current)
  if current and not kind then return end
  local first, lapses, record = first_waiter(lock)
  if not first or (kind and mode(first) ~= kind) then return end
  local first_kind, _, has_others = mode(first)
  if first_kind == '' and not has_others then
    local fence = grant(lock, first, record, lapses - now)
    withdraw(lock, first)
    notify(first, '+', fence)
    notify_first(lock, lapses - now)
    return
  end
  local ahead, items = line(lock, current)
  local any, is_behind, widest = false, false, 0
  for _, item in ipairs(items) do
    local _, limit = mode(item)
    if string.sub(item, -1) ~= '+' then widest = math.max(widest, limit) end
  end
  for _, item in ipairs(items) do
    local its, limit, several = mode(item)
    if ahead > 0 and ahead >= widest then break end
    local names
    lapses, record, names = waiter(lock, item)
    if string.sub(item, -1) == '+' then
      if not is_behind then redis.call('ZREM', lock.queue, item) end
      ahead = ahead + 1
    elseif lapses <= now then
      withdraw(lock, item)
    elseif ahead > 0 and its ~= kind then
      break
    else
      if ahead > 0 and ahead >= limit then
        is_behind = true
      elseif several then
        -- One of its other locks may be such that this client has no right to it: then its own one has to look.
        local done, is_admitted = pcall(admit_all, item, names, lock)
        if not done and lock.is_left then notify(item, '^', 0) end
        if done and is_admitted then any = true else is_behind = true end
      else
        local fence = admit(lock, current, item, record, lapses - now, redis.call('ZSCORE', lock.queue, item))
        withdraw(lock, item)
        any = true
        notify(item, '+', fence)
      end
      current = owner(lock)
      if its == '' then break end
      kind, ahead = its, ahead + 1
    end
  end
  if any then notify_first(lock, redis.call('PTTL', lock.name)) end
end

-- The lock's owner, once whoever may has it: that is so until somebody else has it, or leaves its line.
local function current_owner(lock)
  if not lock.is_settled then
    settle(lock)
    lock.is_settled = true
  end
  return owner(lock)
end

local function release(lock, token)
  -- Both or none, for a user who may not delete one of them.
  redis.call('DEL', lock.name, lock.holder)
  note_owner(lock, false)
  note_left(lock)
  publish('changes', '-', token, lock.name)
end

-- Whoever is left of several holders keeps the lock.
local function release_one(lock, token)
  remove_one(lock, token)
  if redis.call('ZCARD', lock.holders) > 0 then
    note_left(lock)
    expire(lock)
    publish('changes', '-', token, lock.name)
  else
    lock.group = nil
    release(lock, token)
  end
end

-- The key expires no sooner than after `px` milliseconds.
local function expire_no_sooner(px, key)
  redis.call('PEXPIRE', key, math.max(px, redis.call('PTTL', key)))
end

-- One of several holders lapses no sooner than after `px` milliseconds.
local function lapse_no_sooner(lock, token, px)
  if now + px <= tonumber(redis.call('ZSCORE', lock.holders, token)) then return end
  -- First what needs no room.
  expire_no_sooner(px, lock.name)
  redis.call('ZADD', lock.holders, now + px, token)
  expire(lock)
end

-- Takes the entry out, unless it lapses by itself.
local function leave(lock, token)
  local current = owner(lock)
  if holds(lock, current, token) then
    if lock.group then return release_one(lock, token) end
    return release(lock, token)
  end
  withdraw(lock, token)
  note_left(lock)
end

-- The hold is over, and the lock stays taken for `px` milliseconds more.
local function lapse(lock, token, px)
  -- Another token, so that no request for the entry that arrives later can affect it.
  local kept = token .. '.kept'
  local current = owner(lock)
  local now_held = holds(lock, current, token) and token or holds(lock, current, kept) and kept
  if not now_held then return 0 end
  local place = mode(token) == 'p' and redis.call('ZSCORE', lock.queue, now_held .. '+')
  if lock.group then
    local fence, record = hold(lock, now_held) or '', record_of(lock, now_held)
    remove_one(lock, now_held)
    redis.call('HSET', lock.holder, kept, fence .. ' 0 ' .. record)
    redis.call('ZADD', lock.holders, now + px, kept)
    expire(lock)
  else
    redis.call('PEXPIRE', lock.name, px)
    divide(lock)
    redis.call('SET', lock.name, kept, 'PX', px)
    redis.call('HSET', lock.holder, 'token', kept)
    redis.call('PEXPIRE', lock.holder, px)
    note_owner(lock, kept)
  end
  if place then redis.call('ZADD', lock.queue, place, kept .. '+') end
  publish('changes', '=', token, lock.name, kept)
  notify_first(lock, px)
  return 1
end

-- The session is closed: an extended hold lapses when its time is over.
local function close(lock, token)
  local current = owner(lock)
  local _, extended_until = nil, 0
  if holds(lock, current, token) then _, extended_until = hold(lock, token) end
  if (extended_until or 0) > now then return lapse(lock, token, extended_until - now) end
  leave(lock, token)
end

-- The fence of a hold. If it was forgotten, another one, which is greater.
local function fence_of(lock, token)
  local fence, kept = hold(lock, token)
  if fence and #fence <= 16 and string.match(fence, '^%d+$') then return fence end
  local ahead
  fence, ahead = next_fence(lock)
  if lock.group then
    redis.call('HSET', lock.holder, token, fence .. string.format(' %.0f ', kept) .. record_of(lock, token))
  else
    divide(lock)
    redis.call('HSET', lock.holder, 'token', token, 'fence', fence)
    redis.call('PEXPIRE', lock.holder, math.max(1, redis.call('PTTL', lock.name)))
  end
  remember(lock, fence, ahead)
  return fence
end

-- The state of an entry: held with its fence, or with any if it `is_known`; queued with what decides when its client has to
-- poll; or gone.
local function state(lock, token, is_known)
  local current = current_owner(lock)
  if holds(lock, current, token) then return { 'held', is_known and '0' or fence_of(lock, token) } end
  if waiting(lock, token) <= now then return { 'gone' } end
  if not redis.call('ZSCORE', lock.queue, token) then
    -- The queue was deleted by hand, or evicted. The client has to enter again: nobody would call this entry.
    withdraw(lock, token)
    return { 'gone' }
  end
  local first, lapses = first_waiter(lock)
  if first ~= token then
    -- Perhaps nothing but the first waiter keeps it from holding: when that one lapses, it has to look.
    local is_next = not current or kind_of(lock, current) == mode(token)
    is_next = is_next and redis.call('ZRANGE', lock.queue, 1, 1)[1] == token
    return { 'queued', is_next and 1 or 0, 1, lapses - now, '' }
  end
  -- It waits for another of its locks.
  if not current then return { 'queued', 0, 1, -1, '' } end
  local ours = is_ours(lock, current)
  -- Of a holder that is none of ours, what tells it from the next one.
  return { 'queued', 1, ours and 1 or 0, expires_in(lock, token), ours and '' or string.sub(current, 1, 64) }
end

local function renew(lock, token, px)
  local current = owner(lock)
  if holds(lock, current, token) then
    if lock.group then
      lapse_no_sooner(lock, token, px)
    else
      expire_no_sooner(px, lock.name)
      if not lock.whole then expire_no_sooner(px, lock.holder) end
    end
    return { 'held' }
  end
  local lapses, rest = waiting(lock, token)
  if lapses == 0 then return { 'gone' } end
  expire_no_sooner(px, lock.queue)
  expire_no_sooner(px, lock.waiters)
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. rest)
  return { holds(lock, current_owner(lock), token) and 'held' or 'queued' }
end

-- Puts the entry at the end of the queue, with the names of its locks if it wants several.
local function queue(lock, token, record, px, names)
  divide(lock)
  if waiting(lock, token) == 0 then
    local last = redis.call('ZRANGE', lock.queue, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', lock.queue, (last or 0) + 1, token)
  end
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. names .. record)
  expire_no_sooner(px, lock.queue)
  expire_no_sooner(px, lock.waiters)
end

-- That the lock is not free, with whoever is first in its line.
local function busy(lock, current)
  if not current then
    local _, _, record = first_waiter(lock)
    return { 'busy', record or false, -1, '' }
  end
  local known = record_of(lock, lock.group and redis.call('ZRANGE', lock.holders, 0, 0)[1] or current)
  return { 'busy', known, redis.call('PTTL', lock.name), not known and foreign(lock) or '' }
end

-- What `pcall` has returned for an error: the server's own, or that text alone.
local function error_text(reply)
  return string.match(type(reply) == 'table' and reply.err or tostring(reply), '^%-?(.*)$')
end

-- Whether the lock's slot is on its way to another node of a cluster, and each of its keys still there or here already: what is
-- not here is refused where it was, and where it will be it looks as if it were nowhere. Two keys are refused on both sides
-- unless both are there, and one of these never is.
local function is_moving(name)
  if not by_slot then return false end
  local found = redis.pcall('EXISTS', name, prefix_of(name) .. 'none')
  if type(found) == 'number' then return false end
  -- The user may lack the right to a key, which is said when it is used.
  local text = type(found) == 'table' and found.err or ''
  return not (string.find(text, 'ermission', 1, true) or string.find(text, "can't", 1, true))
end

-- What can be done to a lock meanwhile: a hold in one piece is all here, and of others what renews them has to be. Whatever needs
-- more is refused until the slot has moved: nothing is taken for free, or for gone, because it is not here.
local MOVING = 'TRYAGAIN the slot of this lock is on its way to another node'
local moving = {}

-- Only if the slot's fence is here, so that it grows. Who waits may be on the other side, and is passed over then.
function moving.enter()
  local name, px, when_busy, token = KEYS[1], ARGV[4], ARGV[5], ARGV[7]
  local lock = lock(1)
  local value = redis.call('GET', name)
  if not value then
    if redis.call('EXISTS', FENCES) == 0 then return end
    local fence = next_fence(lock)
    redis.call('SET', FENCES, fence)
    redis.call('SET', name, token .. '\n' .. fence .. '\n' .. ARGV[8], 'PX', px)
    publish('changes', '+', token, name, ARGV[8])
    return { 'held', fence }
  end
  local owned, fence = string.match(value, WHOLE)
  if owned == token then
    expire_no_sooner(px, name)
    return { 'held', fence }
  end
  if owned and when_busy == 'refuse' then
    lock.whole, lock.whole_fence, lock.owner = owned, fence, owned
    return busy(lock, owned)
  end
end

function moving.leave()
  local value, token = redis.call('GET', KEYS[1]), ARGV[4]
  if not value or string.sub(value, 1, #token + 1) ~= token .. '\n' then return nil end
  publish('changes', '-', token, KEYS[1])
  return redis.call('DEL', KEYS[1])
end

-- Who holds it, if that is all here; who waits is not looked for.
function moving.inspect(number)
  local lock, holders = lock(number), {}
  local value = redis.call('GETRANGE', lock.name, 0, LONGEST_TOKEN)
  local ends = redis.call('PTTL', lock.name)
  lock.whole, lock.whole_fence = string.match(value, WHOLE)
  if lock.whole then holders[1] = { lock.whole, record_of(lock, lock.whole), lock.whole_fence, ends } end
  return { now, ends ~= -2 and (lock.whole or value), ends, holders, {}, '' }
end

-- What renews one entry, or looks whether it holds; an error if that is not known here.
function moving.renew(number, item)
  local sign, token = string.match(item, '^(.)(.*)$')
  local ttl, held = string.match(ARGV[4], '^(%d+)/(%d+)$')
  local lock, px = lock(number), tonumber(sign == '*' and held or ttl)
  local value = redis.call('GET', lock.name)
  local is_whole = value and string.sub(value, 1, #token + 1) == token .. '\n'
  if sign == '!' or sign == '-' or sign == '.' then
    if not is_whole then error(MOVING, 0) end
    redis.call('DEL', lock.name)
    return { 'gone' }
  end
  if is_whole or value == token then
    if sign ~= '=' then
      redis.pcall('PEXPIRE', lock.holder, math.max(px, redis.call('PTTL', lock.name)))
      expire_no_sooner(px, lock.name)
    end
    return { 'held' }
  end
  local lapses = value and string.find(value, GROUP) and redis.call('ZSCORE', lock.holders, token)
  if lapses then
    expire_no_sooner(px, lock.holder)
    expire_no_sooner(px, lock.holders)
    expire_no_sooner(px, lock.name)
    redis.call('ZADD', lock.holders, math.max(now + px, tonumber(lapses)), token)
    return { 'held' }
  end
  local rest
  lapses, rest = waiting(lock, token)
  if lapses == 0 then error(MOVING, 0) end
  redis.pcall('PEXPIRE', lock.queue, math.max(px, redis.call('PTTL', lock.waiters)))
  expire_no_sooner(px, lock.waiters)
  redis.call('HSET', lock.waiters, token, string.format('%.0f ', now + px) .. rest)
  return { 'queued' }
end

-- What `work` returns for the number of each lock. What the server refuses for one of them is reported for that one alone.
local function each(work)
  local replies = {}
  for number = 1, #KEYS do
    local done, reply = pcall(work, number, ARGV[4 + number])
    if not done then
      reply = { 'failed', string.sub(error_text(reply), 1, 300) }
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

-- enter TTL refuse|queue LOOK TOKEN RECORD: acquires the lock, or enters the queue
function commands.enter()
  local lock, px, when_busy, token, record = lock(1), tonumber(ARGV[4]), ARGV[5], ARGV[7], ARGV[8]
  local current = current_owner(lock)
  if holds(lock, current, token) then
    renew(lock, token, px)
    return state(lock, token)
  end
  if waiting(lock, token) == 0 and lets_hold(lock, current, token) then
    return { 'held', admit(lock, current, token, record, px) }
  end
  if when_busy == 'refuse' then
    withdraw(lock, token)
    return busy(lock, current)
  end
  queue(lock, token, record, px, '')
  return state(lock, token)
end

-- enter_all TTL refuse|queue LOOK TOKEN RECORD: acquires all locks at once, or enters all queues; the state in each
function commands.enter_all()
  local px, when_busy, token, record, locks = tonumber(ARGV[4]), ARGV[5], ARGV[7], ARGV[8], {}
  local function states()
    local replies = { 'several' }
    for number, lock in ipairs(locks) do replies[number + 1] = state(lock, token) end
    return replies
  end
  local held, queued, names = 0, 0, ''
  for number, name in ipairs(KEYS) do
    locks[number] = lock(number)
    names = names .. #name .. ':' .. name
    current_owner(locks[number])
  end
  for _, lock in ipairs(locks) do
    if holds(lock, owner(lock), token) then
      held = held + 1
    elseif waiting(lock, token) > now and redis.call('ZSCORE', lock.queue, token) then
      queued = queued + 1
    end
  end
  if held == #KEYS then
    for _, lock in ipairs(locks) do renew(lock, token, px) end
  end
  if held == #KEYS or (held + queued == #KEYS and when_busy == 'queue') then return states() end
  -- One of them may have been taken away: all begin anew, at the same moment.
  if held + queued > 0 then
    for _, lock in ipairs(locks) do leave(lock, token) end
  end
  local currents, blocked = {}, nil
  for number, lock in ipairs(locks) do
    currents[number] = owner(lock)
    if not blocked and not lets_hold(lock, currents[number], token) then blocked = number end
  end
  if blocked and when_busy == 'refuse' then return busy(locks[blocked], currents[blocked]) end
  for _, lock in ipairs(locks) do try_to_write(lock) end
  for number, lock in ipairs(locks) do
    if blocked then
      queue(lock, token, record, px, #names .. ':' .. names)
    else
      admit(lock, currents[number], token, record, px)
    end
  end
  return states()
end

-- leave TOKEN: takes the entry out, whatever it does
function commands.leave()
  for number = 1, #KEYS do
    local lock, token = lock(number), ARGV[4]
    leave(lock, token)
    leave(lock, token .. '.kept')
  end
  return 1
end

-- leave_all TOKEN: takes the entry out of all its locks, whatever it does
commands.leave_all = commands.leave

-- poll 0 TOKEN|=TOKEN…: the state of each entry; `=` of one whose fence is known if it holds
function commands.poll()
  return each(function(number, item)
    if is_moving(KEYS[number]) then error(MOVING, 0) end
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
    if is_moving(KEYS[number]) then return moving.renew(number, item) end
    local lock = lock(number)
    if sign == '*' then return renew(lock, token, held_px) end
    if sign == '+' or sign == '=' then return renew(lock, token, px) end
    if sign == '.' then close(lock, token) else leave(lock, token) end
    if sign == '!' then leave(lock, token .. '.kept') end
    return { 'gone' }
  end)
end

-- Whether each lock is held by the entry with one of these tokens.
local function all_held(token, other)
  for number = 1, #KEYS do
    local lock = lock(number)
    local current = owner(lock)
    if not holds(lock, current, token) and not holds(lock, current, other) then return false end
  end
  return true
end

-- confirm TTL/TTL +TOKEN…: renews, and may grant for all that the client knew before
commands.confirm = commands.renew

-- extend PX TOKEN: the locks stay taken for so long even if their holder dies, or closes its session
function commands.extend()
  local px, token = tonumber(ARGV[4]), ARGV[5]
  if not all_held(token, token) then return 0 end
  for number = 1, #KEYS do
    local lock = lock(number)
    owner(lock)
    local fence, until_then = hold(lock, token), string.format('%.0f', now + px)
    if lock.group then
      redis.call('HSET', lock.holder, token, fence .. ' ' .. until_then .. ' ' .. record_of(lock, token))
      lapse_no_sooner(lock, token, px)
    else
      divide(lock)
      redis.call('HSET', lock.holder, 'kept', until_then)
      expire_no_sooner(px, lock.name)
      expire_no_sooner(px, lock.holder)
    end
  end
  return 1
end

-- lapse PX TOKEN: the hold is over, and its locks are free only after so long
function commands.lapse()
  if not all_held(ARGV[5], ARGV[5] .. '.kept') then return 0 end
  for number = 1, #KEYS do lapse(lock(number), ARGV[5], tonumber(ARGV[4])) end
  return 1
end

-- force_release VALUE FENCE: releases the lock by force if its key still has this value, which the client knows for a token;
-- with an empty one, if it is Redisson's. With a fence only the holder that has it. Returns how many it were.
function commands.force_release()
  local lock, value, fence = lock(1), ARGV[4], ARGV[5]
  local current = owner(lock)
  if current ~= value or (value == '' and foreign(lock) ~= 'redisson') then return 0 end
  local holders = lock.group and redis.call('ZRANGE', lock.holders, 0, -1) or { current }
  local count = 0
  for _, token in ipairs(holders) do
    if fence == '' or hold(lock, token) == fence then
      if hold(lock, token) then notify(token, '-') end
      if lock.group then release_one(lock, token) else release(lock, token) end
      count = count + 1
    end
  end
  return count
end

-- inspect: for each lock the time, its value, its PTTL; of each holder of ours its token, its record, its fence and when it
-- lapses; the waiters' records in order, each with when it lapses; and what the key is if it is none of ours
function commands.inspect()
  return each(function(number)
    if is_moving(KEYS[number]) then return moving.inspect(number) end
    local lock = lock(number)
    local current, holders, waiters, left = owner(lock), {}, {}, SHOWN_BYTES
    local function shown(record)
      local is_shown = #record <= math.min(left, LONGEST_RECORD)
      left = left - (is_shown and #record or 0)
      return is_shown and record or 'too long'
    end
    local ends = redis.call('PTTL', lock.name)
    if lock.group then
      local all = redis.call('ZRANGE', lock.holders, 0, SHOWN - 1, 'WITHSCORES')
      for at = 1, #all, 2 do
        holders[#holders + 1] = { all[at], shown(record_of(lock, all[at])), hold(lock, all[at]) or '', all[at + 1] - now }
      end
    elseif current and hold(lock, current) then
      holders[1] = { current, record_of(lock, current), hold(lock, current), ends }
    end
    for _, token in ipairs(redis.call('ZRANGE', lock.queue, 0, SHOWN - 1)) do
      local lapses, record = waiter(lock, token)
      if lapses > now then waiters[#waiters + 1] = { shown(record), lapses - now } end
    end
    local kind = current and #holders == 0 and foreign(lock) or ''
    return { now, current, ends, holders, waiters, kind }
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

-- detach PX TOKEN TICKET RECORD: the hold of the entry with this token is the ticket's from now on, for so long. Whether it is.
function commands.detach()
  local lock, px, token, ticket, record = lock(1), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
  local current = owner(lock)
  if holds(lock, current, ticket) then return 1 end
  if lock.group or not holds(lock, current, token) then return 0 end
  redis.call('HSET', lock.holder, 'token', ticket, 'record', record, 'fence', fence_of(lock, token))
  redis.call('HDEL', lock.holder, 'kept')
  redis.call('PEXPIRE', lock.holder, px)
  redis.call('SET', lock.name, ticket, 'PX', px)
  note_owner(lock, ticket)
  publish('changes', '=', token, lock.name, ticket)
  notify_first(lock, px)
  return 1
end

-- adopt PX TICKET TOKEN RECORD: the hold is that of the entry with this token from now on, with a greater fence; the state of it
function commands.adopt()
  local lock, px, ticket, token, record = lock(1), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
  local current = owner(lock)
  if holds(lock, current, token) then
    renew(lock, token, px)
    return { 'held', fence_of(lock, token) }
  end
  if lock.group or not holds(lock, current, ticket) then return { 'gone' } end
  try_to_write(lock)
  publish('changes', '-', ticket, lock.name)
  local fence = grant(lock, token, record, px)
  notify_first(lock, px)
  return { 'held', fence }
end

-- mark_done TOKEN RECORD: notes that what is done once under this lock is done, if the entry holds it. Whether it did.
function commands.mark_done()
  local lock, token = lock(1), ARGV[4]
  if not holds(lock, owner(lock), token) then return 0 end
  redis.call('SET', prefix_of(lock.name) .. 'done', ARGV[5])
  return 1
end

-- done: the record of what was done once; nothing if there is none
function commands.done()
  return redis.call('GET', prefix_of(KEYS[1]) .. 'done')
end

-- forget: removes that record; how many there were
function commands.forget()
  return redis.call('DEL', prefix_of(KEYS[1]) .. 'done')
end

-- What is done to each lock looks at each.
local OF_EACH = { poll = true, renew = true, confirm = true, inspect = true }
if by_slot and KEYS[1] and not OF_EACH[command] and is_moving(KEYS[1]) then
  local done, reply = pcall(#KEYS == 1 and moving[command] or error)
  return done and reply or { err = MOVING }
end
local done, reply = pcall(commands[command])
-- Also what a command has released that was refused later on: nobody would notify those who wait for it. What another one's line
-- refuses is no failure of who left: those in it find out when they look.
for _, lock in ipairs(locks_to_settle) do pcall(current_owner, lock) end
if done then return reply end
local text = error_text(reply)
-- Redis 6 has no code in it.
return { err = string.find(text, '^%u+ ') and text or 'ERR ' .. text }
