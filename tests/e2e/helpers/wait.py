"""Waiting for a condition, never for a time."""

import itertools
import os
import socket
import time


def wait_until(condition, what, timeout=10.0, every=0.02):
    """The first true value of condition(); fails with what() or what when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what() if callable(what) else what}")
        time.sleep(every)


# Below the range from which Linux takes ports for outgoing connections, so that none of those gets in between; where
# two rounds run on one machine they begin at different places.
_ports = itertools.cycle(range(20000, 32000))
for _ in range(os.getpid() * 2971 % 12000):
    next(_ports)


def free_port():
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
