-- Deletes what has this token, and nothing of whoever has come since it was found: the lock's key, or its place in the queue.
local key, queue, waiters = KEYS[1], KEYS[2], KEYS[3]
local token = ARGV[1]
local holder = redis.pcall('GET', key)
if type(holder) == 'string' and string.sub(holder, 1, #token) == token then
  return redis.call('DEL', key)
end
redis.call('ZREM', queue, token)
return redis.call('HDEL', waiters, token)
