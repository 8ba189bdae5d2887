"""When polls come, and what is expected of a run: back-off, adaptive polls, and the estimate that a stage's past gives."""

import datetime
import time

from helpers.client import check_report
from helpers.jobs import Jobs, job_stage, script_job
from helpers.upstream import Gate, reply
from helpers.wait import wait_until


def test_backoff(gateway, upstream):
    """100 ms, 200, 400, 800 (a tenth either way): five polls take 1.5 s, where a fixed pace makes 15."""
    script_job(upstream, "running", "running", "running", "running", "done")
    stage = job_stage(upstream.url, status={"every": "100ms", "backoff": 2.0, "max_every": "10s"})
    began = time.monotonic()
    report = gateway(stages={"job": stage}).client().run("job")
    assert report["status"] == "SUCCEEDED", report
    assert time.monotonic() - began > 1.2
    assert upstream.count("GET", "/jobs/1") == 5


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_the_past_gives_percent_and_eta(gateway, upstream):
    """Also after a restart: the store has the past. A run that takes longer than any before is said to be stalled."""
    jobs = Jobs(upstream, polls=2)
    stage = job_stage(upstream.url, status={"every": "100ms", "progress": None})
    gw = gateway(stages={"job": stage}, options={"loops": 1})
    client = gw.client()
    first = client.started("job", {"n": 0})
    assert (first["percent"], first["percentEstimated"], first["eta"], first["stalled"]) == (None, False, None, False)
    client.wait_end(first["id"])
    for n in range(1, 24):
        client.wait_end(client.started("job", {"n": n})["id"])

    for _ in range(2):
        jobs.hold = True
        report = client.started("job", {"n": 1000})
        told = client.wait_report(report["id"], lambda one: one["percentEstimated"], "an estimate")
        check_report(told)
        assert told["eta"] is None or 0 <= seconds(told["eta"]) - seconds(told["created"]) < 5, told
        late = client.wait_report(report["id"], lambda one: one["stalled"], "the flag of a run that is stalled")
        assert (late["percent"], late["percentEstimated"], late["eta"], late["status"]) == (99, True, None, "RUNNING")
        jobs.hold = False
        ended = client.wait_end(report["id"])
        assert (ended["percent"], ended["percentEstimated"], ended["eta"], ended["stalled"]) == (100, False, None, False)
        jobs.gets.clear()
        gw.stop()
        gw.start()
        client = gw.client()


def test_time_in_the_queue_is_no_work(gateway, upstream):
    """Six runs wait for the one before them. What is expected of the next, now and after a restart, is no more than the longest of
    them was at work, however slow all of this was: from their start to their end each took two seconds more. While it waits itself,
    nothing is expected."""
    jobs = Jobs(upstream, hold=True)
    stage = job_stage(upstream.url, status={"every": "50ms", "progress": None}, limits={"concurrency": 1})
    gw = gateway(stages={"job": stage}, options={"loops": 1})
    client = gw.client()
    began = time.monotonic()
    first = [client.started("job", {"n": n})["id"] for n in range(7)]
    polls = 40 + int((time.monotonic() - began) / 0.05)  # take two seconds more than starting all of them did
    wait_until(lambda: jobs.gets.get(0, 0) > polls + 20, "polls of the first", 60)
    assert set(jobs.posts) == {0}
    jobs.polls, jobs.hold = polls, False
    wait_until(lambda: jobs.gets.get(1, 0) > polls, "polls of the second", 60)
    jobs.polls = 1
    reports = [client.wait_end(run) for run in first]
    ends = [seconds(report["ended"]) for report in reports]
    whole = [end - seconds(report["created"]) for end, report in zip(ends, reports)]
    work = [whole[0], *(end - before for before, end in zip(ends, ends[1:]))]
    assert min(whole[1:]) > max(work) + 1.9, (whole, work)
    for _ in range(2):
        jobs.hold = True
        jobs.gets.clear()
        at_work, waits = (client.started("job", {"n": n})["id"] for n in (100, 101))
        told = client.wait_report(at_work, lambda one: one["percentEstimated"], "an estimate")
        assert told["eta"] is None or seconds(told["eta"]) - seconds(told["created"]) < max(work) + 0.1, (told, work)
        waiting = client.report(waits)
        assert (waiting["percent"], waiting["eta"], waiting["stalled"]) == (None, None, False), waiting
        jobs.hold = False
        one, other = (client.wait_end(run) for run in (at_work, waits))
        work += [seconds(one["ended"]) - seconds(one["created"]), seconds(other["ended"]) - seconds(one["ended"])]
        gw.stop()
        gw.start()
        client = gw.client()


def test_what_the_upstream_says_is_not_estimated(gateway, upstream):
    script_job(upstream, "done")
    client = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 1}).client()
    for _ in range(6):
        client.run("job")
    gate = Gate(reply(200, {"state": "done"}))
    script_job(upstream, {"state": "running", "percent": 7})
    report = client.started("job")
    told = client.wait_report(report["id"], lambda one: one["percent"] == 7, "the upstream's own")
    assert told["percentEstimated"] is False, told
    upstream.on("GET", "/jobs/1", gate)
    gate.open()
    client.wait_end(report["id"])


def test_adaptive(gateway, upstream):
    """A stage whose runs take 1.5 s: with adaptive polls at most every 10 s and at least every 50 ms, a run needs far fewer
    polls than 30, and is not found late."""
    began = {}

    def post(request):
        n = request.json()["n"]
        began[n] = time.monotonic()
        return reply(201, {"id": str(n), "links": {"self": f"{upstream.url}/jobs/{n}"}})

    polls = {}

    def get(request):
        n = int(request.path.rsplit("/", 1)[1])
        polls[n] = polls.get(n, 0) + 1
        return reply(200, {"state": "done" if time.monotonic() - began[n] > 1.5 else "running", "result": n})

    upstream.on("POST", "/jobs", post)
    upstream.on("GET", "/jobs/*", get)
    stage = job_stage(upstream.url, status={"every": "50ms", "max_every": "10s", "adaptive": True})
    client = gateway(stages={"job": stage}, options={"loops": 1}).client()
    first = [client.started("job", {"n": n})["id"] for n in range(15)]
    for run in first:
        client.wait_end(run)
    assert min(polls.values()) >= 20, "too little is known: a fixed pace"
    later = [client.started("job", {"n": 100 + n})["id"] for n in range(10)]
    ended = [client.wait_end(run) for run in later]
    assert max(polls[100 + n] for n in range(10)) <= 15, polls
    took = [seconds(one["ended"]) - seconds(one["created"]) for one in ended]
    assert min(took) >= 1.4 and sorted(took)[5] < 2.2, took
