"""Who is set beside the gateway. Each is pinned to the core that is measured, has one
worker, and keeps its connections open on both sides."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rig import HOME, MEASURED, Absent, free_port

PEERS = Path(__file__).resolve().parent / "peers"
NPM_S = 30

PASSED_ON = "proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection '';"
PROXY = """
location /fixed { return 200 '{"state": "done", "text": "%s"}'; }
location / { %s }
""" % ("x" * 550, PASSED_ON)  # the text is about as long as a report
LUA = """
location /stages/fire { content_by_lua_file %s; }
location /upstream/ { internal; rewrite ^/upstream(.*)$ $1 break; %s }
location / { return 200 ''; }
""" % (PEERS / "gateway.lua", PASSED_ON)
LUA_MODULES = """
load_module modules/ndk_http_module.so; load_module modules/ngx_http_lua_module.so;
"""


@dataclass
class Contender:
    """What wrk asks, and of whom."""

    process: object
    port: int
    method: str
    path: str
    body: str = None
    prefer: str = None  # the header of this name
    drain: bool = False  # work goes on behind the answer, and its end belongs to the measurement


def start_nginx_proxy(rig):
    port = free_port()
    return port, rig.start_nginx(port, MEASURED, PROXY)


def start_nginx_lua(rig):
    port = free_port()
    return port, rig.start_nginx(port, MEASURED, LUA, LUA_MODULES)


def start_evhtp(rig):
    """A fixed answer of as many bytes as nginx's."""
    port = free_port()
    return port, rig.start("evhtp_fixed", [str(HOME / "build/bench/evhtp_fixed"), str(port), "600"], MEASURED, port, "/x")


def start_haproxy(rig):
    port = free_port()
    conf = rig.dir / "haproxy.cfg"
    conf.write_text((PEERS / "haproxy.cfg").read_text().format(port=port, upstream=rig.upstream_port))
    return port, rig.start("haproxy", ["haproxy", "-db", "-f", str(conf)], MEASURED, port, "/x")


def npm_install(folder):
    """Without a network npm would try for minutes."""
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=10000"]
    try:
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", *patience], cwd=folder,
                              capture_output=True, text=True, timeout=NPM_S)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Absent(f"npm install: {fault}") from None
    if done.returncode:
        raise Absent(f"npm install: {done.stderr.strip()[-2000:]}")


def node_modules():
    """Installed by npm, once, under build/."""
    folder = HOME / "build" / "bench-peers"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (PEERS / "package.json").read_text()
    if not (folder / "installed").exists() or (folder / "installed").read_text() != wanted:
        (folder / "package.json").write_text(wanted)
        npm_install(folder)
        (folder / "installed").write_text(wanted)
    return folder


def start_node(rig, script, path, **env):
    port, folder = free_port(), node_modules()
    (folder / script).write_text((PEERS / script).read_text())  # modules are looked for beside the script
    env = {"PORT": str(port), "UPSTREAM": f"http://127.0.0.1:{rig.upstream_port}", "NODE_ENV": "production", **env}
    return port, rig.start(script, ["node", script], MEASURED, port, path, env=env, cwd=folder)


def start_gateway_on_node(rig):
    return start_node(rig, "gateway.js", "/ready")
