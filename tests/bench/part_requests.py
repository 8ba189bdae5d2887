"""Requests: what an answer costs, beside nginx, and a whole call beside what a user would write instead."""

import json

from figures import compare, measure, noise
from peers import Contender, start_evhtp, start_gateway_on_node, start_haproxy, start_nginx_lua, start_nginx_proxy
from rig import Absent, Rig, Unmeasured, request, start_body, wait_for

CURVE, CURVE_S = (1, 4, 16, 64, 256), 1  # clients at a time; seconds of each


def begin_runs(rig, body):
    """The paths of a run that has ended, and of one in flight."""
    status, answer = request(rig.port, "POST", "/stages/fire", body)
    flying, flight = request(rig.port, "POST", "/stages/slow", "{}")
    if (status, flying) != (202, 202):
        raise Unmeasured(f"starts gave {status} and {flying}: {answer[:500]}")
    wait_for("the first run's end", lambda: rig.metric("runs_in_flight") == 1)
    return f"/runs/{json.loads(answer)['id']}", f"/runs/{json.loads(flight)['id']}"


def bench_requests(say, results):
    with Rig() as rig:
        proxy_port, proxy = start_nginx_proxy(rig)
        evhtp_port, evhtp = start_evhtp(rig)
        rig.start_gateway()
        body = start_body()
        ended, flight = begin_runs(rig, body)
        fixed = {"nginx return 200": Contender(proxy, proxy_port, "GET", "/fixed")}
        library = {"libevhtp, a fixed answer": Contender(evhtp, evhtp_port, "GET", "/")}
        for title, path, rivals in (("GET /runs/{id}, in flight: from memory", flight, library | fixed),
                                    ("GET /runs/{id}, ended: from the store", ended, fixed), ("GET /health", "/health", fixed)):
            compare(rig, say, title, {"stagedoor": Contender(rig.gateway, rig.port, "GET", path), **rivals}, results)
        request(rig.port, "POST", flight + "/cancel", "{}")
        rig.drain()
        compare(rig, say, "a durable start: parsed, on disk, answered, called, its end on disk",
                {"stagedoor": Contender(rig.gateway, rig.port, "POST", "/stages/fire", body, drain=True),
                 "nginx proxy_pass": Contender(proxy, proxy_port, "POST", "/fire", body)}, results)
        results["noise"] = noise(results, say)


def check_answer(one):
    """All do the same work, and say so in the same words."""
    status, answer = request(one.port, one.method, one.path, one.body, headers={"Prefer": one.prefer} if one.prefer else None)
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    if status != 200 or (said.get("status"), said.get("outputs", {}).get("id")) != ("SUCCEEDED", 4711):
        raise Absent(f"{one.path} answered {status} {answer[:300]}")


def rivals_there(say, rig, body):
    """Those that can be had, as two lists: they do the work of a call, or pass one on. And why the others cannot."""
    working, passing, absent = {}, {}, []
    for name, start, path, does_it in (("nginx with Lua", start_nginx_lua, "/stages/fire", True),
                                       ("Node.js, fastify and undici", start_gateway_on_node, "/stages/fire", True),
                                       ("nginx proxy_pass", start_nginx_proxy, "/fire", False), ("HAProxy", start_haproxy, "/fire", False)):
        try:
            port, process = start(rig)
            one = Contender(process, port, "POST", path, body)
            if does_it:
                check_answer(one)
        except Absent as fault:
            absent.append(f"{name}: {str(fault).splitlines()[0]}")
            say(f"NOT MEASURED: {absent[-1]}", "")
        else:
            (working if does_it else passing)[name] = one
    return working, passing, absent


def bench_calls(say, results):
    """Parse, check, render five values, call, read the reply, answer with what it says."""
    body = start_body()
    with Rig() as rig:
        rig.start_gateway()
        working = {"stagedoor, not durable": Contender(rig.gateway, rig.port, "POST", "/stages/quick", body, prefer="wait=10"),
                   "stagedoor, durable": Contender(rig.gateway, rig.port, "POST", "/stages/fire", body, prefer="wait=10")}
        for ours in working.values():
            check_answer(ours)
        rivals, passing, absent = rivals_there(say, rig, body)
        working |= rivals
        compare(rig, say, "a call: parsed, rendered, called, answered", {**working, **passing}, results)
        results["noise"] = noise(results, say)
        results["curve"] = curve = {name: [] for name in working}
        for clients in CURVE:
            for name, one in working.items():
                got = measure(rig, one, clients, CURVE_S)
                curve[name].append({"clients": clients, **{key: got[key] for key in ("per_s", "p50_ms", "p99_ms")}})
        ours = zip(curve["stagedoor, durable"], curve["stagedoor, not durable"])
        shares = [f"{a['per_s'] / b['per_s']:.2f} ({a['clients']})" for a, b in ours]
        say("    durable, times not durable (by clients at a time)", "  ".join(shares))
        if absent:
            results["not_measured"] = "; ".join(absent)
