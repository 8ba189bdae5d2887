"""A scripted upstream: an HTTP/1.1 server whose every answer a test has written down, and which keeps what it got.

    up.on("POST", "/jobs", reply(201, {"id": 7}))
    up.on("GET", "/jobs/7", reply(200, {"state": "running"}), reply(200, {"state": "done"}))
    …
    assert up.count("POST", "/jobs") == 1
    assert up.requests[0].json() == {…}

A route plays its moves one a request; the last one stays. A path that ends in `*` stands for every path that begins so.
A move may be a function of the request that gives a move. It runs in a thread of its own with an event loop; the test
reads `requests` and sets routes from its own thread.
"""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time

from .wait import wait_until

REASONS = {100: "Continue", 103: "Early Hints", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}


class Request:
    """One request, as it came."""

    def __init__(self, method, target, headers, body, connection, whole=True):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.connection = connection  # a number; requests on one connection share it
        self.whole = whole  # False: it was cut off before its body was read
        self.at = time.monotonic()

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.target} {self.body[:200]!r}"


# ---- moves: what a route does with a request ----


class Move:
    reads_body = True  # False: it acts once it has seen the head

    async def play(self, connection, request):
        """Gives True where the connection may carry another request."""
        raise NotImplementedError


class Reply(Move):
    def __init__(self, code, body=b"", headers=None, content_type=None, length=None, delay=0.0, close=False):
        if isinstance(body, (dict, list, int, float)) or body is None:
            body = json.dumps(body)
            content_type = content_type or "application/json"
        self.body = body.encode() if isinstance(body, str) else body
        self.code, self.delay, self.close, self.length = code, delay, close, length
        self.headers = dict(headers or {})
        if content_type:
            self.headers.setdefault("Content-Type", content_type)

    def head(self):
        lines = [f"HTTP/1.1 {self.code} {REASONS.get(self.code, 'Word')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.code not in (204, 304) and "Transfer-Encoding" not in self.headers:
            lines.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        if self.close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def play(self, connection, request):
        if self.delay:
            await asyncio.sleep(self.delay)
        connection.write(self.head() + (b"" if request.method == "HEAD" else self.body))
        await connection.drain()
        # A lie about the length ends with the connection, so that the other side sees a short body.
        return not self.close and self.length in (None, len(self.body))


class Raw(Move):
    """Bytes as they are, then the end of the connection (or not)."""

    def __init__(self, *pieces, every=0.0, then="close"):
        self.pieces, self.every, self.then = pieces, every, then

    async def play(self, connection, request):
        for piece in self.pieces:
            connection.write(piece)
            await connection.drain()
            if self.every:
                await asyncio.sleep(self.every)
        if self.then == "stall":
            await connection.until_gone()
        return self.then == "keep"


class Stall(Move):
    """Says nothing (or `first`) and waits until the other side goes away."""

    def __init__(self, first=b""):
        self.first = first

    async def play(self, connection, request):
        if self.first:
            connection.write(self.first)
            await connection.drain()
        await connection.until_gone()
        return False


class Reset(Move):
    """A TCP reset: once the head was seen, once the whole request was read, or in the middle of an answer."""

    def __init__(self, when="after_request", first=b""):
        assert when in ("after_head", "after_request")
        self.reads_body = when == "after_request"
        self.first = first

    async def play(self, connection, request):
        if self.first:
            connection.write(self.first)
            await connection.drain()
        connection.reset()
        return False


class Close(Move):
    """A polite end without any answer."""

    async def play(self, connection, request):
        return False


class Huge(Move):
    """A body of `total` bytes, announced or chunked; `sent` tells how much the other side took."""

    def __init__(self, total, chunked=False, content_type="application/json", announce=None):
        self.total, self.chunked, self.content_type = total, chunked, content_type
        self.announce = total if announce is None else announce
        self.sent = 0

    async def play(self, connection, request):
        length = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {self.announce}"
        connection.write(f"HTTP/1.1 200 OK\r\nContent-Type: {self.content_type}\r\n{length}\r\n\r\n".encode())
        piece = b"[" * 65536
        while self.sent < self.total and not connection.gone:
            size = min(len(piece), self.total - self.sent)
            data = piece[:size]
            connection.write(b"%x\r\n%s\r\n" % (size, data) if self.chunked else data)
            await connection.drain()
            self.sent += size
        if self.chunked and not connection.gone:
            connection.write(b"0\r\n\r\n")
            await connection.drain()
        return not connection.gone and self.announce == self.total


class Gate(Move):
    """Holds the request until the test opens it, then plays another move."""

    def __init__(self, then):
        self.then = then
        self.opened = threading.Event()
        self.reached = threading.Event()

    def open(self):
        self.opened.set()

    async def play(self, connection, request):
        self.reached.set()
        while not self.opened.is_set() and not connection.gone:
            await asyncio.sleep(0.01)
        if connection.gone:
            return False
        return await self.then.play(connection, request)


def reply(code=200, body=b"", **options):
    return Reply(code, body, **options)


def text(code, body, content_type="text/plain"):
    return Reply(code, body, content_type=content_type)


def chunked(code, *pieces, content_type="application/json"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    return Reply(code, body, headers={"Content-Type": content_type, "Transfer-Encoding": "chunked"})


def drip(code, body, every=0.05, content_type="application/json"):
    head = f"HTTP/1.1 {code} Word\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return Raw(head, *[body[at : at + 1] for at in range(len(body))], every=every, then="keep")


# ---- the server ----


class Connection:
    def __init__(self, number, reader, writer):
        self.number, self.reader, self.writer = number, reader, writer
        self.gone = False

    def write(self, data):
        self.writer.write(data)

    async def drain(self):
        try:
            await self.writer.drain()
        except ConnectionError:
            self.gone = True

    async def until_gone(self):
        """Until the other side has ended or reset the connection; what it still sends is dropped."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.gone = True

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.gone = True


class Route:
    def __init__(self, moves):
        self.moves, self.next = list(moves), 0

    def take(self):
        move = self.moves[min(self.next, len(self.moves) - 1)]
        self.next += 1
        return move


class Upstream:
    def __init__(self, tls=None, port=0):
        """tls: (certificate, key) or (certificate, key, client CA), files of PEM."""
        self.port = port
        self.requests = []
        self.connections = 0
        self.refusing = 0  # so many further connections are reset before anything is read
        self.surprises = []  # requests that no route was made for
        self.keep_requests = True  # a test with 100,000 of them turns this off and counts only
        self.counts = {}
        self._routes = {}
        self._lock = threading.Lock()
        self._tls = self._tls_context(tls)
        self._loop = asyncio.new_event_loop()
        self._server = None
        self._failed = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(10)
        if self._failed:
            raise self._failed

    @staticmethod
    def _tls_context(files):
        if not files:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[0], files[1])
        if len(files) > 2:
            context.load_verify_locations(files[2])
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # -- for tests --

    def on(self, method, path, *moves):
        assert moves, "a route needs a move"
        with self._lock:
            self._routes[method, path] = Route(moves)
        return moves[-1]

    def got(self, method=None, path=None):
        with self._lock:
            return [
                request
                for request in self.requests
                if (method is None or request.method == method) and (path is None or self._fits(path, request.path))
            ]

    def count(self, method=None, path=None):
        if self.keep_requests:
            return len(self.got(method, path))
        with self._lock:
            return sum(
                count
                for (m, p), count in self.counts.items()
                if (method is None or m == method) and (path is None or self._fits(path, p))
            )

    def wait_for(self, count=1, method=None, path=None, timeout=10.0):
        wait_until(
            lambda: self.count(method, path) >= count,
            lambda: f"{count} × {method} {path}; the upstream got {self.requests[-20:]}",
            timeout,
        )
        return self.got(method, path) if self.keep_requests else None

    def refuse_connections(self, count):
        self.refusing = count

    def close(self):
        async def end():
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    # -- inside --

    @staticmethod
    def _fits(pattern, path):
        return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern

    def _find(self, method, path):
        route = self._routes.get((method, path))
        if route:
            return route
        fitting = [key for key in self._routes if key[0] == method and key[1].endswith("*") and self._fits(key[1], path)]
        return self._routes[max(fitting, key=lambda key: len(key[1]))] if fitting else None

    def _run(self, started):
        asyncio.set_event_loop(self._loop)
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls, backlog=4096, limit=1 << 20)
            )
            self.port = self._server.sockets[0].getsockname()[1]
        except Exception as error:  # told to the thread that waits
            self._failed = error
            started.set()
            return
        started.set()
        self._loop.run_forever()
        self._loop.close()

    async def _serve(self, reader, writer):
        with self._lock:
            self.connections += 1
            connection = Connection(self.connections, reader, writer)
            refuse = self.refusing > 0
            self.refusing -= 1 if refuse else 0
        try:
            if refuse:
                connection.reset()
                return
            while await self._one(connection):
                pass
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            if not connection.gone:
                writer.close()

    async def _one(self, connection):
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        request = Request(method, target, headers, b"", connection.number, whole=False)
        with self._lock:
            route = self._find(method, request.path)
            move = route.take() if route else None
            index = len(self.requests)
            if self.keep_requests:
                self.requests.append(request)
            else:
                self.counts[method, request.path] = self.counts.get((method, request.path), 0) + 1
            if move is None:
                self.surprises.append(request)
        if move is None:
            move = Reply(404, {"error": f"nobody scripted {method} {target}"})
        if callable(move) and not isinstance(move, Move):
            request = await self._read_body(connection, request, index)
            move = move(request)
        elif move.reads_body:
            await self._read_body(connection, request, index)
        return await move.play(connection, request)

    async def _read_body(self, connection, request, index):
        length = request.header("Content-Length")
        if (request.header("Expect") or "").lower() == "100-continue":
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (request.header("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int((await connection.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                request.body += (await connection.reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        elif length:
            request.body = await connection.reader.readexactly(int(length))
        request.whole = True
        return request
