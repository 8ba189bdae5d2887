"""Fairness: what a small stage's callers wait for, while another stage, or another upstream, has very much to do.

Beside it, at the same time, on the same core and as often, nginx with Lua does the same work: what its callers wait for longer is the machine's."""

import json
import os
import statistics

from figures import ROUNDS, SECONDS, shown, spread
from part_flight import start_many
from peers import LUA_MODULES, start_nginx_lua
from rig import ANSWERS, Rig, Unmeasured, request, said_by, start_body

RUNS = int(os.environ.get("FAIR_RUNS", "50000"))
RUNS_WITHIN_S = 30
PROBES = 200  # a second, of each
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
    """Calls at a rate, each answered once the upstream has answered; ms, of ours and of nginx."""
    plan = {"path": "/stages/fire", "body": start_body(), "rate": PROBES, "connections": 64, "seconds": SECONDS}
    loads = {"ours": rig.begin_load(prefer="wait=10", **plan), "nginx": rig.begin_load(**plan | {"port": rig.rival_port})}
    got = {name: said_by(load) for name, load in loads.items()}
    for name, said in got.items():
        if said["codes"] != {"200": said["sent"]}:
            raise Unmeasured(f"the small stage's calls were answered {said['codes']} by {name}, first {said['odd']}, {said['lost']} were lost")
    return {name: said["starts"]["p99_us"] / 1000 for name, said in got.items()}


def call_beside(rig, plan):
    busy = rig.begin_load(body="{}", connections=2000, seconds=SECONDS + LATE_S, **plan)
    rig.load(path="/health", method="GET", rate=1, seconds=LATE_S)  # until as many are under way as there will be
    taken = call_small(rig)
    said_by(busy)
    rig.drain()
    return taken


def compared(alone, beside):
    """Turn by turn: `alone` was measured just before."""
    figures = {name: spread([one[name] for one in beside]) for name in ("ours", "nginx")}
    for name in ("ours", "nginx"):
        figures[f"{name}_more_ms"] = spread([one[name] - before[name] for one, before in zip(beside, alone)])
    return figures | {"ratio": spread([one["ours"] / one["nginx"] for one in beside])}


def tell(say, what, figures):
    say(f"    {what}", shown(figures["ours"], "{:.1f}"))
    say("        more than alone", shown(figures["ours_more_ms"], "{:.1f}"))
    say("        nginx with Lua at the same time: more than alone", shown(figures["nginx_more_ms"], "{:.1f}"))
    say("        times nginx with Lua", shown(figures["ratio"], "{:.1f} ×"))


def bench_fairness(say, results):
    results["beside"] = {}
    with Rig(ANSWERS + MORE, LUA_MODULES) as rig:
        write_huge(rig.dir / "huge")
        rig.rival_port, _ = start_nginx_lua(rig)
        rig.start_gateway()
        alone = [call_small(rig) for _ in range(ROUNDS)]
        results["alone"] = {name: spread([one[name] for one in alone]) for name in ("ours", "nginx")}
        results["alone"]["ratio"] = spread([one["ours"] / one["nginx"] for one in alone])
        say(f"a small stage's call, {PROBES} a second: 99 % answered within, ms", shown(results["alone"]["ours"], "{:.1f}"))
        say("    times nginx with Lua", shown(results["alone"]["ratio"], "{:.1f} ×"))
        for name, plan in BESIDE.items():
            turns = [(call_small(rig), call_beside(rig, plan)) for _ in range(ROUNDS)]
            results["beside"][name] = compared(*zip(*turns))
            tell(say, f"beside {name}", results["beside"][name])
        calm = {name: statistics.median(one[name] for one in alone) for name in ("ours", "nginx")}
        results["runs"], _ = start_many(rig, RUNS, within_s=RUNS_WITHIN_S)
        request(rig.port, "GET", "/health")
        name = f"{results['runs']:,} runs in flight, polled every 10 s"
        results["beside"][name] = compared([calm] * ROUNDS, [call_small(rig) for _ in range(ROUNDS)])
        tell(say, f"beside {name}", results["beside"][name])
        results["stalls"] = rig.metric("loop_stalls_total")
    say("    times a loop stood still for more than 50 ms", f"{results['stalls']:.0f}")


def more_ms(results):
    """At most, beside any of them; the bar wants so many runs."""
    if results["runs"] < RUNS:
        raise Unmeasured(f"beside {results['runs']:,} runs, not {RUNS:,}")
    return max(one["ours_more_ms"]["median"] for one in results["beside"].values())
