"""Calls in doubt, against an upstream that loses replies, and with a gateway that is killed: nothing is begun twice,
and what was begun is found."""

import pytest
from helpers.jobs import job_stage, script_job
from helpers.upstream import Gate, Reset, reply


def probed(upstream, **probe):
    """The job of script_job, looked for by the run's key."""
    return job_stage(upstream.url, request={
        "retry": {"attempts": 2, "delay": "50ms"},
        "probe": {"url": f"{upstream.url}/search?by={{{{ run.key }}}}", "found": "$.items[0]",
                  "not_found_grace": "300ms", "retry": {"attempts": 2, "delay": "50ms"}, **probe},
    })


def works(upstream, *moves):
    job = {"id": "1", "links": {"self": f"{upstream.url}/jobs/1"}}
    upstream.on("GET", "/search", *[reply(200, {"items": [job] if move == "found" else []}) if isinstance(move, str)
                                    else move for move in moves])


def test_reply_lost_and_work_found(gateway, upstream):
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", Reset())
    works(upstream, reply(503, {}), "none", "found")
    ended = gateway(stages={"job": probed(upstream)}).client().run("job", key="build 7")
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"result": "is done"}), ended
    assert upstream.count("POST", "/jobs") == 1 and upstream.count("GET", "/search") == 3
    assert upstream.got("GET", "/search")[0].target == "/search?by=build%207"


def test_reply_lost_and_nothing_found(gateway, upstream):
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", Reset(), reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    works(upstream, "none")
    ended = gateway(stages={"job": probed(upstream)}).client().run("job")
    assert ended["status"] == "SUCCEEDED", ended
    assert upstream.count("POST", "/jobs") == 2 and upstream.count("GET", "/search") >= 2


def test_probe_that_cannot_tell(gateway, upstream):
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", Reset())
    works(upstream, reply(200, "<html>sign in</html>"))
    ended = gateway(stages={"job": probed(upstream)}).client().run("job")
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt")
    assert "not JSON" in ended["error"] and upstream.count("POST", "/jobs") == 1


def test_probe_that_fails_in_a_200(gateway, upstream):
    """As GraphQL does: that is no "there is no such work", so nothing is begun twice."""
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", Reset())
    works(upstream, reply(200, {"items": None, "errors": [{"message": "busy"}]}), "found")
    stage = probed(upstream, error="$.errors[0].message", not_found_grace="0s")
    ended = gateway(stages={"job": stage}).client().run("job")
    assert ended["status"] == "SUCCEEDED", ended
    assert upstream.count("POST", "/jobs") == 1 and upstream.count("GET", "/search") == 2
    works(upstream, reply(200, {"items": None, "errors": [{"message": "busy"}]}))
    ended = gateway(stages={"job": stage}).client().run("job")
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt") and "busy" in ended["error"], ended
    assert upstream.count("POST", "/jobs") == 2


def test_body_says_when_to_ask_again(gateway, upstream):
    """Of the probe, of the poll, and of the request before it."""
    script_job(upstream, {"state": "running", "wait": 1}, "done")
    upstream.on("POST", "/jobs", Reset())
    job = {"id": "1", "links": {"self": f"{upstream.url}/jobs/1"}}
    works(upstream, reply(503, {"wait": "1"}), reply(200, {"items": [job], "wait": 1}))
    stage = job_stage(upstream.url, status={"retry_after": "$.wait"}, request={
        "probe": {"url": f"{upstream.url}/search", "found": "$.items[0]", "retry_after": "$.wait", "retry": {"delay": "10ms"}}})
    assert gateway(stages={"job": stage}).client().run("job")["status"] == "SUCCEEDED"
    looks, polls = upstream.got("GET", "/search"), upstream.got("GET", "/jobs/1")
    assert len(looks) == 2 and looks[1].at - looks[0].at >= 0.95
    assert len(polls) == 2 and polls[1].at - polls[0].at >= 0.95


@pytest.mark.parametrize("acted", [True, False])
def test_killed_while_the_post_is_under_way(gateway, upstream, acted):
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", gate, reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    works(upstream, "found" if acted else "none")
    gw = gateway(stages={"job": probed(upstream)})
    report = gw.client().started("job")
    assert gate.reached.wait(10)
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert ended["status"] == "SUCCEEDED", ended
    assert upstream.count("POST", "/jobs") == (1 if acted else 2)


def test_cancel_waits_for_what_is_looked_for(gateway, upstream):
    script_job(upstream, "running")
    upstream.on("POST", "/jobs", Reset())
    gate = Gate(reply(200, {"items": [{"links": {"self": f"{upstream.url}/jobs/1"}}]}))
    works(upstream, gate)
    client = gateway(stages={"job": probed(upstream)}).client()
    report = client.started("job")
    assert gate.reached.wait(10)
    client.cancel(report["id"])
    assert upstream.count("DELETE") == 0
    gate.open()
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1 and upstream.count("POST", "/jobs") == 1


def test_idempotency_key_is_the_same_at_each_try(gateway, upstream):
    created = reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}})
    script_job(upstream, "done")
    gate = Gate(created)
    upstream.on("POST", "/jobs", Reset(), reply(503, {}), gate, created)
    stage = job_stage(upstream.url, request={"idempotency_key": True, "retry": {"attempts": 5, "delay": "20ms"}})
    gw = gateway(stages={"job": stage})
    report = gw.client().started("job", key="k1")
    assert gate.reached.wait(10)
    gw.restart()
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    gw.client().run("job", key="k2")
    keys = [request.header("Idempotency-Key") for request in upstream.got("POST", "/jobs")]
    assert len(keys) == 5 and len(set(keys[:4])) == 1 and keys[4] != keys[0]
