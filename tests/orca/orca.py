"""Orca as the tests drive it: a Java process that holds orca's own classes (src/main/java), one command a line."""

import json
import os
import subprocess
import time
from pathlib import Path

from helpers.wait import wait_until

CLASSPATH = os.environ.get("ORCA_CLASSPATH")  # set by tests/orca/run
JAVA = os.environ.get("JAVA", "java")
# A name that orca's URL rules accept, and such as they do not. Their address is nobody's (RFC 5737): every connection
# goes through the ingress.
HOST, ADDRESS = "stagedoor.ops.example.com", "192.0.2.10"
NAMES = (HOST, "stagedoor", "stagedoor.ops.svc", "stagedoor.ops.svc.cluster.local", "stagedoor.corp.internal", "gw.spinnaker")
TOKEN = "a-token-from-orcas-environment"


class OrcaError(Exception):
    """What orca threw."""


class Orca:
    def __init__(self, directory, ingress):
        assert CLASSPATH, "these tests are run by `make test-orca`"
        hosts = Path(directory) / "hosts"
        hosts.write_text("".join(f"{ADDRESS} {name}\n" for name in NAMES))
        self._log = open(Path(directory) / "orca.log", "w+b")
        self._process = subprocess.Popen(
            [
                JAVA,
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                # orca's own start script opens it for expressions.
                "--add-opens=java.base/java.util=ALL-UNNAMED",
                f"-Djdk.net.hosts.file={hosts}",
                "-DsocksProxyHost=127.0.0.1",
                f"-DsocksProxyPort={ingress.port}",
                "-cp",
                CLASSPATH,
                "stagedoor.orca.Driver",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "STAGEDOOR_TOKEN": TOKEN},
        )
        self.has_webhooks = False

    def do(self, what, **arguments):
        self._process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"orca ended: {self.log_text()[-4000:]}"
        answer = json.loads(line)
        if "error" in answer:
            raise OrcaError(answer["error"])
        return answer["answer"]

    def boot(self, yaml):
        """A restart of orca on this orca.yml."""
        self.has_webhooks = self.do("boot", yaml=str(yaml))
        return self

    def bound(self, name):
        return self.do("bound", name=name)

    def start(self, *stages, application="shop", name="release", trigger=None):
        trigger = {"type": "manual", "user": "kim", "parameters": {}, **(trigger or {})}
        numbered = [
            {"refId": str(n), "requisiteStageRefIds": [str(n - 1)] if n > 1 else [], **stage}
            for n, stage in enumerate(stages, 1)
        ]
        pipeline = {"application": application, "name": name, "trigger": trigger, "stages": numbered}
        return Pipeline(self, self.do("start", pipeline=pipeline))

    def log_text(self):
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)
        self._log.close()


class Pipeline:
    def __init__(self, orca, id):
        self.orca, self.id = orca, id
        self.delays = {}  # by task, the delays after which orca would have run it

    def execution(self):
        return self.orca.do("execution", id=self.id)

    def stage(self, ref="1"):
        return next(stage for stage in self.execution()["stages"] if stage["refId"] == ref)

    def webhook(self, ref="1"):
        """What the stage keeps of the answers."""
        return self.stage(ref)["context"]["webhook"]

    def status(self, ref="1"):
        return self.stage(ref)["status"]

    def step(self):
        """Orca handles its next message. What it was, or None."""
        told = self.orca.do("step")
        if told and "task" in told:
            self.delays.setdefault(told["task"], []).append(told["delay_ms"])
        return told

    def step_to(self, task):
        """Up to and with the next run of a task."""
        while (told := self.step()) is not None:
            if told.get("task") == task:
                return self
        raise AssertionError(f"no {task} came; the stages: {self.execution()['stages']}")

    def run(self, timeout=30):
        """To the end of the pipeline; the stage polls as often as here, not each second."""
        deadline = time.monotonic() + timeout
        while (told := self.step()) is not None:
            if told.get("task") == "MonitorWebhookTask" and told["delay_ms"]:
                assert time.monotonic() < deadline, self.webhook()
                time.sleep(0.02)
        return self

    def poll_until(self, done, timeout=30):
        """Polls until the stage's last answer satisfies `done`."""

        def polled():
            self.step_to("MonitorWebhookTask")
            return done(self.webhook()["monitor"])

        wait_until(polled, lambda: f"the last answer was {self.webhook()}", timeout)
        return self

    def cancel(self, user="kim"):
        self.orca.do("cancel", id=self.id, user=user)
        return self

    def restart(self, ref="1", user="kim"):
        self.orca.do("restart", id=self.id, stage=ref, user=user)
        return self

    def evaluate(self, value, ref="1"):
        return self.orca.do("evaluate", id=self.id, stage=ref, value=value)["value"]
