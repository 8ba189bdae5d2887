"""The asynchronous request-reply pattern: 202 with Location and Retry-After, followed without a rule."""

import time

import pytest
from helpers.gateway import stage
from helpers.upstream import reply


def follow_stage(upstream, status=None, **more):
    return stage(
        "job",
        request={"method": "POST", "url": f"{upstream.url}/api/jobs"},
        status={"follow": "location", "every": "100ms", **(status or {})},
        outputs={"result": "$.result"},
        **more,
    )


def accepted(location, **headers):
    return reply(202, b"", headers={"Location": location, **headers})


@pytest.mark.parametrize("location", ["/ops/1", "../ops/1", "absolute", "//same"])
def test_location_is_followed(gateway, upstream, location):
    """Relative ones are resolved against the request's own URL (RFC 3986); 202 goes on, 200 is the end and has the result."""
    where = {"absolute": f"{upstream.url}/ops/1", "//same": upstream.url.removeprefix("http:") + "/ops/1"}.get(location, location)
    upstream.on("POST", "/api/jobs", accepted(where))
    upstream.on("GET", "/ops/1", reply(202, {"state": "at work"}), reply(202, b""), reply(200, {"result": 42}))
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": 42}), report
    assert upstream.count("GET", "/ops/1") == 3


def test_the_end_may_be_elsewhere(gateway, upstream):
    """303 See Other leads to what was made."""
    upstream.on("POST", "/api/jobs", accepted("/ops/1"))
    upstream.on("GET", "/ops/1", reply(202, b""), reply(303, b"", headers={"Location": "/things/7"}))
    upstream.on("GET", "/things/7", reply(200, {"result": "made"}))
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": "made"}), report


def test_a_newer_location_is_followed_also_after_a_restart(gateway, upstream):
    upstream.on("POST", "/api/jobs", accepted("/ops/1"))
    upstream.on("GET", "/ops/1", accepted("/ops/2"))
    upstream.on("GET", "/ops/2", accepted("deep/3"))
    upstream.on("GET", "/ops/deep/3", reply(202, b""))
    gw = gateway(stages={"job": follow_stage(upstream)})
    report = gw.client().started("job")
    upstream.wait_for(2, "GET", "/ops/deep/3")
    assert (upstream.count("GET", "/ops/1"), upstream.count("GET", "/ops/2")) == (1, 1)
    gw.restart()
    upstream.wait_for(upstream.count("GET", "/ops/deep/3") + 1, "GET", "/ops/deep/3")
    assert (upstream.count("GET", "/ops/1"), upstream.count("GET", "/ops/2")) == (1, 1)
    upstream.on("GET", "/ops/deep/3", reply(200, {"result": "there"}))
    assert gw.client().wait_end(report["id"])["outputs"] == {"result": "there"}


def test_retry_after_is_the_pace(gateway, upstream):
    upstream.on("POST", "/api/jobs", accepted("/ops/1", **{"Retry-After": "1"}))
    upstream.on("GET", "/ops/1", reply(202, b"", headers={"Retry-After": "1"}), reply(200, {"result": 1}))
    began = time.monotonic()
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert time.monotonic() - began > 1.9
    assert upstream.count("GET", "/ops/1") == 2


def test_work_that_is_done_at_once(gateway, upstream):
    """200 without a Location: there is nothing to ask."""
    upstream.on("POST", "/api/jobs", reply(200, {"result": "now"}))
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": "now"}), report
    assert [one["status"] for one in report["steps"]] == ["SUCCEEDED", "SKIPPED"]


def test_202_without_a_location(gateway, upstream):
    upstream.on("POST", "/api/jobs", reply(202, b""))
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "invalid_request"), report
    assert "location" in report["error"], report


@pytest.mark.parametrize("code", [400, 404, 500])
def test_work_that_fails(gateway, upstream, code):
    upstream.on("POST", "/api/jobs", accepted("/ops/1"))
    upstream.on("GET", "/ops/1", reply(202, b""), reply(code, {"error": "broken"}))
    status = {"retry": {"budget": "300ms"}}
    report = gateway(stages={"job": follow_stage(upstream, status)}).client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused"), report
    assert str(code) in report["error"], report


@pytest.mark.parametrize("where", ["request", "status"])
def test_a_location_that_leads_away_is_refused(gateway, upstream, where):
    away = accepted("http://127.0.0.2:1/ops")
    upstream.on("POST", "/api/jobs", away if where == "request" else accepted("/ops/1"))
    upstream.on("GET", "/ops/1", away)
    report = gateway(stages={"job": follow_stage(upstream)}).client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "refused_egress"), report


def test_rules_of_its_own(gateway, upstream):
    """Servers that answer 200 all the time, and say in the body how it goes."""
    upstream.on("POST", "/api/jobs", accepted("/ops/1"))
    upstream.on("GET", "/ops/1", reply(200, {"s": "busy"}), reply(200, {"s": "ok", "result": 5}))
    status = {"value": "$.s", "success": ["ok"], "failure": ["bad"]}
    report = gateway(stages={"job": follow_stage(upstream, status)}).client().run("job")
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": 5}), report


@pytest.mark.parametrize("go, done, calls", [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_a_condition_of_its_own_holds_as_well(gateway, upstream, go, done, calls):
    """Beside it, work that is done at once is still left out."""
    upstream.on("POST", "/api/jobs", reply(200, {"go": go}) if done else reply(202, {"go": go}, headers={"Location": "/ops/1"}))
    upstream.on("GET", "/ops/1", reply(200, {"result": 5}))
    report = gateway(stages={"job": follow_stage(upstream, {"when": "request.body.go"})}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert upstream.count("GET", "/ops/1") == calls
    assert report["steps"][1]["status"] == ("SUCCEEDED" if calls else "SKIPPED")


@pytest.mark.parametrize("when", ["true or request.body.go", "request.body.go\n or true", "true if request.body.x is defined else ')' != '(' or false", "'# {#' != \"'\" or 1 == 2"])
@pytest.mark.parametrize("done", [True, False])
def test_an_odd_condition_of_its_own_stays_in_one_piece(gateway, upstream, when, done):
    """It is true; and, whatever binds how in it, work that is done at once is still left out."""
    upstream.on("POST", "/api/jobs", reply(200, {"go": False}) if done else reply(202, {"go": False}, headers={"Location": "/ops/1"}))
    upstream.on("GET", "/ops/1", reply(200, {"result": 5}))
    report = gateway(stages={"job": follow_stage(upstream, {"when": when})}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert upstream.count("GET", "/ops/1") == (0 if done else 1)
