"""Limits of stages and of upstream hosts, the breaker, and the same work once: what waits, in which order, and what the
report says meanwhile. The upstream counts."""

import json
import socket
import threading
import time

import pytest

from helpers.client import RawConnection, check_problem, check_report, metric
from helpers.jobs import Jobs, call_stage, job_stage
from helpers.upstream import Gate, Reset, reply
from helpers.wait import wait_until


def host_of(upstream):
    return upstream.url.split("//")[1]


def progress(client, report):
    return client.report(report["id"])["progress"]


def start_all(client, numbers, stage="job", **parameters):
    return [client.started(stage, {"n": n, **parameters}) for n in numbers]


# ---- runs of a stage ----


def test_concurrency_is_first_come_first_served(gateway, upstream):
    """Two at a time, over all loops; the others say where they stand, and begin in the order of their starts."""
    jobs = Jobs(upstream, hold=True)
    client = gateway(stages={"job": job_stage(upstream.url, limits={"concurrency": 2})}, options={"loops": 3}).client()
    reports = start_all(client, range(6))
    upstream.wait_for(2, "POST", "/jobs")
    assert progress(client, reports[2]) == "queued: 1st of 4, since 2 runs of the stage at once are allowed"
    assert progress(client, reports[5]) == "queued: 4th of 4, since 2 runs of the stage at once are allowed"
    for report in reports[2:]:
        check_report(client.report(report["id"]))
    metrics = client.metrics()
    assert metric(metrics, "stagedoor_limit_waiting", limit="stage job") == 4
    assert metric(metrics, "stagedoor_limit_waits_total", limit="stage job") == 4
    assert set(jobs.posts) == {0, 1}
    jobs.aborted |= {0}
    client.wait_end(reports[0]["id"])
    upstream.wait_for(3, "POST", "/jobs")
    wait_until(lambda: progress(client, reports[5]).startswith("queued: 3rd of 3"), "the queue to move on")
    jobs.hold = False
    for report in reports[1:]:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert list(jobs.posts) == [0, 1, 2, 3, 4, 5]
    assert metric(client.metrics(), "stagedoor_limit_waiting", limit="stage job") == 0


def test_rate_spaces_the_starts(gateway, upstream):
    """Of 10/s one begins every 100 ms at the soonest, over all loops."""
    Jobs(upstream, polls=0)
    client = gateway(stages={"job": job_stage(upstream.url, limits={"rate": "10/s"})}, options={"loops": 3}).client()
    reports = start_all(client, range(8))
    assert "since 10 runs a second are allowed, about " in progress(client, reports[7])
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    came = [request.at for request in upstream.got("POST", "/jobs")]
    assert len(came) == 8
    assert came[-1] - came[0] > 0.65, came
    assert [request.json()["n"] for request in upstream.got("POST", "/jobs")] == list(range(8))


def test_a_full_queue_refuses(gateway, upstream):
    """503 with Retry-After, which Spinnaker sends again; a start that was accepted before is answered as ever."""
    jobs = Jobs(upstream, hold=True)
    stage = job_stage(upstream.url, limits={"concurrency": 1, "queue": 2})
    client = gateway(stages={"job": stage}, options={"loops": 2}).client()
    first = client.started("job", {"n": 0}, key="a")
    waiting = [client.started("job", {"n": n}, key=f"k{n}") for n in (1, 2)]
    refused = client.start("job", {"n": 3}, key="b")
    assert "limits.queue" not in check_problem(refused, 503)["detail"]
    assert refused.header("Retry-After")
    assert client.started("job", {"n": 1}, key="k1")["id"] == waiting[0]["id"]
    assert metric(client.metrics(), "stagedoor_queue_full_total", stage="job") == 1
    jobs.hold = False
    client.wait_end(first["id"])
    wait_until(lambda: client.start("job", {"n": 3}, key="b").status == 202, "room in the queue")
    for report in waiting:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert client.started("job", {"n": 0}, key="a")["id"] == first["id"]


def test_canceled_while_queued(gateway, upstream):
    """No call at all; and whoever is behind it moves up."""
    jobs = Jobs(upstream, hold=True)
    client = gateway(stages={"job": job_stage(upstream.url, limits={"concurrency": 1})}, options={"loops": 2}).client()
    reports = start_all(client, range(3))
    client.request("POST", f"/runs/{reports[1]['id']}/cancel")
    ended = client.wait_end(reports[1]["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled_before_start")
    wait_until(lambda: progress(client, reports[2]).startswith("queued: 1st of 1"), "the last to move up")
    jobs.hold = False
    client.wait_end(reports[2]["id"])
    assert set(jobs.posts) == {0, 2} and not jobs.deletes


def test_time_is_up_while_queued(gateway, upstream):
    """The whole run's time goes on while it is queued; that of its first step does not."""
    jobs = Jobs(upstream, hold=True)
    stage = job_stage(
        upstream.url, limits={"concurrency": 1}, timeout="1500ms", request={"timeout": "200ms"}, status={"timeout": "1s"}
    )
    client = gateway(stages={"job": stage}).client()
    first, second = start_all(client, (0, 1))
    assert client.wait_end(first["id"])["reason"] == "timeout"
    assert client.wait_end(second["id"])["reason"] == "timeout"
    assert jobs.posts == {0: 1, 1: 1}  # the first made room after its step's second
    third_blocker = start_all(client, (2, 3))
    jobs.hold = False
    for report in third_blocker:
        client.wait_end(report["id"])


def test_queued_runs_survive(gateway, upstream):
    """SIGTERM and kill -9: in the order of their starts, none twice, and those at work keep their places."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url, limits={"concurrency": 2})}, options={"loops": 3})
    client = gw.client()
    reports = start_all(client, range(7))
    upstream.wait_for(1, "GET", "/jobs/0")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.stop()
    gw.start()
    assert progress(gw.client(), reports[6]).startswith("queued: 5th of 5")
    gw.restart()
    client = gw.client()
    polls = upstream.count("GET")
    wait_until(lambda: upstream.count("GET") > polls + 4, "polls after the restart")
    assert set(jobs.posts) == {0, 1}
    assert progress(client, reports[4]).startswith("queued: 3rd of 5")
    jobs.hold = False
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert [request.json()["n"] for request in upstream.got("POST", "/jobs")] == list(range(7))


def test_limits_change_with_the_definition(gateway, upstream):
    """What is queued gets the new limits; and where they are gone, everything begins."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url, limits={"rate": "1/h"})}, options={"loops": 2})
    client = gw.client()
    reports = start_all(client, range(4))
    upstream.wait_for(1, "POST", "/jobs")
    assert progress(client, reports[3]).startswith("queued: 3rd of 3, since one run every 1h is allowed, about 3h")
    gw.put_stage("job", job_stage(upstream.url, limits={"concurrency": 2}))
    upstream.wait_for(2, "POST", "/jobs")
    assert progress(client, reports[3]).startswith("queued: ")
    gw.put_stage("job", job_stage(upstream.url))
    upstream.wait_for(4, "POST", "/jobs")
    jobs.hold = False
    for report in reports:
        client.wait_end(report["id"])


def test_limits_outlive_their_definition(gateway, upstream):
    """Runs that are queued keep their limits where no definition is in force any more, also over a restart."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url, limits={"concurrency": 2})}, options={"loops": 2})
    client = gw.client()
    reports = start_all(client, range(6))
    for n in (0, 1):
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    gw.remove_stage("job")
    wait_until(lambda: client.get("/stages/job").status == 404, "the definition to be gone")
    gw.restart()
    client = gw.client()
    polls = upstream.count("GET")
    wait_until(lambda: upstream.count("GET") > polls + 4, "polls after the restart")
    assert progress(client, reports[5]) == "queued: 4th of 4, since 2 runs of the stage at once are allowed"
    assert set(jobs.posts) == {0, 1}
    gw.put_stage("job", job_stage(upstream.url))
    upstream.wait_for(6, "POST", "/jobs")
    jobs.hold = False
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_a_rate_counts_beginnings_only(gateway, upstream):
    """Runs that go on after a restart have begun before: they put nobody off."""
    Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url, limits={"rate": "5/s"})}, options={"loops": 2})
    for n in range(12):
        gw.client().started("job", {"n": n})
    upstream.wait_for(12, "POST", "/jobs")
    for n in range(12):
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    gw.restart()
    began = time.monotonic()
    gw.client().started("job", {"n": 50})
    upstream.wait_for(13, "POST", "/jobs")
    assert time.monotonic() - began < 1.5  # 12 more beginnings would take 2.4 s


def test_gap_between_calls_that_change_things(gateway, upstream):
    """POSTs come 300 ms apart; polls do not wait for that."""
    jobs = Jobs(upstream, polls=3)
    client = gateway(stages={"job": job_stage(upstream.url, limits={"gap": "300ms"})}, options={"loops": 2}).client()
    reports = start_all(client, range(4))
    wait_until(lambda: "held: " in progress(client, reports[3]), "a call that is held", every=0.005)
    assert "calls that change things keep a gap of 300ms" in progress(client, reports[3])
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    came = [request.at for request in upstream.got("POST", "/jobs")]
    assert all(later - earlier > 0.28 for earlier, later in zip(came, came[1:])), came
    assert jobs.gets[0] == 4 and upstream.got("GET", "/jobs/0")[-1].at < came[-1]


# ---- upstream hosts ----


def test_calls_to_a_host(gateway, upstream):
    """One call at a time over two stages; a call that is held is not sent, and can be canceled without one."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate, reply(200, {}))
    stages = {"a": call_stage(upstream.url, "a"), "b": call_stage(upstream.url, "b")}
    upstreams = [{"host": host_of(upstream), "concurrency": 1}, {"host": "other.example", "rate": "1/h"}]
    client = gateway(stages=stages, options={"loops": 2, "upstreams": upstreams}).client()
    first = client.started("a")
    assert gate.reached.wait(10)
    second, third = client.started("b"), client.started("a")
    text = f"request: held: 1st of 2 calls to {host_of(upstream)}, since one call to the host at once is allowed"
    wait_until(lambda: progress(client, second) == text, "the second to be held")
    client.request("POST", f"/runs/{third['id']}/cancel")
    ended = client.wait_end(third["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled_before_start")
    assert upstream.count("POST", "/call") == 1
    gate.open()
    for report in (first, second):
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/call") == 2


def test_held_calls_are_in_no_doubt_after_a_restart(gateway, upstream):
    """A POST that was held when the gateway was killed has not been sent: it is sent after the restart, once."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate, reply(200, {}))
    upstream.on("POST", "/other", reply(200, {}))
    elsewhere = upstream.url.replace("127.0.0.1", "localhost")
    stages = {"call": call_stage(upstream.url), "other": call_stage(upstream.url, "other", url=f"{elsewhere}/other")}
    options = {"loops": 2, "upstreams": [{"host": host_of(upstream), "concurrency": 1}]}
    gw = gateway(stages=stages, options=options)
    client = gw.client()
    first = client.started("call")
    assert gate.reached.wait(10)
    second = client.started("call")
    wait_until(lambda: "held: " in progress(client, second), "the second to be held")
    client.run("other")  # once this is durable, so is what the store was told before
    gw.restart()
    client = gw.client()
    assert client.wait_end(second["id"])["status"] == "SUCCEEDED"
    assert client.wait_end(first["id"])["reason"] == "in_doubt"
    assert upstream.count("POST", "/call") == 2


def test_rate_of_a_host_counts_polls_too(gateway, upstream):
    Jobs(upstream, polls=3)
    upstreams = [{"host": host_of(upstream), "rate": "20/s"}]
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "10ms"})}, options={"upstreams": upstreams})
    client = gw.client()
    for report in start_all(client, range(4)):
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    came = [request.at for request in upstream.requests]
    assert len(came) == 20
    assert came[-1] - came[0] > 0.9, came


def test_breaker(gateway, upstream):
    """It opens when half of the calls fail, holds every run, lets one call find out, and closes when that one is answered. No run
    fails meanwhile, and none is begun."""
    jobs = Jobs(upstream, hold=True)
    breaker = {"window": "1m", "ratio": 0.5, "minimum": 8, "pause": "700ms"}
    upstreams = [{"host": host_of(upstream), "breaker": breaker}]
    stage = job_stage(upstream.url, status={"every": "50ms", "retry": {"delay": "50ms", "max_delay": "50ms"}})
    client = gateway(stages={"job": stage}, options={"loops": 2, "upstreams": upstreams}).client()
    reports = start_all(client, range(4))
    upstream.wait_for(4, "POST", "/jobs")
    upstream.on("GET", "/jobs/*", reply(503, "down"))
    label = f"host {host_of(upstream)}"
    wait_until(lambda: metric(client.metrics(), "stagedoor_breaker_open", limit=label) == 1, "the breaker to open")
    wait_until(lambda: all("is failing" in progress(client, report) for report in reports), "all to be held")
    assert f"{host_of(upstream)} is failing, as " in progress(client, reports[0])
    wait_until(lambda: "to go" in progress(client, reports[0]), "the expected time")
    held = client.started("job", {"n": 9})
    calls = upstream.count("GET")
    wait_until(lambda: upstream.count("GET") == calls + 2, "two calls that find out")
    between = [request.at for request in upstream.got("GET")][-2:]
    assert between[1] - between[0] > 0.6, between
    assert set(jobs.posts) == {0, 1, 2, 3}
    jobs.hold = False
    upstream.on("GET", "/jobs/*", jobs.get)
    for report in [*reports, held]:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert jobs.posts == {0: 1, 1: 1, 2: 1, 3: 1, 9: 1}
    metrics = client.metrics()
    assert metric(metrics, "stagedoor_breaker_open", limit=label) == 0
    assert metric(metrics, "stagedoor_breaker_opened_total", limit=label) >= 3


def test_breaker_of_a_stage_and_the_time_of_its_runs(gateway, upstream):
    """A run that is held ends by its own time, and nothing was sent for it."""
    upstream.on("POST", "/call", Reset())
    stage = {
        "call": call_stage(upstream.url).replace('name = "call";', 'name = "call"; timeout = "700ms"; breaker = { minimum = 2; pause = "1h"; };')
    }
    client = gateway(stages=stage).client()
    for _ in range(2):
        assert client.run("call")["reason"] == "in_doubt"
    report = client.started("call")
    wait_until(lambda: "the upstream is failing, as 2 of 2 calls did within 1m" in progress(client, report), "it to be held")
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "timeout")
    assert "no call had been made" in ended["error"]
    assert upstream.count("POST", "/call") == 2


def test_upstreams_change_with_sighup(gateway, upstream):
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate, reply(200, {}))
    gw = gateway(
        stages={"call": call_stage(upstream.url)},
        options={"loops": 2, "upstreams": [{"host": host_of(upstream), "concurrency": 1}]},
    )
    client = gw.client()
    first = client.started("call")
    assert gate.reached.wait(10)
    second = client.started("call")
    wait_until(lambda: "held: " in progress(client, second), "the second to be held")
    gw.options["upstreams"] = [{"host": host_of(upstream), "concurrency": 2}]
    gw.write_config()
    gw.reload()
    assert client.wait_end(second["id"])["status"] == "SUCCEEDED"
    gate.open()
    client.wait_end(first["id"])


def test_a_breaker_that_is_taken_away(gateway, upstream):
    """Its counter says so: nothing is open any more."""
    upstream.on("POST", "/call", reply(500, {}))
    breaker = {"minimum": 1, "pause": "1h"}
    upstreams = [{"host": host_of(upstream), "breaker": breaker}]
    plain = call_stage(upstream.url)
    gw = gateway(stages={"call": plain + "breaker = { minimum = 1; pause = \"1h\"; };"}, options={"upstreams": upstreams})
    client = gw.client()
    client.run("call")
    labels = (f"host {host_of(upstream)}", "calls of call")
    for label in labels:
        assert metric(client.metrics(), "stagedoor_breaker_open", limit=label) == 1
    gw.options["upstreams"] = []
    gw.write_config()
    gw.reload()
    gw.put_stage("call", plain)
    for label in labels:
        wait_until(lambda: metric(client.metrics(), "stagedoor_breaker_open", limit=label) == 0, f"{label} to close")
    assert client.run("call")["reason"] == "upstream_refused"


# ---- the same work once ----


def dedup_stage(upstream, on_duplicate, **more):
    return job_stage(upstream.url, dedup={"key": "{{ parameters.text }}", "on_duplicate": on_duplicate}, **more)


def test_attach(gateway, upstream):
    """Also for starts at the same moment on all loops, and after a restart: one run, one POST."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": dedup_stage(upstream, "attach")}, options={"loops": 3})
    ids, clients = [], [gw.client() for _ in range(12)]

    def begin(client, n):
        ids.append(client.started("job", {"n": n, "text": "app/1"}, key=f"k{n}")["id"])

    threads = [threading.Thread(target=begin, args=(client, n)) for n, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 12 and len(set(ids)) == 1
    upstream.wait_for(1, "POST", "/jobs")
    client = gw.client()
    other = client.started("job", {"n": 50, "text": "app/2"})
    assert other["id"] != ids[0]
    assert metric(client.metrics(), "stagedoor_duplicates_total", stage="job", outcome="attached") == 11
    upstream.wait_for(1, "GET", f"/jobs/{upstream.got('POST', '/jobs')[0].json()['n']}")  # its POST is in no doubt any more
    gw.restart()
    client = gw.client()
    assert client.started("job", {"n": 51, "text": "app/1"})["id"] == ids[0]
    jobs.hold = False
    client.wait_end(ids[0])
    assert client.started("job", {"n": 52, "text": "app/1"})["id"] != ids[0]
    upstream.wait_for(3, "POST", "/jobs")
    assert len(jobs.posts) == 3 and set(jobs.posts.values()) == {1}


@pytest.mark.parametrize("durable", [True, False])
def test_attached_key(gateway, upstream, durable):
    """The key of an attached start leads to its run, as the run's own does: while it goes on, after its end, and over a
    restart, or a crash where the stage is durable; nothing is called again. No list has more of it."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": dedup_stage(upstream, "attach", durable=durable)}, options={"loops": 3})
    client = gw.client()
    first = client.started("job", {"n": 1, "text": "x"}, key="one")["id"]
    keys = [f"two{i}" for i in range(6)]

    def again():
        for key in keys:
            report = client.started("job", {"n": 2, "text": "x"}, key=key)
            assert report["id"] == first, report
        assert client.started("job", {"n": 1, "text": "x"}, key="one")["id"] == first
        problem = check_problem(client.start("job", {"n": 3, "text": "x"}, key="two3"), 409)
        assert first in problem["detail"], problem

    again()
    jobs.hold = False
    client.wait_end(first)
    again()
    last = client.started("job", {"n": 4, "text": "x"}, key="other")["id"]
    assert last != first
    client.wait_end(last)
    again()
    assert client.start("job", {"n": 2, "text": "x"}, key="two4", wait=20).json()["status"] == "SUCCEEDED"
    if durable:
        gw.kill9()
        gw.start()
    else:
        gw.stop()
        gw.start()
    client = gw.client()
    again()
    for query in ("", "?stage=job", "?status=SUCCEEDED", "?limit=2"):
        listed = client.get("/runs" + query).json()
        assert [run["id"] for run in listed["runs"]] == [last, first], query
        assert listed["cursor"] is None, query
    assert jobs.posts == {1: 1, 4: 1}


def test_attached_key_that_is_canceled(gateway, upstream):
    """A cancel by the key of an attached start is one of the run, as by its id."""
    Jobs(upstream, hold=True)
    client = gateway(stages={"job": dedup_stage(upstream, "attach")}, options={"loops": 3}).client()
    first = client.started("job", {"n": 1, "text": "x"})["id"]
    assert client.started("job", {"n": 2, "text": "x"}, key="two")["id"] == first
    answer = client.cancel_key("job", "two")
    assert answer.json()["id"] == first, answer.json()
    assert client.wait_end(first)["status"] == "CANCELED"
    assert client.cancel_key("job", "two").json()["id"] == first


def test_attach_waits_for_the_end(gateway, upstream):
    """Prefer: wait holds the answer of a start that found a run, as it does for one that made one."""
    jobs = Jobs(upstream, hold=True)
    client = gateway(stages={"job": dedup_stage(upstream, "attach")}, options={"loops": 2}).client()
    first = client.started("job", {"n": 1, "text": "x"})
    timer = threading.Timer(0.5, lambda: setattr(jobs, "hold", False))
    timer.start()
    answer = client.start("job", {"n": 2, "text": "x"}, wait=20)
    timer.join()
    assert (answer.status, answer.json()["id"], answer.json()["status"]) == (200, first["id"], "SUCCEEDED")


def test_reject(gateway, upstream):
    """409 that names the run. The key that made it gets its run all the same, also when that has ended and another does the
    work."""
    jobs = Jobs(upstream, hold=True)
    client = gateway(stages={"job": dedup_stage(upstream, "reject")}, options={"loops": 2}).client()
    first = client.started("job", {"n": 1, "text": "x"}, key="one")
    problem = check_problem(client.start("job", {"n": 2, "text": "x"}, key="two"), 409)
    assert first["id"] in problem["detail"], problem
    assert client.started("job", {"n": 1, "text": "x"}, key="one")["id"] == first["id"]
    jobs.hold = False
    client.wait_end(first["id"])
    jobs.hold = True
    second = client.started("job", {"n": 2, "text": "x"}, key="two")
    assert client.started("job", {"n": 1, "text": "x"}, key="one")["id"] == first["id"]
    assert client.started("job", {"n": 2, "text": "x"}, key="two")["id"] == second["id"]
    assert metric(client.metrics(), "stagedoor_duplicates_total", stage="job", outcome="rejected") >= 1
    jobs.hold = False
    client.wait_end(second["id"])


def test_queue(gateway, upstream):
    """One after the other, in the order of the starts; other work goes on beside it. Also over a restart."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": dedup_stage(upstream, "queue", limits={"concurrency": 10})}, options={"loops": 3})
    client = gw.client()
    reports = start_all(client, range(4), text="x")
    other = client.started("job", {"n": 10, "text": "y"})
    upstream.wait_for(2, "POST", "/jobs")
    assert set(jobs.posts) == {0, 10}
    assert progress(client, reports[2]) == "queued: 2nd of 3, since the same work is under way"
    for n in (0, 10):  # its POST is in no doubt any more
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    gw.restart()
    client = gw.client()
    jobs.hold = False
    for report in [*reports, other]:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    posts = [request.json()["n"] for request in upstream.got("POST", "/jobs")]
    assert [n for n in posts if n < 10] == [0, 1, 2, 3] and posts.count(10) == 1
    at = {n: [r.at for r in upstream.requests if r.path == f"/jobs/{n}"] for n in range(4)}
    posted = {r.json()["n"]: r.at for r in upstream.got("POST", "/jobs")}
    assert all(max(at[n]) < posted[n + 1] for n in range(3))


def test_who_waits_for_room_is_no_duplicate(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    client = gateway(stages={"job": dedup_stage(upstream, "queue", limits={"concurrency": 1})}).client()
    reports = [client.started("job", {"n": n, "text": text}) for n, text in enumerate(("a", "b", "a"))]
    assert "since one run of the stage at once is allowed" in progress(client, reports[1])
    assert metric(client.metrics(), "stagedoor_duplicates_total", stage="job", outcome="queued") == 1
    jobs.hold = False
    for report in reports:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_supersede(gateway, upstream):
    """The older one is canceled at the upstream; the newest begins when that has ended, and those between never do."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": dedup_stage(upstream, "supersede")}, options={"loops": 3})
    client = gw.client()
    first = client.started("job", {"n": 0, "text": "x"})
    upstream.wait_for(1, "GET", "/jobs/0")
    gate = Gate(jobs.delete)
    upstream.on("DELETE", "/jobs/0", gate)
    second = client.started("job", {"n": 1, "text": "x"})
    assert gate.reached.wait(10)
    third = client.started("job", {"n": 2, "text": "x"})
    ended = client.wait_end(second["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled_before_start")
    assert set(jobs.posts) == {0}
    assert progress(client, third) == "queued: 1st of 1, since the same work is under way"
    gate.open()
    assert client.wait_end(first["id"])["status"] == "CANCELED"
    upstream.wait_for(1, "GET", "/jobs/2")
    assert jobs.posts == {0: 1, 2: 1}
    jobs.hold = False
    assert client.wait_end(third["id"])["status"] == "SUCCEEDED"
    gw.wait_log(event="run_superseded", run=first["id"])


def test_supersede_many_at_once(gateway, upstream):
    """Of 200 starts that become durable together the last one does the work; all others are canceled, and only the first may have
    begun."""
    jobs = Jobs(upstream)
    gw = gateway(stages={"job": dedup_stage(upstream, "supersede")}, options={"loops": 2})
    port = int(gw.url.rsplit(":", 1)[1])
    connections = [RawConnection(port) for _ in range(200)]
    for n, connection in enumerate(connections):
        body = json.dumps({"parameters": {"n": n, "text": "x"}})
        connection.send(f"POST /stages/job HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        connection.send(f"Content-Length: {len(body)}\r\n\r\n{body}")
    ids = [connection.answer().json()["id"] for connection in connections]
    for connection in connections:
        connection.sock.close()
    client = gw.client()
    ends = [client.wait_end(id) for id in ids]
    assert sorted(end["status"] for end in ends) == ["CANCELED"] * 199 + ["SUCCEEDED"]
    assert len(jobs.posts) <= 3, jobs.posts


def test_an_attached_start_whose_client_leaves(gateway, upstream):
    """It is answered at once, on whichever loop the run is that it was attached to."""
    Jobs(upstream, hold=True)
    gw = gateway(stages={"job": dedup_stage(upstream, "attach")}, options={"loops": 3})
    first = gw.client().started("job", {"text": "x"})
    body = json.dumps({"parameters": {"text": "x"}})
    for _ in range(6):
        with RawConnection(int(gw.url.rsplit(":", 1)[1]), timeout=20) as connection:
            connection.send("POST /stages/job HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n")
            connection.send(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
            connection.sock.shutdown(socket.SHUT_WR)
            answer = connection.answer()
            assert (answer.status, answer.json()["id"]) == (202, first["id"])


def test_a_key_that_cannot_be_made(gateway, upstream):
    client = gateway(stages={"job": dedup_stage(upstream, "attach")}).client()
    assert "empty" in check_problem(client.start("job", {"text": ""}), 422)["detail"]
    assert check_problem(client.start("job", {"text": "x" * 2000}), 422)
    assert upstream.count() == 0


def test_without_limits_nothing_is_counted(gateway, upstream):
    Jobs(upstream, polls=0)
    client = gateway(stages={"job": job_stage(upstream.url)}).client()
    client.wait_end(client.started("job")["id"])
    assert not [name for name, _ in client.metrics() if name in ("stagedoor_limit_waits_total", "stagedoor_breaker_open")]
