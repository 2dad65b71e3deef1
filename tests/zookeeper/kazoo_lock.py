"""Acquires a lock, prints `holding`, and releases it at the end of the input: `kazoo_lock.py HOST:PORT PATH [PATTERN]`."""

import sys

from kazoo.client import KazooClient

client = KazooClient(hosts=sys.argv[1])
client.start()
with client.Lock(sys.argv[2], "kazoo", extra_lock_patterns=sys.argv[3:]):
    print("holding", flush=True)
    sys.stdin.read()
client.stop()
