"""kill -9 at any moment, and a start on what is left: every acknowledged run ends as it should, and each POST was
counted at most once by the upstream."""

import http.client
import random
import sqlite3
import threading
import time

import pytest
from helpers.client import Client
from helpers.jobs import Jobs, call_stage, job_stage, script_job, stopping
from helpers.upstream import Gate, reply


def test_between_polls(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job", {"n": 4, "text": "é"}, key="k")
    upstream.wait_for(2, "GET", "/jobs/4")
    gw.restart()
    client = gw.client()
    after = client.report(report["id"])
    assert {name: after[name] for name in ("id", "stage", "created", "key", "statusUrl")} == {
        name: report[name] for name in ("id", "stage", "created", "key", "statusUrl")
    }
    assert after["status"] == "RUNNING"
    jobs.hold = False
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"result": 4})
    assert jobs.posts == {4: 1}


def test_while_the_post_is_under_way(gateway, upstream):
    """It may have been acted on: never sent again, and the run says so."""
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", gate)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    assert gate.reached.wait(10)
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt")
    assert upstream.count("POST", "/jobs") == 1


def test_while_an_idempotent_post_is_under_way(gateway, upstream):
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", gate, reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    gw = gateway(stages={"job": job_stage(upstream.url, request={"idempotent": True})})
    report = gw.client().started("job")
    assert gate.reached.wait(10)
    gw.restart()
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 2


def test_while_a_poll_is_under_way(gateway, upstream):
    gate = Gate(reply(200, {"state": "running"}))
    script_job(upstream, gate, {"state": "done", "result": 1})
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    assert gate.reached.wait(10)
    gw.restart()
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1


def test_after_the_end(gateway, upstream):
    script_job(upstream, "running", "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    ended = gw.client().run("job")
    calls = upstream.count()
    gw.restart()
    client = gw.client()
    assert client.report(ended["id"]) == ended, "the last word stays the last word"
    assert [one["id"] for one in client.get("/runs").json()["runs"]] == [ended["id"]]
    assert upstream.count() == calls


def test_while_the_cancel_call_is_under_way(gateway, upstream):
    script_job(upstream, "running")
    gate = Gate(reply(202, {}))
    upstream.on("DELETE", "/jobs/1", gate, stopping(upstream))
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    assert gw.client().cancel(report["id"]).status == 202
    assert gate.reached.wait(10)
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert ended["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 2


def test_cancel_in_advance_is_kept(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    assert gw.client().cancel_key("job", "early").status == 200
    gw.restart()
    assert gw.client().started("job", key="early")["status"] == "CANCELED"
    assert upstream.count() == 0


def test_timeouts_go_on_while_it_is_down(gateway, upstream):
    script_job(upstream, "running")
    gw = gateway(stages={"job": job_stage(upstream.url, status={"timeout": "2s"})})
    began = time.monotonic()
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.kill9()
    remaining = 2.2 - (time.monotonic() - began)
    threading.Event().wait(max(0, remaining))  # the time that has to pass is what is tested
    gw.start()
    started = time.monotonic()
    ended = gw.client().wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "timeout")
    assert time.monotonic() - started < 1.5, "the time was up already"


def test_run_keeps_the_definition_and_template_it_began_with(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(
        stages={"job": job_stage(upstream.url, request={"body": None, "template": "job.json"})},
        templates={"job.json": '{"n": {{ parameters.n }}}'},
    )
    report = gw.client().started("job", {"n": 6})
    upstream.wait_for(1, "GET", "/jobs/6")
    gw.kill9()
    gw.remove_stage("job")
    (gw.templates_dir / "job.json").unlink()
    gw.start()
    client = gw.client()
    assert client.start("job").status == 404
    jobs.hold = False
    assert client.wait_end(report["id"])["outputs"] == {"result": 6}


def test_stop_and_start(gateway, upstream):
    """SIGTERM is no different for a run."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.stop()
    jobs.hold = False
    gw.start()
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    assert jobs.posts == {1: 1}


def test_other_number_of_loops_after_a_restart(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 4})
    ids = [gw.client().started("job", {"n": n})["id"] for n in range(12)]
    upstream.wait_for(12, "POST", "/jobs")
    for n in range(12):
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    gw.kill9()
    gw.options["loops"] = 1
    gw.start()
    jobs.hold = False
    for id in ids:
        assert gw.client().wait_end(id)["status"] == "SUCCEEDED"
    assert set(jobs.posts.values()) == {1}


def test_record_that_is_damaged(gateway, upstream):
    """One run that nobody can read ends, and holds up no other."""
    script_job(upstream, "running")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    lost, kept = gw.client().started("job"), gw.client().started("job")
    upstream.wait_for(2, "GET", "/jobs/1")
    gw.kill9()
    with sqlite3.connect(gw.store_file) as store:
        store.execute("UPDATE runs SET body = ? WHERE id = ?", (b'{"version": 1, "par', lost["id"]))
    store.close()
    script_job(upstream, "done")
    client = gw.start().client()
    report = client.wait_end(lost["id"])
    assert (report["status"], report["reason"]) == ("TERMINAL", "broken_record"), report
    assert client.wait_end(kept["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 2
    assert gw.log(event="record_not_read")


def test_two_gateways_do_not_share_a_store(gateway, upstream):
    """The embedded store belongs to one process; a second one says so instead of calling everything twice."""
    gw = gateway(stages={"call": call_stage(upstream.url)})
    other = gateway(started=False)
    other.options["store"] = gw.options["store"]
    other.launch()
    other.process.wait(20)
    text = other.log_text()
    assert other.process.returncode not in (0, -11, -6), text
    assert "stagedoor.db" in text, text
    other.process = None
    assert gw.client().get("/ready").status == 200


@pytest.mark.parametrize("damage", ["not a database", "cut"])
def test_store_that_is_damaged(gateway, upstream, damage):
    """It refuses to start with a sentence that names the file; it does not begin anew and forget what it owes."""
    gw = gateway(stages={"call": call_stage(upstream.url)})
    upstream.on("POST", "/call", reply(200, {}))
    gw.client().run("call")
    gw.stop()
    content = gw.store_file.read_bytes()
    used = 4096 * int.from_bytes(content[28:32], "big")  # pages; behind them lies room for more
    gw.store_file.write_bytes(b"hello, world" * 1000 if damage == "not a database" else content[: used // 2 + 7])
    gw.launch()
    gw.process.wait(20)
    assert gw.process.returncode not in (0, -11, -6), gw.log_text()
    assert "stagedoor.db" in gw.log_text(), gw.log_text()
    gw.process = None


@pytest.mark.no_asan
def test_fifty_kills_at_random_moments(gateway, upstream):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)
    jobs = Jobs(upstream, polls=2)
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "50ms"})})
    acknowledged, lock, next_n = {}, threading.Lock(), [0]
    over = threading.Event()

    def starter():
        client = Client(port=gw.port, timeout=20)
        while not over.is_set():
            with lock:
                n, next_n[0] = next_n[0], next_n[0] + 1
            # A start whose answer is lost is sent again with its key, as orca does.
            while not over.is_set():
                try:
                    answer = client.start("job", {"n": n}, key=f"key-{n}")
                except (OSError, http.client.HTTPException):
                    over.wait(0.02)
                    continue
                if answer.status in (200, 202):
                    with lock:
                        acknowledged[n] = answer.json()["id"]
                    break
                over.wait(0.02)
            over.wait(dice.random() * 0.05)
        client.close()

    starters = [threading.Thread(target=starter) for _ in range(3)]
    for thread in starters:
        thread.start()
    try:
        for _ in range(50):
            over.wait(dice.random() * 0.15)  # the moment of the kill is what is random
            gw.restart()
    finally:
        over.set()
        for thread in starters:
            thread.join(30)
    client = gw.client()
    assert len(acknowledged) >= 50, "there was something to lose"
    ends = {}
    for n, id in acknowledged.items():
        report = client.wait_end(id, timeout=60)
        ends[report["status"]] = ends.get(report["status"], 0) + 1
        if report["status"] == "TERMINAL":
            assert report["reason"] == "in_doubt", report
        else:
            assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"result": n}), report
            assert jobs.posts[n] == 1
    assert all(count == 1 for count in jobs.posts.values()), {n: c for n, c in jobs.posts.items() if c > 1}
    assert ends["SUCCEEDED"] > len(acknowledged) / 2, ends
    ids = [one["id"] for one in client.get("/runs?limit=1000").json()["runs"]]
    assert len(set(acknowledged.values())) == len(acknowledged) and set(acknowledged.values()) <= set(ids)
