"""HTTP/1.1 as strangers speak it, over raw sockets (RFC 9112, RFC 9110): what is malformed is refused with a problem
document and the end of the connection, and no request is ever made up from the bytes behind it.

Assumed where the design is silent: a line feed alone is not a line's end; unknown methods are 501, known ones that a
route does not have are 405; a body may come in chunks."""

import json
import socket
import time

import pytest
from helpers.client import RawConnection, check_problem
from helpers.gateway import Background
from helpers.jobs import call_stage
from helpers.upstream import reply
from helpers.wait import wait_until

KIB = 1024
GOOD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Behind each malformed request: were its framing misread, this would be answered too.
SMUGGLED = b"POST /stages/call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def gw(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    return gateway(
        stages={"call": call_stage(upstream.url)},
        options={"head_timeout": "1s", "body_timeout": "1s", "idle_timeout": "3s", "max_body_size": "64KiB"},
    )


def post(head, body=b""):
    return b"POST /stages/call HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + head + b"\r\n" + body


MALFORMED = {
    "empty method": (b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no version": (b"GET /health\r\nHost: localhost\r\n\r\n", 400),
    "two spaces": (b"GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "blank behind version": (b"GET /health HTTP/1.1 \r\nHost: localhost\r\n\r\n", 400),
    "tab in line": (b"GET\t/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "version 2": (b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    "version 0.9": (b"GET /health HTTP/0.9\r\nHost: localhost\r\n\r\n", 505),
    "version word": (b"GET /health HTTQ/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "SMTP": (b"EHLO example.com\r\n\r\n", 400),
    "method with bad byte": (b"GE(T /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "unknown method": (b"BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "lower-case method": (b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "CONNECT": (b"CONNECT gw:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "host with blank": (b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "host with slash": (b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "NUL in target": (b"GET /hea\0lth HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "NUL in header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
    "control in header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x01b\r\n\r\n", 400),
    "CR in header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n", 400),
    "LF alone": (b"GET /health HTTP/1.1\nHost: localhost\n\n", 400),
    "LF alone in fields": (b"GET /health HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
    "folded field": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
    "field before any": (b"GET /health HTTP/1.1\r\n X: a\r\nHost: localhost\r\n\r\n", 400),
    "blank before colon": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n", 400),
    "no colon": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n", 400),
    "empty name": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n", 400),
    "bad name": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX(Y): a\r\n\r\n", 400),
    "raw 8-bit target": (b"GET /h\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "fragment": (b"GET /health#x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "target no path": (b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "bad escape": (b"GET /runs/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "cut escape": (b"GET /runs/%4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "escaped NUL": (b"GET /runs/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "length and chunks": (post(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    "chunks and length": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"0\r\n\r\n"), 400),
    "two lengths": (post(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}"), 400),
    "two same lengths": (post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"), 400),
    "list of lengths": (post(b"Content-Length: 2, 2\r\n", b"{}"), 400),
    "negative length": (post(b"Content-Length: -1\r\n"), 400),
    "signed length": (post(b"Content-Length: +2\r\n", b"{}"), 400),
    "hex length": (post(b"Content-Length: 0x2\r\n", b"{}"), 400),
    "empty length": (post(b"Content-Length:\r\n", b"{}"), 400),
    "length with blank": (post(b"Content-Length: 1 2\r\n", b"{}"), 400),
    "length beyond 64 bits": (post(b"Content-Length: 99999999999999999999999\r\n"), 413),
    "length that wraps": (post(b"Content-Length: 18446744073709551618\r\n", b"{}"), 413),
    "length over the limit": (post(b"Content-Length: 65537\r\n"), 413),
    "unknown coding": (post(b"Transfer-Encoding: gzip\r\n"), 501),
    "coding twice": (post(b"Transfer-Encoding: chunked, chunked\r\n"), 501),
    "coding behind chunked": (post(b"Transfer-Encoding: chunked, identity\r\n"), 501),
    "two codings": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
    "obfuscated coding": (post(b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    "coding with blank name": (post(b"Transfer-Encoding : chunked\r\n"), 400),
    "coding in HTTP/1.0": (
        b"POST /stages/call HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunk size no hex": (post(b"Transfer-Encoding: chunked\r\n", b"xyz\r\n{}\r\n0\r\n\r\n"), 400),
    "chunk size empty": (post(b"Transfer-Encoding: chunked\r\n", b"\r\n{}\r\n0\r\n\r\n"), 400),
    "chunk size signed": (post(b"Transfer-Encoding: chunked\r\n", b"+2\r\n{}\r\n0\r\n\r\n"), 400),
    "chunk size 0x": (post(b"Transfer-Encoding: chunked\r\n", b"0x2\r\n{}\r\n0\r\n\r\n"), 400),
    "chunk size wraps": (post(b"Transfer-Encoding: chunked\r\n", b"10000000000000002\r\n{}\r\n0\r\n\r\n"), 413),
    "chunk size huge": (post(b"Transfer-Encoding: chunked\r\n", b"fffffffff\r\n{}"), 413),
    "chunk too long": (post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}}\r\n0\r\n\r\n"), 400),
    "chunk LF alone": (post(b"Transfer-Encoding: chunked\r\n", b"2\n{}\r\n0\r\n\r\n"), 400),
    "chunk end LF alone": (post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\n0\r\n\r\n"), 400),
    "unknown expectation": (post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"{}"), 417),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_refused_and_nothing_behind_it_is_heard(gw, upstream, name):
    data, status = MALFORMED[name]
    with RawConnection(gw.port) as raw:
        raw.send(data + SMUGGLED)
        answer = raw.answer()
        assert answer is not None, "a refusal is a proper answer"
        check_problem(answer, status)
        assert raw.ended(), "the connection is over"
    assert gw.client().get("/health").status == 200
    assert upstream.count() == 0, "no request was made of the bytes behind it"


@pytest.mark.parametrize("name", ["bad escape", "two lengths", "chunk too long", "NUL in header", "length over the limit"])
def test_refusals_do_not_depend_on_how_bytes_arrive(gw, upstream, name):
    data, status = MALFORMED[name]
    with RawConnection(gw.port) as raw:
        raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(len(data)):
                raw.send(data[at : at + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has seen enough
        check_problem(raw.answer(), status)
    assert upstream.count() == 0


def test_refusals_are_counted_and_logged(gw):
    client = gw.client()
    before = client.metrics()["stagedoor_requests_refused_total", frozenset()]
    with RawConnection(gw.port) as raw:
        raw.send(b"nonsense\r\n\r\n")
        raw.answer()
    assert client.metrics()["stagedoor_requests_refused_total", frozenset()] == before + 1


# ---- sizes ----


def test_request_line_too_long(gw):
    with RawConnection(gw.port) as raw:
        raw.send(b"GET /runs/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        check_problem(raw.answer(), 414)


def test_head_too_large(gw):
    with RawConnection(gw.port) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (17 * KIB) + b"\r\n\r\n")
        check_problem(raw.answer(), 431)


def test_head_that_never_ends(gw):
    with RawConnection(gw.port) as raw:
        try:
            raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            check_problem(raw.answer(), 431)
        except ConnectionResetError:
            pass  # what was not read turns into a reset on Linux, which may overtake the answer


def test_too_many_headers(gw):
    with RawConnection(gw.port) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 150 + b"\r\n")
        check_problem(raw.answer(), 431)


def test_body_over_the_limit(gw, upstream):
    answer = gw.client().request("POST", "/stages/call", b" " * (64 * KIB) + b"{}", {"Content-Type": "application/json"})
    problem = check_problem(answer, 413)
    assert "65536" in json.dumps(problem) or "64KiB" in json.dumps(problem) or "larger" in json.dumps(problem)
    assert upstream.count() == 0


def test_chunks_over_the_limit(gw):
    with RawConnection(gw.port) as raw:
        raw.send(post(b"Transfer-Encoding: chunked\r\n"))
        try:
            for _ in range(80):
                raw.send(b"400\r\n" + b" " * KIB + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        check_problem(raw.answer(), 413)


def test_body_at_the_limit(gw):
    body = b'{"parameters": {}}'
    body += b" " * (64 * KIB - len(body))
    answer = gw.client().request("POST", "/stages/call", body, {"Content-Type": "application/json"})
    assert answer.status in (200, 202), answer


# ---- what is well formed, if odd ----


FINE = {
    "HTTP/1.0": b"GET /health HTTP/1.0\r\n\r\n",
    "absolute form": b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "empty lines before": b"\r\n\r\n" + GOOD,
    "blanks around values": b"GET /health HTTP/1.1\r\nHost: \t localhost \t\r\nX:\r\n\r\n",
    "query": b"GET /health?a=b&c HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "escaped letters": b"GET /%68ealth HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "8-bit header": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: caf\xe9\r\n\r\n",
    "GET with empty body": b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "GET with body": b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", FINE)
def test_odd_but_fine(gw, name):
    with RawConnection(gw.port) as raw:
        raw.send(FINE[name])
        assert raw.answer().status == 200


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunked_body(gw, upstream, size):
    body = b'{"parameters": {}, "key": "chunks"}'
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in (body[i : i + size] for i in range(0, len(body), size)))
    with RawConnection(gw.port) as raw:
        raw.send(post(b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\nX-Trailer: y\r\n\r\n") + GOOD)
        assert raw.answer().status in (200, 202)
        assert raw.answer().status == 200, "the connection goes on behind the trailer"
    upstream.wait_for(1, "POST", "/call")


def test_expect_100_continue(gw):
    with RawConnection(gw.port) as raw:
        raw.send(post(b"Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert raw.answer().status == 100
        raw.send(b"{}")
        assert raw.answer().status in (200, 202)


def test_expect_for_a_body_that_is_too_large(gw):
    with RawConnection(gw.port) as raw:
        raw.send(post(b"Expect: 100-continue\r\nContent-Length: 99999999\r\n"))
        check_problem(raw.answer(), 413)


def test_keep_alive_and_close(gw):
    with RawConnection(gw.port) as raw:
        for _ in range(3):
            raw.send(GOOD)
            assert raw.answer().status == 200
        raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = raw.answer()
        assert answer.status == 200 and answer.header("Connection").lower() == "close"
        assert raw.ended()
    with RawConnection(gw.port) as raw:
        raw.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200 and raw.ended(), "HTTP/1.0 closes"
    with RawConnection(gw.port) as raw:
        for _ in range(2):
            raw.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert raw.answer().status == 200


def test_pipelining_keeps_the_order(gw, upstream):
    count = 200
    starts = b"".join(
        post(b"Content-Length: %d\r\n" % len(body), body) + b"GET /nothing/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n
        for n in range(count)
        for body in [b'{"key": "k%d"}' % n]
    )
    with RawConnection(gw.port, timeout=30) as raw:
        # Sent beside the test, since the gateway need not read on while it owes answers.
        sender = Background(lambda: raw.send(starts))
        ids = []
        for n in range(count):
            started = raw.answer()
            assert started.status in (200, 202), (n, started)
            ids.append(started.json()["id"])
            assert raw.answer().status == 404, n
        sender.results()
    assert len(set(ids)) == count
    upstream.wait_for(count, "POST", "/call", timeout=20)
    assert upstream.count("POST", "/call") == count


def test_half_closed_client_is_answered(gw):
    with RawConnection(gw.port) as raw:
        raw.send(GOOD)
        raw.sock.shutdown(socket.SHUT_WR)
        answer = raw.answer()
        # Closing for writing may be read as leaving; never as half an answer.
        assert answer is None or answer.status == 200


# ---- time ----


def test_slow_head_is_cut(gw):
    with RawConnection(gw.port) as raw:
        began = time.monotonic()
        raw.send(b"GET /health HT")
        check_problem(raw.answer(), 408)
        assert 0.7 < time.monotonic() - began < 4
        assert raw.ended()


def test_dripped_head_is_cut(gw):
    """The deadline is for the whole head: a byte now and then does not put it off."""
    with RawConnection(gw.port) as raw:
        began = time.monotonic()
        raw.sock.settimeout(0.1)
        try:
            while time.monotonic() - began < 6 and not raw.buffer:
                raw.send(b"X")
                try:
                    raw._more()
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - began < 5


def test_slow_body_is_cut(gw, upstream):
    with RawConnection(gw.port) as raw:
        raw.send(post(b"Content-Length: 10\r\n", b"{"))
        check_problem(raw.answer(), 408)
        assert raw.ended()
    assert upstream.count() == 0


def test_truncated_requests_start_nothing(gw, upstream):
    whole = post(b"Content-Length: 18\r\n", b'{"parameters": {}}')
    for at in range(0, len(whole), 7):
        with RawConnection(gw.port) as raw:
            raw.send(whole[:at])
    client = gw.client()
    assert client.get("/runs").json()["runs"] == []
    assert upstream.count() == 0


def test_idle_connection_is_closed(gw):
    with RawConnection(gw.port) as raw:
        raw.send(GOOD)
        assert raw.answer().status == 200
        began = time.monotonic()
        assert raw.ended(10)
        assert 2 < time.monotonic() - began < 8


def test_client_that_does_not_read(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"call": call_stage(upstream.url)}, options={"write_timeout": "1s"})
    with RawConnection(gw.port) as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
        raw.sock.settimeout(1)
        try:
            for _ in range(200):
                raw.send(request)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        client = gw.client()
        wait_until(lambda: client.metrics()["stagedoor_connections", frozenset()] <= 1, "the other to be cut", 15)
    assert gw.rss_kib() < 300_000


# ---- routes ----


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("DELETE", "/health", {"GET", "HEAD"}),
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("PUT", "/stages/call", {"GET", "HEAD", "POST"}),
        ("DELETE", "/stages/call", {"GET", "HEAD", "POST"}),
        ("GET", "/stages/call/cancel", {"POST"}),
        ("PUT", "/stages", {"GET", "HEAD"}),
        ("PUT", "/runs", {"GET", "HEAD", "POST"}),
        ("PATCH", "/runs/01HZZZZZZZZZZZZZZZZZZZZZZZ", {"GET", "HEAD", "DELETE"}),
        ("GET", "/runs/01HZZZZZZZZZZZZZZZZZZZZZZZ/cancel", {"POST"}),
        ("POST", "/webhooks/preconfigured", {"GET", "HEAD"}),
    ],
)
def test_wrong_method(gw, method, path, allowed):
    answer = gw.client().request(method, path, b"", {"Content-Type": "application/json"})
    check_problem(answer, 405)
    assert {word.strip() for word in answer.header("Allow").split(",")} - {"OPTIONS"} == allowed


@pytest.mark.parametrize("path", ["/nothing", "/stages/call/nothing", "/runs/x/y/z", "/stagesx", "/Health", "/*"])
def test_unknown_path(gw, path):
    check_problem(gw.client().get(path), 404)


@pytest.mark.parametrize(
    "path", ["/stages/..%2fhealth", "/stages/../health", "/./health", "/stages%2fcall", "//health", "/health/.", "/..;/health"]
)
def test_paths_are_never_rewritten(gw, upstream, path):
    """An escaped slash is part of a segment, and dots are names like any other: nothing resolves to another route."""
    with RawConnection(gw.port) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = raw.answer()
    assert answer.status in (400, 404), answer
    assert upstream.count() == 0


def test_head_is_get_without_body(gw):
    with RawConnection(gw.port) as raw:
        for path in ("/health", "/stages", "/stages/call", "/nothing"):
            raw.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = raw.answer(head_only=True)
            raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            got = raw.answer()
            assert head.status == got.status
            assert head.header("Content-Length") == got.header("Content-Length") == str(len(got.body))
            assert head.header("Content-Type") == got.header("Content-Type")


@pytest.mark.parametrize(
    "content_type, status",
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("APPLICATION/JSON", 202),
        ("application/vnd.x+json", 202),
        ("text/plain", 202),
        ("text/plain;charset=ISO-8859-1", 202),
        (None, 202),
        ("application/x-www-form-urlencoded", 415),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
        ("nonsense", 415),
    ],
)
def test_content_types(gw, content_type, status):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = gw.client().request("POST", "/stages/call", b"{}", headers)
    if status == 202:
        assert answer.status in (200, 202), answer
    else:
        check_problem(answer, status)


def test_what_every_answer_has(gw):
    for path in ("/health", "/stages", "/nothing"):
        answer = gw.client().get(path)
        assert answer.header("Date") and answer.header("Content-Length")
        assert "evhtp" not in (answer.header("Server") or "").lower()


def test_many_connections(gw):
    clients = [gw.client() for _ in range(300)]
    assert all(client.get("/health").status == 200 for client in clients)
    assert gw.client().metrics()["stagedoor_connections", frozenset()] >= 300
    for client in clients:
        client.close()
    one = gw.client()
    wait_until(lambda: one.metrics()["stagedoor_connections", frozenset()] <= 2, "the others to be gone")
