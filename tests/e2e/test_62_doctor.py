"""`stagedoor doctor`: what it finds on the gateway's machine and from elsewhere, what it makes of the gateway as orca
would, and the stage that it tries; seen from outside: lines, JSON, exit status, what the gateway has run."""

import email.utils
import hashlib
import http.server
import json
import threading
import time

import pytest
import yaml
from helpers.certs import Authority
from helpers.gateway import command
from helpers.jobs import call_stage, job_stage
from helpers.wait import wait_until

TOKEN, TEAM_TOKEN = "a-token-of-orca", "a-token-of-a-team"
CALLERS = [
    {"name": "orca", "token_sha256": "", "start": ["*"]},
    {"name": "team", "token_sha256": "", "start": ["job"]},
    {"name": "blind", "token_sha256": "", "start": ["*"], "see": [], "cancel": []},
]


def callers():
    tokens = [TOKEN, TEAM_TOKEN, "a-token-of-nobody-who-sees"]
    return [{**one, "token_sha256": hashlib.sha256(t.encode()).hexdigest()} for one, t in zip(CALLERS, tokens)]


def doctor(*arguments, env=None, cwd=None):
    return command("doctor", *arguments, env=env, cwd=cwd)


def at(gw, *arguments, **options):
    """As on the gateway's own machine."""
    return doctor(*arguments, "--config", gw.directory / "stagedoor.conf", **options)


def found(done, exit_status=None):
    """{check: [(status, message, mend)]} of --json."""
    if exit_status is not None:
        assert done.returncode == exit_status, done.stdout + done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    checks = {}
    for one in answer["checks"]:
        checks.setdefault(one["check"], []).append((one["status"], one["message"], one["mend"]))
    assert answer["ok"] == all(one["status"] != "failed" for one in answer["checks"]) == (done.returncode == 0)
    return checks


def statuses(checks, name):
    return [status for status, _, _ in checks[name]]


# ---- the stage that is built in ----


def test_self_test_stands_in_no_list(gateway, upstream):
    gw = gateway(stages={"call": call_stage(upstream.url)})
    client = gw.client()
    names = [one["name"] for one in client.get("/stages").json()["stages"]]
    assert names == ["call"] and [one["type"] for one in client.get("/webhooks/preconfigured").json()] == ["call"]
    assert "self-test" not in command("list", "--url", gw.url).stdout
    everything = client.get("/stages?all=true").json()["stages"]
    assert [(one["name"], one["may"]) for one in everything] == [
        ("call", ["start", "see", "cancel"]),
        ("self-test", ["start", "see", "cancel"]),
    ]
    assert client.get("/stages/self-test").json()["file"] == "(built in)"
    assert gw.log(event="definitions_read")[-1]["stages"] == "1"
    assert not [key for key in client.metrics() if "self-test" in str(key)]


def test_self_test_is_a_run_like_any_other(gateway):
    """It goes on over a kill -9, and is canceled by its key."""
    gw = gateway()
    client = gw.client()
    report = client.run("self-test")
    assert report["status"] == "SUCCEEDED" and report["outputs"] == {"status": "UP"}
    held = client.started("self-test", {"hold": True}, key="k")["id"]
    client.wait_report(held, lambda one: one["upstream"]["code"] == 200, "a look at itself")
    gw.restart()
    client = gw.client()
    assert client.get(f"/runs/{held}").json()["status"] == "RUNNING"
    assert client.request("POST", "/stages/self-test/cancel", b'{"key": "k"}').status in (200, 202)
    assert client.wait_end(held)["status"] == "CANCELED"


def test_own_definition_of_that_name_wins(gateway, upstream):
    gw = gateway(stages={"self-test": call_stage(upstream.url, name="self-test")})
    assert [one["name"] for one in gw.client().get("/stages").json()["stages"]] == ["self-test"]
    gw.remove_stage("self-test")
    client = gw.client()
    wait_until(
        lambda: client.get("/stages/self-test").json()["file"] == "(built in)", lambda: client.get("/stages").text
    )


@pytest.mark.parametrize("kind", ["unix", "all", "tls"])
def test_self_test_by_every_kind_of_address(gateway, tmp_path, kind):
    gw = gateway(started=False)
    options, url, env = {}, gw.url, []
    if kind == "unix":
        options = {"listen": [f"unix:{tmp_path}/s.sock"]}
        url = f"unix:{tmp_path}/s.sock"
    elif kind == "all":
        options = {"listen": [f"*:{gw.port}"], "open": True}
    else:
        authority = Authority(tmp_path / "ca")
        certificate, key = authority.issue("gateway")
        options = {"listen": [f"tls:127.0.0.1:{gw.port}"], "tls_certificate": certificate, "tls_key": key}
        url, env = f"https://127.0.0.1:{gw.port}", ["--ca", authority.certificate]
    gw.options.update(options)
    gw.launch()
    gw.wait_log(event="started")
    checks = found(doctor("--json", "--url", url, *env), 0)
    assert statuses(checks, "self-test") == ["ok"]


def test_no_self_test_where_a_certificate_is_asked_for(gateway, tmp_path):
    """The gateway has none to show to itself."""
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("gateway")
    gw = gateway(started=False)
    gw.options.update(
        listen=[f"tls:127.0.0.1:{gw.port}"], tls_certificate=certificate, tls_key=key, tls_client_ca=authority.certificate
    )
    gw.launch()
    gw.wait_log(event="started")
    checks = found(at(gw, "--json"), 0)
    assert statuses(checks, "gateway") == ["warning"]
    gw.options["public_url"] = f"https://localhost:{gw.port}"
    gw.write_config()
    checks = found(at(gw, "orca", "--json", "--ca", authority.certificate), 1)
    assert [one for one in checks["public"] if one[0] == "warning" and "client certificate" in one[1]], checks


# ---- on the gateway's machine ----


def test_all_is_well(gateway, upstream):
    gw = gateway(stages={"job": job_stage(upstream.url)})
    done = at(gw)
    assert done.returncode == 0 and done.stderr == "", done
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1]), done.stdout
    checks = found(at(gw, "--json"), 0)
    assert set(checks) == {
        "config", "listen", "secrets", "stages", "store", "gateway", "ready", "clock", "token", "rights", "self-test",
    }  # fmt: skip
    assert "1 offered" in checks["stages"][0][1]
    assert lines[-1] == f"{len(lines) - 1} ok, 0 warnings, 0 failed"


def test_gateway_that_is_not_running(gateway, upstream):
    gw = gateway(started=False, stages={"job": job_stage(upstream.url)})
    gw.write_config()
    checks = found(at(gw, "--json"), 0)
    assert statuses(checks, "gateway") == ["warning"] and "self-test" not in checks
    assert statuses(checks, "store") == ["ok"] and not gw.store_file.exists(), "doctor makes nothing"
    assert statuses(found(at(gw, "orca", "--json"), 1), "gateway") == ["failed"]


def test_what_is_broken_is_named_with_its_place(gateway, upstream):
    gw = gateway(
        started=False,
        stages={
            "job": job_stage(upstream.url),
            "bad": 'name = "bad";\nrequest = { urll = "http://x/"; };\n',
            "token": 'name = "token"; enabled = "auto"; request = { url = "https://x.example.com/"; '
            'auth = { type = "bearer"; token = "{{ secret.some_token }}"; }; };',
        },
    )
    gw.write_config()
    checks = found(at(gw, "--json"), 1)
    status, message, mend = checks["stages"][0]
    assert status == "failed" and "bad.conf:2" in message and "urll" in message and "stagedoor check" in mend
    status, message, mend = checks["stages"][1]
    assert (status, message) == ("warning", "1 not offered for want of secrets: token (secret some_token)")
    assert str(gw.secrets_dir) in mend
    (gw.secrets_dir / "some_token").write_text("abcdef")
    assert [one for one in checks["stages"] if one[0] == "ok"]
    assert statuses(found(at(gw, "--json"), 1), "stages") == ["failed", "ok"]


@pytest.mark.parametrize(
    "options, check, says",
    [
        ({"listen": ["*:{port}"]}, "listen", "anybody who does could start every stage"),
        ({"loops": 999}, "config", "loops"),
        ({"stages": "/nonexistent"}, "stages", "/nonexistent"),
        ({"store": "sqlite:/nonexistent/stagedoor.db"}, "store", "/nonexistent cannot be written"),
        ({"store": "sqlite:{directory}/other.db"}, "store", "is something else than a store"),
        ({"callers": "{directory}/broken.conf"}, "callers", "broken.conf:1"),
        ({"tls_certificate": "{directory}/none.pem", "listen": ["tls:127.0.0.1:{port}"]}, "certificate", "none.pem"),
    ],
)
def test_what_serve_would_refuse(gateway, upstream, options, check, says):
    gw = gateway(started=False, stages={"job": job_stage(upstream.url)})
    (gw.directory / "other.db").write_text("this is no database, and should not be written over")
    (gw.directory / "broken.conf").write_text("callers = (;\n")
    fill = lambda value: value.format(port=gw.port, directory=gw.directory) if isinstance(value, str) else value
    for name, value in options.items():
        gw.options[name] = [fill(one) for one in value] if isinstance(value, list) else fill(value)
    gw.write_config()
    checks = found(at(gw, "--json"), 1)
    assert [one for one in checks[check] if one[0] == "failed" and says in one[1]], checks


def test_store_that_others_can_read(gateway, upstream):
    gw = gateway(stages={"job": job_stage(upstream.url)})
    assert statuses(found(at(gw, "--json"), 0), "store") == ["ok"]
    gw.store_file.chmod(0o644)
    assert statuses(found(at(gw, "--json"), 0), "store") == ["warning"]


# ---- the token ----


@pytest.fixture
def guarded(gateway, upstream):
    return gateway(
        stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)}, callers=callers()
    )


def test_token_that_may_do_everything(guarded):
    checks = found(doctor("--json", "--url", guarded.url, env={"STAGEDOOR_TOKEN": TOKEN}), 0)
    assert checks["token"] == [("ok", f'{guarded.url} accepts it, as "orca"', None)]
    assert checks["rights"][0][1] == "2 stages may be started" and statuses(checks, "self-test") == ["ok"]
    assert "config" not in checks and "store" not in checks, "nobody is asked about files that may be elsewhere"


@pytest.mark.parametrize("env", [{}, {"STAGEDOOR_TOKEN": "wrong"}])
def test_token_that_is_missing_or_wrong(guarded, env):
    checks = found(doctor("--json", "--url", guarded.url, env=env), 1)
    ((status, message, mend),) = checks["token"]
    assert status == "failed" and "401" in message and "STAGEDOOR_TOKEN" in mend
    assert "self-test" not in checks


def test_token_that_may_little(guarded):
    checks = found(doctor("--json", "--url", guarded.url, env={"STAGEDOOR_TOKEN": TEAM_TOKEN}), 0)
    assert checks["rights"][0][1] == "1 stage may be started"
    assert statuses(checks, "self-test") == ["skipped"] and "self-test" in checks["self-test"][0][2]


def test_token_that_may_start_and_not_see(guarded):
    checks = found(doctor("--json", "--url", guarded.url, env={"STAGEDOOR_TOKEN": "a-token-of-nobody-who-sees"}), 1)
    assert statuses(checks, "rights") == ["failed"] and "see and cancel" in checks["rights"][0][2]


def test_token_is_never_shown(guarded):
    for arguments in ([], ["orca"], ["--json"], ["orca", "--json"]):
        done = at(guarded, *arguments, env={"STAGEDOOR_TOKEN": TOKEN})
        assert TOKEN not in done.stdout + done.stderr


# ---- as orca sees it ----


@pytest.fixture
def public(gateway, upstream, tmp_path):
    """public(name) gives a gateway with TLS by that certificate, whose public_url is https://localhost."""
    authority = Authority(tmp_path / "ca")

    def make(host="localhost", **certificate):
        gw = gateway(started=False, stages={"job": job_stage(upstream.url)})
        pem, key = authority.issue("gateway", **certificate)
        other = gw.port + 1 if gw.port < 65000 else gw.port - 1
        gw.options.update(
            listen=[f"127.0.0.1:{gw.port}", f"tls:127.0.0.1:{other}"],
            tls_certificate=pem,
            tls_key=key,
            public_url=f"https://{host}:{other}/",
        )
        gw.authority = authority.certificate
        return gw.start()

    return make


def test_orca_and_a_sidecar(public):
    gw = public(days=90)
    done = at(gw, "orca", "--json", "--ca", gw.authority)
    checks = found(done, 1)
    assert statuses(checks, "url-rules") == ["failed"] and "localhost" in checks["url-rules"][0][1]
    assert statuses(checks, "public") == ["ok"] and statuses(checks, "self-test") == ["ok", "ok"], "by both addresses"
    assert [status for status, _, _ in checks["tls"]] == ["ok", "warning"], "a JVM does not know this authority"
    assert "ends in 89 days" in checks["tls"][0][1] or "ends in 90 days" in checks["tls"][0][1]
    assert yaml.safe_load(json.loads(done.stdout)["orcaYml"]) == {
        "user-configured-url-restrictions": {"rejectLocalhost": False},
        "webhook": {"trust": {"enabled": True, "trustPem": "/opt/spinnaker/config/stagedoor-ca.pem"}},
    }


def test_gateway_that_has_tls_only_is_asked_by_its_name(gateway, tmp_path):
    """Its certificate is for public_url, and seldom for 127.0.0.1 too."""
    authority = Authority(tmp_path / "ca")
    pem, key = authority.issue("gateway", addresses="DNS:localhost", days=90)
    gw = gateway(started=False)
    gw.options.update(
        listen=[f"tls:127.0.0.1:{gw.port}"], tls_certificate=pem, tls_key=key, public_url=f"https://localhost:{gw.port}"
    )
    gw.launch()
    gw.wait_log(event="started")
    checks = found(at(gw, "--json", "--ca", authority.certificate), 0)
    assert statuses(checks, "gateway") == ["ok"] and statuses(checks, "self-test") == ["ok"]
    checks = found(at(gw, "orca", "--json", "--ca", authority.certificate), 1)
    assert [name for name in checks if "failed" in statuses(checks, name)] == ["url-rules"], "localhost"
    assert statuses(checks, "self-test") == ["ok"], "once: it is the same address"
    ((_, message, mend),) = found(doctor("--json", "--url", f"https://127.0.0.1:{gw.port}", "--ca", authority.certificate), 1)["gateway"]
    assert "127.0.0.1" in message and "--url" in mend, "another authority would not help"


@pytest.mark.parametrize(
    "certificate, level, says",
    [
        ({}, "failed", "issued by"),
        ({"days": 90, "ca": True, "addresses": "DNS:other.example.com"}, "failed", "other.example.com"),
        ({"days": -1, "ca": True}, "failed", "ended at"),
        ({"days": 5, "ca": True}, "warning", "ends in"),
        ({"days": 90, "ca": True, "addresses": None, "name": "localhost"}, "failed", "no subjectAltName"),
    ],
    ids=["unknown authority", "other name", "expired", "expires soon", "no names"],
)
def test_certificates(gateway, tmp_path, certificate, level, says):
    authority = Authority(tmp_path / "ca")
    trusted = certificate.pop("ca", False)
    pem, key = authority.issue(certificate.pop("name", "gateway"), **certificate)
    gw = gateway(started=False)
    other = gw.port + 1 if gw.port < 65000 else gw.port - 1
    gw.options.update(
        listen=[f"127.0.0.1:{gw.port}", f"tls:127.0.0.1:{other}"], tls_certificate=pem, tls_key=key,
        public_url=f"https://localhost:{other}",
    )  # fmt: skip
    gw.start()
    checks = found(at(gw, "orca", "--json", *(["--ca", authority.certificate] if trusted else [])), 1)
    assert [one for one in checks["tls"] if one[0] == level and says in one[1]], checks["tls"]


def test_orca_and_names(gateway):
    """What needs no connection: a name that nobody knows, with every rule that it breaks."""
    gw = gateway(options={"public_url": "http://gw.ops.svc.cluster.local:8095"})
    done = at(gw, "orca", "--json")
    checks = found(done, 1)
    assert statuses(checks, "name") == ["failed"] and statuses(checks, "url-rules") == ["failed"]
    assert "public" not in checks and statuses(checks, "self-test") == ["ok"], "by its own address"
    assert yaml.safe_load(json.loads(done.stdout)["orcaYml"]) == {
        "user-configured-url-restrictions": {"excludedDomains": ["spinnaker", "localdomain", "internal"]}
    }
    printed = at(gw, "orca").stdout
    assert printed.endswith("\nuser-configured-url-restrictions:\n  excludedDomains: [spinnaker, localdomain, internal]\n")


def test_orca_with_what_it_is_told_already(public, tmp_path):
    """What doctor prints, once pasted, is what it wanted; what else the file restricts counts as well."""
    gw = public(days=90)
    first = json.loads(at(gw, "orca", "--json", "--ca", gw.authority).stdout)["orcaYml"]
    (tmp_path / "orca-local.yml").write_text("spinnaker: {}\n" + first)
    done = at(gw, "orca", "--json", "--ca", gw.authority, "--orca-yml", tmp_path / "orca-local.yml")
    checks = found(done, 0)
    assert statuses(checks, "url-rules") == ["ok"] and statuses(checks, "tls") == ["ok", "ok"]
    assert json.loads(done.stdout)["orcaYml"] is None
    (tmp_path / "strict.yml").write_text("user-configured-url-restrictions: {rejectLocalhost: false, allowedSchemes: [http]}\n")
    done = at(gw, "orca", "--json", "--ca", gw.authority, "--orca-yml", tmp_path / "strict.yml")
    found(done, 1)
    wanted = yaml.safe_load(json.loads(done.stdout)["orcaYml"])["user-configured-url-restrictions"]
    assert wanted == {"allowedSchemes": ["http", "https"]}
    (tmp_path / "broken.yml").write_text("a: [")
    assert at(gw, "orca", "--orca-yml", tmp_path / "broken.yml").returncode == 2
    assert at(gw, "--orca-yml", tmp_path / "strict.yml").returncode == 2


def test_orca_without_public_url(gateway):
    gw = gateway()
    checks = found(at(gw, "orca", "--json"), 1)
    assert [one for one in checks["public"] if one[0] == "warning" and "public_url" in one[1]]
    assert statuses(checks, "url-rules") == ["failed", "failed"], "an address, and of this machine"


def test_orca_from_elsewhere_follows_the_links(gateway):
    """Who names one URL, and is given links with another, is told what orca would make of that."""
    gw = gateway(options={"public_url": "https://gw.example.invalid/door"})
    checks = found(doctor("orca", "--json", "--url", gw.url), 1)
    assert "https://gw.example.invalid/door" in checks["links"][0][1]
    assert "gw.example.invalid" in checks["name"][0][1]


# ---- what is no gateway, or a strange one ----


class Strange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ahead_s, answers = 0, {}

    def do_GET(self):
        code, headers, body = self.answers.get(self.path, (200, {}, '{"status": "UP"}'))
        body = body.encode()
        self.send_response_only(code)
        self.send_header("Date", email.utils.formatdate(time.time() + self.ahead_s, usegmt=True))
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def strange():
    servers = []

    def make(ahead_s=0, answers=None):
        handler = type("Handler", (Strange,), {"ahead_s": ahead_s, "answers": answers or {}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("ahead_s, level", [(0, "ok"), (3, "ok"), (30, "warning"), (-30, "warning"), (3600, "failed")])
def test_clock(strange, ahead_s, level):
    checks = found(doctor("--json", "--url", strange(ahead_s)))
    assert statuses(checks, "clock") == [level]
    if level != "ok":
        assert ("ahead of" if ahead_s > 0 else "behind") in checks["clock"][0][1]


@pytest.mark.parametrize(
    "answers, check",
    [
        ({"/health": (404, {}, "{}")}, "gateway"),
        ({"/health": (200, {}, "<html>")}, "gateway"),
        ({"/health": (302, {"Location": "https://login.example.com/"}, "")}, "gateway"),
        ({"/ready": (503, {}, '{"detail": "the store cannot take runs at the moment"}')}, "ready"),
    ],
)
def test_what_is_no_gateway_or_not_ready(strange, answers, check):
    checks = found(doctor("--json", "--url", strange(answers=answers)), 1)
    assert statuses(checks, check) == ["failed"]


def test_rubbish_where_answers_should_be(strange):
    stages = '{"stages": [5, {"may": 7, "name": []}, {"may": ["start"], "name": "\x1b[31mred"}], "caller": 5}'
    for answers in (
        {"/stages": (200, {}, stages)},
        {"/stages": (200, {}, "[]")},
        {"/stages": (200, {}, '{"stages": []}'), "/stages/self-test": (200, {}, '{"may": ["start", "cancel"]}')},
        {"/stages": (200, {}, '{"stages": []}'), "/stages/self-test": (404, {}, "[]")},
    ):
        for extra in ([], ["--json"]):
            done = doctor("orca", "--url", strange(answers=answers), *extra)
            assert done.returncode == 1 and done.stderr == "" and "\x1b" not in done.stdout, done


def test_usage():
    for arguments in (["nobody"], ["orca", "more"], ["--nonsense"]):
        assert doctor(*arguments).returncode == 2
