"""The gateway under test: a process of its own, in a directory of its own, on a port of its own.

The directory has stagedoor.conf, stages.d/, templates/, secrets/ and the store, so that a test can drop files in, kill
the process at any moment and start it again on what is left.
"""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import threading

from .client import Client
from .wait import free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("STAGEDOOR", ROOT / "build" / "stagedoor"))
# What a sanitizer prints; any of it is a failed test.
SANITIZER = re.compile(r"ERROR: AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer")
# An end-to-end test waits for conditions; these bounds only keep a hung gateway from hanging the round.
START_S, STOP_S = 20, 40


def conf_value(value):
    """A Python value in libconfig's notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -(2**31) <= value < 2**31 else f"{value}L"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (str, pathlib.Path)):
        text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{text}"'
    if isinstance(value, dict):
        return "{ " + " ".join(f"{key} = {conf_value(item)};" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        items = ", ".join(conf_value(item) for item in value)
        return f"( {items} )" if any(isinstance(item, (dict, list, tuple)) for item in value) else f"[ {items} ]"
    raise TypeError(value)


def conf(settings):
    return "".join(f"{key} = {conf_value(value)};\n" for key, value in settings.items())


def stage(name, **settings):
    """A definition's text."""
    return conf({"name": name, **settings})


def log_fields(line):
    """A logfmt line as a dict; values in quotes are JSON strings."""
    fields = {}
    for key, value in re.findall(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)', line):
        fields[key] = json.loads(value) if value.startswith('"') else value
    return fields


def command(*arguments, binary=BINARY, timeout=60, input=None, env=None, cwd=None):
    """A sub-command of the binary, run to its end."""
    done = subprocess.run(
        [str(binary), *[str(word) for word in arguments]],
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


class Gateway:
    binary = BINARY  # a test may replace it by a copy

    def __init__(self, directory, options=None, env=None, stages=None, templates=None, secrets=None, callers=None):
        self.directory = directory
        self.port = free_port()
        self.process = None
        self.env = dict(env or {})
        self.stages_dir, self.templates_dir, self.secrets_dir = (
            directory / "stages.d",
            directory / "templates",
            directory / "secrets",
        )
        for folder in (self.stages_dir, self.templates_dir, self.secrets_dir):
            folder.mkdir(parents=True)
        self.store_file = directory / "stagedoor.db"
        self.options = {
            "listen": [f"127.0.0.1:{self.port}"],
            "stages": self.stages_dir,
            "templates": self.templates_dir,
            "secrets": self.secrets_dir,
            "store": f"sqlite:{self.store_file}",
            **(options or {}),
        }
        if callers is not None:
            (directory / "callers.conf").write_text(conf({"callers": callers}))
            self.options["callers"] = directory / "callers.conf"
        self.options = {key: value for key, value in self.options.items() if value is not None}
        for name, text in (stages or {}).items():
            self.put_stage(name, text)
        for name, text in (templates or {}).items():
            (self.templates_dir / name).write_text(text)
        for name, text in (secrets or {}).items():
            (self.secrets_dir / name).write_text(text)
        self.starts = 0
        self._clients = []

    # -- files --

    def put_stage(self, name, text):
        """As a deployment would: whole, by rename."""
        part = self.stages_dir / f".{name}.part"
        part.write_text(text)
        part.rename(self.stages_dir / f"{name}.conf")

    def remove_stage(self, name):
        (self.stages_dir / f"{name}.conf").unlink()

    def write_config(self):
        path = self.directory / "stagedoor.conf"
        path.write_text(conf(self.options))
        return path

    # -- the process --

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def launch(self, *flags):
        """Starts the process, and does not wait."""
        assert self.process is None or self.process.poll() is not None, "it still runs"
        config = self.write_config()
        self.starts += 1
        environment = {**os.environ, **self.env}
        environment.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_leaks=1")
        with open(self._log_file(), "wb") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "serve", "--config", str(config), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment,
            )
        return self

    def start(self, *flags):
        self.launch(*flags)
        wait_until(self._is_ready, lambda: f"/ready; the log says: {self.log_text()[-3000:]}", START_S)
        return self

    def _is_ready(self):
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.log_text()[-3000:]}"
        client = self.client(timeout=5)
        try:
            return client.get("/ready").status == 200
        except OSError:
            return False
        finally:
            client.close()

    def stop(self, number=signal.SIGTERM, status=0):
        """Ends it as a supervisor does, and asserts that it ended well."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended(status)

    def ended(self, status=0):
        """Waits for the end of the process and asserts its exit status; the log."""
        process, self.process = self.process, None
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it did not end within {STOP_S} s: {self.log_text()[-3000:]}") from None
        text = self.log_text()
        assert not SANITIZER.search(text), text[-8000:]
        assert process.returncode == status, f"exit status {process.returncode}: {text[-3000:]}"
        return text

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        text = self.log_text()
        assert not SANITIZER.search(text), text[-8000:]

    def restart(self):
        """Killed, and started again on the same store and port."""
        self.kill9()
        return self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def close(self):
        """At the end of a test: whatever still runs has to end well."""
        for client in self._clients:
            client.close()
        self.stop()

    # -- looking in --

    def client(self, **options):
        client = Client(port=self.port, **options)
        self._clients.append(client)
        return client

    def _log_file(self):
        return self.directory / f"log.{self.starts}"

    def log_text(self):
        """What the process has said since its last start."""
        return self._log_file().read_text(errors="replace")

    def all_logs(self):
        return "".join((self.directory / f"log.{n}").read_text(errors="replace") for n in range(1, self.starts + 1))

    def log(self, **wanted):
        """The lines as dicts, those that have all of `wanted`."""
        lines = [log_fields(line) for line in self.all_logs().splitlines()]
        return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]

    def wait_log(self, **wanted):
        return wait_until(
            lambda: self.log(**wanted), lambda: f"a log line with {wanted}; the log: {self.log_text()[-3000:]}"
        )

    def store_bytes(self):
        """Everything that the store has on disk."""
        return b"".join(path.read_bytes() for path in sorted(self.directory.glob(self.store_file.name + "*")))

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def open_files(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __repr__(self):
        return f"Gateway({self.url}, {shlex.quote(str(self.directory))})"


class Background:
    """Calls made in threads of their own: `with Background(fn, …) as calls: …; calls.results()`."""

    def __init__(self, *functions):
        self._results = [None] * len(functions)
        self._threads = [threading.Thread(target=self._call, args=(i, fn)) for i, fn in enumerate(functions)]
        for thread in self._threads:
            thread.start()

    def _call(self, index, function):
        try:
            self._results[index] = function()
        except BaseException as error:  # given to the test by results()
            self._results[index] = error

    def results(self, timeout=60):
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a call in the background does not end"
        for result in self._results:
            if isinstance(result, BaseException):
                raise result
        return self._results

    def outcomes(self, timeout=60):
        """The same, with exceptions as results."""
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a call in the background does not end"
        return self._results

    @property
    def running(self):
        return any(thread.is_alive() for thread in self._threads)
