"""Drives another project's lock by lines; tests/support/peers says how they are read and answered."""

import os
import queue
import sys
import threading

_output = threading.Lock()


def say(slot, answer):
    with _output:
        print(slot, str(answer).replace("\n", " "), flush=True)


class Slot:
    """Has at most one lock at a time, and a thread of its own."""

    def __init__(self, name, take):
        self.name, self.take, self.held = name, take, None
        self.lines = queue.Queue()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            words = self.lines.get()
            try:
                say(self.name, self.act(*words))
            except Exception as error:
                say(self.name, f"error {error!r}")

    def act(self, command, *words):
        if command == "unlock":
            held, self.held = self.held, None
            held.release()
            return "released"
        kind, address, name, ttl = words
        say(self.name, "waiting")
        self.held = self.take(self.name, command == "lock", kind, address, name, int(ttl))
        return "holding" if self.held else "busy"


def run(take):
    """Reads the lines; `take` acquires a lock, and returns it or None if it is busy."""
    slots = {}
    for line in sys.stdin:
        name, *words = line.split()
        if name not in slots:
            slots[name] = Slot(name, take)
        slots[name].lines.put(words)
    # Whoever still holds something is gone at once, as after a kill.
    os._exit(0)
