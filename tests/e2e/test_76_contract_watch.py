"""The contract watch: what an upstream sends that its definition does not expect shows in the log (once), in /metrics,
in GET /stages/{stage} and in `stagedoor list`; and an upstream that is as expected shows nowhere."""

import datetime
import email.utils
import hashlib
import itertools
import time

import pytest
from helpers.client import metric
from helpers.gateway import command, stage
from helpers.jobs import Jobs, job_stage, script_job
from helpers.upstream import Gate, reply
from helpers.wait import wait_until

MEMBERS = {"kind", "step", "setting", "path", "what", "word", "expected", "found", "at", "link", "times", "first",
           "last", "run"}  # fmt: skip


def contract(client, name="job"):
    answer = client.get(f"/stages/{name}")
    assert answer.status == 200, answer
    shown = answer.json()["contract"]
    if shown is not None:
        assert set(shown) == {"since", "findings", "more"}
        assert all(set(finding) == MEMBERS for finding in shown["findings"])
    return shown


def findings(client, name="job"):
    return contract(client, name)["findings"]


def brief(found):
    return [(one["kind"], one["step"], one["setting"], one["path"]) for one in found]


def counted(client, kind, name="job"):
    return metric(client.metrics(), "stagedoor_contract_findings_total", stage=name, kind=kind)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def read_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def poll_stage(upstream_url, name="poll", **more):
    return stage(
        name,
        request={"method": "GET", "url": f"{upstream_url}/poll", "every": "20ms", "value": "$.state", "success": ["ok"], **more},
    )


def test_an_upstream_that_is_as_expected(gateway, upstream):
    Jobs(upstream, polls=4)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    assert contract(client) == {"since": None, "findings": [], "more": 0}, "no run yet"
    before = time.time()
    for n in range(3):
        assert client.run("job", {"n": n})["status"] == "SUCCEEDED"
    shown = contract(client)
    assert (shown["findings"], shown["more"]) == ([], 0)
    assert before - 1 <= read_time(shown["since"]) <= time.time() + 1
    assert not gw.log(event="contract_finding")
    assert not [name for name, _ in client.metrics() if name == "stagedoor_contract_findings_total"]


def test_two_loops_find_the_same_thing_once(gateway, upstream):
    """A new word, an output that is gone and one of another type, over many runs on both loops."""
    runs = 16
    job = itertools.count(1)
    upstream.on("POST", "/jobs", lambda request: reply(201, {"links": {"self": f"{upstream.url}/jobs/{next(job)}"}}))
    seen = set()

    def poll(request):
        if request.path not in seen:
            seen.add(request.path)
            return reply(200, {"state": "paused", "percent": 3})
        return reply(200, {"state": "done", "percent": 4})

    upstream.on("GET", "/jobs/*", poll)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 2})
    client = gw.client()
    reports = [client.run("job") for _ in range(runs)]
    assert {report["status"] for report in reports} == {"SUCCEEDED"}
    word, gone = findings(client)
    assert brief([word, gone]) == [("word", "status", "value", "$.state"), ("missing", "status", "outputs.result", "$.result")]
    assert (word["word"], word["times"], gone["times"]) == ("paused", runs, runs)
    assert word["what"] == 'no list of the definition names "paused"'
    assert gone["what"] == "the reply by which the step succeeded had nothing there"
    assert {word["run"], gone["run"]} <= {report["id"] for report in reports}
    assert read_time(word["first"]) <= read_time(word["last"])
    (line,) = gw.wait_log(event="contract_finding", kind="word")
    assert (line["level"], line["stage"], line["step"], line["word"]) == ("warn", "job", "status", "paused")
    (line,) = gw.wait_log(event="contract_finding", kind="missing")
    assert (line["setting"], line["path"]) == ("outputs.result", "$.result")
    assert (counted(client, "word"), counted(client, "missing")) == (runs, runs)
    listed = command("list", "job", "--url", gw.url)
    assert f'    upstream: status value $.state: no list of the definition names "paused" ({runs} times, last 20' in listed.stdout
    assert "    upstream: status outputs.result $.result: the reply by which" in listed.stdout


def test_types_that_change_between_runs(gateway, upstream):
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    for result in ("is done", None, 7, 7.5, {"url": "x"}, "is done"):
        script_job(upstream, {"state": "done", "result": result})
        client.run("job")
    number, thing = findings(client)
    assert brief([number, thing]) == [("type", "status", "outputs.result", "$.result")] * 2
    assert [(one["expected"], one["found"], one["times"]) for one in (number, thing)] == [
        ("string", "number", 2),
        ("string", "object", 1),
    ]
    assert number["what"] == "a number stood there, where a string was expected"
    assert len(gw.wait_log(event="contract_finding")) == 2
    assert counted(client, "type") == 3


def test_a_status_that_has_moved(gateway, upstream):
    """The upstream has renamed the field: runs are polled until their time is up, and the finding says why."""
    script_job(upstream, {"status": "done"})
    gw = gateway(stages={"job": job_stage(upstream.url, status={"timeout": "400ms"}, cancel=None)})
    client = gw.client()
    report = client.run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout"), report
    found = findings(client)
    assert brief(found) == [("missing", "status", "value", "$.state")]
    assert found[0]["what"] == "no reply of a step that was not done within its time had a word there"
    assert found[0]["run"] == report["id"]


def test_a_status_that_comes_late_is_no_finding(gateway, upstream):
    """Absent while queued, and null after that: what orca's upstreams do."""
    script_job(upstream, {}, {}, {"state": None}, "running", "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    assert client.run("job")["status"] == "SUCCEEDED"
    assert findings(client) == []


def test_a_link_that_is_not_there(gateway, upstream):
    upstream.on("POST", "/jobs", reply(201, {"id": 1}))
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    report = client.run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "invalid_request"), report
    (status,) = [one for one in findings(client) if one["step"] == "status"]
    assert status["kind"] == "missing" and "request.body.links.self" in status["what"], status


@pytest.mark.parametrize("days, level, kind", [(300, "warn", "sunset"), (12, "error", "sunset_soon"), (-3, "error", "sunset_soon")])
def test_an_end_that_is_announced(gateway, upstream, days, level, kind):
    ends = int(time.time()) + days * 86400 + 3600
    headers = {
        "Deprecation": "@1688169599",
        "Sunset": email.utils.formatdate(ends, usegmt=True),
        "Link": '<https://docs.example.com/old>; rel="deprecation"; type="text/html", <https://docs.example.com/end>; rel=sunset',
    }
    script_job(upstream, reply(200, {"state": "running"}, headers=headers), reply(200, {"state": "done", "result": 1}, headers=headers))
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    for _ in range(3):
        assert client.run("job")["status"] == "SUCCEEDED", "it is a warning, and no more"
        script_job(upstream, reply(200, {"state": "done", "result": 1}, headers=headers))
    old, end = sorted(findings(client), key=lambda one: one["kind"])
    assert (old["kind"], old["step"], old["link"], old["at"]) == (
        "deprecation",
        "status",
        "https://docs.example.com/old",
        "2023-06-30T23:59:59.000Z",
    )
    assert (end["kind"], end["link"], read_time(end["at"]), end["times"]) == ("sunset", "https://docs.example.com/end", ends, 4)
    assert end["what"].endswith(f", in {days} days" if days > 0 else ", which is past")
    (line,) = gw.wait_log(event="contract_finding", kind="sunset")
    assert (line["level"], line["link"]) == (level, "https://docs.example.com/end")
    assert [one["level"] for one in gw.wait_log(event="contract_finding", kind="deprecation")] == ["warn"]
    assert (counted(client, kind), counted(client, "deprecation")) == (4, 4)
    assert f"({end['times']} times, last" in command("list", "job", "--url", gw.url).stdout


def test_headers_of_cancel_calls(gateway, upstream):
    script_job(upstream, "running")
    upstream.on("DELETE", "/jobs/1", reply(410, "", headers={"Deprecation": "true"}))
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "50ms"})})
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(2, "GET", "/jobs/1")
    client.cancel(report["id"])
    wait_until(lambda: brief(findings(client)) == [("deprecation", "cancel", None, None)], "the finding")
    assert findings(client)[0]["at"] is None


def test_a_changed_definition_begins_anew(gateway, upstream):
    """A reload without a change keeps what was found. A run that is pinned to the old definition says nothing of the new
    one."""
    gate = Gate(reply(200, {"state": "older"}))
    script_job(upstream, "odd", "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    client.run("job")
    reloads = metric(client.metrics(), "stagedoor_reloads_total")
    gw.reload()
    wait_until(lambda: metric(client.metrics(), "stagedoor_reloads_total") > reloads, "the reload")
    assert [one["word"] for one in findings(client)] == ["odd"]
    script_job(upstream, gate, "done")
    pinned = client.started("job")
    assert gate.reached.wait(10)
    gw.put_stage("job", job_stage(upstream.url, description="another"))
    gw.reload()
    wait_until(lambda: contract(client) == {"since": None, "findings": [], "more": 0}, "the new definition")
    gate.open()
    assert client.wait_end(pinned["id"])["status"] == "SUCCEEDED"
    assert [line["word"] for line in gw.wait_log(event="contract_finding")] == ["odd", "older"]
    assert findings(client) == []
    script_job(upstream, "odd", "done")
    client.run("job")
    assert [one["word"] for one in findings(client)] == ["odd"]
    assert [line["word"] for line in gw.wait_log(event="contract_finding", word="odd")] == ["odd", "odd"], "told anew"
    gw.put_stage("job", "name = ")
    gw.reload()
    wait_until(lambda: client.get("/stages/job").json()["state"] == "stale", "the broken file")
    assert [one["word"] for one in findings(client)] == ["odd"], "of the version in force"


def test_a_restart_forgets(gateway, upstream):
    script_job(upstream, "odd", "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    gw.client().run("job")
    gw.restart()
    assert contract(gw.client()) == {"since": None, "findings": [], "more": 0}


def test_a_hostile_upstream(gateway, upstream):
    """Another word each poll, long ones, words that would forge log lines or be evaluated by orca; headers full of rubbish."""
    number = itertools.count()

    def poll(request):
        n = next(number)
        if n == 150:
            return reply(200, {"state": "ok"})
        evil = f"{n} ${{secret}} \x1b[31m\nlevel=error event=forged \"'\\ " + "é" * 500 + "x" * 20000
        headers = {"Sunset": f"@{4102444800 + n}", "Deprecation": "\x7f${x}" * 50, "Link": "<a\x01b;;,<>>;rel=" * 100}
        return reply(200, {"state": evil}, headers=headers)

    upstream.on("GET", "/poll", poll)
    gw = gateway(stages={"poll": poll_stage(upstream.url, every="10ms")})
    client = gw.client()
    report = client.run("poll")
    assert report["status"] == "SUCCEEDED", report
    answer = client.get("/stages/poll")
    assert "${" not in answer.text and len(answer.body) < 30000
    shown = contract(client, "poll")
    words = [one for one in shown["findings"] if one["kind"] == "word"]
    assert len(words) == 20 and all(len(one["word"].encode()) <= 110 for one in words)
    assert shown["more"] == 130
    assert sorted(brief(one for one in shown["findings"] if one["kind"] != "word")) == [
        ("deprecation", "request", None, None),
        ("sunset", "request", None, None),
    ]
    assert counted(client, "word", "poll") == 150
    listed = command("list", "poll", "--url", gw.url).stdout
    assert "\x1b" not in listed and "forged" in listed and "and 130 times more, not kept" in listed
    gw.stop()
    told = gw.log(event="contract_finding")
    assert len([one for one in told if one["kind"] == "word"]) == 20
    assert len([one for one in told if one["kind"] == "sunset"]) == 11
    assert len(gw.log(event="contract_findings_full")) == 1
    assert not gw.log(event="forged") and "\x1b" not in gw.all_logs()


def test_secrets_do_not_show(gateway, upstream):
    """An upstream that says back what it was told."""

    def poll(request):
        token = request.header("Authorization").removeprefix("Bearer ")
        return reply(200, {"state": f"is {token}"}, headers={"Deprecation": "true", "Link": f"<http://x/{token}>; rel=deprecation"})

    upstream.on("GET", "/poll", poll)
    definition = poll_stage(upstream.url, auth={"type": "bearer", "token": "{{ secret.key }}"}, unknown="fail")
    gw = gateway(stages={"poll": definition}, secrets={"key": "hush-hush-4711"})
    client = gw.client()
    client.run("poll")
    found = {one["kind"]: one for one in findings(client, "poll")}
    assert (found["word"]["word"], found["deprecation"]["link"]) == ("is ***", "http://x/***")
    assert "hush-hush" not in client.get("/stages/poll").text
    gw.stop()
    assert "hush-hush" not in gw.all_logs()


def test_only_who_may_see_runs_sees_it(gateway, upstream):
    """Words come from the runs of others."""
    script_job(upstream, "odd", "done")
    callers = [
        {"name": "boss", "token_sha256": sha256("boss"), "start": ["*"]},
        {"name": "starter", "token_sha256": sha256("starter"), "start": ["*"], "see": []},
    ]
    gw = gateway(stages={"job": job_stage(upstream.url)}, callers=callers)
    gw.client(token="boss").run("job")
    assert [one["word"] for one in findings(gw.client(token="boss"))] == ["odd"]
    assert contract(gw.client(token="starter")) is None
