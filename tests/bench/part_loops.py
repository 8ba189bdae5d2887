"""Loops: what two cost beside one, on starts and on polls; and what they do, where there are cores for it."""

import time

from figures import SECONDS, measure, shown, spread
from part_flight import fill
from peers import Contender
from rig import CORES, MEASURED, Rig, start_body

TURNS = (1, 2, 2, 1)
POLLED = 6000  # runs, each every second: with fewer, waking up is most of what is counted


def start_cost(loops, core="0-1"):
    with Rig() as rig:
        rig.start_gateway(core=core, loops=loops)
        return measure(rig, Contender(rig.gateway, rig.port, "POST", "/stages/fire", start_body(), drain=True))


def poll_cost(loops):
    with Rig() as rig:
        rig.start_gateway(core="0-1", loops=loops)
        fill(rig, POLLED, "brisk")
        time.sleep(1)  # past the first poll of each
        cpu, polls = rig.gateway.cpu_s(), rig.metric("upstream_calls_total")
        time.sleep(SECONDS)
        cost_us = (rig.gateway.cpu_s() - cpu) / (rig.metric("upstream_calls_total") - polls) * 1e6
        rig.gateway.end(9)
        return cost_us


def compare_costs(say, what, cost):
    taken = {1: [], 2: []}
    for loops in TURNS:
        taken[loops].append(cost(loops))
    ratio = spread([two / one for one in taken[1] for two in taken[2]])
    say(f"{what} with two loops: CPU, times that with one", shown(ratio, "{:.2f} ×"))
    return {"cpu_us": {str(loops): spread(cpu) for loops, cpu in taken.items()}, "ratio": ratio}


def bench_loops(say, results):
    """On all cores, or on two of four: with fewer the load has to run there as well."""
    results["starts"] = compare_costs(say, "a durable start", lambda loops: start_cost(loops)["cpu_us"])
    results["polls"] = compare_costs(say, "a poll", poll_cost)


def bench_cores(say, results):
    if CORES < 4:
        results["not_here"] = f"needs four cores, two of them for the load; here are {CORES}"
        say(results["not_here"], "")
        return
    taken = {1: [], 2: []}
    for loops in TURNS:
        taken[loops].append(start_cost(loops, MEASURED if loops == 1 else "0-1")["ended_per_s"])
    ratio = spread([two / one for one in taken[1] for two in taken[2]])
    say("durable starts of two loops on two cores, times one on one", shown(ratio, "{:.2f} ×"))
    results |= {"per_s": {str(loops): spread(rates) for loops, rates in taken.items()}, "ratio": ratio}
