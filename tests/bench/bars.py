"""The bars that are set for the gateway, and whether a round reached them."""

import statistics

from figures import CLIENTS


def times(results, one, other):
    """The requests a second of a call, of one as of the other in the same round."""
    call = results["calls"][CALL]
    return statistics.median(a / b for a, b in zip(call[one]["rounds"], call[other]["rounds"]))


def largest(results, key):
    return results["flight"]["stagedoor"][-1][key]


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
    ("a report from memory, times nginx's fixed answer", "requests",
     lambda r: r["requests"][MEMORY]["nginx return 200"]["ratio"]["median"], ">=", 0.8),
    ("most runs in flight: % of a core, brought to 100,000", "flight",
     lambda r: largest(r, "cpu_percent") * 100000 / largest(r, "runs"), "<=", 60),
    ("most runs in flight: KiB a run", "flight", lambda r: largest(r, "kib_a_run"), "<=", 2),
    ("most runs in flight: 99 % of the polls within, ms", "flight", lambda r: largest(r, "late_p99_ms"), "<=", 10),
    ("most runs in flight: polling again after kill -9 within, s", "flight", lambda r: largest(r, "restart_back_s"), "<=", 2),
    ("render, times Jinja2", "render", lambda r: r["render"]["renders"]["ratio"]["median"], ">=", 50),
    ("two loops: CPU a start, times one", "loops", lambda r: r["loops"]["ratio"]["median"], "<=", 1.1),
)


def judge(results, say):
    judged = {}
    for what, part, figure, sign, bar in BARS:
        if part not in results:
            continue
        value = figure(results)
        reached = value is not None and (value >= bar if sign == ">=" else value <= bar)
        judged[what] = {"value": value, "bar": f"{sign} {bar}", "reached": reached}
        shown = "?" if value is None else f"{value:,.2f}"
        say(f"{'reached    ' if reached else 'NOT REACHED'} {what}", f"{shown} ({'≥' if sign == '>=' else '≤'} {bar:,})")
    return judged
