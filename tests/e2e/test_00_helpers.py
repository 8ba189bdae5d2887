"""The tools of the tests themselves: what a scripted upstream and the real servers do when nobody stands between.

Nothing here needs the gateway; where one of these fails, the failures after it mean nothing."""

import http.client
import json
import socket
import time

import pytest
from helpers.client import RawConnection, parse_metrics
from helpers.gateway import conf, log_fields
from helpers.services import DOCKER_MANIFEST, OCI_MANIFEST, fetch
from helpers.upstream import Close, Gate, Huge, Raw, Reset, Stall, chunked, drip, reply
from helpers.wait import wait_until


def test_upstream_plays_a_sequence_and_counts(upstream):
    upstream.on("GET", "/jobs/*", reply(200, {"state": "running"}), reply(200, {"state": "done"}))
    seen = [json.loads(fetch(upstream.url + "/jobs/1")[2])["state"] for _ in range(3)]
    assert seen == ["running", "done", "done"]
    assert upstream.count("GET", "/jobs/*") == 3
    assert not upstream.surprises


def test_upstream_keeps_what_it_got(upstream):
    upstream.on("POST", "/jobs", reply(201, {"id": 1}))
    assert fetch(upstream.url + "/jobs?a=b", "POST", b'{"x": 1}', {"X-Word": "w"})[0] == 201
    (request,) = upstream.got("POST", "/jobs")
    assert (request.json(), request.query, request.header("x-word")) == ({"x": 1}, "a=b", "w")


def test_upstream_keeps_a_connection(upstream):
    upstream.on("GET", "/", reply(200, "ok"))
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port)
    for _ in range(2):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
    connection.close()
    assert {request.connection for request in upstream.requests} == {1}


@pytest.mark.parametrize("when", ["after_head", "after_request"])
def test_upstream_resets(upstream, when):
    upstream.on("POST", "/", Reset(when))
    with pytest.raises(ConnectionResetError):
        fetch(upstream.url + "/", "POST", b"x" * 10)
    upstream.wait_for(1, "POST", "/")


def test_upstream_resets_before_reading(upstream):
    upstream.on("GET", "/", reply(200, "ok"))
    upstream.refuse_connections(1)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        fetch(upstream.url + "/")
    assert fetch(upstream.url + "/")[2] == b"ok"
    assert upstream.count() == 1


def test_upstream_closes_stalls_and_lies(upstream):
    upstream.on("GET", "/close", Close())
    upstream.on("GET", "/stall", Stall())
    upstream.on("GET", "/lie", reply(200, "short", length=50))
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(upstream.url + "/close")
    with pytest.raises(http.client.IncompleteRead):
        fetch(upstream.url + "/lie")
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        sock.sendall(b"GET /stall HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_upstream_drips_and_chunks(upstream):
    upstream.on("GET", "/drip", drip(200, b'{"a":1}', every=0.01))
    upstream.on("GET", "/chunked", chunked(200, b'{"a"', b":1}"))
    began = time.monotonic()
    assert json.loads(fetch(upstream.url + "/drip")[2]) == {"a": 1}
    assert time.monotonic() - began >= 0.06
    assert json.loads(fetch(upstream.url + "/chunked")[2]) == {"a": 1}


def test_upstream_goes_huge(upstream):
    move = upstream.on("GET", "/", Huge(1 << 30))
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"1073741824" in sock.recv(65536)
    assert move.sent < 1 << 30


def test_upstream_holds_until_told(upstream):
    gate = upstream.on("GET", "/", Gate(reply(200, "ok")))
    with RawConnection(upstream.port) as raw:
        raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.reached.wait(5)
        gate.open()
        assert raw.answer().body == b"ok"


def test_upstream_says_raw_bytes(upstream):
    upstream.on("GET", "/", Raw(b"SMTP 220 hello\r\n"))
    with RawConnection(upstream.port) as raw:
        raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: not raw._more(), "the end")
        assert raw.buffer == b"SMTP 220 hello\r\n"


@pytest.mark.parametrize("oci", [False, True])
def test_registry_takes_and_gives_an_image(registry, oci):
    described = registry.push_image("helpers/one", f"v{int(oci)}", {"a": "b"}, oci=oci)
    kind = OCI_MANIFEST if oci else DOCKER_MANIFEST
    # The slash of a name as %2F, as a template's hole gives it.
    status, headers, body = fetch(f"{registry.url}/v2/helpers%2Fone/manifests/v{int(oci)}", headers={"Accept": kind})
    assert (status, headers["content-type"], headers["docker-content-digest"]) == (200, kind, described["digest"])
    digest = json.loads(body)["config"]["digest"].replace(":", "%3A")
    status, _, body = fetch(f"{registry.url}/v2/helpers%2Fone/blobs/{digest}")
    assert status == 200 and json.loads(body)["config"]["Labels"] == {"a": "b"}


@pytest.mark.parametrize("oci", [False, True])
def test_registry_takes_an_index(registry, oci):
    described = registry.push_index("helpers/index", f"i{int(oci)}", {}, oci=oci)
    accept = {"Accept": described["mediaType"]}
    status, _, body = fetch(f"{registry.url}/v2/helpers/index/manifests/i{int(oci)}", headers=accept)
    assert status == 200 and json.loads(body)["mediaType"] == described["mediaType"]


def test_prometheus_scrapes_the_upstream(prometheus, prometheus_upstream):
    prometheus_upstream.on("GET", "/metrics", reply(200, "helpers_value 7\n", content_type="text/plain"))
    wait_until(lambda: prometheus.value("helpers_value") == 7, "the scraped value", 15)


def test_loadtest_drives_and_reports(loadtest, target):
    order = {"target": target.url + "/", "users": 2, "duration": 1}
    status, _, body = fetch(loadtest.url + "/api/runs", "POST", json.dumps(order))
    assert status == 201
    links = json.loads(body)["links"]
    ended = wait_until(lambda: look_ended(links["self"]), "the end of the load test", 15)
    assert ended["state"] == "passed" and ended["percent"] == 100, ended
    assert ended["metrics"]["requests"] > 10 and ended["metrics"]["p99"] > 0, ended
    assert "Latency Distribution" in json.loads(fetch(links["report"])[2])["wrk"]


def test_loadtest_fails_and_aborts(loadtest, target):
    order = {"target": target.url + "/failing", "users": 2, "duration": 1}
    failing = json.loads(fetch(loadtest.url + "/api/runs", "POST", json.dumps(order))[2])["links"]["self"]
    assert wait_until(lambda: look_ended(failing), "its end", 15)["state"] == "failed"
    order = {"target": target.url + "/", "users": 2, "duration": 600}
    long = json.loads(fetch(loadtest.url + "/api/runs", "POST", json.dumps(order))[2])["links"]["self"]
    wait_until(lambda: json.loads(fetch(long)[2])["state"] == "running", "its begin")
    assert fetch(long, "DELETE")[0] == 202
    assert look_ended(long)["state"] == "aborted"


@pytest.mark.parametrize(
    "order",
    [
        {"target": "http://192.0.2.1/"},
        {"target": "http://example.com/"},
        {"target": "http://127.0.0.1@192.0.2.1/"},
        {"target": "http://127.0.0.1.example.com/"},
        {"target": "https://127.0.0.1/"},
        {"target": "http://127.0.0.1:99999/"},
        {"target": "-c"},
        {"target": ["http://127.0.0.1/"]},
        {"target": "http://127.0.0.1/", "users": 0},
        {"target": "http://127.0.0.1/", "users": "5"},
        {"target": "http://127.0.0.1/", "profile": "hard"},
        {},
    ],
)
def test_loadtest_refuses(loadtest, order):
    status, _, body = fetch(loadtest.url + "/api/runs", "POST", json.dumps(order))
    assert status == 422 and json.loads(body)["error"]


def look_ended(url):
    run = json.loads(fetch(url)[2])
    return run if run["state"] not in ("queued", "running") else None


def test_notations():
    assert conf({"a": "x\"y", "b": [1, 2], "c": {"d": True}, "e": [{"f": 1.5}]}) == (
        'a = "x\\"y";\nb = [ 1, 2 ];\nc = { d = true; };\ne = ( { f = 1.5; } );\n'
    )
    assert log_fields('time=t event=run_ended what="a \\"b\\" c" ms=12') == {
        "time": "t", "event": "run_ended", "what": 'a "b" c', "ms": "12",
    }  # fmt: skip
    assert parse_metrics('# TYPE a counter\na{x="1"} 2\n') == {("a", frozenset({("x", "1")})): 2.0}
    with pytest.raises((AssertionError, ValueError)):
        parse_metrics("a one\n")
