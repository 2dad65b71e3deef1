"""redis-py's own lock."""

import redis

import driver

clients = {}


def take(slot, waits, kind, address, name, ttl):
    host, port = address.split(":")
    client = clients.setdefault(address, redis.Redis(host=host, port=int(port)))
    lock = client.lock(name, timeout=ttl / 1000, sleep=0.02, thread_local=False)
    return lock if lock.acquire(blocking=waits) else None


driver.run(take)
