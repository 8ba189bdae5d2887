"""Runs in flight: what they cost, beside a poller on Node.js, and how soon they are back after kill -9."""

import json
import os
import re
import subprocess
import time

from peers import start_node
from rig import HOME, Absent, Rig, Unmeasured, request, wait_for

FLIGHT = [int(count) for count in os.environ.get("FLIGHT", "1000,10000,100000").split(",")]
EVERY_S = 10


def start_many(rig, count, stage="slow", within_s=60):
    """By wrk, in slices, until there are so many, or the time is up. Gives how many there are, and how long it took. A busy machine sheds
    starts: they come again."""
    began = time.monotonic()
    while (flying := rig.metric("runs_in_flight")) < count and time.monotonic() - began < within_s:
        rig.wrk(rig.port, "POST", f"/stages/{stage}", "{}", seconds=1 if count - flying < 10000 else 3)
    return int(flying), time.monotonic() - began


class TooFew(Unmeasured):
    pass


def fill(rig, count, stage="slow"):
    """The same where it makes no sense with fewer."""
    flying, took = start_many(rig, count, stage)
    if flying < count:
        raise TooFew(f"{flying:,} runs were taken within {took:.0f} s, in place of {count:,}")
    return flying, took


def late_ms(page_before, page_after):
    """The upper bound of the bucket in which 99 % of the polls between two scrapes lie."""
    buckets = []
    for le in page_after:
        buckets.append((float(le), page_after[le] - page_before.get(le, 0)))
    buckets.sort()
    total = buckets[-1][1] if buckets else 0
    return next((le * 1000 for le, seen in buckets if total and seen >= 0.99 * total), None)


def late_buckets(rig):
    page = request(rig.port, "GET", "/metrics")[1].decode()
    return {le: float(n) for le, n in re.findall(r'^stagedoor_poll_late_seconds_bucket\{le="([^"]+)"\} (\S+)$', page, re.M)}


def window_s(count):
    """Each run is polled once in the longest one. With fewer runs than the most, half of them say as much."""
    return EVERY_S if count == max(FLIGHT) else EVERY_S / 2


def ours(rig, count):
    rig.start_gateway()
    request(rig.port, "GET", "/health")
    empty_kib = rig.gateway.rss_kib()
    flying, started_s = fill(rig, count)
    time.sleep(EVERY_S + 1)  # past the first round of polls: what is measured is the steady state
    late, polls, cpu, began = late_buckets(rig), rig.metric("upstream_calls_total"), rig.gateway.cpu_s(), time.monotonic()
    time.sleep(window_s(count))
    took = time.monotonic() - began
    figures = {"runs": flying, "starts_per_s": flying / started_s, "cpu_percent": (rig.gateway.cpu_s() - cpu) / took * 100,
               "polls_per_s": (rig.metric("upstream_calls_total") - polls) / took, "late_p99_ms": late_ms(late, late_buckets(rig)),
               "kib_a_run": (rig.gateway.rss_kib() - empty_kib) / flying}
    rig.gateway.end(9)
    if count == max(FLIGHT):
        figures |= restarted(rig, flying)
        figures["restart_kib_a_run"] = (rig.gateway.rss_kib() - empty_kib) / flying
        rig.gateway.end(9)
    return figures


def restarted(rig, flying):
    """What is measured from the start of the process on: its first answer, the first poll, all runs in flight again, ready; then
    how late polls were while they came back and in their first round."""
    began = time.monotonic()
    figures = {"restart_answers_s": rig.start_gateway(answers="/health")}
    wait_for("all runs' return", lambda: request(rig.port, "GET", "/ready")[0] == 200, 120)
    figures["restart_back_s"] = time.monotonic() - began
    if rig.metric("runs_in_flight") != flying:
        raise Unmeasured(f"{flying} runs were in flight, {rig.metric('runs_in_flight')} are back")
    wait_for("the first poll", lambda: rig.metric("upstream_calls_total") > 0)
    figures["restart_polls_s"] = time.monotonic() - began
    time.sleep(EVERY_S)
    figures["restart_late_p99_ms"] = late_ms({}, late_buckets(rig))
    return figures


def theirs(rig, count):
    port, node = start_node(rig, "poller.js", "/late", RUNS="0")
    empty_kib = node.rss_kib()
    node.end()
    port, node = start_node(rig, "poller.js", "/late", RUNS=str(count))
    time.sleep(EVERY_S / 2)  # its polls are spread evenly from the first on
    request(port, "GET", "/late")
    cpu, began = node.cpu_s(), time.monotonic()
    time.sleep(window_s(count))
    took = time.monotonic() - began
    said = json.loads(request(port, "GET", "/late")[1])
    figures = {"runs": count, "cpu_percent": (node.cpu_s() - cpu) / took * 100, "polls_per_s": said["polls"] / took,
               "late_p99_ms": said["p99_ms"], "kib_a_run": (node.rss_kib() - empty_kib) / count}
    node.end()
    return figures


def at_rest(say):
    """What a run takes by itself, without the engine's cache of pages and what malloc leaves between."""
    got = json.loads(subprocess.run([HOME / "build/bench/bench_memory", "10000"], capture_output=True, check=True).stdout)
    for name in ("bare", "usual"):
        one = got[name]
        say(f"a {name} run at rest, bytes: itself and its place in the engine", f"{one['run']:.0f} + {got['struct_life']}")
        say("    of it journal, texts, values", f"{one['journal']:.0f}, {one['texts']:.0f}, {one['values']:.0f}")
    return got


def bench_flight(say, results):
    """The most first: if time runs out, the bars were measured."""
    results["at_rest"] = at_rest(say)
    results["points"] = points = {"stagedoor": [], "Node.js": []}
    for count in sorted(FLIGHT, reverse=True):
        for name, measured in (("stagedoor", ours), ("Node.js", theirs)):
            try:
                with Rig() as rig:
                    figures = measured(rig, count)
            except (Absent, TooFew) as fault:
                results["not_measured"] = str(fault).splitlines()[0]
                say(f"not measured: {results['not_measured']}", "")
                continue
            points[name].append(figures)
            say(f"{figures['runs']:,} runs in flight, polled every 10 s; {name}: CPU", f"{figures['cpu_percent']:.1f} %")
            say("    memory a run, KiB", f"{figures['kib_a_run']:.2f}")
            late = figures["late_p99_ms"]
            say("    99 % of the polls start within, ms", "?" if late is None else f"{late:.0f}")
            if name == "stagedoor":
                say("    starts/s until they were there", f"{figures['starts_per_s']:,.0f}")
            if "restart_back_s" in figures:
                say("    after kill -9: the first answer, s", f"{figures['restart_answers_s']:.2f}")
                say("    after kill -9: all runs in flight again, s", f"{figures['restart_back_s']:.2f}")
                say("    after kill -9: the first poll at the latest, s", f"{figures['restart_polls_s']:.2f}")
                late = figures["restart_late_p99_ms"]
                say("    after kill -9: 99 % of the polls start within, ms", "?" if late is None else f"{late:.0f}")
                say("    after kill -9: memory a run, KiB", f"{figures['restart_kib_a_run']:.2f}")
