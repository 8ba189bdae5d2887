"""What the stores themselves can do: rows committed a second by a plain C loop, beside what the gateway makes of them.

Of the gateway two things are measured: its writer alone, which is handed records as an engine does it, and starts alone,
acknowledged on disk, while their runs wait for a turn that does not come."""

import json
import os
import subprocess
import tempfile

from figures import CLIENTS, ROUNDS, measure as measure_requests, shown, spread
from peers import Contender
from rig import HOME, MEASURED, Rig, Unmeasured, start_body, unlimited

BATCHES, TURN_S = (1, 16, 64, 256), 0.5
STARTERS = (1, 64, 1024)  # at a time
WRITTEN = (("cpu_us", "CPU a record, µs", "{:.1f}"), ("records_a_commit", "records a commit", "{:.1f}"),
           ("log_bytes", "bytes a record in the log", "{:,.0f}"), ("file_bytes", "bytes a record in the file", "{:,.0f}"),
           ("syncs", "syncs a record", "{:.3f}"))
POSTGRES = "/usr/lib/postgresql/15/bin"


def said_by(program, *arguments):
    done = subprocess.run(["taskset", "-c", str(MEASURED), HOME / "build/bench" / program, *map(str, arguments)],
                          capture_output=True, text=True)
    if done.returncode:
        raise Unmeasured(f"{program}: {done.stderr}")
    return json.loads(done.stdout)


def committed(program, where, batch):
    return said_by(program, where, batch, TURN_S)["rows_per_s"]


class Postgres:
    """A cluster of its own, for as long as it is measured. The server refuses to run as root."""

    def __init__(self, folder):
        self.data = os.path.join(folder, "data")
        self.where = f"host={folder} user=bench dbname=postgres"
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.as_user:
            subprocess.run(["chown", "-R", "postgres", folder], check=True)
            os.chmod(folder, 0o755)
        self.run("initdb", "-D", self.data, "-U", "bench", "-A", "trust", "-N")
        options = f"-k {folder} -c listen_addresses= -c shared_buffers=128MB"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(folder, "log"), "-o", options, "start")

    def run(self, program, *arguments):
        done = subprocess.run([*self.as_user, f"{POSTGRES}/{program}", *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        if done.returncode:
            raise Unmeasured(f"{program}: {done.stdout[-2000:]}")

    def end(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")


def measure(say, results, name, program, where):
    for batch in BATCHES:
        results[batch] = spread([committed(program, where, batch) for _ in range(ROUNDS)])
        say(f"{name}: rows a second, {batch} a commit", shown(results[batch], "{:,.0f}"))


def written(kind, starters):
    """By the gateway's writer, in a second, to a new file."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOME / "build") as folder:
        return said_by("bench_writer", os.path.join(folder, "writer.db"), kind, starters, 1)


def measure_writer(say, results, where):
    """Records of starts, in turns with the plain loop that has as many rows a commit as there are starters."""
    for starters in STARTERS:
        ours, plain = [], []
        for _ in range(ROUNDS):
            ours.append(written("starts", starters))
            plain.append(committed("bench_sqlite", where, starters))
        result = {key: spread([one[key] for one in ours]) for key in ours[0]}
        result["ratio"] = spread([one["records_per_s"] / loop for one, loop in zip(ours, plain)])
        say(f"our writer: records of starts a second, {starters} at a time", shown(result["records_per_s"], "{:,.0f}"))
        say(f"    ratio to the plain loop, {starters} a commit", shown(result["ratio"], "{:.2f} ×"))
        for key, what, form in WRITTEN:
            say(f"    {what}", shown(result[key], form))
        results[starters] = result


def start_alone(clients):
    """Starts whose runs stay in the queue of their stage, on an empty store."""
    with Rig() as rig:
        rig.start_gateway()
        names = "store_writes_total", "store_commits_total"
        before = [rig.metric(name) for name in names]
        got = measure_requests(rig, Contender(rig.gateway, rig.port, "POST", "/stages/held", start_body()), clients)
        writes, commits = (rig.metric(name) - had for name, had in zip(names, before))
        if got["bad"]:
            raise Unmeasured(f"{got['bad']} starts were refused")
        return {key: got[key] for key in ("per_s", "cpu_us", "p99_ms", "strangers")} | {"records_a_commit": writes / commits}


def measure_starts(say, results):
    for clients in (CLIENTS, 4 * CLIENTS):
        taken = [start_alone(clients) for _ in range(ROUNDS)]
        result = {key: spread([one[key] for one in taken]) for key in taken[0]}
        say(f"starts alone, acknowledged on disk a second, {clients} at a time", shown(result["per_s"], "{:,.0f}"))
        say("    CPU a start, µs", shown(result["cpu_us"], "{:.0f}"))
        say("    records a commit", shown(result["records_a_commit"], "{:.1f}"))
        say("    p99, ms", shown(result["p99_ms"], "{:.1f}"))
        results[clients] = result


def bench_store(say, results):
    results |= {"starts": {}, "sqlite": {}, "writer": {}, "postgresql": {}}
    measure_starts(say, results["starts"])
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOME / "build") as folder:
        where = os.path.join(folder, "bench.db")
        measure(say, results["sqlite"], "SQLite", "bench_sqlite", where)
        measure_writer(say, results["writer"], where)
    with tempfile.TemporaryDirectory(prefix="stagedoor-bench-") as folder:
        server = Postgres(folder)
        try:
            measure(say, results["postgresql"], "PostgreSQL", "bench_postgres", server.where)
        finally:
            with unlimited():
                server.end()
