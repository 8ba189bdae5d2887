"""The wall clock is set while runs are under way, by tests/faults/clock.c before the C library."""

import os
import struct
import subprocess
import time

import pytest
from helpers.gateway import ROOT
from helpers.jobs import Jobs, job_stage
from helpers.wait import wait_until

pytestmark = pytest.mark.no_asan  # whose runtime has to come first


class Clock:
    def __init__(self, directory):
        self.library, self.orders = directory / "clock.so", directory / "clock"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", self.library,
             ROOT / "tests/faults/clock.c"],
            check=True,
        )  # fmt: skip
        self.orders.write_bytes(bytes(8))

    def jump(self, seconds):
        with open(self.orders, "r+b") as file:
            os.pwrite(file.fileno(), struct.pack("=q", seconds), 0)

    @property
    def env(self):
        return {"LD_PRELOAD": str(self.library), "JUMPING_CLOCK": str(self.orders)}


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


@pytest.mark.parametrize("seconds", [7200, -7200])
def test_polls_go_on(gateway, upstream, clock, seconds):
    jobs = Jobs(upstream, hold=True)
    stage = job_stage(upstream.url, status={"timeout": "1d"})
    client = gateway(stages={"job": stage}, options={"loops": 2}, env=clock.env).client()
    reports = [client.started("job", {"n": n}) for n in range(4)]
    for n in range(4):
        upstream.wait_for(1, "GET", f"/jobs/{n}")
    clock.jump(seconds)
    seen = dict(jobs.gets)
    wait_until(lambda: all(jobs.gets[n] > seen[n] + 3 for n in range(4)), "polls of all")
    late = client.started("job", {"n": 9})
    jobs.hold = False
    for report in [*reports, late]:
        assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert set(jobs.posts.values()) == {1}


def test_a_run_that_is_read_is_no_orphan(gateway, upstream, clock):
    """However far the clock jumps between a look and the next."""
    Jobs(upstream, hold=True)
    stage = job_stage(upstream.url, status={"timeout": "1d"}, orphan_after="4s")
    client = gateway(stages={"job": stage}, env=clock.env).client()
    began = time.monotonic()
    report = client.started("job")
    wait_until(lambda: time.monotonic() - began > 2.5, "some time")
    client.report(report["id"])
    clock.jump(7200)
    wait_until(lambda: time.monotonic() - began > 4.5, "the time at which it would be one")
    assert client.report(report["id"])["status"] == "RUNNING"
    assert upstream.count("DELETE") == 0
