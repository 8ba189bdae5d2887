"""Cancel at every moment of a run, and time running out.

Reasons: `canceled` where the upstream was told and agreed (or had nothing to stop), `cancel_unconfirmed` where it did
not or could not be told, `canceled_before_start` where nothing had been sent."""

import socket
import time

import pytest
from helpers.gateway import Background
from helpers.jobs import Jobs, call_stage, job_stage, script_job, stopping
from helpers.upstream import Gate, Reset, Stall, reply


@pytest.fixture
def gw(gateway, upstream):
    return gateway(stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)})


@pytest.mark.parametrize("how", ["post", "delete"])
def test_cancel_while_polling(gw, upstream, how):
    Jobs(upstream, hold=True)
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(2, "GET", "/jobs/1")
    answer = client.cancel(report["id"]) if how == "post" else client.request("DELETE", f"/runs/{report['id']}")
    assert answer.status in (200, 202)
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"], ended["error"]) == ("CANCELED", "canceled", None)
    assert upstream.count("DELETE", "/jobs/1") == 1
    assert gw.wait_log(event="run_ended", run=report["id"], status="CANCELED")
    # Nothing follows a run that has ended, while another of its stage is polled on and on.
    polls = upstream.count("GET", "/jobs/1")
    client.started("job", {"n": 2})
    upstream.wait_for(5, "GET", "/jobs/2")
    assert upstream.count("GET", "/jobs/1") == polls


def test_cancel_before_the_post_has_been_answered(gw, upstream):
    """It is taken at once, and carried out when the reply says what there is to cancel."""
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "running")
    upstream.on("POST", "/jobs", gate)
    client = gw.client()
    report = client.started("job")
    assert gate.reached.wait(10)
    answer = client.cancel(report["id"])
    assert answer.status == 202 and answer.json()["status"] == "RUNNING"
    assert upstream.count("DELETE") == 0
    gate.open()
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1 and upstream.count("POST", "/jobs") == 1


def test_cancel_while_a_poll_hangs(gw, upstream):
    script_job(upstream, Stall())
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    began = time.monotonic()
    client.cancel(report["id"])
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    assert time.monotonic() - began < 3, "it does not wait for the poll"


def test_cancel_call_that_fails_first(gw, upstream):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(503, "x"), Reset(), stopping(upstream))
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.cancel(report["id"])
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert upstream.count("DELETE", "/jobs/1") == 3


@pytest.mark.parametrize("code", [404, 405, 409, 410])
def test_cancel_of_what_is_over_already(gw, upstream, code):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", stopping(upstream, code))
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.cancel(report["id"])
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1


def test_cancel_that_the_upstream_refuses(gw, upstream):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(403, {}))
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.cancel(report["id"])
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    assert "403" in ended["progress"], ended


def canceled(client, upstream):
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.cancel(report["id"])
    return client.wait_end(report["id"])


def force(upstream, **more):
    return {"method": "DELETE", "url": "{{ request.body.links.self }}", **more}


def test_cancel_is_verified(gateway, upstream):
    """Told is not stopped: the upstream is asked until it says so."""
    script_job(upstream, "running")
    states = [{"state": "canceling"}, {"state": "canceling"}, {"state": "aborted"}]

    def stop(request):
        upstream.on("GET", "/jobs/1", *[reply(200, state) for state in states])
        return reply(202, {})

    upstream.on("DELETE", "/jobs/1", stop)
    ended = canceled(gateway(stages={"job": job_stage(upstream.url)}).client(), upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert ended["progress"] == 'canceled: the upstream says "aborted"', ended
    assert upstream.count("DELETE") == 1


def test_cancel_that_has_no_effect(gateway, upstream):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(202, {}))
    stage = job_stage(upstream.url, cancel=force(upstream, timeout="1s"))
    ended = canceled(gateway(stages={"job": stage}).client(), upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    assert 'still says "running"' in ended["progress"], ended


@pytest.mark.parametrize("first", [202, 403])
def test_cancel_by_the_fallback(gateway, upstream, first):
    """As GitHub's cancel and force-cancel."""
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(first, {}))
    upstream.on("POST", "/kill", stopping(upstream))
    cancel = force(upstream, timeout="2s", fallback={"url": f"{upstream.url}/kill"})
    ended = canceled(gateway(stages={"job": job_stage(upstream.url, cancel=cancel)}).client(), upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert upstream.count("DELETE") == 1 and upstream.count("POST", "/kill") == 1


def test_cancel_that_is_refused_in_a_200(gateway, upstream):
    """As GraphQL refuses: it was not taken, so the fallback is called, and what it said is told."""
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(200, {"errors": [{"message": "not yours"}]}))
    upstream.on("POST", "/kill", reply(200, {"errors": [{"message": "not yours either"}]}))
    error = {"error": "$.errors[0].message"}
    cancel = force(upstream, **error, fallback={"url": f"{upstream.url}/kill", **error})
    client = gateway(stages={"job": job_stage(upstream.url, cancel=cancel)}).client()
    ended = canceled(client, upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    assert "the reply has an error: not yours either" in ended["progress"], ended
    assert upstream.count("DELETE") == 1 and upstream.count("POST", "/kill") == 1
    calls = [call for call in client.get(f"/runs/{ended['id']}/explain").json()["calls"] if call["call"] == "cancel"]
    assert [(call["code"], call["verdict"]) for call in calls] == [(200, "failed")] * 2, calls
    assert "not yours" in calls[0]["rule"]


def test_cancel_call_keeps_to_its_retry(gateway, upstream):
    """So many tries, and none sooner than the upstream asks for."""
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(503, {}, headers={"Retry-After": "1"}))
    client = gateway(stages={"job": job_stage(upstream.url, cancel=force(upstream, retry={"attempts": 1}))}).client()
    ended = canceled(client, upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    calls = upstream.got("DELETE")
    assert len(calls) == 2 and calls[1].at - calls[0].at >= 0.95


def test_cancel_call_that_would_have_to_wait_for_longer_than_it_may(gateway, upstream):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(503, {}, headers={"Retry-After": "600"}))
    client = gateway(stages={"job": job_stage(upstream.url, cancel=force(upstream, timeout="2s"))}).client()
    ended = canceled(client, upstream)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    assert "it asks to wait for 10m, and cancel.timeout is 2s" in ended["progress"], ended
    assert upstream.count("DELETE") == 1
    # The next one to be canceled finds that the upstream wants no calls at all: it does not wait for ten minutes either.
    script_job(upstream, "running")
    report = client.started("job")
    client.cancel(report["id"])
    second = client.wait_end(report["id"])
    assert second["status"] == "CANCELED" and upstream.count("DELETE") == 1, second


def test_killed_while_it_is_asked_whether_it_stopped(gateway, upstream):
    script_job(upstream, "running")
    gate = Gate(reply(200, {"state": "running"}))

    def stop(request):
        """Whether it was told is harmless to ask twice, so a crash may be faster than the record of it."""
        if not gate.reached.is_set():
            upstream.on("GET", "/jobs/1", gate, reply(200, {"state": "aborted"}))
        return reply(202, {})

    upstream.on("DELETE", "/jobs/1", stop)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.client().cancel(report["id"])
    assert gate.reached.wait(10)
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert upstream.count("POST", "/jobs") == 1


def test_cancel_without_a_cancel_call(gateway, upstream):
    script_job(upstream, "running")
    client = gateway(stages={"job": job_stage(upstream.url, cancel=None)}).client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.cancel(report["id"])
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed")
    assert "not told" in ended["progress"] or "no cancel" in ended["progress"], ended


def test_cancel_many_times_from_many_sides(gw, upstream):
    Jobs(upstream, hold=True)
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    clients = [gw.client() for _ in range(20)]
    answers = Background(*[lambda client=client: client.cancel(report["id"]) for client in clients]).results()
    assert {answer.status for answer in answers} <= {200, 202}
    assert gw.client().wait_end(report["id"])["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1


def test_cancel_answers_who_waits(gw, upstream):
    Jobs(upstream, hold=True)
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    waiting = Background(lambda: gw.client().get(f"/runs/{report['id']}", headers={"Prefer": "wait=30"}))
    gw.client().cancel(report["id"])
    (answer,) = waiting.results(10)
    assert answer.json()["status"] == "CANCELED"


# ---- time ----


def test_time_of_a_step(gateway, upstream):
    """The work is canceled upstream: nobody waits for it any more."""
    script_job(upstream, "running")
    client = gateway(stages={"job": job_stage(upstream.url, status={"timeout": "1s"})}).client()
    began = time.monotonic()
    report = client.run("job")
    assert 0.8 < time.monotonic() - began < 5
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout")
    assert "time" in report["error"], report
    assert upstream.count("DELETE", "/jobs/1") == 1


def test_time_of_a_step_while_a_poll_hangs(gateway, upstream):
    script_job(upstream, Stall())
    client = gateway(stages={"job": job_stage(upstream.url, status={"timeout": "1s"})}).client()
    began = time.monotonic()
    report = client.run("job")
    assert time.monotonic() - began < 5
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout")


def test_time_of_the_run(gateway, upstream):
    script_job(upstream, "running")
    client = gateway(stages={"job": job_stage(upstream.url, timeout="1s")}).client()
    report = client.run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout")


def test_connect_timeout(gateway):
    """A listener whose queue is full never completes the handshake."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    try:
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        text = call_stage(url, connect_timeout="500ms", retry={"attempts": 0})
        began = time.monotonic()
        report = gateway(stages={"call": text}).client().run("call")
        assert time.monotonic() - began < 5
        assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_unreachable")
        assert "500ms" in report["error"], report
    finally:
        for one in (full, *fillers):
            one.close()
