"""Upstreams that misbehave: what the caller sees of each (status, reason, error, progress), what the log says, and that
a POST which may have been acted on is not sent again.

How a failed call is judged depends on its phase and method. A POST that was never sent may be repeated; one that may
have been acted on ends the run in doubt; a poll is repeated until its step's time is up."""

import re
import socket

import pytest
from helpers.jobs import call_stage, job_stage, script_job
from helpers.upstream import Close, Gate, Huge, Raw, Reset, Stall, Upstream, chunked, drip, reply, text
from helpers.wait import free_port

CREATED = b'{"links": {"self": "/jobs/1"}}'
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"


def seen_in_log(gw, report):
    """The log has the run's end with its reason, and a warning that says why."""
    (end,) = gw.wait_log(event="run_ended", run=report["id"])
    assert (end["status"], end.get("reason")) == (report["status"], report["reason"]), end
    assert end["level"] == ("warn" if report["status"] == "TERMINAL" else "info")
    return [line for line in gw.log(run=report["id"]) if line["level"] in ("warn", "error")]


# ---- the POST that starts the work: (move, reason, what the sentence has) ----

POST_ENDS = {
    "reset after head": (lambda: Reset("after_head"), "in_doubt", "broke|closed|reset"),
    "reset after request": (lambda: Reset("after_request"), "in_doubt", "broke|closed|reset"),
    "close without reply": (Close, "in_doubt", "closed the connection|broke"),
    "stall": (Stall, "in_doubt", "no reply .* within 500ms"),
    "stall in head": (lambda: Stall(HEAD[:20]), "in_doubt", "500ms"),
    "stall in body": (lambda: Stall(HEAD + b"Content-Length: 99\r\n\r\n{"), "in_doubt", "not whole after 500ms"),
    "drip too slow": (lambda: drip(201, CREATED, every=0.1), "in_doubt", "not whole after 500ms"),
    "reset in body": (
        lambda: Reset("after_request", HEAD + b"Content-Length: 99\r\n\r\n{"), "in_doubt", "middle of its reply|broke",
    ),
    "short body": (lambda: reply(201, CREATED, length=999), "in_doubt", "ended early|middle"),
    "cut chunks": (lambda: Raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"), "in_doubt", "chunk|early|middle"),
    "bad chunks": (lambda: Raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), "in_doubt", "chunk|broken"),
    "not HTTP": (lambda: Raw(b"220 mail.example.com ESMTP\r\n"), "in_doubt", "not HTTP"),
    "rubbish status": (lambda: Raw(b"HTTP/1.1 abc\r\n\r\n"), "in_doubt", "not HTTP|broke|closed"),
    "1 GiB": (lambda: Huge(1 << 30), "bad_reply", "max_reply|larger"),
    "1 GiB chunked": (lambda: Huge(1 << 30, chunked=True), "bad_reply", "max_reply|larger"),
    "endless headers": (lambda: Raw(HEAD, *[b"X: " + b"a" * 1000 + b"\r\n"] * 2000), "in_doubt", "header"),
    "200 with HTML": (lambda: text(200, "<html>Sign in</html>", "text/html"), "invalid_request", "links"),
    "200 without body": (lambda: reply(200), "invalid_request", "links"),
    "204": (lambda: reply(204), "upstream_refused", "204"),
    "invalid UTF-8": (lambda: text(201, b'{"links": {"self": "\xff"}}', "application/json"), "invalid_request", "links"),
    "JSON null": (lambda: reply(201, None), "invalid_request", "links"),
    "JSON array": (lambda: reply(201, []), "invalid_request", "links"),
    "link null": (lambda: reply(201, {"links": {"self": None}}), "invalid_request", "links|URL"),
    "link number": (lambda: reply(201, {"links": {"self": 5}}), "invalid_request", "links|URL"),
    "link to elsewhere": (lambda: reply(201, {"links": {"self": "http://192.0.2.1/x"}}), "refused_egress", "192.0.2.1"),
    "link of other scheme": (lambda: reply(201, {"links": {"self": "file:///etc/passwd"}}), None, "URL|scheme|http"),
    "link other port": (lambda: reply(201, {"links": {"self": "http://127.0.0.1:1/x"}}), "refused_egress", "127.0.0.1"),
    "link with user": (
        lambda: reply(201, {"links": {"self": "http://127.0.0.1@192.0.2.1/"}}), None, "URL|192.0.2.1|user",
    ),
    "302": (lambda: reply(302, "", headers={"Location": "/elsewhere"}), "upstream_refused", "302"),
    "304": (lambda: reply(304), "upstream_refused", "304"),
    "400": (lambda: reply(400, {"error": "no"}), "upstream_refused", "400"),
    "401": (lambda: reply(401, "", headers={"WWW-Authenticate": "Basic"}), "upstream_refused", "401"),
    "404": (lambda: reply(404, {}), "upstream_refused", "404"),
    "409": (lambda: reply(409, {}), "upstream_refused", "409"),
    "500": (lambda: reply(500, "x"), "upstream_refused", "500"),
    "503": (lambda: reply(503, "x", headers={"Retry-After": "1"}), "upstream_refused", "503"),
    "599": (lambda: reply(599, "x"), "upstream_refused", "599"),
    "upgrade": (lambda: Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", POST_ENDS)
def test_post_that_goes_wrong(gateway, upstream, name):
    move, reason, sentence = POST_ENDS[name]
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", move())
    request = {"expect": "200,201", "call_timeout": "500ms"}
    gw = gateway(stages={"job": job_stage(upstream.url, request=request)})
    report = gw.client().run("job")
    assert report["status"] == "TERMINAL", report
    if reason:
        assert report["reason"] == reason, report
    assert re.search(sentence, report["error"]), report
    assert report["progress"] and report["outputs"] == {}
    assert seen_in_log(gw, report)
    assert upstream.count("POST", "/jobs") == 1, "sent once"
    assert upstream.count("GET") == 0 and upstream.count("DELETE") == 0


POST_WORKS = {
    "103 first": lambda: Raw(
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(CREATED) + CREATED
    ),
    "100 unasked": lambda: Raw(
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(CREATED) + CREATED
    ),
    "chunked": lambda: chunked(201, CREATED[:5], CREATED[5:]),
    "drip in time": lambda: drip(201, CREATED, every=0.005),
    "until close": lambda: Raw(HEAD + b"\r\n" + CREATED),
    "HTTP/1.0": lambda: Raw(b"HTTP/1.0 201 Created\r\n\r\n" + CREATED),
    "no content type": lambda: reply(201, CREATED),
    "text/html that is JSON": lambda: text(201, CREATED, "text/html"),
    "byte order mark": lambda: reply(201, b"\xef\xbb\xbf" + CREATED, content_type="application/json"),
    "late": lambda: reply(201, CREATED, delay=0.8),
}


@pytest.mark.parametrize("name", POST_WORKS)
def test_post_that_is_odd_but_fine(gateway, upstream, name):
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", POST_WORKS[name]())
    report = gateway(stages={"job": job_stage(upstream.url, request={"call_timeout": "5s"})}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert upstream.count("POST", "/jobs") == 1


# ---- nobody there ----


@pytest.mark.parametrize(
    "url, sentence",
    [
        ("http://127.0.0.1:{closed}", "refused"),
        ("http://no-such-host.invalid", "resolve|not found"),
        ("https://127.0.0.1:{plain}", "TLS|SSL|secure"),
    ],
)
def test_never_sent(gateway, upstream, url, sentence):
    url = url.format(closed=free_port(), plain=upstream.port)
    gw = gateway(stages={"call": call_stage(url, connect_timeout="2s", retry={"attempts": 0})})
    report = gw.client().run("call")
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_unreachable"), report
    assert re.search(sentence, report["error"], re.I), report
    assert seen_in_log(gw, report)
    assert upstream.count() == 0


def test_post_that_was_never_sent_is_repeated(gateway):
    """Refused first, there later: one POST arrives."""
    blocker = socket.socket()
    blocker.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets the port
    port = blocker.getsockname()[1]
    retry = {"attempts": 50, "delay": "100ms", "max_delay": "200ms"}
    gw = gateway(stages={"call": call_stage(f"http://127.0.0.1:{port}", retry=retry)})
    client = gw.client()
    report = client.started("call")
    client.wait_report(report["id"], lambda one: "refused" in one["progress"], "a first try")
    assert client.report(report["id"])["status"] == "RUNNING"
    blocker.close()
    there = Upstream(port=port)
    try:
        there.on("POST", "/call", reply(200, {}))
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
        assert there.count("POST", "/call") == 1
    finally:
        there.close()


# ---- polls ----

POLL_PASSES = {
    "reset": lambda: Reset(),
    "close": Close,
    "stall": Stall,
    "short": lambda: reply(200, {"state": "done"}, length=999),
    "not HTTP": lambda: Raw(b"hello\r\n"),
    "500": lambda: reply(500, "x"),
    "502": lambda: text(502, "<html>bad gateway</html>", "text/html"),
    "503": lambda: reply(503, "x"),
    "429": lambda: reply(429, "x", headers={"Retry-After": "0"}),
    "408": lambda: reply(408, "x"),
    "HTML": lambda: text(200, "<html>starting</html>", "text/html"),
    "empty": lambda: reply(200, ""),
    "invalid UTF-8": lambda: reply(200, b'{"state": "\xff"}'),
    "no state": lambda: reply(200, {}),
    "state null": lambda: reply(200, {"state": None}),
    "state object": lambda: reply(200, {"state": {"a": 1}}),
}


@pytest.mark.parametrize("name", POLL_PASSES)
def test_poll_that_goes_wrong_once(gateway, upstream, name):
    script_job(upstream, "running", POLL_PASSES[name](), "running", "done")
    status = {"call_timeout": "500ms", "retry": {"delay": "100ms", "max_delay": "300ms"}}
    report = gateway(stages={"job": job_stage(upstream.url, status=status)}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert report["outputs"] == {"result": "is done"}
    assert upstream.count("POST", "/jobs") == 1 and upstream.count("GET", "/jobs/1") >= 4


POLL_ENDS = {
    "404": (lambda: reply(404, {}), "upstream_refused", "404"),
    "401": (lambda: reply(401, {}), "upstream_refused", "401"),
    "403": (lambda: reply(403, {}), "upstream_refused", "403"),
    "410": (lambda: reply(410, {}), "upstream_refused", "410"),
    "redirect": (lambda: reply(302, "", headers={"Location": "/login"}), "upstream_refused", "302"),
    "1 GiB": (lambda: Huge(1 << 30), "bad_reply", "max_reply|larger"),
    "failure word": (lambda: reply(200, {"state": "FAILED"}), "upstream_failed", "FAILED"),
}


@pytest.mark.parametrize("name", POLL_ENDS)
def test_poll_that_ends_the_run(gateway, upstream, name):
    move, reason, sentence = POLL_ENDS[name]
    script_job(upstream, "running", move())
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", reason), report
    assert re.search(sentence, report["error"]) and re.search(sentence, report["progress"]), report
    assert seen_in_log(gw, report)


def test_canceled_by_the_upstream(gateway, upstream):
    script_job(upstream, "running", "aborted")
    report = gateway(stages={"job": job_stage(upstream.url)}).client().run("job")
    assert (report["status"], report["reason"]) == ("CANCELED", "upstream_canceled")
    assert upstream.count("DELETE") == 0


def test_progress_while_polls_fail(gateway, upstream):
    """orca shows users the progress only: it has to say what is going on."""
    script_job(upstream, "running", reply(503, "x"))
    client = gateway(stages={"job": job_stage(upstream.url)}).client()
    report = client.started("job")
    client.wait_report(report["id"], lambda one: "503" in one["progress"] and one["status"] == "RUNNING", "the 503")


def test_poll_that_stays_bad_ends_by_its_time(gateway, upstream):
    script_job(upstream, reply(500, "x"))
    status = {"timeout": "1s", "retry": {"delay": "100ms", "max_delay": "200ms"}}
    report = gateway(stages={"job": job_stage(upstream.url, status=status)}).client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout")
    assert upstream.count("GET", "/jobs/1") >= 3


def test_retry_after_is_obeyed(gateway, upstream):
    script_job(upstream, reply(429, "", headers={"Retry-After": "2"}), "done")
    gw = gateway(stages={"job": job_stage(upstream.url, status={"retry": {"delay": "50ms", "max_delay": "100ms"}})})
    assert gw.client().run("job")["status"] == "SUCCEEDED"
    first, second = [request.at for request in upstream.got("GET", "/jobs/1")]
    assert 1.9 < second - first < 5


# ---- redirects ----


def test_redirects_are_off(gateway, upstream):
    upstream.on("GET", "/a", reply(302, "", headers={"Location": "/b"}))
    upstream.on("GET", "/b", reply(200, {}))
    report = gateway(stages={"call": call_stage(upstream.url, method="GET", url=f"{upstream.url}/a")}).client().run("call")
    assert (report["reason"], upstream.count("GET", "/b")) == ("upstream_refused", 0)


def test_redirects_where_they_are_allowed(gateway, upstream):
    upstream.on("GET", "/a", reply(302, "", headers={"Location": "/b"}))
    upstream.on("GET", "/b", reply(307, "", headers={"Location": f"{upstream.url}/c"}))
    upstream.on("GET", "/c", reply(200, {"ok": 1}))
    text_ = call_stage(upstream.url, method="GET", url=f"{upstream.url}/a", follow_redirects=3)
    assert gateway(stages={"call": text_}).client().run("call")["status"] == "SUCCEEDED"


def test_redirect_loop(gateway, upstream):
    upstream.on("GET", "/a", reply(302, "", headers={"Location": "/a"}))
    text_ = call_stage(upstream.url, method="GET", url=f"{upstream.url}/a", follow_redirects=5, retry={"attempts": 0})
    report = gateway(stages={"call": text_}).client().run("call")
    assert report["status"] == "TERMINAL" and re.search("redirect", report["error"], re.I), report
    assert upstream.count("GET", "/a") == 6


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//192.0.2.1/"])
def test_redirect_to_where_it_may_not_go(gateway, upstream, location):
    upstream.on("GET", "/a", reply(302, "", headers={"Location": location}))
    text_ = call_stage(upstream.url, method="GET", url=f"{upstream.url}/a", follow_redirects=5, retry={"attempts": 0})
    report = gateway(stages={"call": text_}).client().run("call")
    assert report["status"] == "TERMINAL", report
    assert report["reason"] in ("refused_egress", "bad_reply", "upstream_refused"), report
    assert upstream.count() == 1


def test_hosts_let_a_link_lead_elsewhere(gateway, upstream):
    other = Upstream()
    try:
        upstream.on("POST", "/jobs", reply(201, {"links": {"self": f"{other.url}/jobs/1"}}))
        other.on("GET", "/jobs/1", reply(200, {"state": "done"}))
        client = gateway(stages={"job": job_stage(upstream.url, hosts=[f"127.0.0.1:{other.port}"])}).client()
        assert client.run("job")["status"] == "SUCCEEDED"
    finally:
        other.close()


# ---- connections ----


def test_connections_are_reused(gateway, upstream):
    script_job(upstream, *["running"] * 10, "done")
    gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 1}).client().run("job")
    assert len({request.connection for request in upstream.requests}) <= 2


def test_a_pooled_connection_that_dies_under_a_post(gateway, upstream):
    """Closed while idle: curl would silently send again; a POST must not arrive twice, and need not fail."""
    upstream.on("POST", "/call", reply(200, {}), Reset("after_request"), reply(200, {}))
    client = gateway(stages={"call": call_stage(upstream.url)}, options={"loops": 1}).client()
    assert client.run("call")["status"] == "SUCCEEDED"
    report = client.run("call")
    assert (report["status"], report["reason"]) == ("TERMINAL", "in_doubt")
    assert upstream.count("POST", "/call") == 2


def test_bodies_are_sent_without_waiting_for_100(gateway, upstream):
    """curl would send Expect: 100-continue with a large body, and wait a second where nobody answers it."""
    text_ = call_stage(upstream.url, body="{{ parameters.big }}", content_type="application/json")
    text_ += 'parameters = ( { name = "big"; type = "json"; } );\n'
    upstream.on("POST", "/call", reply(200, {}))
    report = gateway(stages={"call": text_}).client().run("call", {"big": ["x" * 150_000]})
    assert report["status"] == "SUCCEEDED"
    (request,) = upstream.got()
    assert request.header("Expect") is None and len(request.body) == 150_004


def test_memory_stays_flat_while_an_upstream_floods(gateway, upstream):
    upstream.on("POST", "/call", Huge(1 << 30))
    gw = gateway(stages={"call": call_stage(upstream.url, max_reply="1MiB")})
    client = gw.client()
    client.run("call")
    before = gw.rss_kib()
    for _ in range(10):
        client.run("call")
    assert gw.rss_kib() - before < 16 * 1024


def test_one_bad_upstream_holds_up_nobody_else(gateway, upstream):
    gate = upstream.on("POST", "/call", Gate(reply(200, {})))
    script_job(upstream, "done")
    client = gateway(
        stages={"call": call_stage(upstream.url), "job": job_stage(upstream.url)}, options={"loops": 1}
    ).client()
    held = [client.started("call")["id"] for _ in range(50)]
    assert client.run("job")["status"] == "SUCCEEDED"
    gate.open()
    for id in held:
        assert client.wait_end(id)["status"] == "SUCCEEDED"
