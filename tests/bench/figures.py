"""Figures: a measurement, several in turns, and how they are shown.

What is compared takes turns (A B A B …), so that a machine that gets slower meanwhile slows both; a ratio is taken within
a turn, and shown as least, median and most."""

import os
import statistics
import time

from rig import MEASURED, Unmeasured, core_busy_s

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS", "2"))
CLIENTS = 64


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def shown(values, form):
    return f"{form.format(values['median'])} ({form.format(values['min'])} – {form.format(values['max'])})"


def measure(rig, one, clients=CLIENTS, seconds=SECONDS):
    """Requests a second and CPU a request; where runs go on behind the answer, their end belongs to the time and the
    CPU. `strangers`: the share of the measured core that other processes, or other machines, took meanwhile."""
    cpu, busy, began = one.process.cpu_s(), core_busy_s(MEASURED), time.monotonic()
    got = rig.wrk(one.port, one.method, one.path, one.body, seconds, clients, one.prefer)
    if not got["requests"]:
        raise Unmeasured(f"{one.method} {one.path}: no answer that was not an error")
    if one.drain:
        rig.drain()
    took = time.monotonic() - began
    used = one.process.cpu_s() - cpu
    strangers = max(sum(core_busy_s(MEASURED)) - sum(busy) - used, 0) / took
    return {"per_s": got["requests"] / (got["us"] / 1e6), "ended_per_s": got["requests"] / (took if one.drain else got["us"] / 1e6),
            "bad": got["bad"], "slow": got["slow"], "p50_ms": got["p50_us"] / 1000, "p99_ms": got["p99_us"] / 1000,
            "cpu_us": used / got["requests"] * 1e6, "strangers": strangers}


def take_turns(rig, contenders):
    """{name: [a measurement a round]}; every other round goes backwards, so that a drift favours nobody."""
    taken = {name: [] for name in contenders}
    for turn in range(ROUNDS):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            taken[name].append(measure(rig, contenders[name]))
    return taken


def compare(rig, say, title, contenders, results):
    """The first contender is ours; the others are what it is set beside."""
    taken = take_turns(rig, contenders)
    ours, *rivals = taken
    result = {name: {key: spread([one[key] for one in took]) for key in took[0]} for name, took in taken.items()}
    for name, took in taken.items():
        result[name]["rounds"] = [one["ended_per_s"] for one in took]  # for ratios of any two
    say(title, "")
    for name, figures in result.items():
        say(f"    {name}: requests/s", shown(figures["per_s"], "{:,.0f}"))
    if any(one["ended_per_s"] < one["per_s"] for one in taken[ours]):
        say(f"    {ours}: with each run to its end", shown(result[ours]["ended_per_s"], "{:,.0f}"))
    for name, figures in result.items():
        say(f"    {name}: CPU a request, µs", shown(figures["cpu_us"], "{:.0f}"))
    for name in rivals:
        result[name]["ratio"] = spread([a["ended_per_s"] / b["per_s"] for a, b in zip(taken[ours], taken[name])])
        result[name]["ratio_cpu"] = spread([a["cpu_us"] / max(b["cpu_us"], 0.01) for a, b in zip(taken[ours], taken[name])])
        say(f"    ratio to {name}: requests/s", shown(result[name]["ratio"], "{:.2f} ×"))
        say(f"    ratio to {name}: CPU", shown(result[name]["ratio_cpu"], "{:.1f} ×"))
    say("    p99 of ours, ms", shown(result[ours]["p99_ms"], "{:.1f}"))
    bad = sum(one["bad"] for took in taken.values() for one in took)
    if bad:
        say("    ANSWERS THAT WERE ERRORS", str(bad))
    slow = sum(one["slow"] for one in taken[ours])
    if slow:
        say("    answers of ours after 2 s or more", str(slow))
    results[title] = result | {"bad": bad, "slow": slow}


def noise(results, say):
    """How far the rival's rates went, which does the same work every time; and how much of the core was not ours."""
    rounds = {}
    for result in results.values():
        for name, figures in result.items():
            if name.startswith("nginx"):
                rounds.setdefault(name, []).extend((figures["per_s"]["min"], figures["per_s"]["max"]))
    swings = [max(rates) / min(rates) for rates in rounds.values()]
    strangers = [figures["strangers"]["max"] for result in results.values() for name, figures in result.items() if name not in ("bad", "slow")]
    found = {"rival_swing": max(swings), "strangers": max(strangers), "load": os.getloadavg()[0]}
    say("noise: nginx itself, fastest round to slowest", f"× {found['rival_swing']:.2f}")
    say("       most of the core that others took in a round", f"{found['strangers'] * 100:.0f} %")
    return found
