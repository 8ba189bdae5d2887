"""What `make run` starts: the printed lines work as they stand, a kill loses nothing, Ctrl-C ends everything."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest
from helpers.client import Client
from helpers.gateway import BINARY, ROOT
from helpers.wait import free_port, wait_until

SERVICES = (8096, 8097)


def taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@pytest.fixture
def run(tmp_path):
    if any(map(taken, SERVICES)):
        pytest.skip("PORT 8096 OR 8097 IS TAKEN, so make run is not tested: it would say so and end")
    port, log = free_port(), tmp_path / "run.log"
    environment = {
        **os.environ,
        "PORT": str(port),
        "STAGEDOOR": str(BINARY),
        "STAGEDOOR_STORE": f"sqlite:{tmp_path}/stagedoor.db",
    }
    with open(log, "wb") as out:
        process = subprocess.Popen([ROOT / "tests/sample/run"], stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        wait_until(lambda: "Ctrl-C ends" in log.read_text(), lambda: f"the welcome: {log.read_text()}", 30)
        yield process, log, Client(port=port)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(40)
        assert process.returncode == 0, log.read_text()[-3000:]
        assert not any(map(taken, (*SERVICES, port))), "nothing is left"


def test_printed_lines(run):
    _, log, client = run
    (line,) = re.findall(r"^  (curl -s -X POST .*)$", log.read_text(), re.M)
    done = subprocess.run(["bash", "-c", line.replace('"duration": 5', '"duration": 1')], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["status"] == "SUCCEEDED" and report["outputs"]["requests"] > 0, report
    (line,) = re.findall(r"^  (\S*stagedoor run .*)$", log.read_text(), re.M)
    done = subprocess.run(["bash", "-c", line.replace("duration=5", "duration=1")], capture_output=True, text=True)
    assert done.returncode == 0 and "p99_ms" in done.stdout, done
    assert {one["name"]: one["state"] for one in client.get("/stages").json()["stages"]} == {
        "container-job": "disabled", "docker-image-labels": "ok", "github-commit-status": "disabled",
        "github-workflow": "disabled", "jenkins-job": "disabled", "kubernetes-job": "disabled", "load-test": "ok",
        "newrelic-change": "disabled", "newrelic-gate": "disabled", "prometheus-gate": "ok",
    }  # fmt: skip


def test_kill_in_the_middle(run):
    _, log, client = run
    report = client.started("load-test", {"target": "http://127.0.0.1:8097/", "users": 2, "duration": 2})
    client.wait_report(report["id"], lambda one: one["upstream"]["status"] == "running", "the load")
    (pid,) = re.findall(r"kill -9 (\d+)", log.read_text())
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: "is back" in log.read_text(), "the gateway to be back", 20)
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_port_that_is_taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        environment = {**os.environ, "PORT": str(holder.getsockname()[1]), "STAGEDOOR": str(BINARY)}
        done = subprocess.run([ROOT / "tests/sample/run"], capture_output=True, text=True, env=environment, timeout=30)
    assert done.returncode == 1 and environment["PORT"] in done.stderr and "PORT=" in done.stderr, done
