"""Who may do what, and what nobody gets to see.

With callers, every route but /, /health and /ready asks who is there, on loopback too. A stage that a caller may
neither see nor start is not there for it."""

import base64
import hashlib
import json
import socket
import ssl
import urllib.parse

import pytest
from helpers.certs import Authority
from helpers.client import Client, RawConnection, check_problem
from helpers.gateway import conf
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.upstream import Reset, Upstream, reply, text
from helpers.wait import free_port, wait_until

SECRET = 's3cr3t/"with\\odd=chars+é'


def caller(name, token, **rights):
    return {"name": name, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), **rights}


CALLERS = [
    caller("orca", "orca-token", start=["*"], see=["*"], cancel=["*"]),
    caller("team", "team-token", start=["job"]),
    caller("viewer", "viewer-token", see=["*"]),
    caller("starter", "starter-token", start=["job"], see=[], cancel=[]),
    caller("prefix", "prefix-token", start=["ca*"]),
]


@pytest.fixture
def guarded(gateway, upstream):
    Jobs(upstream, hold=True)
    upstream.on("POST", "/call", reply(200, {}))
    return gateway(stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)}, callers=CALLERS)


# ---- callers ----


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic b3JjYTp4", "orca-token",
                                           "Bearer orca-token extra", "Bearer ORCA-TOKEN", "Bearer orca-toke"])  # fmt: skip
def test_without_a_good_token(guarded, upstream, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    client = guarded.client()
    for method, path in (
        ("GET", "/stages"), ("GET", "/stages/job"), ("GET", "/runs"), ("GET", "/metrics"), ("GET", "/webhooks/preconfigured"),
        ("GET", "/runs/01HZZZZZZZZZZZZZZZZZZZZZZZ"), ("POST", "/stages/job"), ("POST", "/stages/job/cancel"),
        ("DELETE", "/runs/01HZZZZZZZZZZZZZZZZZZZZZZZ"),
    ):  # fmt: skip
        answer = client.request(method, path, {} if method == "POST" else None, headers)
        check_problem(answer, 401)
        assert answer.header("WWW-Authenticate").startswith("Bearer"), answer
    assert upstream.count() == 0


def test_scheme_is_without_case(guarded):
    assert guarded.client().get("/stages", headers={"Authorization": "bearer orca-token"}).status == 200


def test_probes_need_no_token(guarded):
    for path in ("/health", "/ready"):
        assert guarded.client().get(path).status == 200


def test_tokens_are_never_logged(guarded):
    guarded.client(token="orca-token").get("/stages")
    guarded.client(token="wrong-token-1").get("/stages")
    guarded.stop()
    assert "orca-token" not in guarded.all_logs() and "wrong-token-1" not in guarded.all_logs()


def test_who_may_start(guarded, upstream):
    team, viewer = guarded.client(token="team-token"), guarded.client(token="viewer-token")
    assert team.start("job").status == 202
    check_problem(team.start("call"), 404)  # not there for it
    check_problem(viewer.start("job"), 403)
    assert guarded.client(token="prefix-token").start("call").status in (200, 202)
    upstream.wait_for(1, "POST", "/jobs")


def test_who_may_see(guarded):
    orca, team, viewer, starter = (guarded.client(token=f"{name}-token") for name in ("orca", "team", "viewer", "starter"))
    job, call = orca.started("job")["id"], orca.started("call")["id"]
    assert {one["name"] for one in orca.get("/stages").json()["stages"]} == {"job", "call"}
    assert {one["name"] for one in team.get("/stages").json()["stages"]} == {"job"}
    assert [one["type"] for one in team.get("/webhooks/preconfigured").json()] == ["job"]
    check_problem(team.get("/stages/call"), 404)
    assert {one["id"] for one in viewer.get("/runs").json()["runs"]} == {job, call}
    assert {one["id"] for one in team.get("/runs").json()["runs"]} == {job}
    assert team.get("/runs?stage=call").json()["runs"] == []
    assert starter.get("/runs").json()["runs"] == []
    assert team.get(f"/runs/{job}").status == 200
    assert team.get(f"/runs/{call}").status in (403, 404)
    assert starter.get(f"/runs/{call}").status in (403, 404)
    check_problem(team.get("/metrics"), 403)
    assert orca.get("/metrics").status == 200


def test_runs_of_a_stage_that_left_are_still_seen(guarded):
    orca, team, starter = (guarded.client(token=f"{name}-token") for name in ("orca", "team", "starter"))
    job, call = orca.started("job")["id"], orca.started("call")["id"]
    for name in ("job", "call"):
        guarded.remove_stage(name)
    wait_until(lambda: orca.get("/stages").json()["stages"] == [], "the stages to be gone", 5)
    for query, seen in (("", {job}), ("?status=RUNNING", {job}), ("?stage=job", {job}), ("?stage=call", set())):
        assert {one["id"] for one in team.get(f"/runs{query}").json()["runs"]} == seen, query
    assert {one["id"] for one in guarded.client(token="prefix-token").get("/runs").json()["runs"]} == {call}
    assert starter.get("/runs").json()["runs"] == []


def test_who_may_cancel(guarded, upstream):
    orca, viewer = guarded.client(token="orca-token"), guarded.client(token="viewer-token")
    report = orca.started("job", key="k1")
    upstream.wait_for(1, "GET", "/jobs/1")
    assert viewer.cancel(report["id"]).status in (403, 404)
    assert viewer.request("DELETE", f"/runs/{report['id']}").status in (403, 404)
    assert viewer.cancel_key("job", "k1").status in (403, 404)
    assert viewer.report(report["id"])["status"] == "RUNNING"
    assert orca.cancel(report["id"]).status in (200, 202)
    assert orca.wait_end(report["id"])["status"] == "CANCELED"


def test_a_key_does_not_show_a_run_to_those_who_may_not_see_it(guarded):
    orca, starter = guarded.client(token="orca-token"), guarded.client(token="starter-token")
    orca.started("job", {"text": "mine"}, key="k1")
    assert starter.cancel_key("job", "k1").status in (403, 404)
    assert starter.start("job", {"text": "other"}, key="k1").status in (403, 409)


def test_log_names_the_caller(guarded):
    report = guarded.client(token="orca-token").run("call")
    (end,) = guarded.wait_log(event="run_ended", run=report["id"])
    assert end["caller"] == "orca"


@pytest.mark.parametrize(
    "content, word",
    [
        ("callers = (", "callers.conf:"),
        ("callers = ( { name = \"x\"; } );", "token"),
        ("callers = ( { name = \"x\"; token_sha256 = \"abc\"; } );", "token_sha256"),
        ("callers = ( { name = \"x\"; token = \"clear text\"; } );", "token"),
        ("", "callers"),
    ],
)
def test_callers_file_that_is_broken(gateway, content, word):
    """It does not start open instead."""
    gw = gateway(started=False, callers=CALLERS)
    (gw.directory / "callers.conf").write_text(content)
    gw.launch()
    log = gw.ended(status=2)
    assert word in log, log


def test_callers_file_that_is_missing(gateway):
    gw = gateway(started=False, callers=CALLERS)
    (gw.directory / "callers.conf").unlink()
    gw.launch()
    assert "callers.conf" in gw.ended(status=2)


# ---- where it listens ----


@pytest.mark.parametrize("address", ["0.0.0.0:{port}", "*:{port}", "[::]:{port}"])
def test_does_not_listen_for_everybody_unless_told(gateway, address):
    gw = gateway(started=False)
    gw.options["listen"] = [address.format(port=gw.port)]
    gw.launch()
    log = gw.ended(status=2)
    assert "callers" in log and "open" in log, log


def test_open_is_said_on_purpose(gateway):
    gw = gateway(started=False, options={"open": True})
    gw.options["listen"] = [f"0.0.0.0:{gw.port}"]
    gw.start()
    assert gw.client().get("/stages").status == 200


def test_everybody_with_callers(gateway):
    gw = gateway(started=False, callers=CALLERS)
    gw.options["listen"] = [f"0.0.0.0:{gw.port}"]
    gw.start()
    check_problem(gw.client().get("/stages"), 401)


# ---- TLS ----


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(authority, certificate=None):
    context = ssl.create_default_context(cafile=authority.certificate)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def tls_gateway(gateway, upstream, authority):
    """Speaks TLS on a port of its own, beside the plain one that the fixture needs."""

    def make(**options):
        certificate, key = authority.issue("gw")
        upstream.on("POST", "/call", reply(200, {}))
        gw = gateway(started=False, stages={"call": call_stage(upstream.url)}, **options)
        gw.tls_port = free_port()
        gw.options["listen"] = [f"127.0.0.1:{gw.port}", f"tls:127.0.0.1:{gw.tls_port}"]
        gw.options.update({"tls_certificate": certificate, "tls_key": key})
        return gw

    return make


def test_tls(tls_gateway, authority):
    gw = tls_gateway()
    gw.start()
    client = Client(port=gw.tls_port, tls=trusting(authority))
    report = client.run("call")
    assert report["statusUrl"].startswith(f"https://127.0.0.1:{gw.tls_port}/")
    client.close()
    with pytest.raises(ssl.SSLError):
        Client(port=gw.tls_port, tls=ssl.create_default_context()).get("/health")


def test_plain_http_to_a_tls_port(tls_gateway):
    gw = tls_gateway()
    gw.start()
    with RawConnection(gw.tls_port) as raw:
        raw.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            while raw._more():
                pass
        except ConnectionResetError:
            pass
        assert b"UP" not in raw.buffer
    assert gw.client().get("/health").status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(tls_gateway, authority):
    gw = tls_gateway()
    gw.start()
    context = trusting(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        Client(port=gw.tls_port, tls=context).get("/health")


def test_client_certificates(tls_gateway, authority, tmp_path):
    other = Authority(tmp_path / "other", "other authority")
    gw = tls_gateway(callers=[{"name": "team", "certificate": "team-a", "start": ["*"]}])
    gw.options["tls_client_ca"] = authority.certificate
    gw.start()

    def get(certificate):
        client = Client(port=gw.tls_port, tls=trusting(authority, certificate), timeout=10)
        try:
            return client.get("/stages").status
        finally:
            client.close()

    assert get(authority.issue("team-a")) == 200
    assert get(authority.issue("team-b")) == 401
    for certificate in (None, other.issue("team-a")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get(certificate)


def test_client_certificates_guard_their_own_address_only(tls_gateway, authority):
    gw = tls_gateway()
    gw.options |= {"tls_client_ca": authority.certificate}
    gw.options["listen"] = [*gw.options["listen"], f"0.0.0.0:{free_port()}"]
    gw.launch()
    log = gw.ended(status=2)
    assert "0.0.0.0" in log and "callers" in log, log


def test_client_certificates_do_not_let_pages_in_elsewhere(tls_gateway, authority):
    """A page whose name was made to resolve to this machine, at the plain address beside the guarded one."""
    gw = tls_gateway()
    gw.options |= {"tls_client_ca": authority.certificate}
    gw.start()
    headers = {"Host": "evil.example", "Origin": "http://evil.example", "Content-Type": "text/plain"}
    assert gw.client().request("POST", "/stages/call", "{}", headers).status == 403
    client = Client(port=gw.tls_port, tls=trusting(authority, authority.issue("team-a")), timeout=10)
    assert client.request("POST", "/stages/call", "{}", {"Host": "gw.example"}).status == 202
    client.close()


def test_sighup_does_not_open_what_was_guarded(tls_gateway, authority):
    gw = tls_gateway()
    gw.options |= {"tls_client_ca": authority.certificate}
    gw.options["listen"] = [f"127.0.0.1:{gw.port}", f"tls:0.0.0.0:{gw.tls_port}"]
    gw.start()
    del gw.options["tls_client_ca"]
    gw.write_config()
    gw.reload()
    gw.wait_log(event="options_not_read")
    gw.wait_log(event="certificate_read")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(port=gw.tls_port, tls=trusting(authority), timeout=10).get("/stages")


def test_certificate_is_renewed_by_sighup(tls_gateway, authority):
    gw = tls_gateway()
    gw.start()

    def serial():
        context = trusting(authority)
        with context.wrap_socket(socket.create_connection(("127.0.0.1", gw.tls_port)), server_hostname="127.0.0.1") as one:
            return one.getpeercert()["serialNumber"]

    before = serial()
    authority.issue("gw")  # the same files
    gw.reload()
    # Each loop takes it over at its own next pass, and any of them may accept.
    wait_until(lambda: all(serial() != before for _ in range(10)), "the new certificate on all loops")
    # One that is broken leaves the old one in force.
    after = serial()
    gw.options["tls_certificate"].write_text("nonsense")
    gw.reload()
    gw.wait_log(event="certificate_not_read")
    assert serial() == after


def test_slow_tls_handshake_holds_up_nobody(tls_gateway, authority):
    gw = tls_gateway()
    gw.options["loops"] = 1
    gw.start()
    stuck = [RawConnection(gw.tls_port) for _ in range(20)]
    client = Client(port=gw.tls_port, tls=trusting(authority))
    assert client.get("/health").status == 200
    client.close()
    for one in stuck:
        one.sock.close()


# ---- the upstream's side ----


def test_ca_and_client_certificate_of_a_stage(gateway, authority, tmp_path):
    certificate, key = authority.issue("up")
    mine = authority.issue("gateway")
    upstream = Upstream(tls=(certificate, key, authority.certificate))
    upstream.on("POST", "/call", reply(200, {"ok": 1}))

    def run(tls):
        text_ = call_stage(upstream.url, tls=tls, retry={"attempts": 0})
        return gateway(stages={"call": text_}).client().run("call")

    try:
        good = {"ca": authority.certificate, "certificate": mine[0], "key": mine[1]}
        assert run(good)["status"] == "SUCCEEDED"
        unknown = run({key: value for key, value in good.items() if key != "ca"})
        assert (unknown["status"], unknown["reason"]) == ("TERMINAL", "upstream_unreachable"), unknown
        assert run({"ca": authority.certificate})["status"] == "TERMINAL", "it wants a certificate of us"
        assert upstream.count("POST", "/call") == 1
    finally:
        upstream.close()


@pytest.mark.parametrize(
    "auth, header",
    [
        ({"type": "bearer", "token": "{{ secret.token }}"}, f"Bearer {SECRET}"),
        (
            {"type": "basic", "user": "kim", "password": "{{ secret.token }}"},
            "Basic " + base64.b64encode(f"kim:{SECRET}".encode()).decode(),
        ),
    ],
)
def test_auth_reaches_the_upstream(gateway, upstream, auth, header):
    script_job(upstream, "done")
    text_ = job_stage(upstream.url, request={"auth": auth})
    gateway(stages={"job": text_}, secrets={"token": SECRET}).client().run("job")
    sent = upstream.got("POST", "/jobs")[0].header("Authorization")
    assert sent.encode("latin-1").decode("utf-8") == header
    assert upstream.got("GET", "/jobs/1")[0].header("Authorization") is None, "each call says its own"


def test_secrets_from_the_environment(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    text_ = call_stage(upstream.url, headers={"X-Token": "{{ secret.api_token }}"})
    gw = gateway(stages={"call": text_}, env={"STAGEDOOR_SECRET_API_TOKEN": "from-the-environment"})
    gw.client().run("call")
    assert upstream.got()[0].header("X-Token") == "from-the-environment"


def test_unknown_secret_is_found_when_the_file_is_read(gateway, upstream):
    text_ = call_stage(upstream.url, headers={"X-Token": "{{ secret.tokn }}"})
    client = gateway(stages={"call": text_}, secrets={"token": "x"}).client()
    (one,) = client.get("/stages").json()["stages"]
    assert one["state"] == "broken" and "tokn" in json.dumps(one["errors"]), one


def test_secret_where_it_may_not_stand(gateway, upstream):
    for setting in ({"outputs": {"x": "{{ secret.token }}"}}, {"outputs": {"x": "a {{ secret.token }}"}}):
        text_ = job_stage(upstream.url, **setting)
        client = gateway(stages={"job": text_}, secrets={"token": "x"}).client()
        (one,) = client.get("/stages").json()["stages"]
        assert one["state"] == "broken" and "secret" in json.dumps(one["errors"]), one


def test_secret_that_the_upstream_echoes_is_nowhere(gateway, upstream):
    """In the answer's body, its headers, an error, a word, an output: masked in report, log and store."""
    forms = [
        SECRET,
        urllib.parse.quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        json.dumps(SECRET)[1:-1],
    ]
    echo = {"state": f"running {SECRET}", "percent": f"sent {forms[1]}", "result": {"echo": forms, SECRET: SECRET}}
    script_job(upstream, echo, {**echo, "state": "done"})
    upstream.on(
        "POST", "/jobs",
        reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}, "you_sent": forms}, headers={"X-Echo": forms[1]}),
    )  # fmt: skip
    text_ = job_stage(
        upstream.url,
        request={"auth": {"type": "bearer", "token": "{{ secret.token }}"}},
        outputs={"result": "$.result", "echo": "{{ request.body.you_sent }}", "header": "{{ request.headers['x-echo'] }}"},
    )
    gw = gateway(stages={"job": text_}, secrets={"token": SECRET}, options={"log_level": "debug"})
    client = gw.client()
    report = client.run("job")
    assert report["status"] == "SUCCEEDED", report
    pages = json.dumps(report, ensure_ascii=False) + client.get(f"/runs/{report['id']}").text + client.get("/runs").text
    pages += client.get("/stages/job").text + client.get("/metrics").text
    stored = gw.store_bytes()
    gw.stop()
    stored += gw.store_bytes()
    for form in forms:
        assert form not in pages, "a report shows it"
        assert form not in gw.all_logs(), "the log shows it"
        assert form.encode() not in stored, "the store keeps it"
    assert "***" in pages


def test_secret_in_a_failure_is_masked(gateway, upstream):
    for move in (
        text(500, f"token {SECRET} is wrong"),
        reply(200, {"state": "failed", "percent": SECRET}),
        Reset(),
    ):
        script_job(upstream, move)
        text_ = job_stage(
            upstream.url,
            request={"auth": {"type": "bearer", "token": "{{ secret.token }}"}},
            status={"timeout": "1s", "message": "$.percent"},
        )
        gw = gateway(stages={"job": text_}, secrets={"token": SECRET})
        report = gw.client().run("job")
        assert report["status"] == "TERMINAL"
        assert SECRET not in json.dumps(report, ensure_ascii=False) and SECRET not in gw.all_logs()


def test_secret_in_a_url_is_masked(gateway, upstream):
    upstream.on("GET", "/call", reply(500, "x"))
    text_ = call_stage(upstream.url, method="GET", url=f"{upstream.url}/call?token={{{{ secret.token }}}}", retry={"attempts": 0})
    gw = gateway(stages={"call": text_}, secrets={"token": "plain-secret-value"}, options={"log_level": "debug"})
    report = gw.client().run("call")
    assert upstream.got()[0].query == "token=plain-secret-value"
    gw.stop()
    assert "plain-secret-value" not in json.dumps(report) + gw.all_logs()
    assert b"plain-secret-value" not in gw.store_bytes()


def test_credentials_do_not_follow_a_redirect_elsewhere(gateway, upstream):
    other = Upstream()
    try:
        other.on("GET", "/b", reply(200, {}))
        upstream.on("GET", "/a", reply(302, "", headers={"Location": f"{other.url}/b"}))
        text_ = call_stage(
            upstream.url, method="GET", url=f"{upstream.url}/a", follow_redirects=2,
            auth={"type": "bearer", "token": "{{ secret.token }}"},
        ) + conf({"hosts": [f"127.0.0.1:{other.port}"]})  # fmt: skip
        gateway(stages={"call": text_}, secrets={"token": "tell-nobody"}).client().run("call")
        assert all("tell-nobody" not in str(request.headers) for request in other.requests)
    finally:
        other.close()


def test_parameters_cannot_lead_elsewhere(gateway, upstream):
    """No parameter can change scheme, host or port of a URL."""
    text_ = conf({"name": "x", "parameters": [{"name": "p", "type": "string"}],
                  "request": {"method": "GET", "url": f"{upstream.url}/{{{{ parameters.p }}}}"}})  # fmt: skip
    upstream.on("GET", "/*", reply(200, {}))
    client = gateway(stages={"x": text_}).client()
    for value in ("//192.0.2.1/", "@192.0.2.1/", "..", "../../x", "a?b#c", "\\\\x", "a\r\nX-Evil: 1", "%2e%2e"):
        client.run("x", {"p": value})
    assert all(request.header("Host") == upstream.url.removeprefix("http://") for request in upstream.requests)
    assert all(request.header("X-Evil") is None for request in upstream.requests)


def test_header_injection_is_refused(gateway, upstream):
    text_ = conf({"name": "x", "parameters": [{"name": "p", "type": "string"}],
                  "request": {"method": "GET", "url": f"{upstream.url}/a", "headers": {"X-P": "{{ parameters.p }}"}}})  # fmt: skip
    upstream.on("GET", "/a", reply(200, {}))
    client = gateway(stages={"x": text_}).client()
    assert client.run("x", {"p": "fine é"})["status"] == "SUCCEEDED"
    for value in ("a\r\nX-Evil: 1", "a\nb", "a\tb\x01", "\x7f"):
        report = client.run("x", {"p": value})
        assert (report["status"], report["reason"]) == ("TERMINAL", "invalid_request"), report
    assert upstream.count() == 1


def test_host_header_does_not_become_markup_or_expression(gateway, upstream):
    """Links are made from it where there is no public_url."""
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"call": call_stage(upstream.url)})
    for host in ('a"b', "${x}", "a<b", "a b", "a\\b"):
        with RawConnection(gw.port) as raw:
            raw.send(f"POST /stages/call HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}")
            answer = raw.answer()
            assert answer.status in (400, 403, 202, 200), answer
            json.loads(answer.body)
            assert "${" not in answer.text
