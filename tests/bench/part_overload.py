"""Overload: twice as many starts as can be done, from callers who know nothing of each other.

What can be done is sought with the same callers: the most that is taken at rates below what callers who wait for their answers get, which is more,
since there are few of them. What counts is what is taken, each second, when twice as many come, beside that; and what those get meanwhile whose runs go on.
Connections for a second of starts, if as many are allowed, are open before; the first second is left out."""

import json
import resource
import time

from figures import CLIENTS, ROUNDS, SECONDS, shown, spread
from part_flight import fill, late_buckets, late_ms
from rig import REST, Rig, Unmeasured, core_busy_s, request, said_by, start_body

RUNNING = 1000
CONNECTIONS = min(15000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 7 // 10)
SHARES = (0.55, 0.7, 0.85)  # of what callers who wait get
TWICE = 1.8  # with less the load was not what it has to be


def most_awaited(rig):
    """Runs a second, at most, where each of a few callers starts its next run once the last start was answered."""
    began = time.monotonic()
    got = rig.load(path="/stages/fire", body=start_body(), rate=0, connections=CLIENTS, seconds=SECONDS)
    drain(rig)
    return got["codes"]["202"] / (time.monotonic() - began)


def drain(rig):
    while rig.metric("runs_in_flight") > rig.running:
        time.sleep(0.02)


def recover(rig):
    """Milliseconds until a start is taken again. Those who asked are still connected: they ask no more."""
    began = time.monotonic()
    while request(rig.port, "POST", "/stages/fire", start_body())[0] != 202:
        time.sleep(0.005)
    return (time.monotonic() - began) * 1000


def rest_busy_s():
    """Of the cores on which upstream and load are."""
    first, _, last = REST.partition("-") if isinstance(REST, str) else (REST, "", REST)
    return [sum(core_busy_s(core)) for core in range(int(first), int(last) + 1)]


def flood(rig, rate):
    late = late_buckets(rig)
    starts = rig.begin_load(path="/stages/fire", body=start_body(), rate=round(rate), connections=CONNECTIONS, seconds=SECONDS + 2,
                            every=1, open=min(round(rate), CONNECTIONS), stay=1)
    reports = rig.begin_load(method="GET", path=f"/runs/{rig.report}", rate=100, connections=64, seconds=SECONDS + 2)
    first, cpu, busy, began = json.loads(starts.stdout.readline()), rig.gateway.cpu_s(), rest_busy_s(), time.monotonic()
    *steady, got = [json.loads(line) for line in starts.stdout]
    busy = max(now - before for now, before in zip(rest_busy_s(), busy)) / (time.monotonic() - began)
    read = said_by(reports)
    recovered = recover(rig)
    starts.communicate()
    drain(rig)
    cpu = rig.gateway.cpu_s() - cpu
    codes, seconds = got["codes"], steady[-1]["seconds"] - first["seconds"]
    taken = sum(beat["codes"].get("202", 0) for beat in steady)
    return {"offered_per_s": (steady[-1]["sent"] - first["sent"]) / seconds, "done_per_s": taken / seconds,
            "cpu_us": cpu / (codes["202"] - first["codes"].get("202", 0)) * 1e6, "shed": codes.get("503", 0) / got["sent"],
            "other": got["sent"] - codes.get("202", 0) - codes.get("503", 0) - got["lost"], "lost": got["lost"],
            "start_p99_ms": got["starts"]["p99_us"] / 1000, "reports_p99_ms": read["starts"]["p99_us"] / 1000,
            "reports_failed": read["sent"] - read["codes"].get("200", 0), "late_p99_ms": late_ms(late, late_buckets(rig)) or 0,
            "recovered_ms": recovered, "rss_mib": rig.gateway.rss_kib() / 1024, "load_core_busy": busy}


def bench_overload(say, results):
    awaited, peaks, floods = [], [], []
    with Rig() as rig:
        rig.start_gateway(more=("--max-connections", str(CONNECTIONS + 500)))
        rig.running, _ = fill(rig, RUNNING)
        rig.report = json.loads(request(rig.port, "POST", "/stages/slow", "{}")[1])["id"]
        rig.running += 1
        for _ in range(ROUNDS):
            awaited.append(most_awaited(rig))
            peaks.append(max((flood(rig, share * awaited[-1]) for share in SHARES), key=lambda one: one["done_per_s"]))
            floods.append(flood(rig, 2 * peaks[-1]["done_per_s"]))
    results |= {name: spread([one[name] for one in floods]) for name in floods[0]}
    results["awaited_per_s"] = spread(awaited)
    results["peak_per_s"] = spread([peak["done_per_s"] for peak in peaks])
    for name, what in (("ratio", "done_per_s"), ("ratio_cpu", "cpu_us"), ("offered", "offered_per_s")):
        results[name] = spread([one[what] / peak["done_per_s" if what == "offered_per_s" else what] for one, peak in zip(floods, peaks)])
    say(f"runs a second, each to its end, of {CLIENTS} who wait for each answer", shown(results["awaited_per_s"], "{:,.0f}"))
    say("    of callers who know nothing of each other, at most", shown(results["peak_per_s"], "{:,.0f}"))
    for name, what, form in (
            ("offered", "    starts that came, times that", "{:.2f} ×"), ("ratio", "    runs done then, times that", "{:.2f} ×"),
            ("load_core_busy", "    the core of load and upstream was busy for", "{:.0%}"), ("ratio_cpu", "    CPU a run, with all that was refused, times that", "{:.2f} ×"), ("shed", "    starts answered 503", "{:.0%}"), ("start_p99_ms", "    those taken: 99 % answered within, ms", "{:.0f}"),
            ("reports_p99_ms", "    reports meanwhile: 99 % answered within, ms", "{:.0f}"), ("reports_failed", "    reports not answered 200", "{:.0f}"),
            ("late_p99_ms", f"    polls of {RUNNING:,} runs in flight: 99 % within, ms", "{:.0f}"), ("lost", "    connections broken", "{:.0f}"),
            ("other", "    other answers", "{:.0f}"), ("rss_mib", "    memory, MiB", "{:.0f}"), ("recovered_ms", "    until a start is taken again, ms", "{:.0f}")):
        say(what, shown(results[name], form))
    flooded(results, "offered")


def flooded(results, name):
    """The median; what was not offered was not measured."""
    if results["offered"]["median"] < TWICE:
        raise Unmeasured(f"only {results['offered']['median']:.1f} × as many starts came as can be done: the machine has no time for more")
    return results[name]["median"]
