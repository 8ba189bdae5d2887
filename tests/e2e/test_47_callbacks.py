"""Callbacks: a step waits until its upstream calls POST /callbacks/{token}.

What is asserted is what the one who calls back sees (status codes), what callers see (reports), what is left after
kill -9, and that the token shows nowhere but in the request that tells it."""

import base64
import hashlib
import hmac
import json
import sqlite3
import time
import urllib.parse

import pytest
from helpers.client import Client, check_problem, metric
from helpers.gateway import Background, command, stage
from helpers.jobs import call_stage, script_job
from helpers.upstream import Gate, Reset, reply
from helpers.wait import wait_until

RULES = {"value": "$.state", "success": ["done"], "failure": ["failed"], "running": ["running"], "progress": "$.percent"}
SW_SECRET = "whsec_" + base64.b64encode(b"a secret of some twenty-four").decode()


def waiting_stage(upstream_url, name="wait", callback=None, **more):
    """A call that tells the URL, and then waits."""
    return stage(
        name,
        request={
            "url": f"{upstream_url}/ask",
            "body": '{"tell": {{ callback.url }}}',
            "callback": {"timeout": "60s", **RULES, **(callback or {})},
        },
        cancel={"url": f"{upstream_url}/stop/{{{{ request.body.id }}}}"},
        outputs={"v": "$.v"},
        **more,
    )


class Caller:
    """The upstream's side: it remembers the URL that it was told, and calls back."""

    def __init__(self, gw, upstream, path="/ask"):
        self.gw, self.upstream, self.path = gw, upstream, path

    def url(self, index=0):
        return self.upstream.wait_for(index + 1, path=self.path)[index].json()["tell"]

    def token(self, index=0):
        return urllib.parse.urlsplit(self.url(index)).path

    def call(self, body, headers=None, index=0, client=None):
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return (client or self.gw.client()).request("POST", self.token(index), body, headers)


@pytest.fixture
def gw(gateway, upstream):
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    upstream.on("POST", "/stop/7", reply(204))
    return gateway(stages={"wait": waiting_stage(upstream.url)})


@pytest.fixture
def caller(gw, upstream):
    return Caller(gw, upstream)


def waits(client, id):
    """Durably so: before that a kill would leave its call in doubt."""
    wait_until(lambda: client.get(f"/runs/{id}/explain").json()["state"] == "waiting", f"run {id} to wait")
    report = client.wait_report(id, lambda report: "waiting to be called back" in report["progress"], "its waiting")
    # That is told as soon as it is so. What the store was told is durable once something that came later is.
    assert client.cancel_key(report["stage"], f"nobody has {id}").status == 200
    return report


def test_a_step_waits_and_goes_on(gw, upstream, caller):
    client = gw.client()
    report = client.started("wait")
    assert caller.url().startswith(f"{gw.url}/callbacks/sdcb-{report['id']}-0-"), "the listen address will do"
    waits(client, report["id"])
    answer = caller.call({"state": "running", "percent": 40})
    assert (answer.status, answer.json()) == (200, {"status": "accepted"})
    seen = client.report(report["id"])
    assert (seen["status"], seen["percent"], seen["progress"]) == ("RUNNING", 40, "request: running (40 %)")
    assert caller.call({"state": "done", "v": 11}).status == 200
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 11})
    assert upstream.count() == 1, "nobody was polled"


@pytest.mark.parametrize("state, status, reason", [("failed", "TERMINAL", "upstream_failed"), ("odd", "RUNNING", None)])
def test_rules_judge_the_body(gw, caller, state, status, reason):
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    assert caller.call({"state": state}).status == 200
    if reason:
        client.wait_end(report["id"])
    after = client.report(report["id"])
    assert (after["status"], after["reason"], after["upstream"]["status"]) == (status, reason, state)


def test_without_rules_it_is_enough_to_call(gateway, upstream):
    upstream.on("POST", "/ask", reply(202, {}))
    text = stage(
        "wait",
        request={"url": f"{upstream.url}/ask", "body": '{"tell": {{ callback.url }}}', "callback": {"timeout": "60s"}},
        outputs={"body": "{{ body }}", "kind": "{{ headers['x-kind'] }}"},
    )
    gw = gateway(stages={"wait": text})
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("wait")
    assert caller.call("a=b", {"Content-Type": "text/strange", "X-Kind": "k"}).status == 200
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"body": "a=b", "kind": "k"})


# ---- time, and cancel ----


def test_time_is_up(gateway, upstream):
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    upstream.on("POST", "/stop/7", reply(204))
    gw = gateway(stages={"wait": waiting_stage(upstream.url, callback={"timeout": "1s"})})
    caller = Caller(gw, upstream)
    ended = gw.client().run("wait")
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "timeout")
    assert "not called back within its time" in ended["error"]
    assert upstream.count("POST", "/stop/7") == 1, "the cancel call knows the reply that the step had"
    check_problem(caller.call({"state": "done"}), 410)


def test_cancel_while_it_waits(gw, upstream, caller):
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    client.cancel(report["id"])
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert upstream.count("POST", "/stop/7") == 1
    check_problem(caller.call({"state": "done"}), 410)


# ---- early, twice, late ----


def test_early_while_the_call_is_under_way(gateway, upstream):
    gate = upstream.on("POST", "/ask", Gate(reply(202, {"id": 7})))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)})
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("wait")
    assert gate.reached.wait(10)
    assert caller.call({"state": "running"}).status == 200
    assert caller.call({"state": "done", "v": 5}).status == 200
    assert client.report(report["id"])["status"] == "RUNNING", "it is judged when the step waits"
    gate.open()
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 5})
    calls = client.get(f"/runs/{report['id']}/explain").json()["calls"]
    assert [one["call"] for one in calls] == ["step", "callback", "callback"], "in the order in which they were judged"


def test_early_in_an_earlier_step(gateway, upstream):
    gate = upstream.on("POST", "/second", Gate(reply(200, {})))
    upstream.on("POST", "/ask", reply(202, {}))
    text = stage(
        "three",
        steps=[
            {"name": "ask", "method": "POST", "url": f"{upstream.url}/ask", "body": '{"tell": {{ callback.url }}}'},
            {"name": "second", "method": "POST", "url": f"{upstream.url}/second"},
            {"name": "told", "callback": RULES, "timeout": "60s"},
            {"name": "last", "url": f"{upstream.url}/last/{{{{ told.body.v }}}}"},
        ],
    )
    upstream.on("GET", "/last/9", reply(200, {}))
    gw = gateway(stages={"three": text})
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("three")
    assert gate.reached.wait(10)
    assert caller.call({"state": "done", "v": 9}).status == 200
    gate.open()
    ended = client.wait_end(report["id"])
    assert (ended["status"], [step["status"] for step in ended["steps"]]) == ("SUCCEEDED", ["SUCCEEDED"] * 4)
    assert upstream.count("GET", "/last/9") == 1, "the callback is the step's reply"
    assert [step["calls"] for step in ended["steps"]] == [1, 1, 0, 1]


def test_repeated_ones_have_no_second_effect(gw, caller):
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    first = caller.call({"state": "running", "percent": 10}, {"webhook-id": "m1"})
    assert caller.call({"state": "running", "percent": 20}, {"webhook-id": "m2"}).status == 200
    again = caller.call({"state": "running", "percent": 10}, {"webhook-id": "m1"})
    assert (again.status, again.body) == (first.status, first.body)
    assert client.report(report["id"])["percent"] == 20
    last = {"state": "done", "v": 1}
    assert caller.call(last).status == 200
    ended = client.wait_end(report["id"])
    for _ in range(2):
        assert caller.call(last).status == 200, "as the first time, also from the store"
        check_problem(caller.call({"state": "done", "v": 2}), 410)
        gw.restart()
    assert gw.client().report(report["id"]) == ended


def test_only_so_many_are_kept(gateway, upstream):
    gate = upstream.on("POST", "/ask", Gate(reply(202, {"id": 7})))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)})
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("wait")
    assert gate.reached.wait(10)
    codes = [caller.call({"state": "running", "n": n}).status for n in range(20)]
    assert codes == [200] * 16 + [503] * 4, "its sender tries again"
    gate.open()
    waits_or_runs = client.wait_report(report["id"], lambda r: r["upstream"]["status"] == "running", "the first ones")
    assert waits_or_runs["status"] == "RUNNING"
    assert caller.call({"state": "done"}).status == 200
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_a_probe_looks_for_the_url(gateway, upstream):
    """What the lost call told is what its work can be found by."""
    upstream.on("POST", "/ask", Reset())
    upstream.on("GET", "/asked", reply(200, {"id": 7}))
    text = stage("wait", request={
        "url": f"{upstream.url}/ask", "body": '{"tell": {{ callback.url }}}', "callback": RULES,
        "probe": {"url": f"{upstream.url}/asked?tell={{{{ callback.url }}}}", "found": "$.id"},
    })  # fmt: skip
    gw = gateway(stages={"wait": text})
    report = gw.client().started("wait")
    (look,) = upstream.wait_for(1, "GET", "/asked")
    caller = Caller(gw, upstream)
    assert urllib.parse.parse_qs(look.query) == {"tell": [caller.url()]}
    assert caller.call({"state": "done"}).status == 200
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED" and upstream.count("POST", "/ask") == 1


def test_one_settles_the_doubt(gateway, upstream):
    """The reply is lost, but whoever knows the URL has got the call."""
    gate = upstream.on("POST", "/ask", Gate(Reset()))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)})
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("wait")
    assert gate.reached.wait(10)
    assert caller.call({"state": "running"}).status == 200
    gate.open()
    wait_until(lambda: gw.log(event="call_ended", phase="maybe_acted_on"), "the loss of the reply")
    assert caller.call({"state": "done", "v": 3}).status == 200
    assert client.wait_end(report["id"])["outputs"] == {"v": 3}
    assert upstream.count("POST", "/ask") == 1


# ---- whose it is ----


def standard_headers(body, id="msg_1", at=None, secret=SW_SECRET):
    at = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    sum = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(sum).decode()}


def github_headers(body, secret="It's a Secret to Everybody"):
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


BODY = b'{"state": "done",  "v": 4}'
SIGNED = [
    ("standard-webhooks", SW_SECRET, standard_headers, [
        lambda: standard_headers(BODY, at=time.time() - 301),
        lambda: standard_headers(BODY, at=time.time() + 310),
        lambda: standard_headers(BODY, secret="whsec_" + base64.b64encode(b"another").decode()),
        lambda: standard_headers(BODY + b" "),
        lambda: {**standard_headers(BODY), "webhook-id": "msg_2"},
        lambda: {},
    ]),
    ("github", "It's a Secret to Everybody", github_headers, [
        lambda: github_headers(BODY, "another"),
        lambda: github_headers(BODY + b" "),
        lambda: {"X-Hub-Signature-256": "sha256="},
        lambda: {},
    ]),
    ("bearer", "t0ps3cret", lambda body: {"Authorization": "Bearer t0ps3cret"}, [
        lambda: {"Authorization": "Bearer t0ps3cre"},
        lambda: {"Authorization": "Basic t0ps3cret"},
        lambda: {},
    ]),
]  # fmt: skip


@pytest.mark.parametrize("kind, secret, sign, wrong", SIGNED, ids=[row[0] for row in SIGNED])
def test_verified_by(gateway, upstream, kind, secret, sign, wrong):
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    verify = {"type": kind, "secret": "{{ secret.shared }}"}
    gw = gateway(
        stages={"wait": waiting_stage(upstream.url, callback={"verify": verify})}, secrets={"shared": secret + "\n"}
    )
    client, caller = gw.client(), Caller(gw, upstream)
    report = client.started("wait")
    for headers in wrong:
        check_problem(caller.call(BODY, headers()), 401)
    refused = {"event": "callback", "outcome": "unverified", "run": report["id"]}
    wait_until(lambda: len(gw.log(**refused)) == len(wrong), "a line of the log for each")
    assert client.report(report["id"])["status"] == "RUNNING"
    assert caller.call(BODY, sign(BODY)).status == 200
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 4})
    assert secret not in gw.all_logs() and secret.encode() not in gw.store_bytes()


def test_secret_that_is_no_use(gateway, upstream):
    """The one who calls back is not told why; the log is."""
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    verify = {"type": "standard-webhooks", "secret": "{{ secret.shared }}"}
    gw = gateway(
        stages={"wait": waiting_stage(upstream.url, callback={"verify": verify})}, secrets={"shared": "no base64!"}
    )
    caller = Caller(gw, upstream)
    gw.client().started("wait")
    problem = check_problem(caller.call(BODY, standard_headers(BODY)), 500)
    assert "base64" not in problem["detail"]
    assert "base64" in gw.wait_log(event="callback", outcome="unverified")[0]["what"]


def test_tokens_that_are_none(gw, gateway, upstream, caller):
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    token = caller.token()
    other = token.replace(report["id"], report["id"][:-1] + ("A" if report["id"][-1] != "A" else "B"))
    last = "0" if token[-1] != "0" else "1"
    for forged in (token[:-1] + last, token + "0", token[:-1], token.replace("-0-", "-1-"), other, "/callbacks/x",
                   "/callbacks/" + report["id"], "/callbacks/" + token.rsplit("/", 1)[1].upper()):  # fmt: skip
        check_problem(client.request("POST", forged, '{"state": "done"}'), 404)
    stranger = gateway(stages={"wait": waiting_stage(upstream.url)})
    check_problem(stranger.client().request("POST", token, '{"state": "done"}'), 404)
    assert client.report(report["id"])["status"] == "RUNNING"
    answer = client.get(token)
    assert (answer.status, answer.header("Allow")) == (405, "POST")
    assert metric(client.metrics(), "stagedoor_callbacks_total", stage="", outcome="unknown") == 8


def test_the_url_is_the_credential(gateway, upstream):
    """No caller's token, and any name: whoever calls back came by public_url, or by what a proxy makes of it."""
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    digest = hashlib.sha256(b"orca-token").hexdigest()
    for callers in (None, [{"name": "orca", "token_sha256": digest, "start": ["*"]}]):
        gw = gateway(
            stages={"wait": waiting_stage(upstream.url)},
            callers=callers,
            options={"public_url": "https://gw.example.com/base/"},
        )
        client = gw.client(token="orca-token" if callers else None)
        told = upstream.count("POST", "/ask")
        report = client.started("wait")
        url = Caller(gw, upstream).url(told)
        assert url.startswith("https://gw.example.com/base/callbacks/sdcb-")
        path = urllib.parse.urlsplit(url).path.removeprefix("/base")
        headers = {"Host": "else.example.com", "Origin": "https://elsewhere.example.com"}
        assert gw.client().request("POST", path, '{"state": "done"}', headers).status == 200
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_limits_of_bodies_hold(gateway, upstream):
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)}, options={"max_body_size": "4KiB"})
    caller = Caller(gw, upstream)
    report = gw.client().started("wait")
    check_problem(caller.call(b" " * 5000), 413)
    assert caller.call(b'{"state": "done", "v": "' + b"x" * 4000 + b'"}').status == 200
    assert gw.client().wait_end(report["id"])["outputs"] == {"v": "x" * 4000}


def test_the_token_shows_nowhere(gw, upstream, caller):
    """Not in a report, an explanation or a log, also where the upstream echoes it."""
    client = gw.client()
    report = client.started("wait")
    secret = caller.url().rsplit("/", 1)[1]
    waits(client, report["id"])
    assert caller.call({"state": f"see {caller.url()}"}).status == 200
    seen = client.report(report["id"])
    assert seen["progress"] == f"request: see {gw.url}/callbacks/sdcb-***"
    assert caller.call({"state": "done", "v": [caller.url()]}).status == 200
    ended = client.wait_end(report["id"])
    assert ended["outputs"] == {"v": [f"{gw.url}/callbacks/sdcb-***"]}
    explained = client.get(f"/runs/{report['id']}/explain").text
    client.request("POST", f"/callbacks/{secret}x", "{}")
    assert "callback" in explained
    wait_until(lambda: "sdcb-***" in gw.all_logs(), "the log")
    for text in (explained, gw.all_logs(), json.dumps(ended), client.get("/runs").text):
        assert secret not in text
    assert secret.encode() not in gw.store_bytes()


# ---- beside polls ----


def polling_stage(upstream_url, every="100ms", **callback):
    return stage(
        "job",
        request={"url": f"{upstream_url}/jobs", "body": '{"tell": {{ callback.url }}}'},
        status={
            "url": f"{upstream_url}/jobs/1", "every": every, "timeout": "60s", **RULES, "callback": callback or RULES,
        },
        outputs={"v": "$.v"},
    )  # fmt: skip


def test_whoever_comes_first_wins(gateway, upstream):
    script_job(upstream, {"state": "running"})
    gw = gateway(stages={"job": polling_stage(upstream.url)})
    client, caller = gw.client(), Caller(gw, upstream, "/jobs")
    report = client.started("job")
    upstream.wait_for(2, "GET", "/jobs/1")
    assert caller.call({"state": "done", "v": "called"}).status == 200
    assert client.wait_end(report["id"])["outputs"] == {"v": "called"}
    polls = upstream.count("GET", "/jobs/1")

    script_job(upstream, {"state": "done", "v": "polled"})
    report = client.started("job")
    assert client.wait_end(report["id"])["outputs"] == {"v": "polled"}
    assert upstream.count("GET", "/jobs/1") == polls + 1, "the first run's polls have ended"
    check_problem(caller.call({"state": "failed"}, index=1), 410)


def test_a_hanging_poll_is_given_up(gateway, upstream):
    gate = Gate(reply(200, {"state": "failed"}))
    script_job(upstream, gate)
    gw = gateway(stages={"job": polling_stage(upstream.url)})
    client, caller = gw.client(), Caller(gw, upstream, "/jobs")
    report = client.started("job")
    assert gate.reached.wait(10)
    assert caller.call({"state": "done", "v": 1}).status == 200
    ended = client.wait_end(report["id"], timeout=5)
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 1})


def test_hint(gateway, upstream):
    script_job(upstream, {"state": "running"}, {"state": "running"}, {"state": "done", "v": 2})
    gw = gateway(stages={"job": polling_stage(upstream.url, every="10m", hint=True)})
    client, caller = gw.client(), Caller(gw, upstream, "/jobs")
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    client.wait_report(report["id"], lambda r: r["upstream"]["code"] == 200, "the first poll")
    for polls in (2, 3):
        assert caller.call({"state": "failed"}).status == 200, "what it says does not count"
        upstream.wait_for(polls, "GET", "/jobs/1")
    assert client.wait_end(report["id"])["outputs"] == {"v": 2}
    assert upstream.count("GET", "/jobs/1") == 3


def test_many_hints_are_few_polls(gateway, upstream):
    script_job(upstream, {"state": "running"})
    gw = gateway(stages={"job": polling_stage(upstream.url, every="10m", hint=True)})
    client, caller = gw.client(), Caller(gw, upstream, "/jobs")
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    began = time.monotonic()
    connection = gw.client()
    for _ in range(200):
        assert caller.call(b"", client=connection).status == 200
    took = time.monotonic() - began
    assert upstream.count("GET", "/jobs/1") <= 2 + took / 0.2
    client.cancel(report["id"])


# ---- kill -9 ----


def test_the_url_outlives_a_restart(gw, caller, upstream):
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    gw.restart()
    assert gw.client().report(report["id"])["status"] == "RUNNING"
    assert caller.call({"state": "done", "v": 6}).status == 200
    assert gw.client().wait_end(report["id"])["outputs"] == {"v": 6}
    assert upstream.count() == 1


def test_an_early_one_outlives_a_restart(gateway, upstream):
    """The call was under way: whether it arrived is told by the callback that came."""
    gate = upstream.on("POST", "/ask", Gate(reply(202, {"id": 7})))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)})
    caller = Caller(gw, upstream)
    report = gw.client().started("wait")
    assert gate.reached.wait(10)
    assert caller.call({"state": "done", "v": 8}).status == 200
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 8})
    assert upstream.count("POST", "/ask") == 1


def test_killed_between_the_answer_and_the_end(gw, caller, upstream):
    """What was answered 200 is on disk, whatever the process was about to do."""
    for n in range(12):
        client = gw.client()
        report = client.started("wait")
        waits(client, report["id"])
        assert caller.call({"state": "done", "v": n}, index=n).status == 200
        gw.restart()
        ended = gw.client().wait_end(report["id"])
        assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": n})
        assert caller.call({"state": "done", "v": n}, index=n).status == 200, "sent again, it is answered the same"
    assert upstream.count("POST", "/ask") == 12


def test_while_the_store_cannot_write(gw, caller):
    """What is taken is answered when it is on disk, and what cannot be put there is not taken."""
    client = gw.client()
    report = client.started("wait")
    waits(client, report["id"])
    other = sqlite3.connect(gw.store_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with_time = gw.client(timeout=60)
    first = Background(lambda: caller.call({"state": "running", "percent": 5}, client=with_time))
    wait_until(lambda: gw.client().get("/ready").status == 503, "the store to be seen to fail", 20)
    assert first.running, "not answered before it is durable"
    check_problem(caller.call({"state": "done", "v": 1}), 503)
    other.execute("ROLLBACK")
    assert first.results()[0].status == 200
    wait_until(lambda: gw.client().get("/ready").status == 200, "the store to be well", 20)
    assert client.report(report["id"])["percent"] == 5
    assert caller.call({"state": "done", "v": 1}).status == 200
    assert client.wait_end(report["id"])["outputs"] == {"v": 1}


# ---- all of it ----


def test_many_at_a_time_on_many_loops(gateway, upstream):
    """A callback comes to any loop, and finds the one that owns its run."""
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    gw = gateway(stages={"wait": waiting_stage(upstream.url)}, options={"loops": 3})
    client, caller = gw.client(), Caller(gw, upstream)
    reports = [client.started("wait") for _ in range(60)]
    upstream.wait_for(60, "POST", "/ask")
    connections = [Client(port=gw.port) for _ in range(6)]
    expected = {}
    for n in range(60):
        id = caller.url(n).split("sdcb-")[1][:26]
        expected[id] = n
        for body in ({"state": "running"}, {"state": "done", "v": n}, {"state": "done", "v": n}):
            assert caller.call(body, index=n, client=connections[n % 6]).status == 200
    for report in reports:
        assert client.wait_end(report["id"])["outputs"] == {"v": expected[report["id"]]}
    values = client.metrics()
    assert metric(values, "stagedoor_callbacks_total", stage="wait", outcome="taken") == 120
    assert metric(values, "stagedoor_callbacks_total", stage="wait", outcome="repeated") == 60
    for connection in connections:
        connection.close()


def test_where_nobody_could_call(gateway, upstream, tmp_path):
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    gw = gateway(
        started=False,
        stages={"wait": waiting_stage(upstream.url)},
        options={"open": True, "log_level": "debug"},
    )
    gw.options["listen"] = [f"*:{gw.port}"]
    gw.start()
    entry = next(one for one in gw.client().get("/stages").json()["stages"] if one["name"] == "wait")
    assert "set public_url" in json.dumps(entry)
    check_problem(gw.client().start("wait"), 404)
    checked = command("check", "--config", gw.directory / "stagedoor.conf")
    assert checked.returncode == 1 and "set public_url" in checked.stdout
    gw.options["public_url"] = gw.url
    gw.write_config()
    gw.reload()
    wait_until(lambda: gw.client().start("wait").status == 202, "the reload")
    report = gw.client().started("wait")
    assert Caller(gw, upstream).url().startswith(f"{gw.url}/callbacks/")
    assert command("check", "--config", gw.directory / "stagedoor.conf").returncode == 0
    gw.client().cancel(report["id"])


def test_a_callback_decides_a_poll_that_is_held(gateway, upstream):
    """Its place among those that wait is given up, and the call of the next step gets one of its own."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/start", reply(202, {}))
    upstream.on("GET", "/poll", reply(200, {"state": "running"}))
    upstream.on("GET", "/after", reply(200, {}))
    upstream.on("POST", "/block", gate)
    rules = {"value": "$.state", "success": ["done"], "running": ["running"]}
    steps = [
        {
            "name": "begin",
            "method": "POST",
            "url": upstream.url.replace("127.0.0.1", "localhost") + "/start",
            "body": '{"tell": {{ callback.url }}}',
        },
        {"name": "watch", "url": f"{upstream.url}/poll", "every": "50ms", "callback": rules, **rules},
        {"name": "after", "url": f"{upstream.url}/after"},
    ]
    stages = {"flow": stage("flow", steps=steps), "block": call_stage(upstream.url, "block", url=f"{upstream.url}/block")}
    host = upstream.url.split("//")[1]
    gw = gateway(stages=stages, options={"loops": 2, "upstreams": [{"host": host, "concurrency": 1}]})
    client, caller = gw.client(), Caller(gw, upstream, "/start")
    reports = [client.started("flow") for _ in range(4)]
    upstream.wait_for(4, "GET", "/poll")
    block = client.started("block")
    assert gate.reached.wait(10)
    for report in reports:
        client.wait_report(report["id"], lambda last: last["progress"].startswith("watch: held: "), "its poll to be held")
    for index in range(4):
        assert caller.call({"state": "done"}, index=index).status == 200
    for report in reports:
        client.wait_report(report["id"], lambda last: last["progress"].startswith("after: held: "), "its next call")
    gate.open()
    for report in [*reports, block]:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("GET", "/after") == 4
    assert metric(client.metrics(), "stagedoor_limit_waiting", limit=f"host {host}") == 0
