"""The definitions of docs/examples/: calls of many upstreams, each against a script of what that upstream answers.

The scripts follow the vendors' documentation as far as it was at hand; no real service is asked."""

import re
import time

import pytest
from helpers.gateway import ROOT, command
from helpers.upstream import Reset, reply

EXAMPLES = ROOT / "docs" / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.conf"))


class Example:
    """One definition of docs/examples, aimed at the upstream, polling without patience."""

    def __init__(self, gateway, upstream, name):
        text = (EXAMPLES / f"{name}.conf").read_text()
        text = re.sub(r'"https://[^/"]+/', f'"{upstream.url}/', text)
        text = re.sub(r'\bevery( +)= "\w+"', 'every = "50ms"', text)
        text = re.sub(r"(max_every +)= \"\w+\"", r'\1= "100ms"', text)
        self.secrets = {one: f"the-{one}-of-this-test" for one in set(re.findall(r"secret\.(\w+)", text))}
        self.name, self.upstream = name, upstream
        self.gateway = gateway(stages={name: text}, secrets=self.secrets)
        self.client = self.gateway.client()

    def run(self, parameters):
        return self.client.run(self.name, parameters)


@pytest.fixture
def example(gateway, upstream):
    made = []

    def make(name):
        made.append(Example(gateway, upstream, name))
        return made[-1]

    yield make
    for one in made:
        shown = one.gateway.all_logs() + one.client.get(f"/stages/{one.name}").text
        assert [secret for secret in one.secrets.values() if secret in shown] == []
        assert upstream.surprises == []


def test_all_pass_check():
    done = command("check", "--stages", EXAMPLES, "--templates", ROOT / "templates", "--any-secret")
    assert done.returncode == 0 and f"{len(NAMES)} definitions, 0 mistakes, 0 warnings" in done.stdout, done


def test_all_are_listed_and_run_here():
    page = (EXAMPLES / "README.md").read_text()
    assert [name for name in NAMES if f"[{name}]({name}.conf)" not in page] == []
    assert {case[0] for case in ENDS} == set(NAMES)


# ---- to their ends: (name, parameters, [(method, path, [replies])], status, outputs) ----


def jira(*moments):
    said = [{"key": "OPS-7", "fields": {"status": {"name": name, "statusCategory": {"key": key}}}} for name, key in moments]
    return [
        ("POST", "/rest/api/3/issue", [reply(201, {"id": "10007", "key": "OPS-7"})]),
        ("GET", "/rest/api/3/issue/OPS-7", [reply(200, one) for one in said]),
    ]


def workflow(*phases):
    name = "stagedoor-"
    status = [{} if phase is None else {"status": {"phase": phase, "progress": "1/2"}} for phase in phases]
    return [
        ("POST", "/api/v1/workflows/ci/submit", [reply(200, {"metadata": {"name": name}})]),
        ("GET", "/api/v1/workflows/ci/stagedoor-*", [reply(200, {"metadata": {"name": "w-1"}, **one}) for one in status]),
    ]


def argocd(*moments):
    said = []
    for phase, sync, health in moments:
        said.append({"operationState": {"phase": phase}, "sync": {"status": sync, "revision": "abc"}, "health": {"status": health}})
    return [
        ("POST", "/api/v1/applications/shop/sync", [reply(200, {})]),
        ("GET", "/api/v1/applications/shop", [reply(200, {"status": one}) for one in said]),
    ]


def terraform(*words):
    said = [{"data": {"id": "run-1", "attributes": {"status": word}}} for word in words]
    return [
        ("POST", "/api/v2/runs", [reply(201, {"data": {"id": "run-1"}})]),
        ("GET", "/api/v2/runs/run-1", [reply(200, one) for one in said]),
    ]


def change(*moments):
    said = [{"state": {"value": state, "display_value": "x"}, "approval": {"value": approval}} for state, approval in moments]
    return [
        ("POST", "/api/sn_chg_rest/change/normal", [reply(200, {"result": {"sys_id": {"value": "c1"}}})]),
        ("GET", "/api/sn_chg_rest/change/c1", [reply(200, {"result": {**one, "number": {"value": "CHG1"}}}) for one in said]),
    ]


def k6(*moments):
    return [
        ("POST", "/cloud/v6/load_tests/4/start", [reply(200, {"id": 91})]),
        ("GET", "/cloud/v6/test_runs/91", [reply(200, {"id": 91, "status": status, "result": result}) for status, result in moments]),
    ]


def blazemeter(*words, verdict):
    return [
        ("POST", "/api/v4/tests/4/start", [reply(202, {"result": {"id": 77}})]),
        ("GET", "/api/v4/masters/77/status", [reply(200, {"result": {"status": word, "progress": 50}}) for word in words]),
        ("GET", "/api/v4/masters/77", [reply(200, {"result": {"reportStatus": verdict}})]),
    ]


def sonarqube(*words, gate="OK"):
    conditions = [{"metricKey": "coverage", "status": gate}, {"metricKey": "bugs", "status": "OK"}]
    return [
        ("GET", "/api/ce/task", [reply(200, {"task": {"status": word, "analysisId": "A1"}}) for word in words]),
        ("GET", "/api/qualitygates/project_status", [reply(200, {"projectStatus": {"status": gate, "conditions": conditions}})]),
    ]


def awx(*words):
    return [
        ("POST", "/api/v2/job_templates/4/launch/", [reply(201, {"job": 12, "id": 12, "url": "/api/v2/jobs/12/"})]),
        ("GET", "/api/v2/jobs/12/", [reply(200, {"id": 12, "status": word}) for word in words]),
    ]


def gitlab(*words):
    path = "/api/v4/projects/team%2Fshop"
    return [
        ("POST", f"{path}/pipeline", [reply(201, {"id": 5})]),
        ("GET", f"{path}/pipelines/5", [reply(200, {"id": 5, "status": word}) for word in words]),
    ]


def datadog(*words):
    return [
        ("POST", "/api/v1/synthetics/tests/trigger/ci", [reply(200, {"batch_id": "b-1", "results": []})]),
        ("GET", "/api/v1/synthetics/ci/batch/b-1", [reply(200, {"data": {"status": word, "results": []}}) for word in words]),
    ]


def slack(answer):
    return [("POST", "/api/chat.postMessage", answer)]


def pagerduty(code, status):
    body = {"status": status, "message": "said so", "dedup_key": "k1", "errors": ["no key"]}
    return [("POST", "/v2/enqueue", [reply(code, body)])]


ISSUE = {"project": "OPS", "summary": 'Release "7" of shop'}
CHANGE = {"summary": "Release 7", "group": "ops"}
PIPELINE = {"project": "team/shop", "variables": {"VERSION": "7", "N": 3}}
MESSAGE = {"channel": "#ops", "text": 'a "b"\nc'}
ENDS = [
    ("jira-issue-gate", ISSUE, jira(("To Do", "new"), ("Doing", "indeterminate"), ("Closed", "done")), "SUCCEEDED", {"key": "OPS-7"}),
    ("pagerduty-event", {"summary": "x"}, pagerduty(202, "success"), "SUCCEEDED", {"incident": "k1"}),
    ("pagerduty-event", {"summary": "x"}, pagerduty(400, "invalid event"), "TERMINAL", "no key"),
    ("slack-message", MESSAGE, slack([reply(200, {"ok": True, "ts": "1.2"})]), "SUCCEEDED", {"ts": "1.2"}),
    ("slack-message", MESSAGE, slack([reply(200, {"ok": False, "error": "channel_not_found"})]), "TERMINAL", "channel_not_found"),
    ("slack-message", MESSAGE, slack([reply(429, "", headers={"Retry-After": "1"}), reply(200, {"ok": True, "ts": "1.3"})]),
     "SUCCEEDED", {"ts": "1.3"}),
    ("datadog-synthetics", {"tests": ["abc-def-ghi"]}, datadog("in_progress", "passed"), "SUCCEEDED", {"batch": "b-1"}),
    ("datadog-synthetics", {"tests": ["abc-def-ghi"]}, datadog("in_progress", "failed"), "TERMINAL", "failed"),
    ("argo-workflow", {"namespace": "ci", "template": "load"}, workflow(None, "", "Pending", "Running", "Succeeded"), "SUCCEEDED",
     {"workflow": "w-1"}),
    ("argo-workflow", {"namespace": "ci", "template": "load", "inputs": ["a=1"]}, workflow("Running", "Error"), "TERMINAL", "Error"),
    ("argocd-sync", {"application": "shop"},
     argocd(("Running", "OutOfSync", "Healthy"), ("Succeeded", "Synced", "Progressing"), ("Succeeded", "Synced", "Healthy")),
     "SUCCEEDED", {"revision": "abc", "health": "Healthy"}),
    ("argocd-sync", {"application": "shop"}, argocd(("Succeeded", "Synced", "Degraded")), "TERMINAL", "Degraded"),
    ("terraform-run", {"workspace": "ws-Ab1"}, terraform("pending", "planned", "confirmed", "applied"), "SUCCEEDED", {"run": "run-1"}),
    ("terraform-run", {"workspace": "ws-Ab1"}, terraform("planning", "discarded"), "CANCELED", {"status": "discarded"}),
    ("servicenow-change", CHANGE, change(("-5", "not requested"), ("-4", "requested"), ("-2", "approved")), "SUCCEEDED", {"number": "CHG1"}),
    ("servicenow-change", CHANGE, change(("-4", "requested"), ("-4", "rejected")), "TERMINAL", "rejected"),
    ("servicenow-change", CHANGE, change(("4", "not requested")), "CANCELED", {"state": "4"}),
    ("k6-test", {"test": 4}, k6(("created", None), ("running", None), ("completed", "passed")), "SUCCEEDED", {"result": "passed"}),
    ("k6-test", {"test": 4}, k6(("running", None), ("completed", "failed")), "TERMINAL", "failed"),
    ("blazemeter-test", {"test": 4}, blazemeter("CREATED", "TAURUS IMAGE DOWNLOADING", "ENDED", verdict="pass"), "SUCCEEDED", {"verdict": "pass"}),
    ("blazemeter-test", {"test": 4}, blazemeter("ENDED", verdict="fail"), "TERMINAL", "fail"),
    ("sonarqube-gate", {"task": "T1"}, sonarqube("PENDING", "IN_PROGRESS", "SUCCESS"), "SUCCEEDED", {"gate": "OK"}),
    ("sonarqube-gate", {"task": "T1"}, sonarqube("SUCCESS", gate="ERROR"), "TERMINAL", "these conditions are not met: coverage"),
    ("sonarqube-gate", {"task": "T1"}, sonarqube("SUCCESS", gate="WARN"), "SUCCEEDED", {"result": "WARN"}),
    ("awx-job", {"template": 4, "extra_vars": {"v": "7"}}, awx("pending", "running", "successful"), "SUCCEEDED", {"job": 12}),
    ("awx-job", {"template": 4}, awx("error"), "TERMINAL", "error"),
    ("gitlab-pipeline", PIPELINE, gitlab("created", "manual", "running", "success"), "SUCCEEDED", {"pipeline": 5}),
    ("gitlab-pipeline", PIPELINE, gitlab("running", "canceled"), "CANCELED", {"pipeline": 5}),
]  # fmt: skip


@pytest.mark.parametrize("name, parameters, routes, status, then", ENDS, ids=[f"{row[0]}-{row[3]}" for row in ENDS])
def test_example(example, upstream, name, parameters, routes, status, then):
    for method, path, replies in routes:
        upstream.on(method, path, *replies)
    one = example(name)
    ended = one.run(parameters)
    assert ended["status"] == status, ended
    if isinstance(then, str):
        assert then in ended["error"], ended
    else:
        assert {key: ended["outputs"].get(key) for key in then} == then, ended
    assert upstream.count("POST") == sum(len(replies) for method, _, replies in routes if method == "POST")


# ---- what was sent ----


@pytest.mark.parametrize("name, parameters, routes, body", [
    ("gitlab-pipeline", PIPELINE, gitlab("success"),
     {"ref": "main", "variables": [{"key": "VERSION", "value": "7"}, {"key": "N", "value": "3"}]}),
    ("datadog-synthetics", {"tests": ["a", 'b"']}, datadog("passed"), {"tests": [{"public_id": "a"}, {"public_id": 'b"'}]}),
    ("slack-message", MESSAGE, slack([reply(200, {"ok": True, "ts": "1.2"})]), MESSAGE),
    ("awx-job", {"template": 4, "extra_vars": {"v": [1, None]}}, awx("successful"), {"extra_vars": {"v": [1, None]}}),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_is_sent(example, upstream, name, parameters, routes, body):
    for method, path, replies in routes:
        upstream.on(method, path, *replies)
    one = example(name)
    assert one.run(parameters)["status"] == "SUCCEEDED"
    (request,) = upstream.got("POST")
    assert request.json() == body
    credentials = [value for _, value in request.headers if any(secret in value for secret in one.secrets.values())]
    assert len(credentials) == (2 if name == "datadog-synthetics" else 1), request.headers


# ---- canceled: (name, parameters, routes, the cancel call, routes from then on) ----

CANCELS = [
    ("awx-job", {"template": 4}, awx("running"), ("POST", "/api/v2/jobs/12/cancel/", reply(202)), awx("canceled")),
    ("gitlab-pipeline", PIPELINE, gitlab("running"),
     ("POST", "/api/v4/projects/team%2Fshop/pipelines/5/cancel", reply(200, {"id": 5})), gitlab("canceling", "canceled")),
    ("k6-test", {"test": 4}, k6(("running", None)), ("POST", "/cloud/v6/test_runs/91/abort", reply(204)), k6(("aborted", None))),
    ("argo-workflow", {"namespace": "ci", "template": "load"}, workflow("Running"),
     ("PUT", "/api/v1/workflows/ci/stagedoor-*", reply(200, {})), workflow("Failed")),
    ("terraform-run", {"workspace": "ws-Ab1"}, terraform("planning"),
     ("POST", "/api/v2/runs/run-1/actions/cancel", reply(202)), terraform("canceled")),
]  # fmt: skip


@pytest.mark.parametrize("name, parameters, routes, cancel, after", CANCELS, ids=[row[0] for row in CANCELS])
def test_example_canceled(example, upstream, name, parameters, routes, cancel, after):
    for method, path, replies in routes:
        upstream.on(method, path, *replies)
    (_, polled, _), (_, _, then) = routes[-1], after[-1]
    method, path, answer = cancel

    def stop(request):
        upstream.on("GET", polled, *then)
        return answer

    upstream.on(method, path, stop)
    one = example(name)
    report = one.client.started(name, parameters)
    upstream.wait_for(1, "GET")
    assert one.client.cancel(report["id"]).status in (200, 202)
    ended = one.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert sum(request.method == method for request in upstream.requests) == 1 + (method == "POST")


def test_a_refused_cancel_of_terraform_is_a_discard(example, upstream):
    """409: it waits for a person, so it can only be discarded; and that at once."""
    for method, path, replies in terraform("planned"):
        upstream.on(method, path, *replies)

    def discard(request):
        upstream.on("GET", "/api/v2/runs/run-1", reply(200, {"data": {"id": "run-1", "attributes": {"status": "discarded"}}}))
        return reply(202)

    upstream.on("POST", "/api/v2/runs/run-1/actions/cancel", reply(409, {"errors": [{"detail": "not cancelable"}]}))
    upstream.on("POST", "/api/v2/runs/run-1/actions/discard", discard)
    one = example("terraform-run")
    report = one.client.started(one.name, {"workspace": "ws-Ab1"})
    upstream.wait_for(1, "GET")
    began = time.monotonic()
    one.client.cancel(report["id"])
    ended = one.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert time.monotonic() - began < 15, "a fallback for a refusal does not wait for half of the timeout, 30 s"


# ---- a reply that was lost ----


def test_a_lost_reply_of_k6_is_no_doubt(example, upstream):
    upstream.on("POST", "/cloud/v6/load_tests/4/start", Reset(), reply(200, {"id": 91}))
    upstream.on("GET", "/cloud/v6/test_runs/91", reply(200, {"id": 91, "status": "completed", "result": "passed"}))
    assert example("k6-test").run({"test": 4})["status"] == "SUCCEEDED"
    first, second = upstream.got("POST")
    assert first.header("K6-Idempotency-Key") == second.header("K6-Idempotency-Key") != ""


@pytest.mark.parametrize("name, parameters, search, found, routes", [
    ("jira-issue-gate", ISSUE, "/rest/api/3/search/jql", {"issues": [{"key": "OPS-7"}]}, jira(("Closed", "done"))),
    ("servicenow-change", CHANGE, "/api/now/table/change_request", {"result": [{"sys_id": "c1"}]}, change(("-2", "approved"))),
    ("argo-workflow", {"namespace": "ci", "template": "load"}, None, None, workflow("Succeeded")),
])  # fmt: skip
def test_a_lost_reply_is_looked_for(example, upstream, name, parameters, search, found, routes):
    (method, path, _), (_, status, replies) = routes
    upstream.on(method, path, Reset())
    upstream.on("GET", status, *replies)
    if search:
        upstream.on("GET", search, reply(200, found))
    assert example(name).run(parameters)["status"] == "SUCCEEDED"
    assert upstream.count(method, path) == 1
    assert not search or upstream.count("GET", search) == 1


def test_a_lost_reply_of_terraform_is_looked_for(example, upstream):
    """By the run's id in its message."""
    said = []

    def lost(request):
        said.append(request.json()["data"]["attributes"]["message"])
        return Reset()

    def listed(request):
        other = {"id": "run-0", "attributes": {"message": "of somebody else"}}
        return reply(200, {"data": [other, {"id": "run-1", "attributes": {"message": said[0]}}]})

    upstream.on("POST", "/api/v2/runs", lost)
    upstream.on("GET", "/api/v2/workspaces/ws-Ab1/runs", listed)
    upstream.on("GET", "/api/v2/runs/run-1", reply(200, {"data": {"id": "run-1", "attributes": {"status": "applied"}}}))
    ended = example("terraform-run").run({"workspace": "ws-Ab1", "message": "Release 7"})
    assert ended["status"] == "SUCCEEDED" and ended["outputs"]["run"] == "run-1", ended
    assert upstream.count("POST") == 1 and said[0].startswith("Release 7 (stagedoor ")
