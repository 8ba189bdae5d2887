"""Stages with durable = false: nothing of their runs is on disk, all else is as ever; what a crash takes along, and what an
orderly stop, a hand-over and a reload do not. Asserted are answers, what the upstream counted, and the store's bytes."""

import json
import signal

import pytest
from helpers.client import check_problem, metric
from helpers.gateway import Background, command, stage
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.succession import become_subreaper, hand_over
from helpers.upstream import Gate, reply
from helpers.wait import wait_until


def quick(upstream_url, name="job", **more):
    return job_stage(upstream_url, name=name, durable=False, **more)


def gone(client, id):
    """What whoever polls is told, and Spinnaker shows: 404 ends its stage."""
    problem = check_problem(client.get(f"/runs/{id}"), 404)
    assert "not durable is gone after a crash" in problem["detail"]
    check_problem(client.cancel(id), 404)
    check_problem(client.get(f"/runs/{id}/explain"), 404)
    assert id not in client.get("/runs").text


# ---- as ever ----


def test_nothing_of_it_is_on_disk(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": quick(upstream.url)}, options={"loops": 2})
    client = gw.client()
    reports = [client.started("job", {"n": n, "text": "marmalade"}, key=f"key-{n}") for n in range(6)]
    upstream.wait_for(12, "GET")
    client.cancel(reports[5]["id"])
    jobs.hold = False
    ended = [client.wait_end(report["id"]) for report in reports]
    assert [one["status"] for one in ended] == ["SUCCEEDED"] * 5 + ["CANCELED"]
    assert [one["outputs"]["result"] for one in ended[:5]] == list(range(5))
    assert [client.report(one["id"]) for one in ended] == ended, "the last word stays the last word"
    listed = client.get("/runs?limit=4").json()
    rest = client.get(f"/runs?limit=4&cursor={listed['cursor']}").json()
    assert listed["runs"] + rest["runs"] == ended[::-1] and rest["cursor"] is None
    assert len(client.get("/runs?status=CANCELED&stage=job").json()["runs"]) == 1
    calls = client.get(f"/runs/{ended[0]['id']}/explain").json()["calls"]
    assert calls[-1]["rule"] == '$.state is "done"'
    again = client.start("job", {"n": 3, "text": "marmalade"}, key="key-3")
    assert (again.status, again.json()) == (200, ended[3])
    assert client.start("job", {"n": 4}, key="key-3").status == 409
    assert jobs.posts == {n: 1 for n in range(6)}
    assert metric(client.metrics(), "stagedoor_runs_ended_total", stage="job", status="SUCCEEDED") == 5
    for trace in (b"marmalade", b"key-3", *(one["id"].encode() for one in ended)):
        assert trace not in gw.store_bytes()


def test_a_run_canceled_before_it_came(gateway, upstream):
    script_job(upstream)
    gw = gateway(stages={"job": quick(upstream.url)})
    client = gw.client()
    canceled = client.cancel_key("job", "later").json()
    assert (canceled["status"], canceled["reason"]) == ("CANCELED", "canceled_before_start")
    assert client.start("job", key="later").json() == canceled
    assert upstream.count() == 0
    assert b"later" not in gw.store_bytes()


def test_callbacks_early_and_late(gateway, upstream):
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/ask", gate)
    text = stage(
        "wait",
        durable=False,
        steps=[
            {"name": "ask", "url": f"{upstream.url}/ask", "method": "POST", "body": "[{{ callback.url }}]"},
            {"name": "told", "callback": {"timeout": "60s", "value": "$.state", "success": ["done"]}},
        ],
        outputs={"v": "$.v"},
    )
    gw = gateway(stages={"wait": text})
    client = gw.client()
    report = client.started("wait")
    assert gate.reached.wait(10)
    path = "/" + upstream.got("POST", "/ask")[0].json()[0].split("/", 3)[3]
    assert client.request("POST", path, {"state": "done", "v": 5}).status == 200, "kept for its step"
    gate.open()
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"v": 5})
    assert client.request("POST", path, {"state": "done", "v": 5}).status == 200, "sent again"
    assert client.request("POST", path, {"state": "done", "v": 6}).status == 410
    gw.restart()
    check_problem(gw.client().request("POST", path, {"state": "done", "v": 5}), 410)


def test_who_says_so(gateway, upstream):
    gw = gateway(stages={"quick": quick(upstream.url, "quick"), "slow": job_stage(upstream.url, "slow")})
    client = gw.client()
    assert [client.get(f"/stages/{name}").json()["durable"] for name in ("quick", "slow")] == [False, True]
    assert {one["name"]: one["durable"] for one in client.get("/stages").json()["stages"]} == {"quick": False, "slow": True}
    listed = command("list", "--url", gw.url)
    assert listed.stdout.count("not durable: its runs are gone after a crash") == 1
    checked = command("check", "--stages", gw.stages_dir)
    assert f"{gw.stages_dir}/quick.conf: not durable: its runs are gone after a crash\n" in checked.stdout
    assert "slow.conf" not in checked.stdout
    files = json.loads(command("check", "--json", "--stages", gw.stages_dir).stdout)["definitions"]
    assert [one["durable"] for one in files] == [False, True]


# ---- what is given up ----


def test_kill9_forgets(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": quick(upstream.url), "safe": job_stage(upstream.url, "safe")})
    client = gw.client()
    flies, safe = client.started("job", {"n": 1}, key="k"), client.started("safe", {"n": 2})
    upstream.wait_for(2, "GET", "/jobs/1")
    upstream.wait_for(2, "GET", "/jobs/2")
    gw.restart()
    client = gw.client()
    gone(client, flies["id"])
    polls = jobs.gets[1]
    jobs.hold = False
    assert client.wait_end(safe["id"])["status"] == "SUCCEEDED"
    assert jobs.gets[1] == polls, "nobody watches it any more"
    again = client.run("job", {"n": 1}, key="k")
    assert again["id"] != flies["id"] and again["status"] == "SUCCEEDED"
    assert jobs.posts == {1: 2, 2: 1}


def test_the_oldest_make_room(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {"text": "x" * 4000}))
    definition = call_stage(upstream.url).replace("request", "durable = false;\noutputs = { text = \"$.text\"; };\nrequest", 1)
    gw = gateway(stages={"call": definition}, options={"kept_in_memory": "64KiB"})
    client = gw.client()
    ids = [client.run("call", key=f"k{n}")["id"] for n in range(30)]
    gone(client, ids[0])
    assert client.report(ids[-1])["outputs"] == {"text": "x" * 4000}
    kept = [one["id"] for one in client.get("/runs?limit=100").json()["runs"]]
    assert 5 <= len(kept) <= 15 and kept == ids[: -len(kept) - 1 : -1]
    before = upstream.count()
    assert client.run("call", key="k29")["id"] == ids[29], "its key is known"
    assert client.run("call", key="k0")["id"] != ids[0], "its key is free again"
    assert upstream.count() == before + 1


# ---- what is not ----


@pytest.mark.parametrize("hard", [False, True], ids=["once", "twice"])
def test_sigterm_keeps_what_flies_and_what_is_over(gateway, upstream, hard):
    """Also where a second SIGTERM does not wait for the call that is under way: that is in doubt then, as ever."""
    jobs = Jobs(upstream, hold=True)
    gate = Gate(reply(200, {"ok": True}))
    upstream.on("POST", "/call", gate)
    call = call_stage(upstream.url).replace("request", "durable = false;\nrequest", 1)
    secret = quick(upstream.url, "job", parameters=[{"name": "n", "type": "integer", "default": 1}, {"name": "pw", "type": "secret"}],
                   request={"body": '{"n": {{ parameters.n }}}'})
    gw = gateway(stages={"job": secret, "call": call}, options={"loops": 2})
    client = gw.client()
    jobs.hold = False
    over = client.run("job", {"n": 2, "pw": "hush-over"})
    jobs.hold = True
    flies = client.started("job", {"n": 1, "pw": "hush-hush"}, key="k")
    upstream.wait_for(2, "GET", "/jobs/1")
    sent = client.started("call")
    assert gate.reached.wait(10)
    assert not any(one["id"].encode() in gw.store_bytes() for one in (over, flies, sent))
    process, stop = gw.process, Background(gw.stop)
    wait_until(lambda: all(one["id"].encode() in gw.store_bytes() for one in (flies, sent)), "the store has them")
    if hard:
        process.send_signal(signal.SIGTERM)
    else:
        gate.open()
    stop.results()
    gate.open()
    assert not gw.log(event="runs_lost")
    assert b"hush-over" not in gw.store_bytes()
    jobs.hold = False
    gw.start()
    client = gw.client()
    assert client.report(over["id"]) == over
    assert client.wait_end(flies["id"])["status"] == "SUCCEEDED"
    assert client.start("job", {"n": 1, "pw": "hush-hush"}, key="k").json()["id"] == flies["id"]
    end = client.wait_end(sent["id"])
    assert (end["status"], end["reason"]) == (("TERMINAL", "in_doubt") if hard else ("SUCCEEDED", None))
    assert jobs.posts == {1: 1, 2: 1} and upstream.count("POST", "/call") == 1


def test_a_hand_over_is_not_seen(gateway, upstream):
    become_subreaper()
    jobs = Jobs(upstream, polls=12)
    gw = gateway(started=False, stages={"job": quick(upstream.url)}, options={"loops": 2})
    gw.options["pid_file"] = gw.directory / "pid"
    client = gw.start().client()
    over = client.run("job", {"n": 100})
    reports = [client.started("job", {"n": n}, key=f"k{n}") for n in range(20)]
    upstream.wait_for(60, "GET")
    hand_over(gw)
    client = gw.client()
    assert client.report(over["id"]) == over
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert set(jobs.posts.values()) == {1} and len(jobs.posts) == 21


def test_durable_changes_while_runs_are_in_flight(gateway, upstream):
    """Runs stay where they began; a key finds its run in either place."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": quick(upstream.url)})
    client = gw.client()

    def redefine(durable):
        before = len(gw.log(event="definitions_read"))
        gw.put_stage("job", job_stage(upstream.url, durable=durable))
        gw.reload()
        wait_until(lambda: len(gw.log(event="definitions_read")) > before, "the definitions")
        wait_until(lambda: client.get("/stages/job").json()["durable"] == durable, "the new definition")

    forgetful = client.started("job", {"n": 1}, key="k1")
    redefine(True)
    assert client.started("job", {"n": 1}, key="k1")["id"] == forgetful["id"]
    safe = client.started("job", {"n": 2}, key="k2")
    store = gw.store_bytes()
    assert safe["id"].encode() in store and forgetful["id"].encode() not in store
    jobs.hold = False
    ends = [client.wait_end(one["id"]) for one in (forgetful, safe)]
    assert client.start("job", {"n": 1}, key="k1").json() == ends[0], "it is over, and in memory"
    redefine(False)
    assert client.start("job", {"n": 2}, key="k2").json() == ends[1], "it is over, and on disk"
    listed = [one["id"] for one in client.get("/runs").json()["runs"]]
    assert listed == [safe["id"], forgetful["id"]]
    gw.restart()
    client = gw.client()
    gone(client, forgetful["id"])
    assert client.start("job", {"n": 2}, key="k2").json() == ends[1], "also where the disk had it before"
    assert jobs.posts == {1: 1, 2: 1}


def test_a_stop_moves_many(gateway, upstream):
    """More than are moved at once, of both kinds."""
    upstream.keep_requests = False
    upstream.on("POST", "/call", reply(200, {}))
    jobs = Jobs(upstream, hold=True)
    soon = call_stage(upstream.url, "soon").replace("request", "durable = false;\nrequest", 1)
    gw = gateway(stages={"job": quick(upstream.url, status={"every": "10s"}), "soon": soon}, options={"loops": 2})
    client = gw.client()
    flies = [client.started("job", {"n": n})["id"] for n in range(700)]
    over = [client.started("soon")["id"] for n in range(400)]
    wait_until(lambda: metric(client.metrics(), "stagedoor_runs_kept_in_memory") == 400, "the ends of the others", 30)
    gw.stop()
    assert not gw.log(event="runs_lost")
    client = gw.start().client()
    assert {client.report(id)["status"] for id in over} == {"SUCCEEDED"}
    assert {client.report(id)["status"] for id in flies} == {"RUNNING"}
    assert metric(client.metrics(), "stagedoor_runs_in_flight") == 700
    assert set(jobs.posts.values()) == {1} and len(jobs.posts) == 700
