"""A real process under load, killed at random moments, and on disks that fail: no acknowledged run is lost, no call that may
not be repeated is made twice, and it recovers without help.

CRASHES says how often it is killed (`make crash` says 500)."""

import errno
import itertools
import os
import random
import subprocess
import threading
import time

import pytest
from helpers.disk import Disk
from helpers.jobs import Jobs, job_stage
from helpers.load import Load
from helpers.succession import Supervised
from helpers.wait import wait_until

pytestmark = pytest.mark.no_asan
CRASHES = int(os.environ.get("CRASHES", "40"))
RATE = 200


@pytest.fixture
def jobs(upstream):
    upstream.keep_requests = False
    return Jobs(upstream, polls=1)


def all_runs(client):
    """id: report of every run that the gateway knows of."""
    runs, cursor = {}, ""
    while cursor is not None:
        page = client.get(f"/runs?limit=1000{cursor and '&cursor=' + cursor}").json()
        runs |= {one["id"]: one for one in page["runs"]}
        cursor = page["cursor"]
    return runs


def check_ends(client, jobs, result, timeout=120):
    """Waits for every run's end; how they ended."""
    in_flight = ("stagedoor_runs_in_flight", frozenset())
    wait_until(lambda: client.metrics().get(in_flight) == 0, lambda: f"all ends: {client.metrics()}", timeout, every=0.2)
    runs = all_runs(client)
    lost = set(result["acknowledged"].values()) - set(runs)
    assert not lost, f"{len(lost)} acknowledged runs are gone: {sorted(lost)[:5]}"
    assert len(set(result["acknowledged"].values())) == len(result["acknowledged"]), "each key has a run of its own"
    twice = {n: count for n, count in jobs.posts.items() if count != 1}
    assert not twice, f"called more than once: {twice}"
    ends = {}
    for key, id in result["acknowledged"].items():
        report, n = runs[id], int(key.rsplit("-", 1)[1])
        if report["status"] == "SUCCEEDED":
            assert report["outputs"] == {"result": n} and jobs.posts[n] == 1, report
        else:
            assert (report["status"], report["reason"]) == ("TERMINAL", "in_doubt"), report
        ends[report["status"]] = ends.get(report["status"], 0) + 1
    return ends


def test_kills_at_random_moments(tmp_path, upstream, jobs):
    seed = random.randrange(1 << 30)
    dice, rest = random.Random(seed), threading.Event()
    gw = Supervised(tmp_path / "gateway", stages={"job": job_stage(upstream.url, status={"every": "50ms"})})
    gw.options["log_level"] = "warn"
    gw.start()
    load = Load(gw.port, rate=RATE, starts=1, again=True)
    early = 0
    for number in range(CRASHES):
        # Every fourth one may come while it reads what the one before left behind; the others find it at work.
        if number % 4:
            wait_until(gw._is_ready, "it to recover", 60)
        rest.wait(dice.random() * 0.3)
        early += "event=started" not in gw.log_text()
        gw.kill9()
        gw.launch()
    wait_until(gw._is_ready, "it to recover", 60)
    result = load.stop()
    try:
        ends = check_ends(gw.client(), jobs, result)
        print(
            f"\nseed {seed}: {CRASHES} × kill -9 in {result['seconds']:.0f} s; {len(result['acknowledged'])} runs acknowledged"
            f" ({len(result['acknowledged']) / result['seconds']:.0f}/s), {ends}, lost answers {result['lost']}"
        )
        assert result["sent"] == len(result["acknowledged"]) >= CRASHES
        assert "ConnectionRefusedError" not in result["lost"], "the socket is held"
        # What was being sent when it was killed is in doubt; of 200 a second that is a part of each burst.
        assert ends["SUCCEEDED"] > 0.25 * len(result["acknowledged"]), ends
    finally:
        gw.close()


# ---- disks that fail ----


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


probes = itertools.count(10**6)


def refused_for_want_of_a_disk(client):
    answer = client.start("job", {"n": next(probes)})
    return answer.status == 503 and answer.header("Retry-After") and client.get("/ready").status == 503


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_disk_that_fails_altogether(gateway, upstream, jobs, disk, number):
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "50ms"})}, env=disk.env)
    load = Load(gw.port, rate=50, starts=1, again=True)
    client = gw.client()
    jobs.hold = True
    wait_until(lambda: len(jobs.posts) > 20, "some runs")
    disk.fail(number, 100)
    wait_until(lambda: refused_for_want_of_a_disk(client), "starts to be refused")
    assert client.get("/health").status == 200
    posts = dict(jobs.posts)
    jobs.hold = False
    for _ in range(5):  # while it cannot commit nothing begins
        assert client.start("job", {"n": next(probes)}).status == 503
    assert jobs.posts == posts
    disk.fail(0, 0)
    wait_until(lambda: client.get("/ready").status == 200, "it to recover by itself", 20)
    seen = len(jobs.posts)
    wait_until(lambda: len(jobs.posts) > seen + 20, "runs to begin again")
    result = load.stop()
    ends = check_ends(client, jobs, result)
    assert ends == {"SUCCEEDED": len(result["acknowledged"])}, "nothing is in doubt, since nothing was killed"


def test_disk_that_fails_does_not_stop_what_needs_none(gateway, upstream, jobs, disk):
    """A stage with durable = false goes on. At the end nothing can be saved, and the log says how much that was."""
    gw = gateway(
        stages={"job": job_stage(upstream.url), "quick": job_stage(upstream.url, "quick", durable=False)},
        env=disk.env,
        options={"drain_timeout": "1s"},
    )
    client = gw.client()
    client.run("job", {"n": 1})
    disk.fail(errno.ENOSPC, 100)
    wait_until(lambda: refused_for_want_of_a_disk(client), "starts to be refused")
    for n in range(10, 20):
        assert client.run("quick", {"n": n}, key=str(n))["status"] == "SUCCEEDED"
    assert client.start("quick", {"n": 10}, key="10").status == 200
    jobs.hold = True
    for n in range(20, 23):
        client.started("quick", {"n": n})
    upstream.wait_for(1, "GET", "/jobs/22")
    gw.stop()
    assert sum(int(line["runs"]) for line in gw.log(event="runs_lost")) == 10 + 3
    assert {n: count for n, count in jobs.posts.items() if 10 <= n < 23} == {n: 1 for n in range(10, 23)}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_disk_that_fails_now_and_then_and_kills(gateway, upstream, jobs, disk, number):
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "50ms"})}, env=disk.env)
    load = Load(gw.port, rate=100, starts=1, again=True)
    rest = threading.Event()
    for round_ in range(4):
        disk.fail(number, 30)
        rest.wait(0.7)
        if round_ % 2:
            gw.kill9()  # in the middle of it
            disk.fail(0, 0)
            gw.start()
        disk.fail(0, 0)
        client = gw.client()
        wait_until(lambda client=client: client.get("/ready").status == 200, "it to recover by itself", 20)
        seen = len(jobs.posts)
        wait_until(lambda seen=seen: len(jobs.posts) > seen + 20, "runs to begin again", 20)
    result = load.stop()
    ends = check_ends(gw.client(), jobs, result)
    print(f"{ends}, lost answers {result['lost']}, faults logged {len(gw.log(event='record_not_written'))}")
    assert result["lost"].get("503", 0) > 0, result["lost"]


@pytest.fixture
def small(tmp_path):
    """A real file system: small(8) has 8 MiB, and so it has when called again."""
    where, options = tmp_path / "small", []

    def make(mebibytes):
        size = ",".join([*options, f"size={mebibytes}m"])
        where.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", where], capture_output=True, text=True)
        if done.returncode:
            why = done.stderr.strip()
            pytest.skip(f"NO FILE SYSTEM CAN BE MOUNTED HERE, so no disk is really full, only said to be: mount answers {why}")
        options[:] = ["remount"]
        return where

    yield make
    if options:
        subprocess.run(["umount", "--lazy", where], check=True)


def test_small_file_system_that_is_full(gateway, upstream, jobs, small):
    """Filled up by somebody else, and cleared again."""
    where = small(64)
    gw = gateway(
        stages={"job": job_stage(upstream.url, status={"every": "50ms"})},
        options={"store": f"sqlite:{where}/stagedoor.db"},
    )
    load = Load(gw.port, rate=50, starts=1, again=True)
    client = gw.client()
    wait_until(lambda: len(jobs.posts) > 20, "some runs")
    with open(where / "filler", "wb", buffering=0) as filler:
        began = time.monotonic()
        while not refused_for_want_of_a_disk(client):
            assert time.monotonic() - began < 60, "it does not notice that the disk is full"
            try:
                filler.write(b"x" * (1 << 20))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    (where / "filler").unlink()
    wait_until(lambda: client.get("/ready").status == 200, "it to recover by itself", 20)
    seen = len(jobs.posts)
    wait_until(lambda: len(jobs.posts) > seen + 20, "runs to begin again")
    result = load.stop()
    ends = check_ends(client, jobs, result)
    assert ends == {"SUCCEEDED": len(result["acknowledged"])}
    gw.stop()


def test_file_system_that_runs_fill_up(gateway, upstream, jobs, small):
    """Nothing but the gateway is on it: its log must not take the room of what was accepted, and those that it took go on
    and end, whether new ones are taken or not."""
    where = small(8)
    gw = gateway(
        stages={"job": job_stage(upstream.url, status={"every": "500ms", "timeout": "10m"})},
        options={"store": f"sqlite:{where}/stagedoor.db"},
    )
    client, taken = gw.client(), []

    def refused_within(count):
        """Starts as many; the number of the one that is refused."""
        for n in range(len(taken), len(taken) + count):
            answer = client.start("job", {"n": n, "text": "x" * 2000})
            if answer.status == 503:
                return n
            assert answer.status == 202, answer
            taken.append(answer.json()["id"])
        assert len(taken) < 5000, "it does not notice that the disk is full"
        return None

    jobs.hold = True
    while not taken or not refused_for_want_of_a_disk(client):
        refused_within(20)
    assert len(taken) * 2000 > 1 << 20, f"{len(taken)} runs fill 8 MiB"
    gets = dict(jobs.gets)
    wait_until(lambda: all(jobs.gets.get(n, 0) > gets.get(n, 0) for n in range(len(taken))), "all to be polled", 60)
    jobs.hold = False
    in_flight = ("stagedoor_runs_in_flight", frozenset())
    refused = None
    while refused is None:  # ends give a little room back
        wait_until(lambda: client.metrics().get(in_flight) == 0, lambda: f"all ends: {client.metrics()}", 60, every=0.2)
        refused = refused_within(20)
    wait_until(lambda: client.metrics().get(in_flight) == 0, lambda: f"all ends: {client.metrics()}", 60, every=0.2)
    gw.restart()  # killed: what ended is on disk
    client = gw.client()
    runs = all_runs(client)
    assert {runs[id]["status"] for id in taken} == {"SUCCEEDED"}
    assert {jobs.posts[n] for n in range(len(taken))} == {1}
    small(16)
    last = next(probes)
    wait_until(lambda: client.start("job", {"n": last}).status == 202, "it to recover by itself", 20)
    wait_until(lambda: jobs.posts.get(last) == 1, "its run to begin")
    assert refused not in jobs.posts, "a start that was refused"
    gw.stop()
