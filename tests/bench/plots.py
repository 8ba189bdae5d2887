"""Plots of build/bench.json, as SVG, by gnuplot."""

import subprocess

from rig import HOME, Unmeasured

HEAD = """
set terminal svg size 720,480 dynamic font "sans,13" background "white"
set output "{file}"
set grid; set key outside bottom center horizontal
"""


def draw(file, commands, rows):
    """`rows`: {a curve's name: [(x, y), …]}"""
    blocks = "".join(f"${i} << END\n" + "".join(f"{x} {y}\n" for x, y in points) + "END\n" for i, points in enumerate(rows.values()))
    blocks = blocks.replace("$", "$curve")
    curves = ", ".join(f'$curve{i} using 1:2 with linespoints lw 2 title "{name}"' for i, name in enumerate(rows))
    done = subprocess.run(["gnuplot"], input=HEAD.format(file=HOME / "build" / file) + blocks + commands + f"\nplot {curves}\n",
                          capture_output=True, text=True)
    if done.returncode:
        raise Unmeasured(f"gnuplot: {done.stderr}")


def plot_curve(curve):
    rows = {f"{name}, {which}": [(one["per_s"], one[f"{which}_ms"]) for one in points]
            for name, points in curve.items() for which in ("p50", "p99")}
    draw("bench-latency.svg", 'set xlabel "requests a second"; set ylabel "milliseconds"; set logscale y', rows)


def plot_flight(flight):
    labels = 'set xlabel "runs in flight, each polled every 10 s"; set logscale x; '
    rows = {name: [(one["runs"], one["cpu_percent"]) for one in points] for name, points in flight.items()}
    draw("bench-flight-cpu.svg", labels + 'set ylabel "% of a core"', rows)
    rows = {name: [(one["runs"], one["kib_a_run"]) for one in points] for name, points in flight.items()}
    draw("bench-flight-memory.svg", labels + 'set ylabel "KiB a run"', rows)


def plot(results):
    """Of what was measured."""
    drawn, curve = [], results.get("calls", {}).get("curve")
    flight = {name: sorted(points, key=lambda one: one["runs"]) for name, points in results.get("flight", {}).get("points", {}).items() if points}
    if curve:
        plot_curve(curve)
        drawn.append("bench-latency.svg")
    if flight:
        plot_flight(flight)
        drawn += ["bench-flight-cpu.svg", "bench-flight-memory.svg"]
    return drawn
