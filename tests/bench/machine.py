"""What was measured on, and who else was there."""

import os
import platform
import re
import resource
import subprocess
import time
from pathlib import Path

from rig import STAGEDOOR, TICKS

VERSIONS = {"stagedoor": [STAGEDOOR, "version"], "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "node": ["node", "--version"],
            "wrk": ["wrk", "-v"], "sqlite": ["sqlite3", "--version"], "postgresql": ["/usr/lib/postgresql/15/bin/postgres", "--version"]}


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def about():
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.M)
    return {"cpu": cpu[1] if cpu else platform.machine(), "cores": os.cpu_count(), "system": system[1] if system else platform.system(),
            "kernel": platform.release(), "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            "versions": {name: first_line(command) for name, command in VERSIONS.items()}}


def worked_s():
    """By all cores for whomever, with what other machines took of them; and by us and our children that have ended."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    ours = sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return (user + nice + system + irq + softirq + steal) / TICKS, ours


class Watch:
    """How long a part took, and how much of the machine was not ours."""

    def __init__(self):
        self.began, self.worked = time.monotonic(), worked_s()

    def read(self):
        seconds = time.monotonic() - self.began
        everybody, ours = (now - before for now, before in zip(worked_s(), self.worked))
        return {"seconds": seconds, "others": max(everybody - ours, 0) / max(seconds * os.cpu_count(), 0.01), "load": os.getloadavg()[0]}
