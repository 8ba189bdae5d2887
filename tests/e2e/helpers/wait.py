"""Waiting for a condition, never for a time."""

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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
