"""Kazoo's Lock; with the kind `curator` it counts Curator's names, too; and `read` and `write`, its read-write lock."""

import logging
import threading

from kazoo.client import KazooClient, KazooState

import driver

logging.disable(logging.CRITICAL)
clients = {}
held = set()
connecting = threading.Lock()


def connect(address, ttl):
    """One client for each store, as in an application."""
    with connecting:
        client = clients.get(address)
        if client is None:
            client = KazooClient(hosts=address, timeout=ttl / 1000, connection_retry={"max_tries": -1}, command_retry={"max_tries": -1})
            client.add_listener(doubt)
            client.start(timeout=30)
            clients[address] = client
        return client


def doubt(state):
    """As its documentation demands: what is held is in doubt as soon as the connection is."""
    if state != KazooState.CONNECTED:
        for slot in list(held):
            driver.say(slot, "lost")


class Held:
    def __init__(self, slot, lock):
        self.slot, self.lock = slot, lock
        held.add(slot)

    def release(self):
        held.discard(self.slot)
        self.lock.release()


def take(slot, waits, kind, address, name, ttl):
    patterns = ["-lock-"] if kind == "curator" else []
    client = connect(address, ttl)
    recipe = {"read": client.ReadLock, "write": client.WriteLock}.get(kind, client.Lock)
    lock = recipe(name, slot, extra_lock_patterns=patterns)
    return Held(slot, lock) if lock.acquire(blocking=waits) else None


driver.run(take)
