"""Paths: JSONPath beside python3-jsonpath-rw, the one for Python in Debian 12."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

from figures import ROUNDS, shown, spread
from rig import HOME, MEASURED, Unmeasured

TURN_S = 0.25


def jobs_document(count):
    """A reply such as a CI server gives: 100 bytes a job."""
    jobs = [{"id": i, "name": f"build-{i:05}", "state": "done" if i % 3 else "failed", "ms": i * 7 % 1000,
             "links": {"self": f"/api/jobs/{i:05}"}} for i in range(count)]
    return {"jobs": jobs, "state": "done", "summary": {"verdict": {"state": "passed", "p99": 12.5}}}


def path_ours(path, file):
    done = subprocess.run(["taskset", "-c", str(MEASURED), HOME / "build/bench/bench_jsonpath", path, file, str(TURN_S)],
                          capture_output=True, text=True)
    if done.returncode:
        raise Unmeasured(f"bench_jsonpath: {done.stderr}")
    head, _, found = done.stdout.partition("\n")
    got = json.loads(head)
    return got["seconds"] / got["finds"] * 1e6, json.loads(found)


def path_rival(path, document):
    from jsonpath_rw import parse
    compiled = parse(path)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < TURN_S:
        for _ in range(10):
            found = compiled.find(document)
        count += 10
    return (time.perf_counter() - began) / count * 1e6, [one.value for one in found]


def bench_jsonpath(say, results):
    """Filters have no rival: python3-jsonpath-rw, the one JSONPath for Python in Debian 12, knows none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "document.json"
        small = jobs_document(114)
        file.write_text(json.dumps(small, separators=(",", ":")))
        for path in ("$.summary.verdict.state", "$.jobs[*].name", "$..self"):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(path_rival(path, small))
                ours.append(path_ours(path, file))
            if sorted(ours[0][1]) != sorted(theirs[0][1]):
                raise Unmeasured(f"{path}: the two do not find the same")
            results[path] = {"bytes": file.stat().st_size, "us": spread([us for us, _ in ours]),
                             "ratio": spread([b[0] / a[0] for a, b in zip(ours, theirs)])}
            say(f"{path} in {file.stat().st_size / 1024:.1f} KiB, us", shown(results[path]["us"], "{:.2f}"))
            say("    times python3-jsonpath-rw", shown(results[path]["ratio"], "{:,.0f}"))
        path = "$.jobs[?@.state == 'failed' && match(@.name, 'build-0*[1-9][0-9]*')].id"
        for count in (100, 1000, 10000, 29000):
            file.write_text(json.dumps(jobs_document(count), separators=(",", ":")))
            each = [path_ours(path, file)[0] * 1000 / count for _ in range(ROUNDS)]
            results[f"filter {count}"] = {"ns_an_element": spread(each)}
            say(f"a filter with match(), {count:,} elements: ns an element", shown(spread(each), "{:.0f}"))
