"""Rendering: the template language beside Jinja2."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from figures import ROUNDS, shown, spread
from rig import HOME, MEASURED, Unmeasured

TURNS, TURN_S = 3, 0.5  # turns a round

# A body of 2 KiB with 20 values and a loop, as both would write it: quotes and commas are the rival's to care for.
FIELDS = [f"field_{i:02d}" for i in range(20)]
TEMPLATE = '{"kind": "deployment", "values": {\n' + "".join(
    f'  "{name}": {{{{ parameters.{name} }}}}, "about_{name}": "the {i}th of the values that this body holds",\n' if i % 2 else
    f'  "{name}": "{{{{ parameters.{name} }}}}", "about_{name}": "the {i}th of the values that this body holds",\n'
    for i, name in enumerate(FIELDS)) + """ }, "labels": [
{% for label in parameters.labels %}  {"index": {{ loop.index }}, "label": "{{ label }}"},
{% endfor %}], "by": "{{ caller.user }} in {{ caller.application }}", "key": "{{ run.key }}"}"""
JINJA = '{"kind": "deployment", "values": {\n' + "".join(
    f'  "{name}": {{{{ parameters.{name}|tojson }}}}, "about_{name}": "the {i}th of the values that this body holds"'
    + (",\n" if i < 19 else "\n") for i, name in enumerate(FIELDS)) + """ }, "labels": [
{% for label in parameters.labels %}  {"index": {{ loop.index }}, "label": {{ label|tojson }}}{% if not loop.last %},{% endif %}
{% endfor %}], "by": {{ (caller.user ~ " in " ~ caller.application)|tojson }}, "key": {{ run.key|tojson }}}"""
VARS = {
    "parameters": {name: 1000 + i if i % 2 else f'a "value" of {name}' for i, name in enumerate(FIELDS)}
    | {"labels": ["a", "b\\", "c/d", "e f", "ghi"]},
    "caller": {"user": "ada", "application": "shop"},
    "run": {"key": "01K000000000000000000000"},
}


def render_ours(folder):
    done = subprocess.run(["taskset", "-c", str(MEASURED), HOME / "build/bench/bench_template", folder / "template.json",
                           folder / "vars.json", str(TURN_S)], capture_output=True, text=True)
    if done.returncode:
        raise Unmeasured(f"bench_template: {done.stderr}")
    head, _, made = done.stdout.partition("\n")
    got = json.loads(head)
    return got["renders"] / got["seconds"], got["compiles"] / got["compile_seconds"], json.loads(made)


def per_second(work, times):
    """Of CPU, as bench_template counts."""
    count, began = 0, time.process_time()
    while time.process_time() - began < TURN_S:
        for _ in range(times):
            work()
        count += times
    return count / (time.process_time() - began)


def render_jinja():
    from jinja2 import Environment, StrictUndefined
    environment = Environment(undefined=StrictUndefined)
    template = environment.from_string(JINJA)
    return (per_second(lambda: template.render(VARS), 100), per_second(lambda: environment.from_string(JINJA), 5),
            json.loads(template.render(VARS)))


def bench_render(say, results):
    """Short turns, and many, on one core and by its CPU: what slows the machine slows both."""
    ours, theirs = [], []
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {MEASURED})
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "template.json").write_text(TEMPLATE)
        (folder / "vars.json").write_text(json.dumps(VARS))
        for _ in range(ROUNDS * TURNS):
            *mine, made = render_ours(folder)
            *its, rival = render_jinja()
            if made != rival:
                raise Unmeasured(f"not the same work: {made} and {rival}")
            ours.append(mine)
            theirs.append(its)
    os.sched_setaffinity(0, cores)
    results["bytes"] = len(TEMPLATE)
    for i, what in enumerate(("renders", "compiles")):
        a, b = [row[i] for row in ours], [row[i] for row in theirs]
        ratio = spread([x / y for x, y in zip(a, b)])
        say(f"template {what}, a second of CPU", shown(spread(a), "{:,.0f}"))
        say("    Jinja2", shown(spread(b), "{:,.0f}"))
        say("    ratio", shown(ratio, "{:.0f} ×"))
        results[what] = {"stagedoor": spread(a), "jinja2": spread(b), "ratio": ratio}
