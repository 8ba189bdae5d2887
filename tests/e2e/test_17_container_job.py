"""The stage that ships for containers, against Debian's podman: a real engine, a real image, real exit codes. Where the
machine cannot run a container, all of it is skipped, with what the engine said."""

import re
import select
import socket
import threading

import pytest
from helpers.podman import IMAGE, ULIMITS, Podman
from helpers.services import shipped_text, templates
from helpers.wait import wait_until


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    directory = tmp_path_factory.mktemp("podman")
    one = Podman(directory)
    why = one.why_not()
    if why:
        one.close()
        pytest.skip(f"NO CONTAINER CAN RUN HERE, so container-job is not tested: podman answers {why}")
    yield one
    one.close()


def definition(engine, **replaced):
    """As an operator would set it: enabled, the engine's socket, the host's network, and polls for a test's patience."""
    text = shipped_text("container-job", enabled="true", **{"every": '"100ms"', **replaced})
    text, count = re.subn(r'"/run/docker\.sock"', f'"{engine.socket}"', text)
    assert count == 8, "each call names the socket"
    text, count = re.subn(r'"bridge", "none"', '"bridge", "none", "host"', text)
    assert count == 1
    return text


@pytest.fixture
def jobs(gateway, engine):
    one = gateway(stages={"container-job": definition(engine)}, templates=templates())
    yield one.client()
    assert engine.containers() == [], "nothing is left behind"


def parameters(script, **more):
    return {"image": IMAGE, "command": ["/bin/sh", "-c", script], "network": "host", "ulimits": ULIMITS, **more}


def test_exit_code_0_with_properties(jobs):
    script = """echo starting; echo "SPINNAKER_PROPERTY_Image=registry/$NAME:7"; echo oops >&2
    echo 'SPINNAKER_CONFIG_JSON={"replicas": 3, "zones": ["a", "b"]}'; echo SPINNAKER_PROPERTY_broken >&2; printf done"""
    report = jobs.run("container-job", parameters(script, env={"NAME": 'a "b" \\c', "EMPTY": ""}))
    assert report["status"] == "SUCCEEDED", report
    outputs = report["outputs"]
    assert outputs["Image"] == outputs["image"] == 'registry/a "b" \\c:7'
    assert (outputs["replicas"], outputs["zones"], outputs["exit_code"]) == (3, ["a", "b"], 0)
    assert "starting\n" in outputs["log"] and "oops\n" in outputs["log"] and "done" in outputs["log"]
    (warning,) = report["warnings"]
    assert re.fullmatch(r"log: line \d+: SPINNAKER_PROPERTY_ has no = behind its name", warning)
    assert "with a warning" in report["progress"], report


def test_exit_code_3_is_a_failure_with_its_log(jobs):
    report = jobs.run("container-job", parameters("echo SPINNAKER_PROPERTY_why=disk; echo bad >&2; exit 3"))
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed"), report
    assert "the container ended with exit code 3" in report["error"], report
    assert (report["outputs"]["why"], report["outputs"]["exit_code"]) == ("disk", 3)
    assert "bad\n" in report["outputs"]["log"]


def test_values_as_orca_sends_them(jobs):
    """Strings only: a list and objects as JSON texts."""
    report = jobs.run(
        "container-job",
        {
            "image": IMAGE,
            "command": '["/bin/sh", "-c", "echo SPINNAKER_PROPERTY_said=$WORD, and more"]',
            "env": '{"WORD": "hello"}',
            "network": "host",
            "ulimits": '{"nofile": 1024, "nproc": 1024}',
        },
    )
    assert (report["status"], report["outputs"]["said"]) == ("SUCCEEDED", "hello, and more"), report


def test_canceled_while_it_sleeps(jobs, engine):
    report = jobs.started("container-job", parameters("echo begun; sleep 1000"))
    name = f"stagedoor-{report['id'].lower()}"
    wait_until(
        lambda: any(one.lower() == name for one in engine.containers())
        and jobs.report(report["id"])["upstream"]["status"] == "running",
        "the container to run",
        20,
    )
    assert jobs.cancel(report["id"]).status in (200, 202)
    ended = jobs.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert engine.containers() == []


def test_image_that_is_not_there(jobs):
    report = jobs.run("container-job", {**parameters("true"), "image": "localhost/nothing:1"})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused"), report
    assert "404" in report["error"] and "no such image" in report["error"], report


def test_command_that_is_not_there(jobs):
    """Created, and cannot be started: it is removed all the same."""
    report = jobs.run("container-job", {**parameters("true"), "command": ["/bin/nothing"]})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed"), report
    assert "could not be started" in report["error"] and "/bin/nothing" in report["error"], report
    assert "exit_code" not in report["outputs"] and "log" not in report["outputs"], "there is nothing to wait for"
    assert [step["status"] for step in report["steps"]][2:4] == ["SKIPPED", "SKIPPED"]


def test_restart_of_the_gateway_in_the_middle(gateway, engine):
    one = gateway(stages={"container-job": definition(engine)}, templates=templates())
    client = one.client()
    report = client.started("container-job", parameters("sleep 2; echo SPINNAKER_PROPERTY_a=1"))
    client.wait_report(report["id"], lambda now: now["upstream"]["status"] == "running", "it to run", 20)
    one.restart()
    ended = one.client().wait_end(report["id"])
    assert (ended["status"], ended["outputs"]["a"]) == ("SUCCEEDED", "1"), ended
    assert engine.containers() == []


class LosesReply:
    """Between the gateway and the engine: the first reply to a request that begins so is lost on the way."""

    def __init__(self, path, engine, begins):
        self.engine, self.begins, self.lost = engine, begins, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.engine)
            losing = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data or (losing and ready is server):
                        return  # both sides see the end
                    if ready is client and data.startswith(self.begins) and not self.lost:
                        losing, self.lost = True, 1
                    (server if ready is client else client).sendall(data)


@pytest.mark.parametrize("begins", [b"POST /containers/create?", b"POST /containers/stagedoor-"], ids=["create", "start"])
def test_lost_reply_runs_nothing_twice(gateway, engine, tmp_path_factory, begins):
    """The engine has acted, and nobody heard of it: the container is found by its name."""
    path = str(tmp_path_factory.mktemp("lost") / "proxy.sock")
    proxy = LosesReply(path, engine.socket, begins)
    text = definition(engine).replace(engine.socket, path)
    client = gateway(stages={"container-job": text}, templates=templates()).client()
    report = client.run("container-job", parameters("echo SPINNAKER_PROPERTY_ran=$((1 + 1)); exit 0"))
    assert (report["status"], report["outputs"]["ran"], proxy.lost) == ("SUCCEEDED", "2", 1), report
    assert report["outputs"]["log"].count("ran=") == 1 and engine.containers() == []
    proxy.listener.close()


def test_no_engine(gateway, engine, tmp_path):
    """Nothing was sent, so it is tried again, and the report says where it was knocked at."""
    text = definition(engine).replace(engine.socket, str(tmp_path / "gone.sock"))
    client = gateway(stages={"container-job": text}, templates=templates()).client()
    report = client.started("container-job", parameters("true"))
    wanted = "no connection to the socket .*/gone.sock: No such file or directory"
    client.wait_report(report["id"], lambda now: re.search(wanted, now["progress"]), "the socket to be named")
    client.cancel(report["id"])
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled_before_start"), ended


def test_shipped_is_disabled(gateway):
    client = gateway(stages={"container-job": shipped_text("container-job")}, templates=templates()).client()
    (listed,) = client.get("/stages").json()["stages"]
    assert (listed["state"], listed["disabled"]) == ("disabled", "its definition says enabled = false")
    assert client.start("container-job", parameters("true")).status == 404
