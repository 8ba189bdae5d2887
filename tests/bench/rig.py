"""What measuring needs: the upstream, the gateway, wrk, and readings of /proc. Who else is measured is in peers.py.

With two cores or more, what is measured has the first one for itself; upstreams and load share the second, or, where there are four,
the third and the fourth.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
STAGEDOOR = os.environ.get("STAGEDOOR", str(HOME / "build/stagedoor"))
TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
MEASURED, REST = 0, "2-3" if CORES >= 4 else min(CORES - 1, 1)

NGINX = """
{modules}
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536;
pid {dir}/nginx-{port}.pid; error_log {dir}/nginx-{port}.log warn;
events {{ worker_connections 30000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; default_type application/json;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    upstream behind {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{ listen 127.0.0.1:{port} backlog=4096; {server} }}
}}
"""
ANSWERS = """
location /slow { return 200 '{"state": "running", "percent": 40}'; }
location / { return 200 '{"id": 4711, "state": "done", "links": {"self": "/api/runs/4711"}}'; }
"""

STAGES = {
    "fire": """
name = "fire";
parameters = ( {{ name = "target"; type = "string"; required = true; }}, {{ name = "users"; type = "integer"; default = 50; }} );
request = {{ method = "POST"; url = "{upstream}/fire"; template = "fire.json"; expect = "200";
            value = "$.state"; success = [ "done" ]; }};
outputs = {{ id = "$.id"; }};
""",
    "late": """
name = "late";
request = {{ method = "POST"; url = "{upstream}/late"; expect = "200"; value = "$.state"; success = [ "done" ]; }};
""",
    "huge": """
name = "huge";
request = {{ method = "POST"; url = "{upstream}/huge"; expect = "200"; max_reply = "16MiB"; value = "$.state"; success = [ "done" ]; }};
""",
    "brisk": """
name = "brisk";
request = {{ method = "POST"; url = "{upstream}/start"; expect = "2xx"; }};
status = {{ url = "{upstream}/slow"; every = "1s"; timeout = "2h"; value = "$.state";
           running = [ "running" ]; success = [ "done" ]; }};
""",
    "held": """
name = "held";
parameters = ( {{ name = "target"; type = "string"; required = true; }}, {{ name = "users"; type = "integer"; default = 50; }} );
request = {{ method = "POST"; url = "{upstream}/start"; template = "fire.json"; expect = "2xx"; }};
status = {{ url = "{upstream}/slow"; every = "10s"; timeout = "2h"; value = "$.state";
           running = [ "running" ]; success = [ "done" ]; }};
limits = {{ concurrency = 1; queue = 1000000; }};
""",
    "slow": """
name = "slow";
request = {{ method = "POST"; url = "{upstream}/start"; expect = "2xx"; }};
status = {{ url = "{upstream}/slow"; every = "10s"; timeout = "2h"; value = "$.state";
           running = [ "running" ]; success = [ "done" ]; }};
""",
}

STAGES["quick"] = STAGES["fire"].replace('name = "fire";', 'name = "quick";\ndurable = false;')

TEMPLATES = {
    "fire.json": """{ "target": {{ parameters.target }}, "users": {{ parameters.users }}, "by": {{ caller.user }},
  "of": {{ caller.application }}, "kind": "load" }
""",
}

WRK = """
wrk.method = "{method}"
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = {prefer}
done = function(summary, latency, requests)
    io.write(string.format('RESULT {{"requests": %d, "us": %d, "bad": %d, "slow": %d, "p50_us": %d, "p99_us": %d}}\\n',
        summary.requests - summary.errors.status, -- an error is no answer, however soon it comes
        summary.duration, summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write,
        summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


class Unmeasured(Exception):
    """Something cannot be measured here and now; why, in one line."""


class Absent(Unmeasured):
    """One that takes part is not there, or does not do the work. The others can be measured all the same."""


@contextlib.contextmanager
def limited(seconds):
    """What is within ends after so long, as not measured."""

    def late(*_):
        raise Unmeasured(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def unlimited():
    """The same stands still here: what was begun is ended in any case."""
    left, began = signal.setitimer(signal.ITIMER_REAL, 0)[0], time.monotonic()
    yield
    if left:
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001))


def core_busy_s(core):
    """The time that a core worked, for whomever, and that was taken from it by other machines."""
    fields = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")).split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def request(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, {**({"Content-Type": "application/json"} if body else {}), **(headers or {})})
    answer = connection.getresponse()
    return answer.status, answer.read()


def wait_for(what, ready, seconds=60, every=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return
        time.sleep(every)
    raise Unmeasured(f"{what}: not within {seconds} s")


class Process:
    """A child on a core of its own, read through /proc."""

    def __init__(self, command, core, log, env=None, cwd=None):
        self.log = open(log, "ab")
        self.child = subprocess.Popen(["taskset", "-c", str(core), *command], stdin=subprocess.DEVNULL, stdout=self.log,
                                      stderr=self.log, cwd=cwd, env={**os.environ, **(env or {})})

    def cpu_s(self):
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.child.pid}/status").read_text()).group(1))

    def end(self, signal=15):
        if self.child.poll() is None:
            self.child.send_signal(signal)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()


class Rig(contextlib.ExitStack):
    """Everything lives in one directory; leaving the rig ends what it started. `answers`: what the upstream says."""

    def __init__(self, answers=ANSWERS, modules=""):
        super().__init__()
        self.answers, self.modules = answers, modules

    def __exit__(self, *fault):
        with unlimited():
            return super().__exit__(*fault)

    def __enter__(self):
        super().__enter__()
        self.dir = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=HOME / "build")))
        self.port = self.gateway = None
        self.upstream_port = free_port()
        self.start_nginx(self.upstream_port, REST, self.answers.replace("{dir}", str(self.dir)), self.modules)
        return self

    def start(self, name, command, core, port, path, **more):
        """A process that has to answer on its port; it ends with the rig."""
        process = Process(command, core, self.dir / f"{name}-{port}.log", **more)
        self.callback(process.end)

        def ready():
            if process.child.poll() is not None:
                raise Absent(f"{name} ended: " + (self.dir / f"{name}-{port}.log").read_text(errors="replace")[-3000:])
            return request(port, "GET", path)[0] < 500

        wait_for(name, ready)
        return process

    def start_nginx(self, port, core, server, modules=""):
        conf = self.dir / f"nginx-{port}.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=port, upstream=self.upstream_port, server=server, modules=modules))
        # its modules lie below the prefix
        command = ["nginx", "-p", "/usr/lib/nginx", "-e", str(self.dir / "nginx.err"), "-c", str(conf)]
        return self.start("nginx", command, core, port, "/x")

    def write_stages(self):
        folder = self.dir / "stages.d"
        folder.mkdir(exist_ok=True)
        (self.dir / "templates").mkdir(exist_ok=True)
        for name, text in TEMPLATES.items():
            (self.dir / "templates" / name).write_text(text)
        for name, text in STAGES.items():
            (folder / f"{name}.conf").write_text(text.format(upstream=f"http://127.0.0.1:{self.upstream_port}"))

    def start_gateway(self, core=MEASURED, loops=1, answers="/ready", under=(), more=()):
        """Gives the seconds until it answered well there. `under` is a command that runs it, `more` are flags."""
        self.write_stages()
        self.port = self.port or free_port()
        started = time.monotonic()
        self.gateway = self.start(
            "stagedoor", [*under, STAGEDOOR, "serve", "--listen", f"127.0.0.1:{self.port}", "--stages", str(self.dir / "stages.d"),
                          "--templates", str(self.dir / "templates"), "--store", f"sqlite:{self.dir}/stagedoor.db", "--loops",
                          str(loops), "--max-runs", "200000", "--log-level", "warn", *more], core, self.port, answers)
        ready_s = time.monotonic() - started
        if self.metric("stage_broken"):
            raise Unmeasured("a definition is broken:\n" + (self.dir / f"stagedoor-{self.port}.log").read_text())
        return ready_s

    def metric(self, name, label=""):
        """The sum over all rows that have that label (`status="SUCCEEDED"`)."""
        page = request(self.port, "GET", "/metrics")[1].decode()
        rows = re.findall(rf"^stagedoor_{name}({{.*}})? (\S+)$", page, re.M)
        return sum(float(value) for labels, value in rows if label in labels)

    def drain(self, seconds=120):
        wait_for("the runs' end", lambda: self.metric("runs_in_flight") == 0, seconds, 0.05)

    def begin_load(self, core=REST, **plan):
        """tests/bench/load.c at the gateway; `load` gives what it says when it is over."""
        words = [f"{name}={value}" for name, value in {"port": self.port, **plan}.items()]
        load = subprocess.Popen(["taskset", "-c", str(core), HOME / "build/bench/load", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.callback(load.kill)
        return load

    def load(self, **plan):
        return said_by(self.begin_load(**plan))

    def wrk(self, port, method, path, body=None, seconds=3, connections=64, prefer=None):
        script = self.dir / "wrk.lua"
        script.write_text(WRK.format(method=method, body="[==[" + body + "]==]" if body else "nil",
                                     prefer=f'"{prefer}"' if prefer else "nil"))
        done = subprocess.run(
            ["taskset", "-c", str(REST), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script),
             f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True)
        found = re.search(r"^RESULT (.*)$", done.stdout, re.M)
        if not found:
            raise Unmeasured(f"wrk failed: {done.stdout}{done.stderr}")
        return json.loads(found.group(1))


def said_by(load):
    out = load.communicate()[0]
    if load.returncode:
        raise Unmeasured(f"load failed: {out}")
    return json.loads(out.splitlines()[-1])


def start_body(users=50):
    """200 bytes of JSON."""
    body = {"parameters": {"target": "", "users": users}, "caller": {"user": "bench", "application": "bench"}}
    body["parameters"]["target"] = "x" * (200 - len(json.dumps(body)))
    return json.dumps(body)
