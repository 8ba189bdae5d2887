"""The gateway as orca's webhook stage sees it: what CreateWebhookTask sends, how MonitorWebhookTask reads the answers,
when a cancel comes. The rules are those of orca-contract.md a.3 to a.9; a stage here is TERMINAL wherever orca's is."""

import json
import re
import time

import pytest
from helpers.client import check_report
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.orca import Monitored, Terminal
from helpers.upstream import Reset, reply, text

ORCA_HEADERS = {
    "Accept": "text/plain, application/json, application/cbor, application/*+json, */*",
    "User-Agent": "okhttp/4.9.3",
    "Accept-Encoding": "gzip",
}


class Orca(Monitored):
    """One webhook stage, preconfigured as the gateway's docs say: status by webhookResponse, statusUrl, status, progress."""

    def __init__(self, client, stage, key="exec-1:stage-1:1700000000000", payload=None, content_type=None):
        self.client, self.stage, self.key = client, stage, key
        self.payload = payload or json.dumps({"key": key, "user": "kim", "application": "shop", "parameters": {}})
        # A String payload without a Content-Type leaves as ISO-8859-1 text.
        self.headers = {**ORCA_HEADERS, "Content-Type": content_type or "text/plain;charset=ISO-8859-1"}
        self.status_url, self.polls = None, []

    def create(self):
        encoding = "latin-1" if "8859" in self.headers["Content-Type"] else "utf-8"
        answer = self.client.request(
            "POST", f"/stages/{self.stage}", self.payload.encode(encoding, "replace"), self.headers
        )
        if answer.status >= 500 or answer.status == 429:
            return None  # sent again in 10 s
        if answer.status >= 400:
            raise Terminal(f"{answer.status}: {answer.text}")
        body = self._object(answer)
        self.status_url = body["statusUrl"]
        if not re.match(r"https?://[^/]+/", self.status_url):
            raise Terminal("URI not valid")
        return body

    @staticmethod
    def _object(answer):
        if not (answer.header("Content-Type") or "").startswith("application/json"):
            raise Terminal("a body that is not JSON is a String, in which no path is found")
        body = answer.json()
        if not isinstance(body, dict):
            raise Terminal("not an object")
        return body

    def poll(self):
        """The status orca takes on."""
        path = "/" + self.status_url.split("/", 3)[3]
        answer = self.client.request("GET", path, None, {**self.headers, "Content-Length": "0"})
        if answer.status >= 500 or answer.status == 429:
            return "RUNNING"
        if answer.status >= 400:
            raise Terminal(f"status {answer.status}")
        body = self._object(answer)
        self.polls.append(body)
        for name in ("status", "progress"):
            if name not in body:
                raise Terminal(f"Unable to parse {name}")
            if not isinstance(body[name], str):
                raise Terminal(f"{name} did not resolve to a single value")
        words = {"SUCCEEDED": "SUCCEEDED", "TERMINAL": "TERMINAL", "CANCELED": "CANCELED"}
        return words.get(body["status"].upper(), "RUNNING")

    def cancel(self):
        answer = self.client.request("POST", f"/stages/{self.stage}/cancel", json.dumps({"key": self.key}).encode(), self.headers)
        assert 200 <= answer.status < 300, answer
        return answer


@pytest.fixture
def gw(gateway, upstream):
    return gateway(stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)})


def test_a_stage_from_create_to_success(gw, upstream):
    script_job(upstream, "queued", "running", "running", "done")
    orca = Orca(gw.client(), "job")
    check_report(orca.create())
    assert orca.monitor() == "SUCCEEDED"
    assert orca.polls[-1]["outputs"] == {"result": "is done"}, "where downstream reads it"
    assert len({frozenset(body) for body in orca.polls}) == 1, "every poll has the same fields"


def test_create_answers_as_orca_needs_it(gw, upstream):
    script_job(upstream, "running")
    answer = gw.client().request("POST", "/stages/job", b"{}", {**ORCA_HEADERS, "Content-Type": "application/json"})
    assert answer.status in (200, 201, 202) and answer.header("Content-Type").startswith("application/json")
    assert answer.header("Location").startswith("http://"), "absolute, for locationHeader"
    assert answer.header("Content-Encoding") is None


def test_create_twice_by_the_same_key(gw, upstream):
    script_job(upstream, "running", "done")
    one, two = Orca(gw.client(), "job"), Orca(gw.client(), "job")
    assert one.create()["id"] == two.create()["id"]
    assert one.monitor() == two.monitor() == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1


def test_stage_restarted_by_hand_is_a_new_run(gw, upstream):
    Jobs(upstream)
    one, two = Orca(gw.client(), "job", key="e:s:1"), Orca(gw.client(), "job", key="e:s:2")
    assert one.create()["id"] != two.create()["id"]
    upstream.wait_for(2, "POST", "/jobs")


def test_restart_between_create_and_poll(gw, upstream):
    jobs = Jobs(upstream, hold=True)
    orca = Orca(gw.client(), "job")
    orca.create()
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.restart()
    orca.client = gw.client()
    assert orca.poll() == "RUNNING", "the same status URL, at once"
    assert Orca(gw.client(), "job").create()["id"] == orca.polls[-1]["id"]
    jobs.hold = False
    assert orca.monitor() == "SUCCEEDED"


def test_upstream_404_at_first_polls(gateway, upstream):
    script_job(upstream, reply(404, {}), reply(404, {}), "running", "done")
    gw = gateway(stages={"job": job_stage(upstream.url, status={"not_found_grace": "30s"})})
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"


@pytest.mark.parametrize(
    "name", ["text", "number", "array", "null", "empty", "204", "500", "reset", "no status", "status null", "status number"]
)
def test_whatever_the_upstream_says_orca_gets_its_form(gw, upstream, name):
    """Each of these would end a plain webhook stage at once."""
    moves = {
        "text": text(200, "Queued"),
        "number": reply(200, 5),
        "array": reply(200, [1]),
        "null": reply(200, None),
        "empty": reply(200, ""),
        "204": reply(204),
        "500": reply(500, "oh"),
        "reset": Reset(),
        "no status": reply(200, {"x": 1}),
        "status null": reply(200, {"state": None, "percent": None}),
        "status number": reply(200, {"state": 7, "percent": "many"}),
    }
    script_job(upstream, moves[name], "done")
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"
    assert all(isinstance(body["progress"], str) and isinstance(body["status"], str) for body in orca.polls)


def test_upstream_204_to_a_stage_of_one_call(gw, upstream):
    upstream.on("POST", "/call", reply(204))
    orca = Orca(gw.client(), "call")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"


def test_failure_says_why_in_the_progress(gw, upstream):
    script_job(upstream, {"state": "failed"})
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.monitor() == "TERMINAL"
    assert "failed" in orca.polls[-1]["progress"], "all that deck shows"
    assert orca.cancel().status == 200, "orca cancels after every failure"
    assert upstream.count("DELETE") == 0


def test_expression_left_in_the_body(gw, upstream):
    payload = '{"key": "k", "parameters": {"text": "${parameterValues[\'text\']}"}}'
    with pytest.raises(Terminal) as caught:
        Orca(gw.client(), "job", payload=payload).create()
    assert "422" in str(caught.value) and "/parameters/text" in str(caught.value)
    assert "${" not in str(caught.value), "orca would evaluate it"
    assert upstream.count() == 0


EXEC = "${execution['id']}"


@pytest.mark.parametrize(
    "payload, pointers",
    [
        ({"key": "e:" + EXEC, "parameters": {}}, ["/key"]),
        ({"user": "${trigger['user']}", "application": EXEC}, ["/user", "/application"]),
        ({"caller": {"pipeline": EXEC}}, ["/caller/pipeline"]),
        ({"parameters": {"text": "a ${b} c", "n": EXEC}}, ["/parameters/text", "/parameters/n"]),
        ({"other": {"deep": [1, {"er": EXEC}]}}, ["/other/deep/1/er"]),
        ({EXEC: 1}, ["/$ {execution['id']}"]),
        ({"caller": {"extra": EXEC}}, ["/caller/extra"]),
        ('{"key": "k", "parameters": ${#toJson(parameterValues)}}', ["/parameters"]),
        ('{"key": "${a}", "parameters": {"text": ${#toJson(x)}, "n": ${y}}}', ["/key", "/parameters/text", "/parameters/n"]),
        ('{"parameters": {"text": "${parameterValues["x"]}"}}', ["/parameters/text"]),
        ('{"parameters": "${#toJson(parameterValues)}"}', ["/parameters"]),
    ],
)  # fmt: skip
def test_expression_left_anywhere(gw, upstream, payload, pointers):
    """Each is named by its place, also where it is what makes the body no JSON."""
    payload = payload if isinstance(payload, str) else json.dumps(payload)
    for content_type in ("text/plain;charset=ISO-8859-1", "application/json"):
        answer = gw.client().request("POST", "/stages/job", payload.encode(), {**ORCA_HEADERS, "Content-Type": content_type})
        assert answer.status == 422, answer.text
        found = [one["pointer"] for one in answer.json()["errors"] if "could not evaluate" in one["detail"]]
        assert sorted(set(found)) == sorted(pointers), answer.text
        assert "${" not in answer.text
    assert upstream.count() == 0


@pytest.mark.parametrize(
    "expression, trapped",
    [
        ("${parameterValues['x']}", False),
        ("${parameterValues['x'] ?: 'd'}", True),
        ("${a == 'y' ? 'b' : 'c'}", True),
        ("${#toJson({'a': 1})}", True),
        ("${a}: ${b}", False),
    ],
)
def test_the_likely_cause_of_an_expression(gw, expression, trapped):
    answer = gw.client().start("job", {"text": expression})
    assert answer.status == 422
    assert ("Spring" in answer.json()["detail"]) == trapped, answer.text
    assert ("misspelt or without a value" in answer.json()["detail"]) != trapped


def test_expression_in_the_url_and_in_headers(gw, upstream):
    client = gw.client()
    name = "%24%7BparameterValues%5B%27stage%27%5D%7D"
    answer = client.request("POST", f"/stages/{name}", b"{}", ORCA_HEADERS)
    assert answer.status == 422 and "in the URL" in answer.text and "${" not in answer.text
    for header in ("Idempotency-Key", "X-Deadline"):
        answer = client.request("POST", "/stages/job", b"{}", {**ORCA_HEADERS, header: EXEC})
        assert answer.status == 422 and answer.json()["errors"][0]["pointer"] == header, answer.text
    assert client.request("POST", f"/stages/{name}/cancel", b'{"key": "k"}', ORCA_HEADERS).status == 200
    assert upstream.count() == 0


@pytest.mark.parametrize("payload", ['{"key": "${a}:b"}', '{"key": ${#toJson(a)}}', "${cancel}"])
def test_cancel_with_an_expression_is_taken(gw, upstream, payload):
    """orca cancels after a start that failed for its expressions too, and would hide that error behind another."""
    answer = gw.client().request("POST", "/stages/job/cancel", payload.encode(), {**ORCA_HEADERS, "Content-Type": "text/plain"})
    assert answer.status == 200 and "ignored" in answer.json()["progress"] and "${" not in answer.text


def test_token_that_was_not_put_in_place(gateway, upstream):
    gw = gateway(
        stages={"job": job_stage(upstream.url)}, callers=[{"name": "orca", "token_sha256": "ab" * 32, "start": ["*"]}]
    )
    answer = gw.client().request("POST", "/stages/job", b"{}", {"Authorization": "Bearer ${STAGEDOOR_TOKEN}"})
    assert answer.status == 401 and "orca's environment" in answer.text and "${" not in answer.text


def test_expression_in_what_the_upstream_answers(gw, upstream):
    script_job(upstream, {"state": "${exec('x')}", "percent": "${1+1}"}, {"state": "done", "result": {"${a}": ["${b}"]}})
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"
    assert "${" not in json.dumps(orca.polls)


def test_expression_hidden_by_escapes(gw, upstream):
    """`$` and `{` said as \\u0024\\u007b in the upstream's JSON are the same characters."""
    script_job(upstream, reply(200, b'{"state": "done", "result": "\\u0024\\u007bx}"}', content_type="application/json"))
    client = gw.client()
    report = client.run("job")
    assert "${" not in client.get(f"/runs/{report['id']}").text


def test_latin_1_and_beyond(gw, upstream):
    script_job(upstream, "done")
    payload = '{"key": "k", "parameters": {"text": "café"}}'
    orca = Orca(gw.client(), "job", payload=payload)
    orca.create()
    assert orca.monitor() == "SUCCEEDED"
    payload = '{"key": "k2", "parameters": {"text": "日本 😀"}}'
    orca = Orca(gw.client(), "job", payload=payload, content_type="application/json")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"
    assert [request.json()["text"] for request in upstream.got("POST", "/jobs")] == ["café", "日本 😀"]


@pytest.mark.parametrize(
    "content_type, encoding, arrives",
    [
        ("text/plain;charset=ISO-8859-1", "latin-1", "Grüße, ÿ"),
        ("text/plain;charset=iso-8859-1", "latin-1", "Grüße, ÿ"),
        ("text/plain", "latin-1", "Grüße, ÿ"),  # what Spring writes where a user set this type
        ("text/plain", "utf-8", "Grüße, ÿ"),
        ("text/plain;charset=UTF-8", "utf-8", "Grüße, ÿ"),
        ("application/json", "utf-8", "Grüße, ÿ"),
        ("application/json;charset=UTF-8", "utf-8", "Grüße, ÿ"),
        ("text/plain;charset=ISO-8859-1", "utf-8", "Grüße, ÿ".encode().decode("latin-1")),  # the label is believed
    ],
)
def test_text_is_read_as_what_it_is(gw, upstream, content_type, encoding, arrives):
    script_job(upstream, "done")
    body = '{"parameters": {"text": "Grüße, ÿ"}}'.encode(encoding)
    answer = gw.client().request("POST", "/stages/job", body, {**ORCA_HEADERS, "Content-Type": content_type})
    assert answer.status == 202, answer.text
    upstream.wait_for(1, "POST", "/jobs")
    assert upstream.got("POST", "/jobs")[0].json()["text"] == arrives


def test_cancel_before_create_after_finish_and_twice(gw, upstream):
    script_job(upstream, "done")
    assert Orca(gw.client(), "job", key="never").cancel().status == 200
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.monitor() == "SUCCEEDED"
    for _ in range(2):
        assert orca.cancel().status == 200
    assert orca.poll() == "SUCCEEDED", "an end is an end"
    assert upstream.count("DELETE") == 0


def test_user_cancels(gw, upstream):
    Jobs(upstream, hold=True)
    orca = Orca(gw.client(), "job")
    orca.create()
    upstream.wait_for(1, "GET", "/jobs/1")
    orca.cancel()
    assert orca.monitor() == "CANCELED"
    orca.cancel()
    assert upstream.count("DELETE", "/jobs/1") == 1


def test_get_on_the_stage_url(gw):
    """statusUrlResolution getMethod polls the stage's own URL: an object, never an error."""
    for method in ("GET", "HEAD"):
        answer = gw.client().request(method, "/stages/job", None, ORCA_HEADERS)
        assert answer.status == 200 and answer.header("Content-Type").startswith("application/json")


def test_keep_alive_after_idle(gateway, upstream):
    """OkHttp keeps connections for five minutes and sends again on one that died: a close has to be polite."""
    script_job(upstream, "running")
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"idle_timeout": "1s"})
    orca = Orca(gw.client(), "job")
    orca.create()
    assert orca.poll() == "RUNNING"
    orca.client.wait_closed()
    assert orca.poll() == "RUNNING"  # on a new connection


def test_cadence_of_polls(gw, upstream):
    """Once a second by orca has nothing to do with how often the upstream is asked."""
    script_job(upstream, "running")
    orca = Orca(gw.client(), "job")
    orca.create()
    upstream.wait_for(1, "GET", "/jobs/1")
    before, began = upstream.count("GET", "/jobs/1"), time.monotonic()
    for _ in range(200):
        orca.poll()
    allowed = (time.monotonic() - began) / 0.1 + 2
    assert upstream.count("GET", "/jobs/1") - before <= allowed


def test_answers_stay_small(gw, upstream):
    """Body and headers are stored in the execution at every poll."""
    script_job(upstream, {"state": "running", "percent": 5, "log": "x" * 100_000})
    orca = Orca(gw.client(), "job")
    orca.create()
    gw.client().wait_report(orca.status_url.rsplit("/", 1)[1], lambda one: one["percent"] == 5, "a poll")
    orca.poll()
    assert len(json.dumps(orca.polls[-1])) < 2000


def test_preconfigured_list(gateway, upstream):
    gw = gateway(
        stages={"job": job_stage(upstream.url, label="A job", description="Does it."), "bad": "nonsense = ;"}
    )
    answer = gw.client().get("/webhooks/preconfigured")
    assert answer.status == 200
    (entry,) = answer.json()
    assert (entry["type"], entry["label"], entry["description"]) == ("job", "A job", "Does it.")
    assert entry["waitForCompletion"] is True and entry["noUserConfigurableFields"] is True
    by_name = {parameter["name"]: parameter for parameter in entry["parameters"]}
    assert by_name["n"]["defaultValue"] == "1" and {p["type"] for p in by_name.values()} == {"string"}


def test_orca_waits_out_a_full_gateway(gateway, upstream):
    """503 with Retry-After is what makes orca send again; anything of 4xx would end the stage."""
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)}, options={"max_runs": 2, "loops": 1})
    clients = gw.client()
    for n in range(2):
        clients.started("job", {"n": n})
    orca = Orca(gw.client(), "job")
    assert orca.create() is None
    answer = gw.client().start("job", {"n": 9})
    assert answer.status == 503 and answer.header("Retry-After")
    jobs.hold = False
    for one in clients.get("/runs").json()["runs"]:
        clients.wait_end(one["id"])
    assert orca.create()["id"]
    assert orca.monitor() == "SUCCEEDED"
