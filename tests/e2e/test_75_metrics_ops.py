"""What operators see: probes, counters, the log, and an end that loses nothing."""

import json
import signal
import sqlite3
import time

import pytest
from helpers.client import RawConnection, metric
from helpers.gateway import Background
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.upstream import Gate, reply
from helpers.wait import wait_until


def test_probes(gateway):
    client = gateway().client()
    for path in ("/health", "/ready", "/"):
        answer = client.get(path)
        assert answer.status == 200 and answer.header("Content-Type").startswith("application/json")
        answer.json()


def test_metrics_count_what_happened(gateway, upstream):
    Jobs(upstream, polls=1)
    upstream.on("POST", "/call", reply(500, "x"))
    gw = gateway(stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)})
    client = gw.client()
    for n in range(3):
        client.run("job", {"n": n})
    client.run("call")
    client.get("/nothing")
    answer = client.get("/metrics")
    assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
    values = client.metrics()
    assert metric(values, "stagedoor_runs_started_total", stage="job") == 3
    assert metric(values, "stagedoor_runs_ended_total", stage="job", status="SUCCEEDED") == 3
    assert metric(values, "stagedoor_runs_ended_total", stage="call", status="TERMINAL") == 1
    assert metric(values, "stagedoor_upstream_calls_total", stage="job", phase="answered") == 9
    assert metric(values, "stagedoor_runs_in_flight") == 0
    assert metric(values, "stagedoor_upstream_calls_in_flight") == 0
    assert metric(values, "stagedoor_store_writes_total") >= 8
    assert metric(values, "stagedoor_store_faults_total") == 0
    assert metric(values, "stagedoor_upstream_call_seconds_count") == 10
    buckets = [(dict(labels)["le"], value) for (name, labels), value in values.items()
               if name == "stagedoor_upstream_call_seconds_bucket"]  # fmt: skip
    counts = [value for _, value in sorted(buckets, key=lambda one: float(one[0]))]
    assert counts == sorted(counts) and counts[-1] == 10, "buckets add up"


def test_metrics_are_what_prometheus_reads(gateway, prometheus_upstream, prometheus):
    """The real one scrapes them, through the target that it has."""
    gw = gateway()
    prometheus_upstream.on(
        "GET", "/metrics", lambda request: reply(200, gw.client().get("/metrics").body, content_type="text/plain; version=0.0.4")
    )
    wait_until(lambda: prometheus.value('stagedoor_reloads_total{job="test"}'), "a scrape", 15)
    assert prometheus.value('up{job="test"}') == 1


def test_log_as_json(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"log_format": "json"})
    report = gw.client().run("job", {"text": 'é"\n'})
    gw.stop()
    lines = [json.loads(line) for line in gw.all_logs().splitlines()]
    (end,) = [line for line in lines if line["event"] == "run_ended"]
    assert (end["run"], end["stage"], end["status"], end["level"]) == (report["id"], "job", "SUCCEEDED", "info")
    assert isinstance(end["ms"], int) and end["time"].endswith("Z")


def test_log_lines_cannot_be_forged(gateway, upstream):
    """Whatever clients and upstreams say stays in its line and in its value."""
    evil = "x\nlevel=error event=forged\r\n\x1b[31m"
    script_job(upstream, {"state": evil}, "done")
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"log_level": "debug"})
    client = gw.client()
    client.run("job", {"text": evil}, caller={"user": evil}, key="k")
    client.request("GET", "/a%0Alevel=error%20event=forged")
    gw.stop()
    assert not gw.log(event="forged")
    assert "\x1b" not in gw.all_logs()
    assert all(line.startswith("time=") for line in gw.all_logs().splitlines())


def test_log_file_and_rotation(gateway, upstream, tmp_path):
    script_job(upstream, "done")
    log = tmp_path / "gateway.log"
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"log_file": log})
    gw.client().run("job")
    wait_until(lambda: "run_ended" in log.read_text(), "the line")
    log.rename(tmp_path / "gateway.log.1")
    gw.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: gw.client().run("job") and log.exists() and "run_ended" in log.read_text(), "the new file", 10)


def test_clients_that_leave_while_they_wait_keep_no_connection(gateway, upstream):
    """Whichever loop has the run, and whichever the client."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 2})
    client = gw.client()
    for n in range(12):
        body = json.dumps({"parameters": {"n": n}, "key": f"k{n}"})
        head = f"POST /stages/job HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\nContent-Length: {len(body)}\r\n\r\n"
        with RawConnection(gw.port) as raw:
            raw.send(head + body)
            wait_until(lambda n=n: jobs.posts.get(n), "the start")
    wait_until(lambda: metric(client.metrics(), "stagedoor_connections") == 1, "the connections to go", 5)
    assert metric(client.metrics(), "stagedoor_runs_in_flight") == 12
    jobs.hold = False
    wait_until(lambda: metric(client.metrics(), "stagedoor_runs_in_flight") == 0, "the runs to end", 20)


def test_stop_answers_who_waits(gateway, upstream):
    """A held request is answered before the end, and its run goes on after the next start."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    waiting = Background(lambda: gw.client().start("job", wait=60))
    upstream.wait_for(1, "GET", "/jobs/1")
    began = time.monotonic()
    gw.stop()
    assert time.monotonic() - began < 10
    (answer,) = waiting.results(5)
    assert answer.status == 202 and answer.json()["status"] == "RUNNING", answer
    assert (answer.header("Connection") or "").lower() == "close"
    jobs.hold = False
    gw.start()
    assert gw.client().wait_end(answer.json()["id"])["status"] == "SUCCEEDED"
    assert jobs.posts == {1: 1}


def test_stop_waits_for_a_post_that_is_under_way(gateway, upstream):
    """Its reply is recorded: nothing is in doubt after a stop that was asked for politely."""
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", gate)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job")
    assert gate.reached.wait(10)
    gw.process.terminate()
    gw.wait_log(event="stopping")
    assert gw.process.poll() is None
    gate.open()
    gw.ended()
    gw.start()
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1


def test_stop_does_not_wait_for_ever(gateway, upstream):
    upstream.on("POST", "/call", Gate(reply(200, {})))
    gw = gateway(stages={"call": call_stage(upstream.url)}, options={"drain_timeout": "1s"})
    report = gw.client().started("call")
    upstream.wait_for(1, "POST", "/call")
    began = time.monotonic()
    gw.stop()
    assert 0.5 < time.monotonic() - began < 5
    gw.start()
    assert gw.client().wait_end(report["id"])["reason"] == "in_doubt"


def test_second_signal_ends_it_whoever_waits(gateway, upstream):
    """Questions are on their way between loops, and a disk that hangs keeps their records: nothing may outlive its loop."""
    Jobs(upstream)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 2})
    probe = gw.client()
    other = sqlite3.connect(gw.store_file)
    other.execute("BEGIN IMMEDIATE")
    starts = [lambda n=n: gw.client().start("job", {"n": n}, key=f"k{n}") for n in range(16)]
    waiting = Background(*starts)
    wait_until(lambda: metric(probe.metrics(), "stagedoor_runs_in_flight") == 16, "the starts to wait for their records")
    gw.process.terminate()
    gw.wait_log(event="stopping")
    gw.process.terminate()
    probe.close()
    other.rollback()
    other.close()
    gw.ended()
    for answer in waiting.outcomes():
        assert isinstance(answer, Exception) or answer.status in (202, 503), answer


def test_stop_answers_a_cancel_only_when_it_is_recorded(gateway, upstream):
    Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 1})
    id = gw.client().started("job")["id"]
    upstream.wait_for(2, "GET", "/jobs/1")
    idle, half = RawConnection(gw.port), RawConnection(gw.port)
    idle.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert idle.answer().status == 200
    half.send("GET /health HTTP/1.1\r\n")
    other = sqlite3.connect(gw.store_file)
    other.execute("BEGIN IMMEDIATE")
    waiting = Background(lambda: gw.client().cancel(id))
    gw.wait_log(event="run_cancel_wanted")
    gw.process.terminate()
    assert idle.ended()  # the loop knows that it is being stopped,
    half.send("Host: localhost\r\n\r\n")
    assert half.answer().status == 200  # and has gone on since
    gw.kill9()
    other.rollback()
    other.close()
    (answer,) = waiting.outcomes()
    assert isinstance(answer, Exception), answer


def test_stop_with_idle_and_half_open_clients(gateway):
    gw = gateway()
    idle, half = RawConnection(gw.port), RawConnection(gw.port)
    idle.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert idle.answer().status == 200
    half.send("POST /stages/x HTTP/1.1\r\nHost: localhost\r\nContent-Le")
    began = time.monotonic()
    gw.stop()
    assert time.monotonic() - began < 15
    assert idle.ended()
    idle.sock.close()
    half.sock.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_by_either_signal(gateway, number):
    gw = gateway()
    gw.stop(number)
    assert "stopping" in gw.all_logs()


def test_old_runs_are_deleted(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"retention": "1s"})
    client = gw.client()
    id = client.run("job", key="k")["id"]
    gw.stop()
    gw.start()  # deletes a second after the start: what ended before it is old enough by then
    client = gw.client()
    wait_until(lambda: client.get(f"/runs/{id}").status == 404, "it to be deleted", 15)
    assert client.get("/runs").json()["runs"] == []


def test_no_callback_blocks_a_loop(gateway, upstream):
    """A pass over 50 ms is logged with its cause."""
    Jobs(upstream, polls=2)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 1})
    client = gw.client()
    ids = [client.started("job", {"n": n})["id"] for n in range(200)]
    for id in ids:
        client.wait_end(id)
    assert not gw.log(event="loop_stalled")


def test_store_that_cannot_be_written(gateway, upstream):
    gw = gateway(started=False, options={"store": "sqlite:/proc/nowhere/stagedoor.db"})
    gw.launch()
    log = gw.ended(status=2)
    assert "/proc/nowhere/stagedoor.db" in log, log


def test_port_that_is_taken(gateway):
    gw = gateway()
    other = gateway(started=False)
    other.options["listen"] = gw.options["listen"]
    other.launch()
    log = other.ended(status=2)
    assert str(gw.port) in log and "in use" in log.lower(), log
