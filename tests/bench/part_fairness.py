"""Fairness: what a small stage's callers wait for, while another stage, or another upstream, has very much to do."""

import json
import os

from figures import ROUNDS, SECONDS, shown, spread
from part_flight import start_many
from peers import LUA_MODULES
from rig import ANSWERS, Rig, request, said_by, start_body

RUNS = int(os.environ.get("FAIR_RUNS", "50000"))
HUGE_BYTES = 10 << 20
LATE_S = 2

MORE = """
location /late { content_by_lua_block {
    ngx.req.read_body(); ngx.sleep(%d); ngx.print('{"id": 4711, "state": "done"}') } }
location /huge { error_page 405 =200 $uri; root {dir}; }
""" % LATE_S
# What is begun beside the small stage's calls.
BESIDE = {
    "1,000 calls that wait for a slow upstream": {"path": "/stages/late", "rate": 1000 // LATE_S},
    "a reply of 10 MiB, every second": {"path": "/stages/huge", "rate": 1},
}


def write_huge(path):
    items = [{"name": f"item {n}", "size": n, "tags": ["one", "two"], "text": "x" * 320} for n in range(24000)]
    body = json.dumps({"id": 4711, "items": items, "state": "done"})
    path.write_text(body + " " * (HUGE_BYTES - len(body)))


def call_small(rig):
    """A hundred calls a second, each answered once the upstream has answered; ms."""
    got = rig.load(path="/stages/fire", body=start_body(), prefer="wait=10", rate=100, connections=64, seconds=SECONDS)
    if got["codes"] != {"200": got["sent"]}:
        raise SystemExit(f"the small stage's calls were answered {got}")
    return got["starts"]["p99_us"] / 1000


def call_beside(rig, plan):
    busy = rig.begin_load(body="{}", connections=2000, seconds=SECONDS + LATE_S, **plan)
    rig.load(path="/health", method="GET", rate=1, seconds=LATE_S)  # until as many are under way as there will be
    p99_ms = call_small(rig)
    said_by(busy)
    rig.drain()
    return p99_ms


def bench_fairness(say):
    alone, beside = [], {name: [] for name in BESIDE}
    flight = f"{RUNS:,} runs in flight, polled every 10 s"
    with Rig(ANSWERS + MORE, LUA_MODULES) as rig:
        write_huge(rig.dir / "huge")
        rig.start_gateway()
        for _ in range(ROUNDS):
            for name, plan in BESIDE.items():
                alone.append(call_small(rig))
                beside[name].append(call_beside(rig, plan))
        start_many(rig, RUNS)
        request(rig.port, "GET", "/health")
        beside[flight] = [call_small(rig) for _ in range(ROUNDS)]
        stalls = rig.metric("loop_stalls_total")
    results = {"alone": spread(alone), "stalls": stalls}
    say("a small stage's call, 100 a second: 99 % answered within, ms", shown(results["alone"], "{:.1f}"))
    for name, taken in beside.items():
        results[name] = spread(taken)
        say(f"    beside {name}", shown(results[name], "{:.1f}"))
    results["more_ms"] = max(results[name]["median"] for name in beside) - results["alone"]["median"]
    say("    times a loop stood still for more than 50 ms", f"{stalls:.0f}")
    return results
