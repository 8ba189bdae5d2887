"""The bars that are set for the gateway, and whether a round reached them."""

import statistics

from figures import CLIENTS
from part_fairness import more_ms
from part_overload import flooded
from rig import Unmeasured


def times(results, one, other):
    """The requests a second of a call, of one as of the other in the same round."""
    call = results["calls"][CALL]
    return statistics.median(a / b for a, b in zip(call[one]["rounds"], call[other]["rounds"]))


def largest(results, key):
    """Of the measurement with the most runs, which are as many as the bar says."""
    most = max(results["flight"]["points"]["stagedoor"], key=lambda one: one["runs"])
    if most["runs"] < IN_FLIGHT:
        raise Unmeasured(f"with {most['runs']:,} runs, not {IN_FLIGHT:,}")
    return most[key]


IN_FLIGHT = 100000
CALL = "a call: parsed, rendered, called, answered"
FREE, DURABLE, LUA, NODE = "stagedoor, not durable", "stagedoor, durable", "nginx with Lua", "Node.js, fastify and undici"
MEMORY = "GET /runs/{id}, in flight: from memory"

# (what, of which part, the figure of it, at least or at most, the bar)
BARS = (
    ("a call, not durable, times nginx with Lua", "calls", lambda r: times(r, FREE, LUA), ">=", 1.0),
    ("a call, not durable, times Node.js", "calls", lambda r: times(r, FREE, NODE), ">=", 2.5),
    # "the same with durable runs, times the former": ours that are not durable, and what those are measured by
    ("a durable call, times one that is not", "calls", lambda r: times(r, DURABLE, FREE), ">=", 0.6),
    ("a durable call, times nginx with Lua", "calls", lambda r: times(r, DURABLE, LUA), ">=", 0.6),
    ("a durable call, times Node.js", "calls", lambda r: times(r, DURABLE, NODE), ">=", 1.5),
    ("starts alone, acknowledged on disk a second", "store", lambda r: r["store"]["starts"][CLIENTS]["per_s"]["median"], ">=", 20000),
    ("a report from memory, times libevhtp's fixed answer", "requests",
     lambda r: r["requests"][MEMORY]["libevhtp, a fixed answer"]["ratio"]["median"], ">=", 0.8),
    ("most runs in flight: % of a core, brought to 100,000", "flight",
     lambda r: largest(r, "cpu_percent") * IN_FLIGHT / largest(r, "runs"), "<=", 60),
    ("most runs in flight: KiB a run", "flight", lambda r: largest(r, "kib_a_run"), "<=", 2),
    ("most runs in flight: 99 % of the polls within, ms", "flight", lambda r: largest(r, "late_p99_ms"), "<=", 10),
    ("most runs in flight: all back and polling after kill -9 within, s", "flight", lambda r: largest(r, "restart_polls_s"), "<=", 2),
    ("render, times Jinja2", "render", lambda r: r["render"]["renders"]["ratio"]["median"], ">=", 50),
    ("a small stage beside 50,000 runs, and slow and huge upstreams: 99 % of its answers, ms more", "fairness", lambda r: more_ms(r["fairness"]), "<=", 10),
    ("twice as many starts as can be done: runs done, times the peak", "overload", lambda r: flooded(r["overload"], "ratio"), ">=", 0.9),
    ("    a start is taken again after, ms", "overload", lambda r: flooded(r["overload"], "recovered_ms"), "<=", 100),
    ("two loops: CPU a start, times one", "loops", lambda r: r["loops"]["starts"]["ratio"]["median"], "<=", 1.1),
    ("two loops: CPU a poll, times one", "loops", lambda r: r["loops"]["polls"]["ratio"]["median"], "<=", 1.1),
    ("two loops on two cores: starts a second, times one", "cores", lambda r: r["cores"]["ratio"]["median"], ">=", 1.8),
)


def value_of(results, part, figure):
    """What was measured, or None and why it was not."""
    found = results[part]
    if "not_here" in found:
        return None, found["not_here"]
    try:
        value = figure(results)
    except Unmeasured as fault:
        return None, str(fault)
    except (KeyError, ValueError):  # what it is made of is not there
        value = None
    return value, None if value is not None else found.get("not_measured", "nothing to be seen")


def judge(results, picked, say):
    """Each bar of the parts that were picked: reached or not, and how often it was; or why nobody knows."""
    judged = {}
    for what, part, figure, sign, bar in BARS:
        if part not in picked:
            continue
        value, why = value_of(results, part, figure)
        wanted = f"{'≥' if sign == '>=' else '≤'} {bar:,}"
        if value is None:
            judged[what] = {"bar": f"{sign} {bar}", "not_measured": why}
            say(f"not measured {what}", f"{wanted}: {why}")
            continue
        reached = value >= bar if sign == ">=" else value <= bar
        judged[what] = {"value": value, "bar": f"{sign} {bar}", "reached": reached, "times_the_bar": value / bar}
        say(f"{'reached     ' if reached else 'NOT REACHED '} {what}", f"{value:,.2f} ({wanted}; × {value / bar:.2f})")
    return judged
