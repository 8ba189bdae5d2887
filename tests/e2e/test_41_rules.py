"""Rules: conditions beside lists, success that has to last, errors in a 200, and what the report says of them."""

import contextlib
import json
import sqlite3
import urllib.parse

import pytest
from helpers.gateway import stage
from helpers.jobs import call_stage, job_stage, script_job
from helpers.upstream import reply
from helpers.wait import wait_until


def gate_stage(upstream_url, **settings):
    return stage("gate", request={"method": "GET", "url": f"{upstream_url}/gate", "every": "50ms", **settings})


def test_conditions_beside_lists(gateway, upstream):
    """Several fields for one status, the run's parameters and headers among what they may speak of."""
    status = {
        "success_when": "body.phase == 'over' and body.bad <= parameters.n and headers['x-kind'] == 'final'",
        "failure_when": "body.bad > parameters.n",
        "failure": ["failed"],
    }
    client = gateway(stages={"job": job_stage(upstream.url, status=status)}).client()
    final = {"X-Kind": "final"}
    script_job(upstream, "running", reply(200, {"phase": "over", "bad": 2, "result": 5}, headers=final))
    report = client.run("job", {"n": 2})
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": 5}), report
    script_job(upstream, "running", reply(200, {"state": "done", "phase": "over", "bad": 3}, headers=final))
    report = client.run("job", {"n": 2})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed"), "failure beats the word done"
    assert report["error"] == "status: failure_when holds: body.bad > parameters.n"


def test_a_misspelt_condition_shows(gateway, upstream):
    upstream.on("GET", "/gate", reply(200, {"ready": True}))
    gw = gateway(stages={"gate": gate_stage(upstream.url, success_when="body.redy", timeout="60s")})
    report = gw.client().started("gate")
    told = gw.client().wait_report(report["id"], lambda one: "success_when" in one["progress"], "the condition")
    assert told["status"] == "RUNNING" and "redy" in told["progress"], told
    gw.client().cancel(report["id"])
    gw.client().wait_end(report["id"])


@pytest.mark.parametrize("rates, status, error", [([1, 3], "SUCCEEDED", None), ([1, 4, 2], "TERMINAL", "the highest rate is 4")])
def test_rules_name_the_outputs_of_their_step(gateway, upstream, rates, status, error):
    """Also where the reply that is judged comes in a callback."""
    rules = {
        "success_when": "outputs.worst <= parameters.n",
        "failure_when": "outputs.worst > parameters.n",
        "error_when": "false",
        "error": "{{ 'the highest rate is ' ~ outputs.worst }}",
    }
    outputs = {"worst": "{{ body.rates | max }}"}
    n = [{"name": "n", "type": "integer"}]
    polled = stage(
        "gate",
        parameters=n,
        request={"method": "GET", "url": f"{upstream.url}/gate", "every": "50ms", **rules, "outputs": outputs},
    )
    told = stage(
        "told",
        parameters=n,
        request={"url": f"{upstream.url}/tell", "body": "{{ callback.url }}", "callback": rules, "outputs": outputs},
    )
    upstream.on("GET", "/gate", reply(200, {"rates": None}), reply(200, {"rates": rates}))
    upstream.on("POST", "/tell", reply(202))
    client = gateway(stages={"gate": polled, "told": told}).client()
    ended = [client.run("gate", {"n": 3})]
    started = client.started("told", {"n": 3})
    url = upstream.wait_for(1, "POST", "/tell")[0].json()
    assert client.request("POST", urllib.parse.urlsplit(url).path, json.dumps({"rates": rates})).status in (200, 202)
    ended.append(client.wait_end(started["id"]))
    for report in ended:
        assert (report["status"], report["outputs"]["worst"]) == (status, max(rates)), report
        assert error is None or report["error"].endswith(error), report


def test_success_for_polls_in_a_row(gateway, upstream):
    up, down = reply(200, {"healthy": True}), reply(200, {"healthy": False})
    upstream.on("GET", "/gate", up, up, down, up, reply(503), up, up, up)
    definition = gate_stage(upstream.url, success_when="body.healthy", success_for=3, retry={"delay": "10ms"})
    gw = gateway(stages={"gate": definition})
    report = gw.client().run("gate")
    assert report["status"] == "SUCCEEDED", report
    assert upstream.count("GET", "/gate") == 8


def replies_on_disk(gw):
    with contextlib.closing(sqlite3.connect(gw.store_file)) as store:
        row = store.execute("SELECT body FROM runs").fetchone()  # with the run's first change
        return json.loads(row[0]).get("steady_replies", 0) if row else 0


def test_success_for_outlives_a_restart(gateway, upstream):
    upstream.on("GET", "/gate", reply(200, {"healthy": True}))
    definition = gate_stage(upstream.url, success_when="body.healthy", success_for=1000, every="10ms")
    gw = gateway(stages={"gate": definition})
    report = gw.client().started("gate")
    gw.client().wait_report(report["id"], lambda one: "of 1000 in a row" in one["progress"], "a count")
    wait_until(lambda: replies_on_disk(gw) >= 20, "20 replies to be on disk")
    gw.restart()
    told = gw.client().wait_report(report["id"], lambda one: "of 1000 in a row" in one["progress"], "a count")
    assert int(told["progress"].split(" of ")[0].rsplit(" ", 1)[1]) >= 20, told
    gw.client().cancel(report["id"])
    gw.client().wait_end(report["id"])


def test_errors_in_a_200(gateway, upstream):
    """GraphQL's way: the call was answered well, and has failed."""
    definition = call_stage(upstream.url, error="$.errors[0].message", idempotent=True)
    client = gateway(stages={"call": definition}).client()
    upstream.on("POST", "/call", reply(200, {"data": None, "errors": [{"message": "Field 'x' is ${unknown}"}]}))
    report = client.run("call")
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused")
    assert report["error"] == "request: the reply has an error: Field 'x' is $ {unknown}"
    assert upstream.count("POST", "/call") == 1, "it has failed for good"
    upstream.on("POST", "/call", reply(200, {"data": {"id": 1}, "errors": []}))
    assert client.run("call")["status"] == "SUCCEEDED"
    upstream.on("POST", "/call", reply(422, {"errors": [{"message": "not that one"}]}))
    assert client.run("call")["error"] == "request: the upstream answered 422: not that one"


def test_an_error_that_quotes_a_secret_is_masked(gateway, upstream):
    definition = call_stage(upstream.url, error="$.why", auth={"type": "bearer", "token": "{{ secret.token }}"})
    gw = gateway(stages={"call": definition}, secrets={"token": "s3cr3t-t0k3n"})
    upstream.on("POST", "/call", reply(200, {"why": "no access with s3cr3t-t0k3n"}))
    report = gw.client().run("call")
    assert "s3cr3t" not in str(report) and "no access with" in report["error"], report


def test_warn_when(gateway, upstream):
    upstream.on("GET", "/gate", reply(200, {"done": True, "warnings": ["a"]}))
    definition = gate_stage(upstream.url, success_when="body.done", warn_when="body.warnings | length > 0")
    client = gateway(stages={"gate": definition}).client()
    report = client.run("gate")
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": "WARN"}), report
    upstream.on("GET", "/gate", reply(200, {"done": True, "warnings": []}))
    assert client.run("gate")["outputs"] == {}


@pytest.mark.parametrize("code, left_out", [(200, True), (204, False)])
def test_a_step_that_depends_on_the_one_before(gateway, upstream, code, left_out):
    """As GitHub's dispatch: newer servers say which run they began, older ones are asked for it."""
    steps = [
        {"name": "dispatch", "method": "POST", "url": f"{upstream.url}/dispatch"},
        {"name": "find", "url": f"{upstream.url}/find", "when": "dispatch.code == 204"},
        {
            "name": "watch",
            "url": f"{upstream.url}/runs/{{{{ find.body.id if find is defined else dispatch.body.id }}}}",
            "value": "$.state", "success": ["done"], "every": "100ms",
        },
    ]  # fmt: skip
    upstream.on("POST", "/dispatch", reply(code, {"id": 1} if code == 200 else b""))
    upstream.on("GET", "/find", reply(200, {"id": 2}))
    upstream.on("GET", "/runs/*", reply(200, {"state": "done"}))
    client = gateway(stages={"job": stage("job", steps=steps)}).client()
    report = client.run("job")
    assert report["status"] == "SUCCEEDED", report
    assert [one["status"] for one in report["steps"]] == ["SUCCEEDED", "SKIPPED" if left_out else "SUCCEEDED", "SUCCEEDED"]
    assert upstream.count("GET", "/find") == (0 if left_out else 1)
    assert upstream.count("GET", f"/runs/{1 if left_out else 2}") == 1
    calls = client.get(f"/runs/{report['id']}/explain").json()["calls"]
    skipped = ("find", "skipped", "when: dispatch.code == 204")
    made = ("find", "succeeded", "the code is in expect")
    assert [(one["step"], one["verdict"], one["rule"]) for one in calls] == [
        ("dispatch", "succeeded", "the code is in expect"),
        skipped if left_out else made,
        ("watch", "succeeded", '$.state is "done"'),
    ]
