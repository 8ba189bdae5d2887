"""Ten thousand runs in flight on one loop."""

import json
import threading
import time

import pytest
from helpers.client import RawConnection
from helpers.jobs import job_stage
from helpers.upstream import reply
from helpers.wait import wait_until

RUNS = 10_000


def start_all(port, numbers):
    """Starts, a hundred in one write; the ids."""
    ids = []
    with RawConnection(port, timeout=60) as raw:
        for at in range(0, len(numbers), 100):
            slice_ = numbers[at : at + 100]
            bodies = [json.dumps({"parameters": {"n": n}, "key": f"many-{n}"}).encode() for n in slice_]
            head = b"POST /stages/job HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            raw.send(b"".join(head % (port, len(body)) + body for body in bodies))
            for _ in slice_:
                answer = raw.answer()
                assert answer.status in (200, 202), answer
                ids.append(answer.json()["id"])
    return ids


@pytest.mark.no_asan
def test_ten_thousand_runs_in_flight(gateway, upstream):
    release = threading.Event()
    upstream.keep_requests = False
    upstream.on("POST", "/jobs", lambda request: reply(201, b'{"links": {"self": "/jobs/%d"}}' % request.json()["n"]))
    running, done = reply(200, b'{"state": "running"}'), reply(200, b'{"state": "done", "result": 1}')
    upstream.on("GET", "/jobs/*", lambda request: done if release.is_set() else running)
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "10s", "timeout": "10m"})}, options={"loops": 1})
    client = gw.client()
    before = gw.rss_kib()

    began = time.monotonic()
    ids = start_all(gw.port, list(range(RUNS)))
    took = time.monotonic() - began
    assert len(set(ids)) == RUNS
    wait_until(lambda: upstream.count("POST", "/jobs") == RUNS, "all POSTs", 120)
    assert client.metrics()["stagedoor_runs_in_flight", frozenset()] == RUNS
    a_run = (gw.rss_kib() - before) / RUNS
    print(f"{RUNS / took:.0f} starts/s, {a_run:.1f} KiB a run, {gw.open_files()} descriptors")
    assert a_run < 24
    assert gw.open_files() < 2000, "polls share connections"

    # It answers as if there were nothing else to do.
    slowest = 0
    for id in ids[:: RUNS // 50]:
        began = time.monotonic()
        assert client.report(id)["status"] == "RUNNING"
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    again = start_all(gw.port, list(range(0, RUNS, 97)))
    assert again == ids[::97], "the same keys are the same runs"

    wait_until(lambda: upstream.count("GET", "/jobs/*") >= RUNS, "a poll of each", 60)
    release.set()
    ended = ("stagedoor_runs_ended_total", frozenset({("stage", "job"), ("status", "SUCCEEDED")}))
    wait_until(lambda: client.metrics().get(ended) == RUNS, lambda: f"all ends: {client.metrics().get(ended)}", 90, 0.2)
    assert client.metrics()["stagedoor_runs_in_flight", frozenset()] == 0
    assert upstream.count("POST", "/jobs") == RUNS

    seen, cursor = set(), ""
    while cursor is not None:
        page = client.get("/runs?limit=1000" + (f"&cursor={cursor}" if cursor else "")).json()
        seen |= {one["id"] for one in page["runs"]}
        cursor = page.get("cursor")
    assert seen == set(ids)
    # The upstream and this test share the cores with it, so a pass may be longer than the 50 ms that are logged.
    stalls = [line for line in gw.log(event="loop_stalled") if int(line["ms"]) > 250]
    assert not stalls, f"no callback held the loop up: {stalls[:5]}"


def test_three_hundred_runs_and_a_restart(gateway, upstream):
    """The small one, which runs under sanitizers too."""
    count = 300
    release = threading.Event()
    upstream.keep_requests = False
    upstream.on("POST", "/jobs", lambda request: reply(201, b'{"links": {"self": "/jobs/%d"}}' % request.json()["n"]))
    running, done = reply(200, b'{"state": "running"}'), reply(200, b'{"state": "done", "result": 1}')
    upstream.on("GET", "/jobs/*", lambda request: done if release.is_set() else running)
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "500ms"})})
    ids = start_all(gw.port, list(range(count)))
    polled = lambda: sum(method == "GET" for method, _ in list(upstream.counts)) == count
    wait_until(polled, "a poll of each", 60)
    gw.restart()
    release.set()
    client = gw.client()
    for id in ids:
        assert client.wait_end(id, 60)["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == count
