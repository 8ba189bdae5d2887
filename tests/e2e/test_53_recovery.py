"""A start with tens of thousands of runs in the store: it answers from the first moment on, also about runs that have not been
read yet, and what depends on them waits for them.

The runs are copies of real ones, put into the store while nobody has it open, older than those that a test asks about:
so these are the last to come back."""

import random
import re
import sqlite3

from helpers.client import check_problem
from helpers.gateway import Background
from helpers.jobs import Jobs, job_stage
from helpers.load import Load
from helpers.succession import Supervised, become_subreaper, hand_over
from helpers.upstream import reply
from helpers.wait import wait_until
from test_47_callbacks import Caller, waiting_stage, waits

COPIES = 40_000
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def old_stage(upstream):
    """Of the copies: it is polled, and never ends."""
    running = reply(200, {"state": "running"})
    upstream.on("POST", "/old", reply(201, {"links": {"self": f"{upstream.url}/old/1"}}))
    upstream.on("GET", "/old/1", running)
    return job_stage(upstream.url, name="old", request={"url": f"{upstream.url}/old"}, status={"every": "1h", "timeout": "20h"})


def start_old(gw, upstream):
    """The one that is copied; durably polled, so that no copy is in doubt."""
    report = gw.client().started("old")
    upstream.wait_for(1, "GET", "/old/1")
    return report["id"]


def multiply(gw, id, count=COPIES):
    """While the gateway is dead."""
    chance = random.Random(7)
    with sqlite3.connect(gw.store_file) as store:
        columns = "stage, in_group, updated_ms, ended_ms, body"
        created, *rest, body = store.execute(f"SELECT created_ms, {columns} FROM runs WHERE id = ?", (id,)).fetchone()
        began = re.search(rb'"step_began":(\d+)', body).group(1)  # long ago, or all would be polled at once
        body = body.replace(began, b"%d" % (int(began) - 3 * 3600 * 1000))
        store.executemany(
            f"INSERT INTO runs (seq, id, created_ms, {columns}) VALUES (?1 << 20 | ?2, ?3, ?1, ?, ?, ?, ?, ?)",
            [(created - 100_000 + i // 10, i % 10, id[:10] + "".join(chance.choices(LETTERS, k=16)), *rest, body) for i in range(count)],
        )
    store.close()


def launched(gw):
    """It answers, and has not read all runs yet; a client of it."""
    gw.launch()
    client = gw.client()

    def answers():
        assert gw.process.poll() is None, gw.log_text()[-3000:]
        try:
            return client.get("/health").status == 200
        except OSError:
            return False

    wait_until(answers, "an answer", 20)
    return client


def is_loading(client):
    answer = client.get("/ready")
    if answer.status == 503:
        assert "still being read" in check_problem(answer, 503)["detail"]
    return answer.status == 503


def wait_loaded(gw, runs):
    client = gw.client()
    wait_until(lambda: client.get("/ready").status == 200, "all runs to come back", 60)
    assert [line["runs"] for line in gw.log(event="runs_resumed")][-1:] == [str(runs)]
    return client


def test_questions_while_runs_come_back(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    upstream.on("POST", "/ask", reply(202, {"id": 7}))
    gw = gateway(
        stages={"job": job_stage(upstream.url), "old": old_stage(upstream), "wait": waiting_stage(upstream.url)},
        options={"loops": 2},
    )
    client, caller = gw.client(), Caller(gw, upstream)
    old = start_old(gw, upstream)
    looked, stopped, keyed = (client.started("job", {"n": n}, key=f"k{n}")["id"] for n in range(3))
    by_key = client.started("job", {"n": 3}, key="k3")["id"]
    called = client.started("wait")["id"]
    waits(client, called)
    for n in range(4):
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    gw.kill9()
    multiply(gw, old)

    client = launched(gw)
    fresh, new_key = client.started("job", {"n": 10}), client.started("job", {"n": 11}, key="new")
    assert client.get(f"/runs/{fresh['id'][:10]}{'0' * 16}").status == 404
    assert is_loading(client), "what depends on nothing is answered at once"
    with_others = lambda: gw.client().start("job", {"n": 5}, key="k2").status
    calls = Background(
        lambda: gw.client().report(looked)["status"],
        lambda: gw.client().get(f"/runs/{looked}/explain").json()["id"],
        lambda: gw.client().cancel(stopped).status,
        lambda: gw.client().started("job", {"n": 2}, key="k2")["id"],
        lambda: gw.client().cancel_key("job", "k3").json()["id"],
        lambda: caller.call({"state": "done", "v": 11}, client=gw.client()).status,
        with_others,
    )
    assert calls.results() == ["RUNNING", looked, 202, keyed, by_key, 200, 409]

    client = wait_loaded(gw, COPIES + 6)
    assert client.wait_end(called)["outputs"] == {"v": 11}
    for id in (stopped, by_key):
        assert client.wait_end(id)["status"] == "CANCELED"
    jobs.hold = False
    for id in (looked, keyed, fresh["id"], new_key["id"]):
        assert client.wait_end(id)["status"] == "SUCCEEDED"
    assert set(jobs.posts.values()) == {1}, "nothing was called twice"


def test_limits_and_their_order(gateway, upstream):
    """Nobody goes before all are back, and then those first that came first; a start meanwhile is behind them."""
    jobs = Jobs(upstream, hold=True)
    stages = {
        "job": job_stage(upstream.url, limits={"concurrency": 1}),
        "same": job_stage(upstream.url, name="same", dedup={"key": "{{ parameters.n }}", "on_duplicate": "attach"}),
        "old": old_stage(upstream),
    }
    gw = gateway(stages=stages, options={"loops": 3})
    client = gw.client()
    old = start_old(gw, upstream)
    waiting = [client.started("job", {"n": n})["id"] for n in range(8)]
    same = client.started("same", {"n": 100})["id"]
    upstream.wait_for(2, "POST", "/jobs")
    upstream.wait_for(1, "GET", "/jobs/0")
    upstream.wait_for(1, "GET", "/jobs/100")
    gw.kill9()
    multiply(gw, old)

    client = launched(gw)
    assert is_loading(client)
    calls = Background(
        lambda: gw.client().started("job", {"n": 8})["id"],
        lambda: gw.client().started("same", {"n": 100})["id"],
        lambda: gw.client().started("same", {"n": 101})["id"],
    )
    later, attached, other = calls.results()
    assert attached == same and other != same
    client = wait_loaded(gw, COPIES + 10)
    wait_until(lambda: 101 in jobs.posts, "the call of what is not the same")
    assert set(jobs.posts) == {0, 100, 101}, "one at a time, over the restart"
    wait_until(lambda: client.report(later)["progress"].startswith("queued: 8th of 8"), "its place in the queue")
    jobs.hold = False
    for id in [*waiting, later, same, other]:
        assert client.wait_end(id)["status"] == "SUCCEEDED"
    assert [n for n in jobs.posts if n < 100] == list(range(9))
    assert set(jobs.posts.values()) == {1}


def test_load_over_a_crash(tmp_path, upstream):
    """The supervisor holds the socket: nobody is refused, nothing is lost, and no run is said not to be there."""
    jobs = Jobs(upstream, hold=True)
    upstream.keep_requests = False
    gw = Supervised(tmp_path / "gateway", stages={"job": job_stage(upstream.url), "old": old_stage(upstream)}, options={"loops": 2})
    try:
        gw.start()
        gw.client().started("old")
        wait_until(lambda: upstream.count("GET", "/old/1") == 1, "its poll")
        load = Load(gw.port, rate=200, again=True)
        wait_until(lambda: len(jobs.posts) > 50, "some load")
        gw.kill9()
        with sqlite3.connect(gw.store_file) as store:
            (old,) = store.execute("SELECT id FROM runs WHERE stage = 'old'").fetchone()
        store.close()
        multiply(gw, old)
        client = launched(gw)
        assert is_loading(client)
        wait_until(lambda: client.get("/ready").status == 200, "all runs to come back", 60)
        result = load.stop()
        unlike = set(result["lost"]) - {"ConnectionResetError", "IncompleteReadError"}
        assert not unlike, f"only what was under way when it was killed may be asked again: {result['lost']}"
        assert len(set(result["acknowledged"].values())) == len(result["acknowledged"]) > 50
        jobs.hold = False
        for id in result["acknowledged"].values():
            assert client.wait_end(id)["status"] in ("SUCCEEDED", "TERMINAL")  # TERMINAL: its POST was under way
        assert set(jobs.posts.values()) == {1}, "nothing was called twice"
    finally:
        gw.close()


def test_stopped_while_runs_come_back(gateway, upstream):
    """SIGTERM and kill -9, again and again: it ends at once, nobody is told anything wrong, and all is there in the end."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url), "old": old_stage(upstream)}, options={"loops": 2})
    old = start_old(gw, upstream)
    last = gw.client().started("job", {"n": 0}, key="k")["id"]
    upstream.wait_for(1, "GET", "/jobs/0")
    gw.kill9()
    multiply(gw, old)
    for end in (gw.stop, gw.kill9, gw.stop):
        assert is_loading(launched(gw))
        calls = Background(lambda: gw.client().get(f"/runs/{last}").status, lambda: gw.client().start("job", key="k").status)
        end()
        for outcome in calls.outcomes():
            assert outcome in (200, 202, 409, 503) or isinstance(outcome, OSError), outcome
    launched(gw)
    client = wait_loaded(gw, COPIES + 2)
    jobs.hold = False
    assert client.wait_end(last)["status"] == "SUCCEEDED"
    assert jobs.posts == {0: 1}


def test_upgrade_while_runs_come_back(gateway, upstream):
    """The hand-over waits until all are there."""
    become_subreaper()
    jobs = Jobs(upstream, hold=True)
    gw = gateway(started=False, stages={"job": job_stage(upstream.url), "old": old_stage(upstream)})
    gw.options["pid_file"] = gw.directory / "pid"
    gw.start()
    old = start_old(gw, upstream)
    last = gw.client().started("job", {"n": 0}, key="k")["id"]
    upstream.wait_for(1, "GET", "/jobs/0")
    gw.kill9()
    multiply(gw, old, COPIES // 4)
    launched(gw)
    hand_over(gw)
    client = wait_loaded(gw, COPIES // 4 + 2)
    jobs.hold = False
    assert client.wait_end(last)["status"] == "SUCCEEDED"
    assert jobs.posts == {0: 1}
