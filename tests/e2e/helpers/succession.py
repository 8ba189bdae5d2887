"""Gateways whose process changes while they run: handed over by SIGUSR2, or started by a supervisor that holds the socket."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess

from .gateway import Gateway
from .wait import wait_until

PR_SET_CHILD_SUBREAPER = 36


class Adopted:
    """A process that a gateway started, in the form of Popen. Its parent is gone, and we are what it has instead."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout=60):
        try:
            wait_until(lambda: self.poll() is not None, "its end", timeout)
        except AssertionError:
            raise subprocess.TimeoutExpired("stagedoor", timeout) from None
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def become_subreaper():
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def pid_in(gateway):
    with contextlib.suppress(FileNotFoundError):
        return int((gateway.directory / "pid").read_text())
    return None


def hand_over(gateway, timeout=60):
    """SIGUSR2, until the old process has ended well and the new one is the gateway's."""
    old = gateway.process
    old.send_signal(signal.SIGUSR2)
    try:
        assert old.wait(timeout) == 0, gateway.log_text()[-3000:]
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the old process does not end: {gateway.log_text()[-3000:]}") from None
    pid = pid_in(gateway)
    assert pid not in (None, old.pid), gateway.log_text()[-3000:]
    gateway.process = Adopted(pid)
    return gateway.process


class Supervised(Gateway):
    """Its listening sockets are opened here, and passed to every process by systemd's protocol."""

    def __init__(self, directory, **options):
        super().__init__(directory, **options)
        self.sockets = [socket.create_server(("127.0.0.1", self.port), backlog=1024)]

    def launch(self, *flags):
        assert self.process is None or self.process.poll() is not None, "it still runs"
        config = self.write_config()
        self.starts += 1
        numbers = [one.fileno() for one in self.sockets]
        # The shell knows its own process id, and puts the sockets where they belong; above first, so that none is lost.
        moves = "".join(f" {30 + i}<&{fd}" for i, fd in enumerate(numbers))
        places = "".join(f" {3 + i}<&{30 + i} {30 + i}<&-" for i in range(len(numbers)))
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(numbers)}; exec{moves}; exec "$@"{places}'
        with open(self._log_file(), "wb") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", script, "supervisor", str(self.binary), "serve", "--config", str(config), *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory,
                env={**os.environ, **self.env}, pass_fds=numbers,
            )  # fmt: skip
        return self

    def close(self):
        try:
            super().close()
        finally:
            for one in self.sockets:
                one.close()


class Notified:
    """A socket for NOTIFY_SOCKET, and what was said on it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.setblocking(False)
        self.said = []

    def look(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self.sock.recv(4096).decode())
        return self.said

    def wait(self, state):
        wait_until(lambda: state in self.look(), lambda: f"{state}; it said {self.said}")

    def close(self):
        self.sock.close()
