"""The way from orca to the gateway: a SOCKS proxy that takes every address for the gateway's, so that orca may call it by
a name that its URL rules accept, and an ingress that can fail as ingresses do: lose a reply, or answer in its own name."""

import select
import socket
import threading

REASONS = {429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


class Fault:
    """What happens to a request: whether the gateway gets it, and the status that orca gets; None is a lost connection."""

    def __init__(self, method, passes, status=None):
        self.method, self.passes, self.status = method, passes, status

    def answer(self):
        if self.status is None:
            return b""
        return f"HTTP/1.1 {self.status} {REASONS[self.status]}\r\nContent-Length: 0\r\n\r\n".encode()


class Gone(Exception):
    """One of both sides has ended the connection."""


class Ingress:
    def __init__(self):
        self.target = None  # the gateway's port
        self.faults = []  # for the requests to come, each once
        self.requests = []  # (method, path), as they came from orca
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def fail(self, *faults):
        with self._lock:
            self.faults += faults

    def count(self, method):
        with self._lock:
            return sum(1 for request in self.requests if request[0] == method)

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with client, client.makefile("rb") as requests:
                self._greet(client, requests)
                with socket.create_connection(("127.0.0.1", self.target)) as gateway, gateway.makefile("rb") as replies:
                    while True:
                        self._pass(client, requests, gateway, replies)
        except (Gone, OSError):
            pass

    @staticmethod
    def _greet(client, requests):
        """The SOCKS 5 handshake (RFC 1928, sections 3 to 6), without authentication."""
        _, methods = requests.read(2)
        requests.read(methods)
        client.sendall(b"\x05\x00")
        address_type = requests.read(4)[3]
        requests.read({1: 4, 3: 0, 4: 16}[address_type] or requests.read(1)[0])
        requests.read(2)
        client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")

    def _pass(self, client, requests, gateway, replies):
        readable, _, _ = select.select([client, gateway], [], [])
        if gateway in readable:
            raise Gone
        head, body = message(requests)
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        with self._lock:
            self.requests.append((method, path))
            fault = next((one for one in self.faults if one.method == method), None)
            if fault:
                self.faults.remove(fault)
        if not fault or fault.passes:
            gateway.sendall(head + body)
            reply = b"".join(message(replies))
        client.sendall(fault.answer() if fault else reply)
        if fault and fault.status is None:
            raise Gone


def message(stream):
    """Head and body of the next HTTP message; both sides here announce the length of a body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            raise Gone
        head += line
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
    return head, stream.read(length)
