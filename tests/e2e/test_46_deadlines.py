"""Who waits for a run: the caller's deadline, and runs that nobody looks at any more."""

import datetime
import time

import pytest
from helpers.client import check_problem
from helpers.jobs import Jobs, job_stage
from helpers.upstream import Gate, reply
from helpers.wait import wait_until


@pytest.fixture
def gw(gateway, upstream):
    upstream.jobs = Jobs(upstream, hold=True)
    return gateway(stages={"job": job_stage(upstream.url), "lonely": job_stage(upstream.url, "lonely", orphan_after="2s")})


FORMS = [
    lambda at: datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat(),
    lambda at: str(int(at) + 1),
    lambda at: str(int(at * 1000)),
]


def test_deadline_of_the_caller(gw, upstream):
    client = gw.client()
    for n, form in enumerate(FORMS):
        deletes = upstream.count("DELETE")
        report = client.started("job", {"n": n}, headers={"X-Deadline": form(time.time() + 1)})
        ended = client.wait_end(report["id"])
        assert (ended["status"], ended["reason"]) == ("TERMINAL", "timeout"), ended
        assert "by the caller's deadline" in ended["error"], ended
        assert upstream.count("DELETE") == deletes + 1, "the upstream is told"


def test_deadline_outlives_a_restart(gw, upstream):
    report = gw.client().started("job", headers={"X-Deadline": str(int((time.time() + 2.5) * 1000))})
    upstream.wait_for(1, "GET")
    gw.restart()
    ended = gw.client().wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "timeout"), ended


@pytest.mark.parametrize("given", ["soon", "1", "0", "2020-01-01T00:00:00Z", "-5", "99999999999999999999"])
def test_bad_deadline(gw, upstream, given):
    answer = gw.client().start("job", headers={"X-Deadline": given})
    problem = check_problem(answer, 422)
    assert problem["errors"][0]["pointer"] == "X-Deadline", problem
    assert upstream.count("POST") == 0


def test_a_start_that_is_sent_again_after_its_deadline(gw, upstream):
    """The key gives its run, as ever; one that was never used starts nothing."""
    client = gw.client()
    past = {"X-Deadline": str(int((time.time() + 1) * 1000))}
    report = client.started("job", key="once", headers=past)
    upstream.jobs.aborted.add(1)
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    wait_until(lambda: time.time() * 1000 > int(past["X-Deadline"]) + 50, "the deadline to be past")
    assert client.started("job", key="once", headers=past)["id"] == report["id"]
    problem = check_problem(client.start("job", key="never", headers=past), 422)
    assert (problem["errors"][0]["pointer"], problem["detail"]) == ("X-Deadline", "the deadline is past: nothing was started")
    assert upstream.count("POST") == 1


def test_a_run_that_nobody_reads_is_canceled(gw, upstream):
    client = gw.client()
    report = client.started("lonely")
    wait_until(lambda: upstream.count("DELETE"), "the upstream is told to stop", 15)
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "orphaned"), ended
    assert "nobody looked at the run" in ended["progress"], ended
    assert gw.wait_log(event="run_orphaned", run=report["id"])


def test_a_run_that_is_read_goes_on(gw, upstream):
    client, other = gw.client(), gw.client()
    looked_at, waited_for = client.started("lonely"), client.started("lonely", {"n": 2})
    began = time.monotonic()
    while time.monotonic() - began < 5:
        client.report(looked_at["id"])
        answer = other.get(f"/runs/{waited_for['id']}", headers={"Prefer": "wait=1"})
        assert answer.json()["status"] == "RUNNING"
    assert upstream.count("DELETE") == 0


def test_orphans_are_listed(gw, upstream):
    """A run that is being canceled is an orphan still, for as long as its upstream does not answer."""
    gate = Gate(reply(202, {}))
    upstream.on("DELETE", "/jobs/*", gate)
    client = gw.client()
    lonely, other = client.started("lonely"), client.started("job", {"n": 2})

    def listed(query):
        answer = client.get(f"/runs{query}")
        assert answer.status == 200, answer
        return [one["id"] for one in answer.json()["runs"]]

    assert listed("?orphaned=true") == []
    assert set(listed("?orphaned=false")) == {lonely["id"], other["id"]}
    wait_until(lambda: listed("?orphaned=true") == [lonely["id"]], "it is listed", 15)
    upstream.jobs.aborted.add(1)
    gate.open()
    client.wait_end(lonely["id"])
    assert listed("?orphaned=true") == []
    problem = check_problem(client.get("/runs?orphaned=perhaps"), 422)
    assert problem["errors"][0]["pointer"] == "orphaned"
    check_problem(client.get("/runs?orphaned=true&status=SUCCEEDED"), 422)
