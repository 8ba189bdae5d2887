"""What the stores themselves can do: rows committed a second by a plain C loop, beside what the gateway makes of them."""

import json
import os
import subprocess
import tempfile

from figures import ROUNDS, shown, spread
from rig import HOME, MEASURED

BATCHES = (1, 16, 64, 256)
POSTGRES = "/usr/lib/postgresql/15/bin"


def committed(program, where, batch):
    done = subprocess.run(["taskset", "-c", str(MEASURED), HOME / "build/bench" / program, where, str(batch), "1"],
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{program}: {done.stderr}")
    return json.loads(done.stdout)["rows_per_s"]


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
            raise SystemExit(f"{program}: {done.stdout[-2000:]}")

    def end(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")


def measure(say, name, program, where):
    results = {}
    for batch in BATCHES:
        results[batch] = spread([committed(program, where, batch) for _ in range(ROUNDS)])
        say(f"{name}: rows a second, {batch} a commit", shown(results[batch], "{:,.0f}"))
    return results


def bench_store(say):
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOME / "build") as folder:
        results = {"sqlite": measure(say, "SQLite", "bench_sqlite", os.path.join(folder, "bench.db"))}
    with tempfile.TemporaryDirectory(prefix="stagedoor-bench-") as folder:
        server = Postgres(folder)
        try:
            results["postgresql"] = measure(say, "PostgreSQL", "bench_postgres", server.where)
        finally:
            server.end()
    return results
