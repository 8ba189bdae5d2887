"""A load of starts and polls at a fixed rate, in a process of its own, so that it does not share an interpreter with the
scripted upstream.

    load = Load(gw.port, stage="job", rate=500)
    load.sent()               # so many so far
    …
    result = load.stop()      # {"sent": …, "failed": […], "acknowledged": {key: id}, "seconds": …, "slowest_s": …, "lost": {…}}

One in `fresh` requests goes over a connection of its own, the others over kept-alive ones. One in five is a start, the others ask
for a run that was acknowledged (`starts` says otherwise). A request fails if it is not answered 200 or 202, whatever the reason; there
are no second tries, but for a kept-alive connection that has ended before anything was sent on it: that is how one ends.

With `again`, requests are sent again, with the same key, until they are answered 200 or 202; `lost` counts what came instead.
"""

import asyncio
import itertools
import json
import os
import pathlib
import ssl
import subprocess
import sys
import time

KEPT = 25  # connections
PATIENCE_S = 120  # of who waits for the result


class Load:
    def __init__(self, port, stage="job", rate=500, fresh=2, starts=5, again=False, tls=False, prefix="load"):
        wanted = {
            "port": port, "stage": stage, "rate": rate, "fresh": fresh, "starts": starts, "again": again, "tls": tls,
            "prefix": prefix,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__)), json.dumps(wanted)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout.readline() == "running\n"

    def sent(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def stop(self):
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return json.loads(out)


# ---- the process ----


class Connection:
    def __init__(self, load):
        self.load, self.reader, self.writer = load, None, None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.load.port, ssl=self.load.tls)

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None

    async def request(self, head, body):
        if self.reader and self.reader.at_eof():
            self.close()
        if not self.reader:
            await self.open()
        self.writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        fields = answer.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in fields if line.startswith(b"content-length:"))
        body = await self.reader.readexactly(length)
        if b"connection: close" in fields:
            self.close()
        return int(answer[9:12]), body


class Generator:
    def __init__(self, port, stage, rate, fresh, starts, again, tls, prefix):
        self.starts, self.again, self.lost = starts, again, {}
        self.port, self.stage, self.rate, self.prefix, self.fresh_of = port, stage, rate, prefix, fresh
        self.tls = None
        if tls:
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.sent, self.failed, self.acknowledged, self.ids, self.slowest = 0, [], {}, [], 0.0
        self.over = asyncio.Event()

    async def one(self, number, connection):
        start = number // 10 % self.starts == 0 or not self.ids
        key, body = f"{self.prefix}-{number}", b""
        if start:
            head = b"POST /stages/%s HTTP/1.1\r\n" % self.stage.encode()
            body = json.dumps({"parameters": {"n": number}, "key": key}).encode()
        else:
            head = b"GET /runs/%s HTTP/1.1\r\n" % self.ids[number * 7919 % len(self.ids)].encode()
        head += b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
        began, self.sent = time.monotonic(), self.sent + 1
        while True:
            what = await self.attempt(connection, head, body, key if start else None)
            if what is None:
                break
            connection.close()
            if not self.again:
                kind = "kept" if connection in self.kept else "fresh"
                self.failed.append(f"{head.split(b' HTTP')[0].decode()} on a {kind} connection: {what}")
                break
            self.lost[what] = self.lost.get(what, 0) + 1
            await asyncio.sleep(0.05)
        self.slowest = max(self.slowest, time.monotonic() - began)

    async def attempt(self, connection, head, body, key):
        """None, or what came instead of an answer."""
        try:
            status, answer = await asyncio.wait_for(connection.request(head, body), 60)
        except Exception as error:  # whatever it is: the request failed
            return type(error).__name__ if self.again else repr(error)
        if status not in (200, 202):
            return str(status) if self.again else f"{status} {answer[:300]!r}"
        if key:
            self.acknowledged[key] = json.loads(answer)["id"]
            self.ids.append(self.acknowledged[key])
        return None

    async def fresh(self, number):
        connection = Connection(self)
        await self.one(number, connection)
        connection.close()

    async def pace(self, number):
        """Until it is this request's turn; False where the load is over."""
        left = self.began + number / self.rate - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        return not self.over.is_set()

    async def keep(self, which):
        """The requests of one kept-alive connection: every KEPT-th of those that need no fresh one."""
        kept = (number for number in itertools.count() if number % self.fresh_of != 0)
        for number in itertools.islice(kept, which, None, KEPT):
            if not await self.pace(number):
                return
            await self.one(number, self.kept[which])

    async def spawn(self, tasks):
        for number in itertools.count(0, self.fresh_of):
            if not await self.pace(number):
                return
            task = asyncio.create_task(self.fresh(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def told(self):
        if sys.stdin.readline():
            print(self.sent, flush=True)
        else:
            self.end()

    def end(self):
        """Told to stop, or left alone by a test that failed: with `again` it would ask for ever then."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sys.stdin)
        loop.call_later(PATIENCE_S, os._exit, 1)
        self.over.set()

    async def run(self):
        tasks, self.kept = set(), [Connection(self) for _ in range(KEPT)]
        self.began = time.monotonic()
        asyncio.get_running_loop().add_reader(sys.stdin, self.told)
        print("running", flush=True)
        await asyncio.gather(self.spawn(tasks), *(self.keep(which) for which in range(KEPT)))
        await asyncio.gather(*list(tasks))
        for connection in self.kept:
            connection.close()
        return {
            "sent": self.sent, "failed": self.failed, "acknowledged": self.acknowledged,
            "seconds": time.monotonic() - self.began, "slowest_s": self.slowest, "lost": self.lost,
        }  # fmt: skip


if __name__ == "__main__":

    async def main():
        return await Generator(**json.loads(sys.argv[1])).run()

    print(json.dumps(asyncio.run(main())))
