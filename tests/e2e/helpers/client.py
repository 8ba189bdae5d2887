"""The gateway's client for tests: http.client for what is well formed, a raw socket for what is not."""

import http.client
import json
import re
import socket
import urllib.parse

from .wait import wait_until

ENDED = ("SUCCEEDED", "TERMINAL", "CANCELED")
REPORT_FIELDS = {
    "id", "stage", "status", "reason", "progress", "percent", "percentEstimated", "eta", "stalled", "statusUrl", "cancelUrl", "upstream", "outputs",
    "artifacts", "warnings", "error", "created", "updated", "ended", "steps", "key",
}  # fmt: skip
REASONS = {
    "upstream_failed", "upstream_canceled", "upstream_refused", "upstream_unreachable", "unknown_status", "bad_reply",
    "in_doubt", "timeout", "refused_egress", "invalid_request", "broken_definition", "broken_record", "canceled",
    "cancel_unconfirmed", "canceled_before_start", "orphaned", "nothing_captured",
}  # fmt: skip


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8")

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:2000]!r}>"


class Client:
    """One kept-alive connection; makes a new one when the gateway has closed it."""

    def __init__(self, host="127.0.0.1", port=None, token=None, tls=None, timeout=60, unix=None):
        self.host, self.port, self.token, self.tls, self.timeout, self.unix = host, port, token, tls, timeout, unix
        self._connection = None

    def _connect(self):
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.tls)
        connection = http.client.HTTPConnection(self.host, self.port or 80, timeout=self.timeout)
        if self.unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(self.timeout)
            connection.sock.connect(str(self.unix))
        return connection

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def wait_closed(self, timeout=10.0):
        """Until the other side ends the idle connection: with an end of the stream, not a reset, and nothing before it."""
        self._connection.sock.settimeout(timeout)
        assert self._connection.sock.recv(1) == b""
        self.close()

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        reused = self._connection is not None
        if not reused:
            self._connection = self._connect()
        try:
            self._connection.request(method, path, body=body, headers=headers)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
            if response.will_close:
                self.close()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if reused and method in ("GET", "HEAD"):  # an idle connection that was closed meanwhile
                return self.request(method, path, body, headers)
            raise
        except BaseException:
            self.close()
            raise
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    # -- the calls of the gateway --

    def start(self, stage, parameters=None, wait=None, key=None, caller=None, headers=None, **more):
        """POST /stages/{stage}, as it is: the answer may be a refusal."""
        headers = dict(headers or {})
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        body = {"parameters": parameters or {}, **more}
        if key is not None:
            body["key"] = key
        if caller is not None:
            body["caller"] = caller
        return self.request("POST", f"/stages/{stage}", body, headers)

    def started(self, stage, parameters=None, **options):
        """A start that has to be accepted; the report."""
        answer = self.start(stage, parameters, **options)
        assert answer.status in (200, 202), answer
        return check_report(answer.json())

    def run(self, stage, parameters=None, **options):
        """Starts, waits for the end (by Prefer: wait), and gives the last report."""
        report = self.started(stage, parameters, wait=30, **options)
        assert report["status"] in ENDED, report
        return report

    def report(self, id):
        answer = self.get(f"/runs/{id}")
        assert answer.status == 200, answer
        return check_report(answer.json())

    def wait_end(self, id, timeout=30.0):
        return self.wait_report(id, lambda report: report["status"] in ENDED, "its end", timeout)

    def wait_report(self, id, condition, what="a condition", timeout=30.0):
        last = {}

        def look():
            last.clear()
            last.update(self.report(id))
            return condition(last)

        wait_until(look, lambda: f"{what} of run {id}: {last}", timeout)
        return dict(last)

    def cancel(self, id):
        return self.request("POST", f"/runs/{id}/cancel")

    def cancel_key(self, stage, key):
        return self.request("POST", f"/stages/{stage}/cancel", {"key": key})

    def metrics(self):
        answer = self.get("/metrics")
        assert answer.status == 200, answer
        return parse_metrics(answer.text)


def check_report(report):
    """What holds for every report, from the first answer on (DESIGN.md 5; orca-contract.md a.7)."""
    assert isinstance(report, dict), report
    missing = REPORT_FIELDS - set(report)
    assert not missing, f"the report lacks {missing}: {report}"
    assert isinstance(report["id"], str) and re.fullmatch(r"[0-9A-Z]{26}", report["id"]), report["id"]
    assert report["status"] in ("NOT_STARTED", "RUNNING", *ENDED), report
    assert isinstance(report["progress"], str), report
    assert report["reason"] is None or report["reason"] in REASONS, report
    assert report["error"] is None or isinstance(report["error"], str), report
    assert report["percent"] is None or 0 <= report["percent"] <= 100, report
    for link in ("statusUrl", "cancelUrl"):
        assert urllib.parse.urlsplit(report[link]).scheme in ("http", "https"), report
    assert isinstance(report["outputs"], dict) and isinstance(report["artifacts"], list), report
    assert isinstance(report["steps"], list) and isinstance(report["upstream"], dict), report
    assert (report["ended"] is not None) == (report["status"] in ENDED), report
    if report["status"] == "TERMINAL":
        assert report["reason"] and report["error"], f"a failed run says why: {report}"
    if report["status"] == "CANCELED":
        assert report["reason"], report
    if report["status"] == "SUCCEEDED":
        assert report["reason"] is None and report["error"] is None, report
    for moment in ("created", "updated", "ended"):
        if report[moment] is not None:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", report[moment]), report
    assert "${" not in json.dumps(report), report
    return report


def check_problem(answer, status):
    """An RFC 9457 problem document with the status of the answer; gives it."""
    assert answer.status == status, answer
    assert (answer.header("Content-Type") or "").split(";")[0] == "application/problem+json", answer
    problem = answer.json()
    assert problem.get("status") == status, problem
    assert isinstance(problem.get("title"), str) and problem["title"], problem
    assert isinstance(problem.get("type", "about:blank"), str), problem
    assert "${" not in answer.text, answer
    return problem


def parse_metrics(text):
    """Prometheus text format 0.0.4 as {(name, frozenset of labels): value}; fails on a line that is neither."""
    values, types = {}, {}
    for line in text.splitlines():
        if not line:
            continue
        comment = re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)", line)
        if comment:
            if comment.group(1) == "TYPE":
                assert comment.group(2) not in types, f"TYPE twice: {line}"
                types[comment.group(2)] = comment.group(3)
            continue
        sample = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*)\})? (\S+)(?: \d+)?', line)
        assert sample, f"not a line of the text format: {line!r}"
        labels = frozenset(re.findall(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"', sample.group(2) or ""))
        assert (sample.group(1), labels) not in values, f"a sample twice: {line}"
        values[sample.group(1), labels] = float(sample.group(3))
        base = re.sub(r"_(bucket|sum|count)$", "", sample.group(1))
        assert sample.group(1) in types or base in types, f"no TYPE for {line}"
    return values


def metric(values, name, **labels):
    return values.get((name, frozenset(labels.items())))


# ---- raw ----


class RawConnection:
    """Bytes out, bytes in."""

    def __init__(self, port, host="127.0.0.1", timeout=10, tls=None):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def answer(self, head_only=False):
        """The next whole answer, or None where the connection ended before one began."""
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self._more():
                    assert not self.buffer, f"half an answer: {self.buffer!r}"
                    return None
            except ConnectionResetError:
                assert not self.buffer, f"half an answer, then a reset: {self.buffer!r}"
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, code, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        answer = Answer(int(code), headers, b"")
        if 100 <= answer.status < 200 or answer.status in (204, 304) or head_only:
            return answer
        length = answer.header("Content-Length")
        assert length is not None, f"an answer without length: {head!r}"
        while len(self.buffer) < int(length):
            assert self._more(), f"the answer ended early: {head!r} {self.buffer!r}"
        answer.body, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
        return answer

    def ended(self, timeout=10):
        """True where the other side closes within the time, and sends nothing more before."""
        self.sock.settimeout(timeout)
        try:
            return not self.buffer and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
