"""More to do than can be done: starts wait, and are refused where they would wait for long; what runs goes on. And one stage's
load is not another's: whoever waits, waits for its own.

The disk stands still by tests/faults/disk.c, so that what is asserted is an order, and no time."""

import contextlib
import hashlib
import json
import re
import signal

import pytest
from helpers.client import RawConnection, check_problem, check_report, metric
from helpers.disk import Disk
from helpers.gateway import Background
from helpers.jobs import Jobs, call_stage, job_stage
from helpers.upstream import Gate, Stall, reply
from helpers.wait import wait_until


@pytest.fixture
def disk(tmp_path):
    one = Disk(tmp_path)
    yield one
    one.stall(False)


def overloaded(client):
    return metric(client.metrics(), "stagedoor_overloaded")


def starts_until_one_is_refused(gw, **client):
    """In the background, each on a connection of its own: those before it are not answered, since they are not on disk."""
    begun = []

    def refused():
        begun.append(Background(lambda n=len(begun): gw.client(**client).start("job", {"n": 1000 + n})))
        return next((one for one in begun if not one.running and one.results()[0].status == 503), None)

    return wait_until(refused, "a start to be refused", every=0.05).results()[0], begun


def test_stalled_disk_sheds_starts_and_serves_runs(gateway, upstream, disk):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options={"loops": 1})
    client = gw.client()
    running = client.started("job", {"n": 1})
    canceled = client.started("job", {"n": 2})
    upstream.wait_for(1, "GET", "/jobs/1")

    disk.stall()
    refusal, begun = starts_until_one_is_refused(gw)
    problem = check_problem(refusal, 503)
    assert re.fullmatch(r"[1-9]\d*", refusal.header("Retry-After")), "orca comes again by itself after 5xx"
    assert "nothing was started" in problem["detail"], problem
    assert problem["errors"][0]["pointer"] == "queue_timeout", problem
    for n in range(20):
        check_problem(client.start("job", {"n": 2000 + n}), 503)

    # What runs is served: reports, polls; a cancel is under way upstream before the disk has it.
    polls = upstream.count("GET", "/jobs/1")
    assert client.report(running["id"])["status"] == "RUNNING"
    upstream.wait_for(polls + 3, "GET", "/jobs/1")
    assert client.get("/ready").status == 200, "polls come through the same door"
    metrics = client.metrics()
    assert metric(metrics, "stagedoor_overloaded") == 1
    assert metric(metrics, "stagedoor_starts_shed_total") >= 21
    assert len(gw.log(event="overloaded", by="disk")) == 1, "once, not once a start"
    assert not gw.log(event="request", code="503")
    cancel = Background(lambda: gw.client().cancel(canceled["id"]))

    # It recovers at once, and whom it let in is answered.
    disk.stall(False)
    assert cancel.results()[0].status in (200, 202)
    answers = [one.results()[0] for one in begun]
    assert {answer.status for answer in answers} == {202, 503}, answers
    check_report(client.started("job", {"n": 3}))
    wait_until(lambda: overloaded(client) == 0, "it to be over")
    assert len(gw.wait_log(event="overload_over")) == 1
    assert gw.log(event="overload_over")[0]["refused"] == str(int(metric(client.metrics(), "stagedoor_starts_shed_total")))
    assert client.wait_end(canceled["id"])["status"] == "CANCELED"
    jobs.hold = False
    for answer in answers:
        if answer.status == 202:
            assert client.wait_end(answer.json()["id"])["status"] == "SUCCEEDED"
    assert all(count == 1 for count in jobs.posts.values())
    assert not [n for n in jobs.posts if n >= 2000], "what was refused was not started"


def test_refusing_asks_for_nothing_else(gateway, upstream, disk):
    """Neither for a token nor for the stage, and the connection goes on; all that is no start is asked as ever."""
    Jobs(upstream, hold=True)
    callers = [{"name": "orca", "token_sha256": hashlib.sha256(b"secret").hexdigest(), "start": ["*"]}]
    options = {"loops": 1, "queue_timeout": "0s", "log_level": "debug"}
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options=options, callers=callers)
    disk.stall()
    starts_until_one_is_refused(gw, token="secret")
    stranger = RawConnection(gw.port)
    for path, status in (("/stages/job", 503), ("/stages/none", 503), ("/stages/job/cancel", 401), ("/runs", 503), ("/runs/cancel", 401)):
        stranger.send(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        answer = stranger.answer()
        assert answer.status == status, (path, answer)
        if status == 503:
            assert answer.header("Retry-After") == "5" and answer.header("Connection") is None
            check_problem(answer, 503)
            gw.wait_log(event="request", level="debug", method="POST", target=path, code="503")
    for version, kept in (("1.0", None), ("1.0\r\nConnection: keep-alive", "keep-alive"), ("1.1\r\nConnection: close", None)):
        one = RawConnection(gw.port)
        one.send(f"POST /runs HTTP/{version}\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        answer = one.answer()
        assert answer.status == 503 and answer.header("Connection") == (kept or "close"), (version, answer)
    chunks = b"POST /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    stranger.send(3 * chunks + b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert [stranger.answer().status for _ in range(4)] == [503, 503, 503, 200]
    stranger.send(b"POST /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert stranger.answer().status == 100
    stranger.send(b"{}")
    assert stranger.answer().status == 503
    disk.stall(False)


def test_stage_that_needs_no_disk_waits_for_none(gateway, upstream, disk):
    jobs = Jobs(upstream, polls=0)
    memory = job_stage(upstream.url, name="memory", durable=False)
    gw = gateway(stages={"job": job_stage(upstream.url), "memory": memory}, env=disk.env, options={"loops": 1})
    client = gw.client()
    disk.stall()
    _, begun = starts_until_one_is_refused(gw)
    report = client.started("memory", {"n": 1})
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert jobs.posts[1] == 1
    disk.stall(False)
    assert {one.results()[0].status for one in begun} == {202, 503}


def test_who_waits_begins_when_the_disk_goes_on(gateway, upstream, disk):
    jobs = Jobs(upstream, polls=0)
    options = {"loops": 1, "queue_timeout": "1m"}
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options=options)
    client = gw.client()
    disk.stall()

    def waiting():
        return metric(client.metrics(), "stagedoor_starts_waiting")

    def one_more_waits():
        before = waiting()
        first.append(Background(lambda: gw.client().start("job", {"n": -1})))
        wait_until(lambda: waiting() > before or client.metrics()["stagedoor_runs_in_flight", frozenset()] == len(first), "it to come")
        return waiting()

    first, begun = [], []
    wait_until(one_more_waits, "starts to wait")
    base = waiting()
    for n in range(10):
        begun.append(Background(lambda n=n: gw.client().start("job", {"n": n})))
        wait_until(lambda n=n: waiting() == base + n + 1, "it to wait")
    disk.stall(False)
    assert [one.results()[0].status for one in begun + first] == [202] * len(begun + first)
    for one in [one.results()[0].json() for one in begun]:
        assert client.wait_end(one["id"])["status"] == "SUCCEEDED"
    assert sorted(n for n in jobs.posts if n >= 0) == list(range(10))


@pytest.mark.no_asan
def test_memory_of_those_who_wait_has_a_ceiling(gateway, upstream, disk):
    """600 × 240 KiB come while nothing can begin: so much is kept as 32 MiB hold, the others are refused at once."""
    upstream.on("POST", "/jobs", Stall())
    options = {"loops": 1, "queue_timeout": "1m"}
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options=options)
    client = gw.client()
    body = json.dumps({"parameters": {"text": "x" * (240 << 10)}}).encode()
    head = b"POST /stages/job HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    disk.stall()
    starts_that_hang = []

    def waits():
        starts_that_hang.append(Background(lambda: gw.client().start("job")))
        return metric(client.metrics(), "stagedoor_starts_waiting")

    wait_until(waits, "a start to wait", every=0.05)
    before, connections = gw.rss_kib(), []
    try:
        for _ in range(600):
            connections.append(RawConnection(gw.port))
            connections[-1].send(head % len(body) + body)
        arrived = lambda metrics: metric(metrics, "stagedoor_starts_waiting") + metric(metrics, "stagedoor_starts_shed_total")
        wait_until(lambda: arrived(client.metrics()) >= 600, "all to arrive", 60)
        waiting = metric(client.metrics(), "stagedoor_starts_waiting")
        assert 32 << 10 > waiting * 240 - 240 * len(starts_that_hang) > 24 << 10, waiting
        grown = gw.rss_kib() - before
        print(f"{waiting:.0f} of 600 wait; {grown / 1024:.0f} MiB more")
        assert grown < 600 * 240, "less than the bodies that came"
        disk.stall(False)
        answers = [one.answer() for one in connections]
        assert sum(answer.status == 503 for answer in answers) == metric(client.metrics(), "stagedoor_starts_shed_total")
        # The text is too long for the stage's limits or not: what counts is that who waited got an answer of its own.
        assert {answer.status for answer in answers} <= {202, 422, 503}
    finally:
        for one in connections:
            one.sock.close()


def test_no_patience_at_all(gateway, upstream, disk):
    Jobs(upstream, hold=True)
    options = {"loops": 1, "queue_timeout": "0s"}
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options=options)
    disk.stall()
    refusal, begun = starts_until_one_is_refused(gw)
    check_problem(refusal, 503)
    disk.stall(False)
    assert [one.results()[0].status for one in begun].count(202) >= 1
    check_report(gw.client().started("job", {"n": 3}))


def test_storm_without_patience(gateway, upstream):
    """Who cannot be taken at once is told to come again, and nothing was begun for him; who was told yes is served."""
    jobs = Jobs(upstream, polls=0)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 1, "queue_timeout": "0s"})
    client = gw.client()
    head = "POST /stages/job HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    answers = []
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawConnection(gw.port)) for _ in range(600)]

        def storm():
            """All of them at once: they have come when the gateway goes on."""
            gw.process.send_signal(signal.SIGSTOP)
            for n, caller in enumerate(callers, len(answers)):
                body = json.dumps({"parameters": {"n": n}})
                caller.send(head % (len(body), body))
            gw.process.send_signal(signal.SIGCONT)
            answers.extend([caller.answer() for caller in callers])
            return any(answer.status == 503 for answer in answers)

        wait_until(storm, "a start to be refused", 60)
    taken = {n: answer for n, answer in enumerate(answers) if answer.status == 202}
    refused = [answer for answer in answers if answer.status != 202]
    assert taken
    for answer in refused:
        check_problem(answer, 503)
        assert re.fullmatch(r"[1-9]\d*", answer.header("Retry-After"))
    assert metric(client.metrics(), "stagedoor_starts_shed_total") == len(refused)
    for n, answer in taken.items():
        assert client.wait_end(answer.json()["id"])["outputs"] == {"result": n}
    assert jobs.posts == dict.fromkeys(taken, 1)
    wait_until(lambda: overloaded(client) == 0, "it to be over")
    check_report(client.started("job", {"n": len(answers)}))


def test_stop_while_starts_wait(gateway, upstream, disk):
    """Each is answered, though nothing more is begun."""
    Jobs(upstream, hold=True)
    options = {"loops": 1, "queue_timeout": "1m"}
    gw = gateway(stages={"job": job_stage(upstream.url)}, env=disk.env, options=options)
    client = gw.client()
    disk.stall()
    begun = []

    def waits():
        begun.append(Background(lambda: gw.client().start("job")))
        return metric(client.metrics(), "stagedoor_starts_waiting")

    wait_until(waits, "a start to wait", every=0.05)
    client.close()
    gw.process.terminate()
    gw.wait_log(event="stopping")
    disk.stall(False)
    gw.ended()
    assert {one.results()[0].status for one in begun} <= {202, 503}


# ---- stages beside each other ----


def test_queue_of_one_stage_is_not_anothers(gateway, upstream):
    """Two thousand runs of a stage wait for one whose upstream says nothing; a run of another stage comes and goes."""
    gate = upstream.on("POST", "/jobs", Gate(reply(201, {"links": {"self": "/jobs/1"}})))
    upstream.on("POST", "/call", reply(200))
    stages = {"job": job_stage(upstream.url, limits={"concurrency": 1, "queue": 5000}), "call": call_stage(upstream.url)}
    client = gateway(stages=stages, options={"loops": 1}).client()
    for n in range(2000):
        client.started("job", {"n": n})
    gate.reached.wait(10)
    for _ in range(5):
        assert client.run("call")["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1
    assert metric(client.metrics(), "stagedoor_limit_waiting", limit="stage job") == 1999


def test_slow_upstream_is_not_anothers(gateway, upstream):
    """Two thousand calls are under way to an upstream that says nothing; another's are made and answered, on connections that
    stay open."""
    upstream.on("POST", "/jobs", Stall())
    upstream.on("POST", "/call", reply(200))
    stages = {"job": job_stage(upstream.url), "call": call_stage(upstream.url.replace("127.0.0.1", "localhost"))}
    client = gateway(stages=stages, options={"loops": 1}).client()
    for n in range(2000):
        client.started("job", {"n": n})
    upstream.wait_for(2000, "POST", "/jobs", timeout=60)
    for _ in range(5):
        assert client.run("call")["status"] == "SUCCEEDED"
    assert len({request.connection for request in upstream.got("POST", "/call")}) == 1


def test_clients_leave_descriptors_to_calls(gateway, upstream, tmp_path):
    """However many only connect: calls to upstreams have descriptors, and what the limit allows is said."""
    upstream.on("POST", "/call", reply(200))
    few = tmp_path / "few"
    gw = gateway(started=False, stages={"call": call_stage(upstream.url)}, options={"loops": 1, "max_connections": 1000})
    few.write_text(f"#!/bin/sh\nulimit -n 200\nexec {gw.binary} \"$@\"\n")
    few.chmod(0o755)
    gw.binary = few
    client = gw.start().client()
    assert client.get("/health").status == 200
    assert "event=max_connections_lowered from=1000 to=117" in gw.log_text()
    crowd = contextlib.ExitStack()
    for _ in range(116):  # and the client's
        last = crowd.enter_context(RawConnection(gw.port))
    last.send(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % gw.port)
    assert last.answer().status == 200
    with RawConnection(gw.port) as refused:
        refused.send(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % gw.port)
        assert refused.answer().status == 503
    for _ in range(20):
        assert client.run("call")["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/call") == 20
    crowd.close()
