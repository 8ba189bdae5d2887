"""The listening socket outlives the process: a new process takes over by SIGUSR2, or a supervisor holds the socket. Nobody
who calls is refused or reset, no poll fails, and runs go on."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers.certs import Authority
from helpers.client import Client, RawConnection
from helpers.gateway import BINARY, Background
from helpers.jobs import Jobs, call_stage, job_stage
from helpers.load import Load
from helpers.succession import Notified, Supervised, become_subreaper, hand_over, pid_in
from helpers.upstream import Gate, reply
from helpers.wait import free_port, wait_until

GET = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def subreaper():
    become_subreaper()


@pytest.fixture
def make(gateway, tmp_path):
    """As `gateway`, with a pid file."""

    def made(options=None, **more):
        one = gateway(started=False, options=dict(options or {}), **more)
        one.options["pid_file"] = one.directory / "pid"
        return one.start()

    return made


@pytest.fixture
def supervised(tmp_path):
    made = []

    def make(**options):
        made.append(Supervised(tmp_path / f"supervised{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ---- under load ----


def all_ended_well(client, jobs, acknowledged):
    for id in acknowledged.values():
        assert client.wait_end(id, timeout=60)["status"] == "SUCCEEDED"
    assert len(jobs.posts) == len(acknowledged)
    assert set(jobs.posts.values()) == {1}, {n: count for n, count in jobs.posts.items() if count > 1}


def test_what_waits_for_a_turn_goes_over(make, upstream):
    """Runs in the queue keep their order over three hand-overs, calls that are held are made once, and never are more at work than
    allowed."""
    jobs = Jobs(upstream, polls=8)
    stage = job_stage(
        upstream.url, limits={"concurrency": 3, "gap": "20ms"}, dedup={"key": "{{ parameters.text }}", "on_duplicate": "queue"}
    )
    upstreams = [{"host": upstream.url.split("//")[1], "concurrency": 1, "rate": "100/s"}]
    gw = make(stages={"job": stage}, options={"loops": 2, "upstreams": upstreams})
    client = gw.client()
    reports = [client.started("job", {"n": n, "text": f"same {n % 7}"}) for n in range(25)]
    for _ in range(3):
        upstream.wait_for(upstream.count("GET") + 5, "GET")
        hand_over(gw)
    client = gw.client()
    for report in reports:
        assert client.wait_end(report["id"], timeout=60)["status"] == "SUCCEEDED"
    posts = [request.json()["n"] for request in upstream.got("POST", "/jobs")]
    assert sorted(posts) == list(range(25))
    for same in range(7):
        assert [n for n in posts if n % 7 == same] == list(range(same, 25, 7))
    at_work = most = 0
    for request in upstream.requests:
        if request.method == "POST":
            at_work += 1
        elif len([r for r in upstream.got("GET", request.path) if r.at <= request.at]) == 9:
            at_work -= 1
        most = max(most, at_work)
    assert most <= 3


@pytest.mark.no_asan
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_three_hand_overs_under_load(make, upstream, tmp_path, tls):
    upstream.keep_requests = False
    jobs = Jobs(upstream)
    options, port = {"loops": 2}, free_port()
    gw = make(options, stages={"job": job_stage(upstream.url)}) if not tls else None
    if tls:
        certificate, key = Authority(tmp_path / "ca").issue("gateway")
        plain = free_port()
        options |= {"listen": [f"127.0.0.1:{plain}", f"tls:127.0.0.1:{port}"]}
        options |= {"tls_certificate": certificate, "tls_key": key}
        gw = make_at(make, plain, options, upstream)
    # Fewer fresh connections with TLS: what a handshake costs the generator would be measured.
    load = Load(port if tls else gw.port, rate=500, tls=tls, fresh=20 if tls else 2)
    pids, before, meanwhile = {gw.process.pid}, 0, []
    for _ in range(3):
        wait_until(lambda before=before: load.sent() >= before + 700, "some load in between", 60)
        before = load.sent()
        pids.add(hand_over(gw).pid)
        meanwhile.append(load.sent() - before)
    result = load.stop()
    rate = result["sent"] / result["seconds"]
    print(f"{rate:.0f} requests/s, {len(result['acknowledged'])} starts, slowest {result['slowest_s']:.3f} s; while handing over {meanwhile}")
    assert result["failed"] == []
    assert min(meanwhile) > 20, "there was a load"
    assert len(pids) == 4
    all_ended_well(gw.client(), jobs, result["acknowledged"])
    assert len(gw.log(event="handed_over")) == 3


def make_at(make, port, options, upstream):
    """A gateway whose first address is not the one that the helper chose."""
    from helpers import gateway as module

    chosen, module.free_port = module.free_port, lambda: port
    try:
        return make(options, stages={"job": job_stage(upstream.url)})
    finally:
        module.free_port = chosen


# ---- one thing at a time ----


def test_run_goes_on_in_the_new_process(make, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = make(stages={"job": job_stage(upstream.url)})
    report = gw.client().started("job", {"n": 4}, key="k")
    upstream.wait_for(1, "GET", "/jobs/4")
    hand_over(gw)
    client = gw.client()
    assert client.started("job", {"n": 4}, key="k")["id"] == report["id"]
    jobs.hold = False
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert jobs.posts == {4: 1}


def test_idle_connection_is_closed_without_a_reset(make, upstream):
    gw = make()
    idle, fresh = gw.client(), RawConnection(gw.port)
    idle.get("/health")
    background = Background(lambda: hand_over(gw), lambda: idle.wait_closed(30), lambda: fresh.ended(30))
    assert background.results()[2] is True, "also one that never asked for anything"


def test_request_that_is_half_sent_is_answered(make, upstream):
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate)
    gw = make(stages={"call": call_stage(upstream.url)})
    slow = RawConnection(gw.port, timeout=30)
    slow.send(GET[:20])
    gw.client().started("call")
    assert gate.reached.wait(10)
    handing = Background(lambda: hand_over(gw))
    wait_until(lambda: gw.client().get("/health").header("Connection") == "close", "it to leave", 30)
    slow.send(GET[20:])
    answer = slow.answer()
    assert answer.status == 200 and answer.header("Connection") == "close"
    assert slow.ended()
    gate.open()
    handing.results()


def test_request_that_never_comes_whole_does_not_hold_it_up(make, upstream):
    gw = make()
    slow = RawConnection(gw.port, timeout=30)
    slow.send(GET[:20])
    handing = Background(lambda: hand_over(gw))
    answer = slow.answer()
    assert answer.status == 503 and answer.header("Retry-After"), answer
    handing.results()
    assert gw.client().get("/ready").status == 200


def test_answer_that_is_held_is_given(make, upstream):
    """Prefer: wait asks for at most so long."""
    Jobs(upstream, hold=True)
    gw = make(stages={"job": job_stage(upstream.url)})
    waiting = Background(lambda: gw.client().start("job", {"n": 1}, wait=60))
    upstream.wait_for(1, "GET", "/jobs/1")
    hand_over(gw)
    (answer,) = waiting.results()
    assert (answer.status, answer.json()["status"]) == (202, "RUNNING")


def test_call_that_may_not_be_repeated_is_waited_for(make, upstream):
    """Meanwhile everything is answered; what is started then is called by the new process, once."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate, reply(200, {}))
    gw = make(stages={"call": call_stage(upstream.url)})
    first = gw.client().started("call")
    assert gate.reached.wait(10)
    handing = Background(lambda: hand_over(gw))
    gw.wait_log(event="upgrade_begun")
    second = gw.client().started("call")
    for _ in range(20):
        assert gw.client().report(first["id"])["status"] == "RUNNING"
    old = gw.process.pid
    assert handing.running and pid_in(gw) == old
    gate.open()
    handing.results()
    client = gw.client()
    assert client.wait_end(first["id"])["status"] == "SUCCEEDED"
    assert client.wait_end(second["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/call") == 2


def test_call_that_does_not_end_calls_it_off(make, upstream):
    """Nothing is put in doubt for an upgrade. What was held back meanwhile goes on."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate, reply(200, {}))
    gw = make(stages={"call": call_stage(upstream.url)}, options={"drain_timeout": "3s"})
    first = gw.client().started("call")
    assert gate.reached.wait(10)
    old = gw.process.pid
    gw.process.send_signal(signal.SIGUSR2)
    gw.wait_log(event="upgrade_begun")
    second = gw.client().started("call")
    (line,) = gw.wait_log(event="upgrade_failed")
    assert "drain_timeout" in line["what"]
    assert gw.client().wait_end(second["id"])["status"] == "SUCCEEDED"
    gate.open()
    assert gw.client().wait_end(first["id"])["status"] == "SUCCEEDED"
    assert pid_in(gw) == old == gw.process.pid
    keeps = gw.client().get("/health")
    assert keeps.header("Connection") != "close", "it stays, and says so"
    hand_over(gw)
    assert gw.client().wait_end(first["id"])["status"] == "SUCCEEDED"


def test_unix_socket_is_handed_over_and_removed_at_the_end(make, upstream, tmp_path):
    path = tmp_path / "gateway.sock"
    gw = make_at(make, free_port(), {}, upstream)
    gw.stop()
    gw.options["listen"] = [f"127.0.0.1:{gw.port}", f"unix:{path}"]
    gw.start()
    for _ in range(2):
        hand_over(gw)
        client = Client(unix=path)
        assert client.get("/health").status == 200
        client.close()
    assert gw.stop() is not None
    assert not path.exists()
    assert pid_in(gw) is None


def test_new_options_are_in_force(make, upstream):
    """Also those that take a restart: other addresses, another number of loops."""
    gw = make(options={"loops": 1})
    more = free_port()
    gw.options |= {"listen": [f"127.0.0.1:{more}", f"127.0.0.1:{gw.port}"], "loops": 3}
    gw.write_config()
    hand_over(gw)
    assert Client(port=more).get("/health").status == gw.client().get("/health").status == 200
    gw.options["listen"] = [f"127.0.0.1:{gw.port}"]
    gw.write_config()
    hand_over(gw)
    assert gw.log(event="listening_no_more", address=f"127.0.0.1:{more}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", more))


# ---- where the new process is no good ----


def refuse_upgrade(gw):
    """SIGUSR2, of which nothing comes; what the log says."""
    seen = len(gw.log(event="upgrade_failed"))
    keeps = gw.client()
    keeps.get("/health")
    gw.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: len(gw.log(event="upgrade_failed")) > seen, lambda: gw.log_text()[-2000:], 30)
    assert gw.process.poll() is None
    assert keeps._connection is not None and keeps.get("/health").header("Connection") != "close"
    return gw.log(event="upgrade_failed")[-1]["what"]


def test_mistake_in_the_options(make, upstream):
    Jobs(upstream)
    gw = make(stages={"job": job_stage(upstream.url)})
    good = gw.options["listen"]
    gw.options["listen"] = ["nonsense"]
    gw.write_config()
    assert "nonsense" in refuse_upgrade(gw)
    gw.options["listen"] = good
    gw.options["max_rums"] = 3
    gw.write_config()
    assert "max_runs" in refuse_upgrade(gw)
    assert gw.client().run("job")["status"] == "SUCCEEDED"
    del gw.options["max_rums"]
    gw.write_config()
    hand_over(gw)


def program(gw, text):
    """What lies on the disk in place of the gateway: by rename, as a package manager does it."""
    part = gw.binary.with_suffix(".part")
    if text is None:
        gw.binary.unlink()
        return
    part.write_text(text)
    part.chmod(0o755)
    part.rename(gw.binary)


@pytest.fixture
def copied(gateway, tmp_path):
    """A gateway whose program is a copy."""
    gw = gateway(started=False)
    gw.binary = tmp_path / "stagedoor"
    shutil.copy(BINARY, gw.binary)
    gw.options["pid_file"] = gw.directory / "pid"
    return gw.start()


def test_program_that_cannot_be_run(copied, upstream):
    program(copied, None)
    assert "No such file" in refuse_upgrade(copied)
    program(copied, "#!/bin/sh\nexit 7\n")
    assert "status 7" in refuse_upgrade(copied)
    program(copied, "#!/bin/sh\nkill -9 $$\n")
    assert "signal 9" in refuse_upgrade(copied)
    shutil.copy(BINARY, copied.binary.with_suffix(".part"))
    copied.binary.with_suffix(".part").rename(copied.binary)
    hand_over(copied)


TOO_LATE = f"""#!{sys.executable}
import os, socket
names = os.environ["LISTEN_FDNAMES"].split(":")
line = socket.socket(fileno=3 + names.index("stagedoor-line"))
assert int(os.environ["LISTEN_PID"]) == os.getpid() and int(os.environ["LISTEN_FDS"]) == len(names)
line.send(b"p")
assert line.recv(100) == b"s"
raise SystemExit(5)
"""


def test_new_process_that_fails_when_it_has_the_store(copied, upstream):
    """The old one has let go of everything by then: it begins anew, as the program that it was."""
    jobs = Jobs(upstream)
    copied.put_stage("job", job_stage(upstream.url))
    wait_until(lambda: copied.client().get("/stages/job").status == 200, "the stage")
    program(copied, TOO_LATE)
    load = Load(copied.port, rate=50)
    copied.process.send_signal(signal.SIGUSR2)
    (line,) = copied.wait_log(event="upgrade_failed")
    assert "status 5" in line["what"]
    wait_until(lambda: len(copied.log(event="started")) == 2, "its second start")
    result = load.stop()
    assert result["failed"] == []
    all_ended_well(copied.client(), jobs, result["acknowledged"])
    assert pid_in(copied) == copied.process.pid and copied.process.poll() is None


def test_told_to_end_meanwhile(make, upstream):
    """SIGTERM, while the old process waits for a call: both end."""
    gate = Gate(reply(200, {}))
    upstream.on("POST", "/call", gate)
    gw = make(stages={"call": call_stage(upstream.url)})
    id = gw.client().started("call")["id"]
    assert gate.reached.wait(10)
    gw.process.send_signal(signal.SIGUSR2)
    (line,) = gw.wait_log(event="upgrade_begun")
    gw.process.send_signal(signal.SIGUSR2)
    assert gw.wait_log(event="upgrade_under_way")[0]["pid"] == line["pid"]
    gw.process.send_signal(signal.SIGTERM)
    gw.wait_log(event="stopping")
    gate.open()
    gw.ended()
    assert not os.path.exists(f"/proc/{line['pid']}")
    gw.start()
    assert gw.client().wait_end(id)["status"] == "SUCCEEDED"


# ---- a supervisor that holds the socket ----


def test_crash_under_a_supervisor(supervised, upstream):
    """kill -9: who connects meanwhile waits, and is served by the next process."""
    jobs = Jobs(upstream, hold=True)
    gw = supervised(stages={"job": job_stage(upstream.url)}).start()
    report = gw.client().started("job", {"n": 4})
    upstream.wait_for(1, "GET", "/jobs/4")
    gw.kill9()
    waiting = [RawConnection(gw.port, timeout=60) for _ in range(50)]
    for one in waiting:
        one.send(f"GET /runs/{report['id']} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    gw.start()
    for one in waiting:
        answer = one.answer()
        assert (answer.status, answer.json()["status"]) == (200, "RUNNING")
    jobs.hold = False
    assert gw.client().wait_end(report["id"])["status"] == "SUCCEEDED"
    assert jobs.posts == {4: 1}


@pytest.mark.no_asan
def test_restarts_under_a_supervisor_and_load(supervised, upstream):
    """SIGTERM and a start anew: no poll fails."""
    upstream.keep_requests = False
    jobs = Jobs(upstream)
    gw = supervised(stages={"job": job_stage(upstream.url)}, options={"drain_timeout": "1s"}).start()
    polled = gw.client().run("job", {"n": -1})["id"]
    failures, over, asked = [], threading.Event(), [0]

    def poll():
        while not over.is_set():
            client = Client(port=gw.port)
            try:
                answer = client.request("GET", f"/runs/{polled}", headers={"Connection": "close"})
                if answer.status != 200:
                    failures.append(answer)
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            client.close()
            asked[0] += 1

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    for thread in pollers:
        thread.start()
    for _ in range(3):
        seen = asked[0]
        wait_until(lambda seen=seen: asked[0] > seen + 100, "polls")
        gw.stop()
        gw.start()
    over.set()
    for thread in pollers:
        thread.join()
    assert failures == [] and jobs.posts == {-1: 1}


def test_socket_of_a_supervisor_that_is_not_listened_on(supervised, upstream):
    gw = supervised()
    other = socket.create_server(("127.0.0.1", 0))
    gw.sockets.append(other)
    gw.launch()
    gw.process.wait(20)
    text = gw.log_text()
    assert gw.process.returncode == 2, text
    assert f"the supervisor holds a socket at 127.0.0.1:{other.getsockname()[1]}" in text and "listen" in text, text
    gw.process = None


def test_descriptor_that_is_no_listening_socket(supervised, upstream):
    gw = supervised()
    gw.sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    gw.launch()
    gw.process.wait(20)
    assert gw.process.returncode == 2
    assert "descriptor 4 of LISTEN_FDS: it is not a stream socket that listens" in gw.log_text()
    gw.process = None


def test_supervised_gateway_hands_over_too(supervised, upstream):
    """What it was given it passes on; the supervisor is told which process is the main one."""
    gw = supervised()
    told = Notified(gw.directory / "notify")
    gw.env["NOTIFY_SOCKET"] = str(told.path)
    gw.options["pid_file"] = gw.directory / "pid"
    gw.start()
    told.wait("READY=1")
    hand_over(gw)
    told.wait(f"MAINPID={gw.process.pid}")
    assert gw.client().get("/ready").status == 200
    gw.stop()
    told.wait("STOPPING=1")
    told.close()
    gw.process = None
    waiting = RawConnection(gw.port, timeout=60)  # still held
    waiting.send(GET)
    gw.start()
    assert waiting.answer().status == 200


def test_started_by_systemd(gateway, upstream, tmp_path):
    """systemd's own helper listens, and starts the gateway when somebody comes."""
    gw = gateway(started=False)
    config = gw.write_config()
    gw.starts = 1
    with open(gw._log_file(), "wb") as log:
        gw.process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{gw.port}", "--fdname=web",
             str(BINARY), "serve", "--config", str(config)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=gw.directory,
        )  # fmt: skip
    wait_until(lambda: "Listening on" in gw.log_text(), lambda: gw.log_text())
    assert gw.client(timeout=30).get("/health").status == 200
    (line,) = gw.wait_log(event="listening")
    assert line["address"] == f"127.0.0.1:{gw.port}"
    text = gw.stop()
    assert "Listening on" in text
