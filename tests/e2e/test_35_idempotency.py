"""The same key is the same run: however often and from however many sides it is sent, the upstream is called once.

Keys belong to a stage; the comparison is of checked values, so "50" and 50 are the same parameters. A cancel whose key no
run has is kept: a start that comes later (the cancel has overtaken it) is a canceled run, and calls nobody."""

import random

import pytest
from helpers.client import check_problem, check_report
from helpers.gateway import Background
from helpers.jobs import Jobs, job_stage, script_job
from helpers.upstream import Gate, reply


@pytest.fixture
def gw(gateway, upstream):
    return gateway(stages={"job": job_stage(upstream.url), "other": job_stage(upstream.url, name="other")})


def test_same_key_same_run(gw, upstream):
    script_job(upstream, "running", "running", "done")
    client = gw.client()
    first = client.started("job", {"n": 5}, key="k1")
    again = [client.started("job", {"n": 5}, key="k1") for _ in range(5)]
    assert {report["id"] for report in again} == {first["id"]}
    client.wait_end(first["id"])
    answer = client.start("job", {"n": 5}, key="k1")
    assert answer.status == 200 and answer.json()["status"] == "SUCCEEDED", "an ended run is answered 200"
    assert answer.json()["id"] == first["id"]
    assert upstream.count("POST", "/jobs") == 1


def test_same_parameters_said_otherwise(gw, upstream):
    script_job(upstream, "done")
    client = gw.client()
    ids = {
        client.started("job", parameters, key="k1")["id"]
        for parameters in ({"n": 1, "text": "a"}, {"text": "a", "n": "1"}, {"text": "a"})  # 1 is the default
    }
    assert len(ids) == 1
    client.wait_end(ids.pop())
    assert upstream.count("POST", "/jobs") == 1


def test_header_is_the_same_as_key(gw, upstream):
    script_job(upstream, "done")
    client = gw.client()
    one = client.started("job", key="k1")
    two = client.started("job", headers={"Idempotency-Key": "k1"})
    three = client.started("job", key="k1", headers={"Idempotency-Key": "k1"})
    assert one["id"] == two["id"] == three["id"]
    check_problem(client.start("job", key="k1", headers={"Idempotency-Key": "k2"}), 422)
    client.wait_end(one["id"])
    assert upstream.count("POST", "/jobs") == 1


def test_other_parameters_are_a_conflict(gw, upstream):
    script_job(upstream, "running")
    client = gw.client()
    client.started("job", {"n": 1}, key="k1")
    upstream.wait_for(1, "POST", "/jobs")
    problem = check_problem(client.start("job", {"n": 2}, key="k1"), 409)
    assert "key" in problem["detail"]
    assert upstream.count("POST", "/jobs") == 1


def test_keys_belong_to_a_stage(gw, upstream):
    script_job(upstream, "done")
    client = gw.client()
    assert client.started("job", key="k1")["id"] != client.started("other", key="k1")["id"]


def test_without_a_key_each_start_is_a_run(gw, upstream):
    Jobs(upstream)
    client = gw.client()
    assert len({client.started("job")["id"] for _ in range(3)}) == 3
    upstream.wait_for(3, "POST", "/jobs")


@pytest.mark.parametrize("key", ["é☃ 日本", "a" * 255, "a b", "${x", '"quoted"', "a/b?c#d%00", "' OR 1=1 --"])
def test_odd_keys(gw, upstream, key):
    script_job(upstream, "done")
    client = gw.client()
    answer = client.start("job", key=key)
    if "${" in key:
        check_problem(answer, 422)
        return
    assert answer.status in (200, 202), answer
    assert client.started("job", key=key)["id"] == answer.json()["id"]
    assert client.cancel_key("job", key).status in (200, 202)


def test_key_that_is_too_long(gw, upstream):
    check_problem(gw.client().start("job", key="a" * 10_000), 422)
    assert upstream.count() == 0


def test_fifty_starts_with_one_key_at_once(gw, upstream):
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "done")
    upstream.on("POST", "/jobs", gate)
    clients = [gw.client() for _ in range(50)]
    calls = Background(*[lambda client=client: client.start("job", {"n": 9}, key="storm") for client in clients])
    answers = calls.results()
    assert {answer.status for answer in answers} <= {200, 202}, answers
    assert len({answer.json()["id"] for answer in answers}) == 1
    gate.open()
    assert gw.client().wait_end(answers[0].json()["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1
    assert len(gw.client().get("/runs").json()["runs"]) == 1


def test_key_survives_a_restart(gw, upstream):
    script_job(upstream, "running")
    first = gw.client().started("job", {"n": 3}, key="k1")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.restart()
    assert gw.client().started("job", {"n": 3}, key="k1")["id"] == first["id"]
    check_problem(gw.client().start("job", {"n": 4}, key="k1"), 409)
    assert upstream.count("POST", "/jobs") == 1


# ---- cancel by key ----


def test_cancel_by_key_while_it_runs(gw, upstream):
    Jobs(upstream, hold=True)
    client = gw.client()
    report = client.started("job", {"n": 1}, key="k1")
    upstream.wait_for(1, "GET", "/jobs/1")
    answer = client.cancel_key("job", "k1")
    assert answer.status in (200, 202) and check_report(answer.json())["id"] == report["id"]
    assert client.wait_end(report["id"])["status"] == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1


def test_cancel_before_create(gw, upstream):
    script_job(upstream, "done")
    client = gw.client()
    answer = client.cancel_key("job", "early")
    assert answer.status == 200 and isinstance(answer.json(), dict), answer
    assert isinstance(answer.json()["status"], str) and isinstance(answer.json()["progress"], str)
    late = client.start("job", key="early")
    assert late.status == 200 and check_report(late.json())["status"] == "CANCELED", late
    assert upstream.count() == 0, "nobody was called"


def test_cancel_after_the_end_and_twice(gw, upstream):
    script_job(upstream, "done")
    client = gw.client()
    ended = client.run("job", key="k1")
    for _ in range(2):
        answer = client.cancel_key("job", "k1")
        assert answer.status == 200 and check_report(answer.json())["status"] == "SUCCEEDED"
        answer = client.cancel(ended["id"])
        assert answer.status == 200 and answer.json()["status"] == "SUCCEEDED"
        answer = client.request("DELETE", f"/runs/{ended['id']}")
        assert answer.status == 200 and answer.json()["status"] == "SUCCEEDED"
    assert upstream.count("DELETE") == 0


def test_cancel_with_a_key_that_orca_could_not_evaluate(gw, upstream):
    """A create that failed leaves `${…}` in the cancel payload; an error would hide the true one from the user."""
    client = gw.client()
    for key in ("${execution['id']}:${#currentStage().id}", "${"):
        answer = client.cancel_key("job", key)
        assert answer.status == 200 and isinstance(answer.json(), dict), answer
        assert "${" not in answer.text
    assert upstream.count() == 0


def test_cancel_by_key_with_odd_bodies(gw):
    client = gw.client()
    check_problem(client.request("POST", "/stages/job/cancel", b"{", {"Content-Type": "application/json"}), 400)
    answer = client.request("POST", "/stages/job/cancel", b'{"key": "k"}', {"Content-Type": "text/plain;charset=ISO-8859-1"})
    assert answer.status == 200, answer
    answer = client.request("POST", "/stages/job/cancel", {}, {"Idempotency-Key": "k"})
    assert answer.status == 200, answer
    check_problem(client.request("POST", "/stages/none/cancel", {"key": "k"}), 404)


def test_starts_and_cancels_in_any_order(gw, upstream):
    """Whatever overtakes what: each key has one run at most one POST, and all of them end."""
    jobs = Jobs(upstream, polls=1)
    dice = random.Random(7)
    calls = []
    for n in range(40):
        key, client = f"k{n % 10}", gw.client()
        if dice.random() < 0.3:
            calls.append(lambda client=client, key=key: client.cancel_key("job", key))
        else:
            calls.append(lambda client=client, key=key, n=n: client.start("job", {"n": n % 10}, key=key))
    answers = Background(*calls).results()
    assert all(answer.status in (200, 202) for answer in answers), answers
    client = gw.client()
    for run in client.get("/runs?limit=100").json()["runs"]:
        check_report(run)
        assert client.wait_end(run["id"])["status"] in ("SUCCEEDED", "CANCELED")
    assert all(count == 1 for count in jobs.posts.values()), jobs.posts
