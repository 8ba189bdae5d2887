"""The client commands against a gateway that is played here: its reports follow a script, it can vanish, come back,
refuse, and answer rubbish. Seen from outside: exit status, stdout, stderr, what the terminal shows, what was sent."""

import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("STAGEDOOR") or ROOT / "build/stagedoor")
COMMANDS = ["serve", "check", "list", "run", "runs", "watch", "cancel", "explain", "export", "eval", "doctor", "import", "version"]
CLIENT_COMMANDS = ["list", "run", "runs", "watch", "cancel", "explain", "doctor"]
DEADLINE = 30


def report(status="RUNNING", progress="polling: running", percent=None, **more):
    ended = status in ("SUCCEEDED", "TERMINAL", "CANCELED")
    base = {
        "id": "01KTEST", "stage": "load-test", "status": status, "reason": None, "progress": progress,
        "percent": percent, "statusUrl": "http://elsewhere.invalid/runs/01KTEST",
        "cancelUrl": "http://elsewhere.invalid/runs/01KTEST/cancel", "upstream": {"status": "running", "code": 200},
        "outputs": {}, "artifacts": [], "error": None, "created": "2026-11-23T06:00:00.000Z",
        "updated": "2026-11-23T06:00:05.000Z", "ended": "2026-11-23T06:01:05.000Z" if ended else None, "steps": [],
    }  # fmt: skip
    return {**base, **more}


class Played:
    """A gateway. `reports` are given out one a question, the last one for ever. `answers` maps (method, path) to a
    function that gives (code, headers, body), or None to hang up without an answer."""

    def __init__(self, reports=(), answers=None, address=("127.0.0.1", 0), tls=None):
        self.reports, self.answers, self.tls = list(reports), dict(answers or {}), tls
        self.requests, self.lock, self.server = [], threading.Lock(), None
        self.address = address
        self.start()

    def start(self):
        played = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = DEADLINE

            def log_message(self, *args):
                pass

            def address_string(self):
                return "client"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = played.answer(self.command, self.path, self.headers, body)
                if answer is None:
                    self.close_connection = True
                    return
                code, headers, text = answer
                text = text.encode() if isinstance(text, str) else text
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = do

        unix = isinstance(self.address, str)
        base = socketserver.ThreadingUnixStreamServer if unix else http.server.ThreadingHTTPServer

        class Server(base):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that leaves is part of the game

            def get_request(inner):
                connection, peer = super().get_request()
                played.connections.append(connection)
                return connection, peer or ("unix", 0)

        self.connections = []
        self.server = Server(self.address, Handler)
        if not unix:
            self.address = self.server.server_address[:2]
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @property
    def url(self):
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        return f"{'https' if self.tls else 'http'}://{self.address[0]}:{self.address[1]}"

    def answer(self, method, path, headers, body):
        with self.lock:
            self.requests.append((method, path, headers, body))
            own = self.answers.get((method, path)) or self.answers.get((method, path.split("?")[0]))
            if own:
                return own()
            code = 202 if method == "POST" else 200
            if path.startswith(("/runs/", "/stages/")) and self.reports:
                now = self.reports[0] if len(self.reports) == 1 else self.reports.pop(0)
                return code, {"Content-Type": "application/json"}, json.dumps(now)
        return problem(404, "there is nothing here")

    def paths(self, method):
        with self.lock:
            return [path for m, path, _, _ in self.requests if m == method]

    def bodies(self, method="POST"):
        with self.lock:
            return [json.loads(body) for m, _, _, body in self.requests if m == method]


def problem(code, detail, errors=None, **headers):
    document = {"type": "about:blank", "title": "Refused", "status": code, "detail": detail}
    if errors is not None:
        document["errors"] = errors
    return code, {"Content-Type": "application/problem+json", **headers}, json.dumps(document)


@pytest.fixture
def played():
    made = []

    def make(*args, **kwargs):
        made.append(Played(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def env(tmp_path):
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}


def stagedoor(env, *args, url=None, input="", **options):
    if url:
        env = {**env, "STAGEDOOR_URL": url}
    return subprocess.run([BINARY, *args], env=env, input=input, capture_output=True, text=True, timeout=DEADLINE, **options)


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.01)


class Terminal:
    """A command on a terminal of its own, as a person has it."""

    def __init__(self, env, *args, columns=80, program=BINARY):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                os.execve(program, [str(program), *args], {"TERM": "xterm-256color", **env})
            finally:
                os._exit(99)

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self.fd, 65536)
        except OSError:
            return False
        self.shown += more
        return bool(more)

    def until(self, what):
        end = time.monotonic() + DEADLINE
        while what.encode() not in self.shown:
            assert time.monotonic() < end and self.read(1), f"never shown: {what!r} in {self.shown!r}"
        return self

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        end = time.monotonic() + DEADLINE
        while self.read(1):
            assert time.monotonic() < end, f"does not end; shown: {self.shown!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    @property
    def text(self):
        return self.shown.decode()


# ---- run ----


def test_run_sends_parameters_follows_and_prints_outputs(played, env):
    gateway = played([
        report(), report(percent=40, progress="polling: running (40 %)"),
        report("SUCCEEDED", "succeeded", 100, outputs={"p99_ms": 12.5, "report": "https://x/y", "tags": ["a"]}),
    ])  # fmt: skip
    done = stagedoor(env, "run", "load-test", "target=http://t/?a=b:=c", "users:=50", 'tags:=["x"]', "note=", url=gateway.url)
    assert done.returncode == 0, done
    assert gateway.paths("POST") == ["/stages/load-test"]
    body = gateway.bodies()[0]
    assert body["parameters"] == {"target": "http://t/?a=b:=c", "users": 50, "tags": ["x"], "note": ""}
    assert re.fullmatch(r"cli-[0-9a-f]{32}", body["key"])
    lines = done.stdout.splitlines()
    assert [line.split("  ", 1)[1] for line in lines[:2]] == ["RUNNING  polling: running", "RUNNING  polling: running (40 %)"]
    assert lines[2:] == [
        "SUCCEEDED load-test 01KTEST after 1m05s", "outputs:", "  p99_ms = 12.5", "  report = https://x/y", '  tags = ["a"]',
    ]  # fmt: skip
    assert done.stderr == "" and "\x1b" not in done.stdout and "\r" not in done.stdout


@pytest.mark.parametrize(
    "status, code", [("SUCCEEDED", 0), ("TERMINAL", 1), ("CANCELED", 3)], ids=["succeeded", "failed", "canceled"]
)
def test_exit_status_is_the_verdict(played, env, status, code):
    gateway = played([report(status, "over", reason="upstream_failed", error="the upstream said no")])
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.returncode == code
    assert f"{status} load-test 01KTEST" in done.stdout
    assert "  reason = upstream_failed\n  error = the upstream said no\n" in done.stdout
    assert gateway.paths("GET") == []  # the first answer said it all


def test_a_line_is_printed_for_a_change_only(played, env):
    gateway = played([report()] * 3 + [report("SUCCEEDED")])
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.stdout.count("polling: running") == 1
    assert all(headers["Prefer"] == "wait=2" for m, _, headers, _ in gateway.requests if m == "GET")


def test_json_gives_the_last_report_and_nothing_else(played, env):
    gateway = played([report(), report("TERMINAL", reason="timeout")])
    done = stagedoor(env, "run", "load-test", "--json", url=gateway.url)
    assert done.returncode == 1 and done.stderr == ""
    assert json.loads(done.stdout)["reason"] == "timeout"


def test_no_wait_prints_the_id_alone(played, env):
    gateway = played([report()])
    done = stagedoor(env, "run", "load-test", "-n", url=gateway.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "01KTEST\n", "")
    assert gateway.paths("GET") == []


@pytest.mark.parametrize("where", ["file", "stdin"])
def test_parameters_from_a_file_and_words_that_win(played, env, tmp_path, where):
    gateway = played([report("SUCCEEDED")])
    text = '{"users": 1, "token": "s3cret"}'
    (tmp_path / "p.json").write_text(text)
    name = "-" if where == "stdin" else str(tmp_path / "p.json")
    done = stagedoor(env, "run", "load-test", "--params", name, "users=2", "--key", "mine", url=gateway.url, input=text)
    assert done.returncode == 0, done
    assert gateway.bodies()[0] == {"parameters": {"users": "2", "token": "s3cret"}, "key": "mine"}


def test_a_start_without_an_answer_is_sent_again_with_the_same_key(played, env):
    hangups = [None]
    gateway = played(answers={
        ("POST", "/stages/load-test"): lambda: hangups.pop() if hangups else (202, {}, json.dumps(report("SUCCEEDED"))),
    })  # fmt: skip
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.returncode == 0, done
    keys = [body["key"] for body in gateway.bodies()]
    assert len(keys) == 2 and keys[0] == keys[1]
    assert "sending the start again, with the same key" in done.stderr


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("command", [["run", "x"], ["watch", "x"], ["runs"], ["list"], ["cancel", "x"]], ids=" ".join)
def test_unreachable_is_4_at_once(env, command):
    url = f"http://127.0.0.1:{free_port()}"
    done = stagedoor(env, *command, url=url)
    assert done.returncode == 4 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"{url}: the gateway does not answer" in done.stderr


def test_following_survives_a_restart_of_the_gateway(played, env):
    gateway = played([report()])
    process = subprocess.Popen([BINARY, "run", "load-test"], env={**env, "STAGEDOOR_URL": gateway.url},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_for(lambda: gateway.paths("GET"), "a poll")
    gateway.stop()
    assert "trying again for 1m00s" in process.stderr.readline()
    gateway.reports = [report("SUCCEEDED", "over")]
    gateway.start()
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0 and "SUCCEEDED" in out
    assert err == "stagedoor run: the gateway answers again\n"  # said once each


def test_patience_ends_with_4_and_says_how_to_go_on(played, env):
    gateway = played([report()])
    process = subprocess.Popen([BINARY, "run", "load-test", "--patience", "500ms"],
                               env={**env, "STAGEDOOR_URL": gateway.url}, stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_for(lambda: gateway.paths("GET"), "a poll")
    gateway.stop()
    _, err = process.communicate(timeout=DEADLINE)
    gateway.start()
    assert process.returncode == 4
    assert "stagedoor watch 01KTEST" in err and "stagedoor cancel 01KTEST" in err


@pytest.mark.parametrize("code", [500, 503])
def test_a_gateway_in_trouble_is_waited_for(played, env, code):
    busy = [problem(code, "draining")] * 2
    gateway = played([report()])
    gateway.answers[("GET", "/runs/01KTEST")] = lambda: busy.pop() if busy else (200, {}, json.dumps(report("SUCCEEDED")))
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.returncode == 0 and done.stderr.count(f"answers {code}") == 1


def test_timeout_leaves_and_the_run_goes_on(played, env):
    gateway = played([report()])
    done = stagedoor(env, "run", "load-test", "--timeout", "300ms", url=gateway.url)
    assert done.returncode == 1
    assert "the time is up" in done.stderr and "stagedoor watch 01KTEST" in done.stderr
    assert gateway.paths("POST") == ["/stages/load-test"]


def test_timeout_holds_while_the_gateway_is_silent_and_json_knows_the_run(played, env):
    held = threading.Event()
    gateway = played([report()], {("GET", "/runs/01KTEST"): lambda: (held.wait(DEADLINE), None)[1]})
    try:
        began = time.monotonic()
        done = stagedoor(env, "run", "load-test", "--timeout", "500ms", "--json", url=gateway.url)
        assert done.returncode == 1 and json.loads(done.stdout)["id"] == "01KTEST"
        assert 0.5 <= time.monotonic() - began < DEADLINE / 3
    finally:
        held.set()


def test_a_host_that_cannot_be_reached_is_asked_once(env):
    with socket.socket() as full:  # a listener whose queue is full drops what knocks: the connection times out
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            done = stagedoor(env, "run", "load-test", url=f"http://127.0.0.1:{full.getsockname()[1]}")
    assert done.returncode == 4 and "sending the start again" not in done.stderr


# ---- refusals ----


def test_all_errors_of_a_problem_are_shown(played, env):
    errors = [{"pointer": "/parameters/users", "detail": "it has to be at most 5000"}, {"field": "profil", "reason": "unknown"}, "odd"]
    gateway = played(answers={("POST", "/stages/load-test"): lambda: problem(422, "2 parameters are wrong", errors)})
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "stagedoor run: 2 parameters are wrong (422)", "  /parameters/users: it has to be at most 5000", "  profil: unknown", "  odd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answer, code, says",
    [
        (problem(404, 'no stage "load-tst" (did you mean load-test?)'), 2, "did you mean load-test?"),
        (problem(401, "a token is needed"), 2, "set STAGEDOOR_TOKEN"),
        (problem(409, "the key was used with other parameters"), 2, "other parameters"),
        (problem(500, "ours"), 1, "ours (500)"),
        (problem(503, "draining", **{"Retry-After": "7"}), 4, "try again in 7 seconds"),
        ((200, {"Content-Type": "text/html"}, "<html>hello"), 4, "not as a stagedoor gateway does"),
        ((200, {}, '{"id": 7}'), 4, "not as a stagedoor gateway does"),
        ((200, {}, "[" * 100000), 4, "not as a stagedoor gateway does"),
        ((302, {"Location": "http://127.0.0.1:1/"}, ""), 1, "redirect"),
    ],
    ids=["404", "401", "409", "500", "503", "html", "no-report", "deep", "redirect"],
)
def test_answers_that_are_no_start(played, env, answer, code, says):
    gateway = played(answers={("POST", "/stages/load-test"): lambda: answer})
    done = stagedoor(env, "run", "load-test", url=gateway.url)
    assert done.returncode == code and says in done.stderr and done.stdout == ""
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "args, says",
    [
        (["run"], "something is missing"),
        (["run", "a=b"], "the stage's name comes first"),
        (["run", ""], "the stage's name comes first"),
        (["run", "s", "novalue"], "name=text or name:=JSON"),
        (["run", "s", "=v"], "name=text or name:=JSON"),
        (["run", "s", ":=1"], "name=text or name:=JSON"),
        (["run", "s", "a:={"], "a: "),
        (["run", "s", "a=1", "a:=2"], "a: it is given twice"),
        (["run", "s", b"a=\xff"], "a: it is not UTF-8"),
        (["run", "s", "--key", ""], "a key is UTF-8 text"),
        (["run", "s", "--params", "/nowhere"], "/nowhere: cannot be read"),
        (["run", "s", "--kye=x"], "did you mean --key?"),
        (["run", "s", "--key"], "--key needs a value"),
        (["run", "s", "--json=yes"], "--json takes no value"),
        (["run", "s", "--timeout", "soon"], "--timeout"),
        (["run", "s", "-x"], "unknown option -x"),
        (["run", "s", "--url", "127.0.0.1:8095"], "needs a scheme: http://127.0.0.1:8095"),
        (["run", "s", "--url", "ftp://x"], "ftp://x"),
        (["run", "s", "--url", "http://u:p@x"], "http://"),
        (["run", "s", "--url", "unix:sock"], "whole path"),
        (["run", "s", "--ca", "/nowhere"], "/nowhere: cannot read the CA file"),
        (["watch"], "something is missing"),
        (["watch", "a", "b"], '"b" is too much'),
        (["cancel"], "either a run's id, or --stage and --key"),
        (["cancel", "x", "--stage", "s"], "either a run's id, or --stage and --key"),
        (["cancel", "--stage", "s"], "either a run's id, or --stage and --key"),
        (["runs", "--status", "suceeded"], "did you mean SUCCEEDED?"),
        (["runs", "--since", "yesterday"], "--since takes"),
        (["runs", "--limit", "0"], "from 1 to"),
        (["runs", "--limit", "9999999999999999999999"], "from 1 to"),
        (["eval", "tempalte", "-"], "did you mean template?"),
        (["eval", "template"], "a template is one FILE"),
        (["eval", "template", "-", "--place", "jsn"], "did you mean json?"),
        (["eval", "template", "-", "--vars", "[]"], "it has to be an object"),
        (["eval", "template", "-", "--vars", "@-"], "cannot both come from stdin"),
        (["eval", "jsonpath", "$", "--vars", "{}"], "takes no --vars"),
        (["eval", "template", "-", "--paths"], "--paths is for jsonpath"),
        (["version", "x"], '"x" is too much'),
        (["vershun"], "did you mean version?"),
        (["help", "rnus"], "did you mean runs?"),
        ([], "usage: stagedoor COMMAND"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value),
)
def test_usage_is_2_and_nothing_is_sent(played, env, args, says):
    gateway = played([report("SUCCEEDED")])
    done = stagedoor(env, *args, url=gateway.url)
    assert done.returncode == 2, done
    assert says in done.stderr and done.stdout == ""
    assert gateway.requests == []


RUBBISH = [
    "[]", '"x"', "5", "null", "", "{", "{}", '{"stages": 5}', '{"runs": {}}', '{"name": "x", "parameters": [1, null, {"choices": 5}]}',
    '{"runs": [5, null, {}, "x", {"id": 5}], "cursor": 7}', '{"runs": [], "cursor": "again"}',
    '{"stages": [5, null, [], {"errors": 5, "parameters": 7}, {"errors": {"a": 1}}]}', '{"id": "", "status": ""}',
    '{"id": "a", "status": "TERMINAL", "outputs": 5, "error": [], "percent": "x", "reason": {}}', '{"id": "\\ud800", "status": "x"}',
    '{"id": "a", "status": "SUCCEEDED", "outputs": [1], "error": {"message": 5}, "percent": 1e300, "created": 5, "ended": "x"}',
    '{"errors": [null, 5, [], {"detail": null, "pointer": []}], "detail": 7, "title": null}',
]  # fmt: skip


@pytest.mark.parametrize("code", [200, 422])
@pytest.mark.parametrize("body", RUBBISH)
def test_no_answer_upsets_a_command(played, env, body, code):
    gateway = played()
    gateway.answer = lambda *request: (code, {}, body)
    for command in (["run", "s"], ["run", "s", "-n"], ["watch", "a"], ["runs"], ["list"], ["cancel", "a"]):
        done = stagedoor(env, *command, url=gateway.url)
        assert done.returncode in ((0, 1, 4) if code == 200 else (2,)), done
        assert done.returncode in (0, 1) or done.stderr.startswith(f"stagedoor {command[0]}: "), done


# ---- tokens, sockets, TLS ----


def test_token_from_environment_file_and_home(played, env, tmp_path):
    gateway = played(answers={("GET", "/stages"): lambda: (200, {}, '{"stages": []}')})
    (tmp_path / "token").write_text("from-file\n")
    home = tmp_path / ".config/stagedoor/token"
    home.parent.mkdir(parents=True)
    home.write_text("from-home\n")
    home.chmod(0o600)
    for more in ({}, {"STAGEDOOR_TOKEN_FILE": str(tmp_path / "token")}, {"STAGEDOOR_TOKEN": "from-env"}):
        done = stagedoor({**env, **more}, "list", url=gateway.url)
        assert done.returncode == 0 and "from-" not in done.stdout + done.stderr
    sent = [headers["Authorization"] for _, _, headers, _ in gateway.requests]
    assert sent == ["Bearer from-home", "Bearer from-file", "Bearer from-env"]
    home.chmod(0o644)
    assert "can be read by others" in stagedoor(env, "list", url=gateway.url).stderr


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "   "])
def test_a_bad_token_is_never_sent_nor_shown(played, env, token):
    gateway = played([report()])
    done = stagedoor({**env, "STAGEDOOR_TOKEN": token}, "list", url=gateway.url)
    assert done.returncode == 2 and gateway.requests == [] and "Evil" not in done.stderr


def test_unix_socket_and_a_base_path(played, env, tmp_path):
    path = str(tmp_path / "gw.sock")
    played([report("SUCCEEDED")], address=path)
    assert stagedoor(env, "run", "load-test", "--url", f"unix:{path}").returncode == 0
    gateway = played(answers={("POST", "/gw/stages/a%2F..%2Fb%20c"): lambda: (202, {}, json.dumps(report("SUCCEEDED")))})
    assert stagedoor(env, "run", "a/../b c", "--url", gateway.url + "/gw/").returncode == 0


def test_tls_needs_a_trusted_certificate(played, env, tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    gateway = played([report("SUCCEEDED")], tls=context)
    refused = stagedoor(env, "run", "load-test", "--url", gateway.url)
    assert refused.returncode == 4 and "certificate" in refused.stderr and gateway.requests == []
    assert stagedoor(env, "run", "load-test", "--url", gateway.url, "--ca", str(certificate)).returncode == 0


def test_a_proxy_is_not_asked_for_loopback(played, env):
    gateway = played([report("SUCCEEDED")])
    proxied = {**env, "http_proxy": f"http://127.0.0.1:{free_port()}"}
    assert stagedoor(proxied, "run", "load-test", url=gateway.url).returncode == 0


# ---- the terminal ----


def screens(text):
    """What the lines of a terminal held, one after another."""
    return [part for part in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*m", "", text)) if part.strip()]


@pytest.mark.parametrize("columns", [12, 40, 80, 200])
def test_bar_is_redrawn_in_place_and_fits(played, env, columns):
    gateway = played([report(percent=40, progress="polling: " + "läuft 漢字 " * 20), report("SUCCEEDED", "over", 100)])
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "run", "load-test", columns=columns)
    assert terminal.end() == 0
    bars = [line for line in screens(terminal.text) if "40 %" in line]
    wide = lambda line: sum(2 if "\u4e00" <= c <= "\u9fff" else 1 for c in line.rstrip())
    assert bars and all(wide(line) < columns for line in bars)
    assert ("█" in bars[0]) == (columns >= 40)
    assert terminal.text.count("\n") == 1  # the last word alone is a line
    assert "\x1b[32mSUCCEEDED\x1b[0m" in terminal.text


def test_no_color_and_no_utf8(played, env):
    gateway = played([report(percent=50, progress="läuft"), report("SUCCEEDED")])
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url, "NO_COLOR": "1", "LANG": "C"}, "run", "load-test")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text and terminal.text.isascii()
    assert re.search(r"load-test \[#+-+\]  50 % \S+  l.?.uft", terminal.text)


def test_a_dumb_terminal_gets_lines(played, env):
    gateway = played([report(), report("SUCCEEDED")])
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url, "TERM": "dumb"}, "run", "load-test")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text and "Z  RUNNING  polling: running\r\n" in terminal.text


def test_an_upstream_cannot_steer_the_terminal(played, env):
    evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202eabc\r\n\x7f"
    ends = report("TERMINAL", evil, reason=evil, error=evil, outputs={evil: evil, "list": [evil]}, stage=evil)
    gateway = played([report(progress=evil, stage=evil, id="x\x1b[1m"), ends])
    gateway.answers[("GET", "/stages")] = lambda: (200, {}, json.dumps({"stages": [
        {"name": evil, "state": "broken", "errors": [{"where": evil, "what": evil}], "parameters": [{"name": evil, "type": evil}]}]}))
    gateway.answers[("GET", "/runs")] = lambda: (200, {}, json.dumps({"runs": [ends], "cursor": None}))
    gateway.answers[("POST", "/runs/x/cancel")] = lambda: problem(409, evil, [{"field": evil, "reason": evil}, evil])
    plain = {**env, "STAGEDOOR_URL": gateway.url, "NO_COLOR": "1"}
    for command in (["run", "load-test"], ["list"], ["runs"], ["cancel", "x"]):
        terminal = Terminal(plain, *command)
        terminal.end()
        assert not re.search("[\x1b\x07\x7f\u0080-\u009f\u202e]", terminal.text), command
        assert "owned" in terminal.text


def test_ctrl_c_asks_and_yes_cancels(played, env):
    gateway = played([report()])

    def cancel():
        gateway.reports = [report("CANCELED", "canceled")]
        return 202, {}, json.dumps(report(progress="canceling"))

    gateway.answers[("POST", "/runs/01KTEST/cancel")] = cancel
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "run", "load-test").until("polling")
    terminal.type("\x03")
    terminal.until("cancel the run? [y/N]").type("y\n")
    assert terminal.end() == 3
    assert gateway.paths("POST") == ["/stages/load-test", "/runs/01KTEST/cancel"]


def test_ctrl_c_asks_although_stdin_gave_the_parameters(played, env, tmp_path):
    gateway = played([report()])
    script = f'echo "{{}}" | "{BINARY}" run load-test --params -; echo "exit $?"'
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "-c", f"trap : INT; {script}", program="/bin/bash").until("polling")
    terminal.type("\x03")
    terminal.until("cancel the run? [y/N]").type("\x03")
    terminal.until("exit 130").end()


def test_ctrl_c_and_no_goes_on(played, env):
    gateway = played([report()])
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "watch", "01KTEST").until("polling")
    terminal.type("\x03")
    terminal.until("cancel the run? [y/N]").type("\n")
    gateway.reports = [report("SUCCEEDED", "over")]
    assert terminal.end() == 0
    assert gateway.paths("POST") == []


def test_a_second_ctrl_c_leaves(played, env):
    gateway = played([report()])
    terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "run", "load-test").until("polling")
    terminal.type("\x03")
    terminal.until("cancel the run? [y/N]").type("\x03")
    assert terminal.end() == 130
    assert "the run goes on" in terminal.text and gateway.paths("POST") == ["/stages/load-test"]


def test_ctrl_c_is_heard_while_the_gateway_holds_its_answer(played, env):
    held = threading.Event()
    gateway = played([report()])
    gateway.answers[("GET", "/runs/01KTEST")] = lambda: (held.wait(DEADLINE), None)[1]
    try:
        terminal = Terminal({**env, "STAGEDOOR_URL": gateway.url}, "run", "load-test").until("polling")
        wait_for(lambda: any(m == "GET" for m, *_ in gateway.requests), "a poll")
        terminal.type("\x03")
        terminal.until("cancel the run? [y/N]").type("\x03")
        assert terminal.end() == 130
    finally:
        held.set()


def test_sigint_without_a_terminal_cancels_nothing(played, env):
    gateway = played([report()])
    process = subprocess.Popen([BINARY, "run", "load-test"], env={**env, "STAGEDOOR_URL": gateway.url}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert "polling" in process.stdout.readline()  # also: a line leaves at once, into a pipe too
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130 and "stagedoor cancel 01KTEST" in err
    assert gateway.paths("POST") == ["/stages/load-test"]


# ---- output that goes nowhere ----


@pytest.mark.parametrize("command", ["help", "version", "version --json", "runs", "run load-test"])
@pytest.mark.parametrize("to", [">/dev/full", ">&-", ">&- 2>&- <&-"])
def test_output_that_cannot_be_written_is_a_failure(played, env, command, to):
    gateway = played([report("SUCCEEDED")], {("GET", "/runs"): lambda: (200, {}, json.dumps({"runs": [report()]}))})
    done = subprocess.run(["/bin/sh", "-c", f'exec "$0" {command} {to}', BINARY], env={**env, "STAGEDOOR_URL": gateway.url},
                          capture_output=True, text=True, timeout=DEADLINE)  # fmt: skip
    assert done.returncode == 1
    assert "2>&-" in to or "the output could not be written" in done.stderr


def test_a_reader_that_leaves_ends_us_as_any_filter(played, env):
    many = {"runs": [report(id=f"01K{i:05}", progress="x" * 200) for i in range(1000)]}
    gateway = played(answers={("GET", "/runs"): lambda: (200, {}, json.dumps(many))})
    process = subprocess.Popen([BINARY, "runs", "--limit", "1000"], env={**env, "STAGEDOOR_URL": gateway.url}, bufsize=0,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(DEADLINE) == -signal.SIGPIPE and process.stderr.read() == b""


# ---- lists ----


def test_runs_filters_pages_and_prints(played, env):
    pages = [
        {"runs": [report(id="01KC"), report("SUCCEEDED", "over", id="01KB")], "cursor": "next page"},
        {"runs": [report("TERMINAL", "", id="01KA")], "cursor": None},
    ]
    gateway = played()
    gateway.answers[("GET", "/runs")] = lambda: (200, {}, json.dumps(pages[len(gateway.requests) - 1]))
    done = stagedoor(env, "runs", "--stage", "a b", "--status", "running", "--since", "2026-11-23T06:00:00Z", "-l", "3", url=gateway.url)
    assert done.returncode == 0, done
    since = "since=2026-11-23T06%3A00%3A00Z"
    assert gateway.paths("GET") == [
        f"/runs?limit=3&stage=a%20b&status=RUNNING&{since}", f"/runs?limit=1&stage=a%20b&status=RUNNING&{since}&cursor=next%20page",
    ]  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RUN", "STAGE", "STATUS", "CREATED", "TOOK", "PROGRESS"]
    assert [line.split()[0] for line in lines[1:]] == ["01KC", "01KB", "01KA"]
    assert lines[2].split() == ["01KB", "load-test", "SUCCEEDED", "2026-11-23T06:00:00.000Z", "1m05s", "over"]
    assert len({line.index("load-test") for line in lines[1:]}) == 1
    gateway.requests.clear()
    done = stagedoor(env, "runs", "--json", "--since", "2h", url=gateway.url)
    assert [run["id"] for run in json.loads(done.stdout)["runs"]] == ["01KC", "01KB", "01KA"]
    assert re.search(r"since=20\d\d-", gateway.paths("GET")[0])


LOAD_TEST = {"name": "load-test", "label": "Load test", "description": "Runs a load test", "state": "ok", "errors": []}
OLD = {"name": "old", "state": "stale", "errors": [{"where": "stages.d/old.conf:1", "what": "no url"}]}
ODD = {"name": "odd", "state": "broken", "errors": [{"where": "stages.d/odd.conf:3", "what": 'unknown setting "ulr" (did you mean "url"?)'}]}
SHOWN = {
    "parameters": [
        {"name": "target", "label": "Target URL", "type": "url", "required": True, "default": None},
        {"name": "users", "label": "users", "type": "integer", "required": False, "default": 50},
        {"name": "profile", "label": "profile", "type": "choice", "choices": ["smoke", "soak"], "default": "smoke"},
    ],
    "schema": {"properties": {"users": {"type": "integer", "minimum": 1, "maximum": 5000}}},
}


def test_list_shows_parameters_and_broken_stages(played, env):
    everything = {"loaded": "2026-11-23T06:00:00.000Z", "stages": [LOAD_TEST, OLD, ODD]}
    gateway = played(answers={
        ("GET", "/stages"): lambda: (200, {}, json.dumps(everything)),
        ("GET", "/stages/load-test"): lambda: (200, {}, json.dumps({**LOAD_TEST, **SHOWN})),
        ("GET", "/stages/old"): lambda: (200, {}, json.dumps({**OLD, "parameters": []})),
    })  # fmt: skip
    done = stagedoor(env, "list", url=gateway.url)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "load-test  ok  Runs a load test",
        "    target   url      required  Target URL",
        "    users    integer  default 50, at least 1, at most 5000",
        '    profile  choice   default "smoke"  smoke|soak',
        "old  stale",
        "    the version before these mistakes is in force",
        "    stages.d/old.conf:1: no url",
        "odd  broken",
        '    stages.d/odd.conf:3: unknown setting "ulr" (did you mean "url"?)',
    ]
    assert gateway.paths("GET") == ["/stages", "/stages/load-test", "/stages/old"]
    assert json.loads(stagedoor(env, "list", "--json", url=gateway.url).stdout) == everything
    assert stagedoor(env, "list", "load-test", url=gateway.url).stdout.splitlines() == done.stdout.splitlines()[:4]
    missing = stagedoor(env, "list", "nope", url=gateway.url)
    assert missing.returncode == 2 and "there is nothing here (404)" in missing.stderr


def test_cancel_by_id_and_by_key(played, env):
    gateway = played([report(progress="canceling")])
    done = stagedoor(env, "cancel", "01K/TEST", url=gateway.url)
    assert (done.returncode, done.stdout) == (0, "01KTEST  RUNNING  canceling\n")
    done = stagedoor(env, "cancel", "--stage", "load-test", "--key", 'a"b', "--json", url=gateway.url)
    assert done.returncode == 0 and json.loads(done.stdout)["progress"] == "canceling"
    assert gateway.paths("POST") == ["/runs/01K%2FTEST/cancel", "/stages/load-test/cancel"]
    assert gateway.bodies() == [{}, {"key": 'a"b'}]


def test_watch_follows_and_knows_when_there_is_no_such_run(played, env):
    gateway = played([report(), report("TERMINAL", reason="timeout", error={"message": "took too long"})])
    done = stagedoor(env, "watch", "01KTEST", url=gateway.url)
    assert done.returncode == 1 and "  reason = timeout\n  error = took too long\n" in done.stdout
    gateway.answers[("GET", "/runs/none")] = lambda: problem(404, "no such run")
    done = stagedoor(env, "watch", "none", url=gateway.url)
    assert done.returncode == 2 and done.stderr == "stagedoor watch: no such run (404)\n"


# ---- eval ----


def test_eval_template_renders_by_place(env, tmp_path):
    file = tmp_path / "t.json"
    file.write_text('{"name": "{{ p.name }}", "n": {{ p.n }}}')
    variables = '{"p": {"name": "a\\"b", "n": 5}}'
    done = stagedoor(env, "eval", "template", str(file), "--vars", variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"name": "a\\"b", "n": 5}', "")
    (tmp_path / "v").write_text(variables)
    done = stagedoor(env, "eval", "template", "-", "--vars", f"@{tmp_path}/v", "--place", "url", input="http://h/{{ p.name }}\n")
    assert (done.returncode, done.stdout) == (0, "http://h/a%22b")
    done = stagedoor(env, "eval", "template", "-", "--vars", variables, "--json", input="<{{ p.name }}>")
    assert done.returncode == 0 and json.loads(done.stdout) == {"result": '<a"b>'}


def test_eval_template_says_what_is_wrong_and_where(env):
    done = stagedoor(env, "eval", "template", "-", "--vars", '{"p": {}}', input="one\ntwo {{ p. }}")
    assert done.returncode == 2 and done.stdout == "" and "stdin:2:11: " in done.stderr
    assert done.stderr.splitlines()[1:] == ["    two {{ p. }}", "              ^~"]
    done = stagedoor(env, "eval", "template", "-", "--vars", '{"p": {}}', input="{{ p.name }}")
    assert done.returncode == 1 and "name" in done.stderr
    done = stagedoor(env, "eval", "template", "-", "--vars", '{"p": {}}', "--json", input="{{ q }}")
    assert done.returncode == 2 and json.loads(done.stdout)["fault"]["kind"] == "undefined"
    done = stagedoor(env, "eval", "template", "-", "--vars", "{", input="x")
    assert done.returncode == 2 and "--vars" in done.stderr


def test_eval_jsonpath_prints_nodes(env, tmp_path):
    text = '{"a": [{"b": 1}, {"b": "x"}, {"c": null}]}'
    done = stagedoor(env, "eval", "jsonpath", "$.a[*].b", input=text)
    assert (done.returncode, done.stdout) == (0, '1\n"x"\n')
    (tmp_path / "j").write_text(text)
    done = stagedoor(env, "eval", "jsonpath", "$.a[2].c", str(tmp_path / "j"), "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"result": [None]}
    assert stagedoor(env, "eval", "jsonpath", "$.none", input=text).returncode == 1
    done = stagedoor(env, "eval", "jsonpath", "$..b", "--paths", input=text)
    assert (done.returncode, done.stdout) == (0, "$['a'][0]['b']\t1\n$['a'][1]['b']\t\"x\"\n")
    done = stagedoor(env, "eval", "jsonpath", "$.a[-1]", "--paths", "--json", input=text)
    assert json.loads(done.stdout) == {"result": [{"c": None}], "paths": ["$['a'][2]"]}
    done = stagedoor(env, "eval", "jsonpath", "$.a[", input=text)
    assert done.returncode == 2 and "column" in done.stderr
    done = stagedoor(env, "eval", "jsonpath", "$", input='{"a": ')
    assert done.returncode == 2 and "stdin: " in done.stderr


# ---- help and manual ----


def test_version(env):
    about = json.loads(stagedoor(env, "version", "--json").stdout)
    assert about["version"] == (ROOT / "VERSION").read_text().strip() and "libcurl" in about["libraries"]
    assert stagedoor(env, "--version").stdout.startswith(f"stagedoor {about['version']}\n")


def options_of(help_text):
    return set(re.findall(r"^ +(?:-\w, +)?(--[a-z-]+)", help_text, re.M)) - {"--help"}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("serve", "check")])
def test_help_and_manual_name_the_same_options(env, command):
    done = stagedoor(env, command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: stagedoor {command}") and done.stderr == ""
    assert stagedoor(env, "help", command).stdout == done.stdout
    assert "exit status:" in done.stdout and "--json" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    manual = (ROOT / "packaging/man/stagedoor.1").read_text()
    section = re.search(rf"^\.SS {command}\n(.*?)(?=^\.S[SH] )", manual, re.M | re.S).group(1).replace("\\-", "-")
    common = {"--url", "--ca"} if command in CLIENT_COMMANDS else set()  # the manual describes them once
    assert set(re.findall(r"--[a-z][a-z-]+", section)) == options_of(done.stdout) - common
    once = re.search(r"^\.SH COMMON OPTIONS\n(.*?)(?=^\.SH )", manual, re.M | re.S).group(1).replace("\\-", "-")
    assert set(re.findall(r"^\.BI? (--[a-z-]+)", once, re.M)) == {"--url", "--ca", "--help"}


def test_help_and_manual_name_every_command(env):
    manual = (ROOT / "packaging/man/stagedoor.1").read_text()
    assert stagedoor(env, "help", "help").stdout == stagedoor(env, "--help").stdout == stagedoor(env, "help").stdout
    assert re.findall(r"^\.SS (\w+)$", manual, re.M) == COMMANDS
    assert re.findall(r"^  (\w+) +\S", stagedoor(env, "help").stdout, re.M) == COMMANDS
    source = "".join(path.read_text() for path in (ROOT / "gateway/cli").glob("*.[ch]"))
    for name in set(re.findall(r'getenv\("(\w+)"\)', source)):
        assert name in manual, f"{name} is read, and the manual does not say so"
