"""The stages of the library: GitHub's against a server that holds both sides to GitHub's own OpenAPI description, New Relic's
and Jenkins' against scripted upstreams that look at each request closely. No real service is asked."""

import base64
import json
import pathlib
import re
import time
import urllib.parse

import pytest
from helpers.client import ENDED
from helpers.gateway import ROOT, command
from helpers.openapi import Described, Description
from helpers.services import shipped, templates
from helpers.upstream import Move, Reset, reply
from helpers.wait import wait_until

DATA = pathlib.Path(__file__).parent / "data"
SECRETS = {
    "github_token": "ghp_library-test-token",
    "newrelic_user_key": "NRAK-LIBRARY-TEST-KEY",
    "jenkins_user": "builder-of-the-test",
    "jenkins_token": "11f0-library-test-token",
}
OF_STAGE = {
    "github-workflow": ["github_token"],
    "github-commit-status": ["github_token"],
    "newrelic-change": ["newrelic_user_key"],
    "newrelic-gate": ["newrelic_user_key"],
    "jenkins-job": ["jenkins_user", "jenkins_token"],
}


class Stage:
    """One stage of the library, aimed at the upstream. At the end nothing that a user may see has the secret in it."""

    def __init__(self, gateway, upstream, name, cancel_timeout=None, **replaced):
        text = shipped(name, upstream.url, **replaced)
        if cancel_timeout:
            head, cancel, tail = text.partition("\ncancel = {")
            tail, count = re.subn(r'timeout( *)= "\w+"', rf'timeout = "{cancel_timeout}"', tail)
            assert count == 1
            text = head + cancel + tail
        self.name, self.upstream = name, upstream
        self.secrets = {one: SECRETS[one] for one in OF_STAGE[name]}
        self.gateway = gateway(
            stages={name: text}, templates=templates(), secrets=self.secrets
        )
        self.client = self.gateway.client()
        self.ids = []

    def started(self, parameters, **options):
        report = self.client.started(self.name, parameters, **options)
        self.ids.append(report["id"])
        return report

    def run(self, parameters, **options):
        return self.client.wait_end(self.started(parameters, **options)["id"])

    def check(self):
        shown = self.gateway.all_logs()
        for id in self.ids:
            assert self.client.report(id)["status"] in ENDED
            shown += self.client.get(f"/runs/{id}").text + self.client.get(f"/runs/{id}/explain").text
        shown += self.client.get(f"/stages/{self.name}").text
        pairs = base64.b64encode(":".join(self.secrets.values()).encode()).decode()
        for secret in (*self.secrets.values(), pairs):
            assert secret not in shown and secret.encode() not in self.gateway.store_bytes()
        assert self.upstream.surprises == []


@pytest.fixture
def stage(gateway, upstream):
    made = []

    def make(name, **replaced):
        made.append(Stage(gateway, upstream, name, **replaced))
        return made[-1]

    yield make
    for one in made:
        one.check()


# ---- what holds for all of them ----


def test_all_that_ships_passes_check():
    done = command("check", "--stages", ROOT / "stages.d", "--templates", ROOT / "templates", "--any-secret")
    assert done.returncode == 0 and ", 0 mistakes, 0 warnings" in done.stdout, done


@pytest.mark.parametrize("name", OF_STAGE)
def test_offered_once_its_secrets_are_set(gateway, name):
    one = gateway(stages={name: (ROOT / "stages.d" / f"{name}.conf").read_text()}, templates=templates())
    client = one.client()
    (listed,) = client.get("/stages").json()["stages"]
    assert listed["state"] == "disabled" and OF_STAGE[name][0] in listed["disabled"], listed
    assert client.start(name, {}).status == 404
    assert not one.log(level="error") and not one.log(level="warning"), one.all_logs()
    for secret in OF_STAGE[name]:
        (one.secrets_dir / secret).write_text(SECRETS[secret])
    one.reload()
    wait_until(lambda: client.get("/stages").json()["stages"][0]["state"] == "ok", lambda: client.get("/stages").text)


@pytest.mark.parametrize("name", OF_STAGE)
def test_page_names_what_there_is(name):
    """Every parameter, output and secret of the definition is on its page."""
    text = (ROOT / "stages.d" / f"{name}.conf").read_text()
    page = (ROOT / "docs" / "stages" / f"{name}.md").read_text()
    words = re.findall(r'\{ name = "(\w+)"; +type', text) + re.findall(r"secret\.(\w+)", text)
    outputs = re.search(r"(?ms)^outputs = \{(.*)\};", text)
    words += re.findall(r"(\w+) += ", outputs.group(1)) if outputs else ["value"]
    assert words and [word for word in words if f"`{word}`" not in page] == []
    assert f"[{name}]({name}.md)" in (ROOT / "docs" / "stages" / "README.md").read_text()


# ---- GitHub ----

REPO = "/repos/octo-org/hello.world"
REPO_PATH = "/repos/{owner}/{repo}"
RUNS = f"{REPO_PATH}/actions/runs/{{run_id}}"
DISPATCHES = f"{REPO_PATH}/actions/workflows/{{workflow_id}}/dispatches"
WORKFLOW = {"owner": "octo-org", "repo": "hello.world", "workflow": "deploy.yml"}


@pytest.fixture
def github(upstream):
    token = SECRETS["github_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    one = Described(upstream, DATA / "github-openapi.json", headers)
    yield one
    one.check()


def workflow_run(github, status, conclusion=None, **more):
    schema = {"$ref": "#/components/schemas/workflow-run"}
    return github.description.example(
        schema, id=30433642, status=status, conclusion=conclusion, run_attempt=1,
        html_url="https://github.com/octo-org/hello.world/actions/runs/30433642", **more,
    )  # fmt: skip


def details(run=30433642):
    where = f"https://api.github.com{REPO}/actions/runs/{run}"
    return 200, {"workflow_run_id": run, "run_url": where, "html_url": where.replace("api.github.com/repos", "github.com")}


def watched(github, *moments):
    github.on("GET", RUNS, *[(200, workflow_run(github, *moment)) for moment in moments])


@pytest.fixture
def workflow(stage, github):
    one = stage("github-workflow", every="100ms", max_every="200ms", cancel_timeout="4s")
    github.on("POST", DISPATCHES, details())
    return one


def test_github_workflow(workflow, github, upstream):
    watched(github, ("queued",), ("in_progress",), ("completed", "success"))
    inputs = {"environment": "prod \"1\"", "dry_run": False, "n": 3}
    ended = workflow.run({**WORKFLOW, "ref": "release/1.2", "inputs": inputs})
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["outputs"] == {
        "run_id": 30433642, "conclusion": "success", "attempt": 1,
        "url": "https://github.com/octo-org/hello.world/actions/runs/30433642",
    }  # fmt: skip
    (sent,) = upstream.got("POST")
    assert sent.path == f"{REPO}/actions/workflows/deploy.yml/dispatches"
    assert sent.json() == {"ref": "release/1.2", "inputs": inputs, "return_run_details": True}
    assert upstream.count("GET", f"{REPO}/actions/runs/30433642") == upstream.count("GET") == 3, "nothing is searched for"


def test_github_workflow_with_values_as_orca_sends_them(workflow, github, upstream):
    watched(github, ("completed", "success"))
    assert workflow.run({**WORKFLOW, "workflow": "161335", "inputs": '{"a": "b"}', "ref": ""})["status"] == "SUCCEEDED"
    assert upstream.got("POST")[0].json()["inputs"] == {"a": "b"}


@pytest.mark.parametrize("word", ["failure", "timed_out", "startup_failure", "action_required", "stale"])
def test_github_workflow_that_fails(workflow, github, word):
    watched(github, ("in_progress",), ("completed", word))
    ended = workflow.run(WORKFLOW)
    assert (ended["status"], ended["reason"], ended["upstream"]["status"]) == ("TERMINAL", "upstream_failed", word), ended
    assert word in ended["error"]


@pytest.mark.parametrize("word", ["neutral", "skipped"])
def test_github_workflow_that_should_be_looked_at(workflow, github, word):
    watched(github, ("completed", word))
    ended = workflow.run(WORKFLOW)
    assert (ended["status"], ended["outputs"]["result"], ended["outputs"]["conclusion"]) == ("SUCCEEDED", "WARN", word)


def test_github_workflow_that_was_cancelled_there(workflow, github):
    watched(github, ("completed", "cancelled"))
    ended = workflow.run(WORKFLOW)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "upstream_canceled"), ended


def test_github_workflow_is_found_by_its_name(workflow, github, upstream):
    """A server that answers 204: the run is the one whose name has our id in it."""
    github.on("POST", DISPATCHES, (204, None))
    other = workflow_run(github, "queued", display_title="deploy of somebody else")
    runs = []

    def search(request, variables):
        assert urllib.parse.parse_qs(request.query)["event"] == ["workflow_dispatch"]
        id = upstream.got("POST")[0].json()["inputs"]["correlation"]
        runs.append(id)
        ours = {**other, "id": 77, "display_title": f"deploy ({id})"}
        found = [{**other, "id": 5}] if len(runs) == 1 else [{**other, "id": 6}, ours, {**other, "id": 5}]
        return 200, {"total_count": len(found), "workflow_runs": found}

    github.on("GET", f"{REPO_PATH}/actions/workflows/{{workflow_id}}/runs", search)
    watched(github, ("completed", "success"))
    ended = workflow.run({**WORKFLOW, "correlation_input": "correlation", "inputs": {"a": 1}})
    assert ended["status"] == "SUCCEEDED", ended
    assert runs == [ended["id"]] * 2 and upstream.count("GET", f"{REPO}/actions/runs/77") == 1
    assert upstream.got("POST")[0].json()["inputs"] == {"a": 1, "correlation": ended["id"]}


def test_github_workflow_of_an_old_server_without_correlation(workflow, github, upstream):
    github.on("POST", DISPATCHES, (204, None))
    ended = workflow.run(WORKFLOW)
    assert ended["status"] == "TERMINAL" and "correlation_input" in ended["error"], ended
    assert "give the workflow an input" in ended["error"] and upstream.count("GET") == 0


def cancels(github, path, code, then):
    """The cancel call at `path` is answered with the code; then the run is what `then` says."""

    def answer(request, variables):
        watched(github, then)
        return code, {} if code == 202 else {"message": "Cannot cancel a workflow run that is completed."}

    github.on("POST", RUNS + path, answer)


@pytest.mark.parametrize("code, then", [(202, ("completed", "cancelled")), (409, ("completed", "success"))])
def test_github_workflow_canceled(workflow, github, upstream, code, then):
    watched(github, ("in_progress",))
    cancels(github, "/cancel", code, then)
    report = workflow.started(WORKFLOW)
    upstream.wait_for(1, "GET", f"{REPO}/actions/runs/30433642")
    assert workflow.client.cancel(report["id"]).status in (200, 202)
    ended = workflow.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert upstream.count("POST", f"{REPO}/actions/runs/30433642/cancel") == 1
    assert upstream.count("POST", f"{REPO}/actions/runs/30433642/force-cancel") == 0


def test_github_workflow_canceled_by_force(workflow, github, upstream):
    """What does not end by a cancel is ended by force-cancel."""
    watched(github, ("in_progress",))
    github.on("POST", RUNS + "/cancel", (202, {}))
    cancels(github, "/force-cancel", 202, ("completed", "cancelled"))
    report = workflow.started(WORKFLOW)
    upstream.wait_for(1, "GET", f"{REPO}/actions/runs/30433642")
    workflow.client.cancel(report["id"])
    ended = workflow.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert upstream.count("POST", f"{REPO}/actions/runs/30433642/cancel") == 1
    assert upstream.count("POST", f"{REPO}/actions/runs/30433642/force-cancel") == 1


LIMITED = {
    "429": reply(429, {"message": "too many"}, headers={"Retry-After": "1"}),
    "403": reply(403, {"message": "You have exceeded a secondary rate limit."}, headers={"Retry-After": "1"}),
}


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.parametrize("where", ["dispatch", "watch"])
def test_github_limits_its_rate(workflow, github, upstream, kind, where):
    """A refusal by a limit began nothing: the call is made again, no sooner than GitHub said."""
    watched(github, ("completed", "success"))
    done = (200, workflow_run(github, "completed", "success"))
    if where == "dispatch":
        github.on("POST", DISPATCHES, LIMITED[kind], details())
    else:
        github.on("GET", RUNS, LIMITED[kind], done)
    assert workflow.run(WORKFLOW)["status"] == "SUCCEEDED"
    calls = upstream.got("POST") if where == "dispatch" else upstream.got("GET", f"{REPO}/actions/runs/30433642")
    assert len(calls) == 2 and calls[1].at - calls[0].at >= 0.95


def test_github_refuses_with_its_own_words(workflow, github, upstream):
    github.on("POST", DISPATCHES, reply(403, {"message": "Resource not accessible by personal access token"}))
    ended = workflow.run(WORKFLOW)
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_refused"), ended
    assert "403" in ended["error"] and "not accessible by personal access token" in ended["error"]
    assert upstream.count() == 1


def searched(github, upstream, title, **more):
    """The search finds an old run of somebody else, and one whose name is `title`, with our id in place of {}."""
    other = workflow_run(github, "queued", display_title="deploy of somebody else", created_at="2020-01-22T19:33:08Z")

    def search(request, variables):
        id = upstream.got("POST")[0].json()["inputs"].get("correlation")
        runs = [{**other, "id": 6}, {**other, "id": 77, "display_title": title.format(id), **more}]
        return 200, {"total_count": len(runs), "workflow_runs": runs}

    github.on("GET", f"{REPO_PATH}/actions/workflows/{{workflow_id}}/runs", search)
    return f"{REPO}/actions/workflows/deploy.yml/runs"


@pytest.fixture
def hasty(stage, github):
    """The same stage, for which a search is over soon."""
    return stage("github-workflow", every="100ms", delay="10ms", max_delay="20ms", not_found_grace="300ms", cancel_timeout="4s")


@pytest.mark.parametrize("canceled", [False, True], ids=["", "canceled"])
def test_github_workflow_whose_dispatch_is_not_answered_is_found(hasty, github, upstream, canceled):
    github.on("POST", DISPATCHES, Reset())
    path = searched(github, upstream, "deploy ({})")
    watched(github, ("in_progress",) if canceled else ("completed", "success"))
    cancels(github, "/cancel", 202, ("completed", "cancelled"))
    report = hasty.started({**WORKFLOW, "correlation_input": "correlation"})
    if canceled:
        upstream.wait_for(1, "GET", f"{REPO}/actions/runs/77")
        hasty.client.cancel(report["id"])
    ended = hasty.client.wait_end(report["id"])
    assert ended["status"] == ("CANCELED" if canceled else "SUCCEEDED"), ended
    assert upstream.count("POST", f"{REPO}/actions/workflows/deploy.yml/dispatches") == 1 and upstream.count("GET", path) == 1
    assert upstream.count("POST", f"{REPO}/actions/runs/77/cancel") == int(canceled)


def test_github_workflow_whose_dispatch_was_lost_on_the_way_is_begun_again(hasty, github, upstream):
    github.on("POST", DISPATCHES, Reset(), details())
    path = searched(github, upstream, "deploy (of yesterday)")
    watched(github, ("completed", "success"))
    ended = hasty.run({**WORKFLOW, "correlation_input": "correlation"})
    assert ended["status"] == "SUCCEEDED" and ended["outputs"]["run_id"] == 30433642, ended
    first, second = upstream.got("POST")
    assert first.json() == second.json() and second.at - first.at >= 0.3
    assert upstream.count("GET", path) >= 2


@pytest.mark.parametrize("title, begun", [("deploy", 1), ("deploy (01KAW00000ABCDEFGHJKMNPQRS)", 2)])
def test_github_workflow_that_leaves_the_id_out_of_its_name_is_not_begun_twice(hasty, github, upstream, title, begun):
    """A run that has begun since then, and is nobody else's as far as one can tell, may be ours."""
    github.on("POST", DISPATCHES, Reset(), details())
    searched(github, upstream, title, created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1)))
    watched(github, ("completed", "success"))
    ended = hasty.run({**WORKFLOW, "correlation_input": "correlation"})
    assert upstream.count("POST") == begun, ended
    if begun == 1:
        assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt") and "run-name" in ended["error"], ended


def test_github_workflow_begins_once_though_the_reply_is_lost(hasty, github, upstream):
    """Without a correlation nobody can tell which run it is."""
    github.on("POST", DISPATCHES, Reset())
    searched(github, upstream, "deploy")
    ended = hasty.run(WORKFLOW)
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt") and upstream.count("POST") == 1
    assert "no correlation_input was given" in ended["error"], ended


@pytest.mark.parametrize(
    "wrong", [{"owner": "a/b"}, {"repo": ".."}, {"repo": "."}, {"workflow": "a/../../x"}, {"correlation_input": "a b"}, {"owner": ""}]
)
def test_github_workflow_parameters_stay_in_their_place(workflow, upstream, wrong):
    """Refused at once, or before anything is sent."""
    answer = workflow.client.start(workflow.name, {**WORKFLOW, **wrong})
    if answer.status != 422:
        ended = workflow.client.wait_end(answer.json()["id"])
        assert (ended["status"], ended["reason"]) == ("TERMINAL", "invalid_request"), ended
    assert upstream.count() == 0


STATUSES = f"{REPO_PATH}/statuses/{{sha}}"
COMMIT = {"owner": "octo-org", "repo": "hello.world", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e"}


def made_status(github):
    def answer(request, variables):
        sent = request.json()
        assert variables["sha"] == COMMIT["sha"]
        schema = {"$ref": "#/components/schemas/status"}
        return 201, github.description.example(schema, **sent, id=42, url="https://api.github.com/statuses/42")

    return answer


@pytest.mark.parametrize("state", ["error", "failure", "pending", "success"])
def test_github_commit_status(stage, github, upstream, state):
    github.on("POST", STATUSES, made_status(github))
    ended = stage("github-commit-status").run({**COMMIT, "state": state})
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"id": 42, "url": "https://api.github.com/statuses/42"}), ended
    assert upstream.got("POST")[0].json() == {"state": state, "context": "spinnaker", "description": "", "target_url": None}


def test_github_commit_status_with_all_values_and_a_lost_reply(stage, github, upstream):
    """The same status once more does no harm, so it is simply put again."""
    github.on("POST", STATUSES, Reset(), made_status(github))
    given = {"context": "deploy/\"prod\"", "description": "é \\ \"", "target_url": "https://spinnaker.example.com/#/a?b=c&d"}
    assert stage("github-commit-status").run({**COMMIT, "state": "success", **given})["status"] == "SUCCEEDED"
    first, again = upstream.got("POST")
    assert first.json() == again.json() == {"state": "success", **given}


def test_github_commit_status_of_no_commit(stage, github):
    one = stage("github-commit-status")
    github.on("POST", STATUSES, reply(422, {"message": "No commit found for SHA"}))
    ended = one.run({**COMMIT, "state": "success"})
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_refused")
    assert "No commit found for SHA" in ended["error"], ended
    assert one.client.start(one.name, {**COMMIT, "sha": "main", "state": "success"}).status == 422
    assert one.client.start(one.name, {**COMMIT, "state": "good"}).status == 422


def test_the_description_refuses_what_it_does_not_have(upstream):
    """Else the tests above would show nothing."""
    github = Described(upstream, DATA / "github-openapi.json", {"Authorization": "Bearer t"})

    class Asked:
        method, body, query = "POST", b'{"ref": "main"}', ""
        path = "/repos/o/r/actions/workflows/w/dispatches"
        headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}

        def __init__(self, **changed):
            vars(self).update(changed)
            self.target = self.path

        def header(self, name):
            return self.headers.get(name)

        def json(self):
            return json.loads(self.body)

    def mistakes(**changed):
        github.mistakes.clear()
        github.on("POST", DISPATCHES, details())
        github.on("GET", RUNS, (200, workflow_run(github, "queued")))
        github._play(Asked(**changed))
        return github.mistakes

    assert mistakes() == [] and github.problems == []
    for body in (b"{}", b'{"ref": 1}', b'{"ref": "a", "input": {}}', b'{"ref": "a", "inputs": []}', b"{", b""):
        assert mistakes(body=body), body
    assert mistakes(path="/repos/o/r/actions/workflows/w/dispatch") and mistakes(query="a=b")
    assert mistakes(headers={**Asked.headers, "Content-Type": "text/plain"})
    assert mistakes(headers={"Content-Type": "application/json"})
    run = {"method": "GET", "body": b"", "path": "/repos/o/r/actions/runs/7"}
    assert mistakes(**run) == [] and mistakes(**{**run, "path": "/repos/o/r/actions/runs/x"}) and mistakes(**{**run, "body": b"{}"})
    github.on("GET", RUNS, (200, {"id": 7}))
    github._play(Asked(**run))
    assert github.problems, "a reply that the description does not allow"
    with pytest.raises(AssertionError):
        github.check()


def test_each_reference_of_the_description_leads_somewhere():
    description = Description(DATA / "github-openapi.json")

    def each(value):
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, (dict, list)):
                yield one
                yield from each(one)

    found = [one for one in each(description.whole) if isinstance(one, dict) and isinstance(one.get("$ref"), str)]
    assert found and all(description.resolve(one) for one in found)


# ---- New Relic ----


class NerdGraph:
    """POST /graphql, strictly: the user's key, JSON, a document whose variables are declared, used, and given with their
    types. Answers are scripted by the field that is asked for."""

    TYPES = {"Int": int, "String": str, "Nrql": str, "ID": str}

    def __init__(self, upstream):
        self.mistakes, self.asked, self.answers = [], [], {}
        upstream.on("POST", "/graphql", self._play)

    def on(self, field, *answers):
        self.answers[field] = list(answers)

    def of(self, field):
        """The variables of each request for the field."""
        return [variables for name, variables in self.asked if name == field]

    def _play(self, request):
        wrong = list(self._wrong(request))
        self.mistakes += wrong
        if wrong:
            return reply(200, {"errors": [{"message": "; ".join(wrong)}]})
        document = request.json()["query"]
        field = next(name for name in ("changeTrackingCreateEvent", "nrqlQueryProgress", "nrqlCancelQuery", "nrql(") if name in document)
        kind = "mutation" if field in ("changeTrackingCreateEvent", "nrqlCancelQuery") else "query"
        if not document.startswith(kind + "("):
            self.mistakes.append(f"{field} is no {kind}")
        field = field.rstrip("(") + ("-async" if "async: true" in document else "")
        self.asked.append((field, request.json()["variables"]))
        answers = self.answers[field]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(request) if callable(answer) and not isinstance(answer, Move) else answer

    def _wrong(self, request):
        if request.header("API-Key") != SECRETS["newrelic_user_key"]:
            yield "the key is not known"
        if request.header("Content-Type") != "application/json" or request.query:
            yield "a query is JSON, in the body"
        body = request.json()
        if set(body) != {"query", "variables"}:
            yield f"members {sorted(body)}"
        document, given = body["query"], body["variables"]
        bare = re.sub(r'"[^"]*"', '""', document)
        for opens, closes in ("()", "{}"):
            if bare.count(opens) != bare.count(closes):
                yield f"{opens} without {closes}"
        head, _, rest = document.partition(")")
        declared = {name: (kind, bool(required)) for name, kind, required in re.findall(r"\$(\w+): (\w+)(!?)", head)}
        used = set(re.findall(r"\$(\w+)", rest))
        if used != set(declared):
            yield f"declared {sorted(declared)}, used {sorted(used)}"
        for name in given.keys() - declared.keys():
            yield f"${name} is not declared"
        for name, (kind, required) in declared.items():
            value = given.get(name)
            if value is None and required:
                yield f"${name} is missing"
            if value is not None and (not isinstance(value, self.TYPES[kind]) or isinstance(value, bool)):
                yield f"${name} is no {kind}: {value!r}"


@pytest.fixture
def nerdgraph(upstream):
    one = NerdGraph(upstream)
    yield one
    assert one.mistakes == []


GUID = "MXxBUE18QVBQTElDQVRJT058MjM5MDUw"
CHANGE = {"entity_guid": GUID, "version": "1.2.3"}


def event(id="9d4e7a10-1c6b-4a6f-8a43-9b1e3f0a2c11", messages=None):
    made = {"changeTrackingId": id} if id else None
    return reply(200, {"data": {"changeTrackingCreateEvent": {"changeTrackingEvent": made, "messages": messages}}})


def graphql_errors(*messages, data=None):
    return reply(200, {"data": data, "errors": [{"message": one, "extensions": {"errorClass": "SERVER_ERROR"}} for one in messages]})


def test_newrelic_change(stage, nerdgraph, upstream):
    nerdgraph.on("changeTrackingCreateEvent", event(messages=["one"]))
    ended = stage("newrelic-change").run(CHANGE, caller={"user": "anna@example.com"})
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["outputs"] == {"id": "9d4e7a10-1c6b-4a6f-8a43-9b1e3f0a2c11", "messages": ["one"]}
    assert nerdgraph.of("changeTrackingCreateEvent") == [
        {"version": "1.2.3", "type": "BASIC", "search": f"id = '{GUID}'", "user": "anna@example.com"}
    ]
    document = upstream.requests[0].json()["query"]
    for part in (
        'kind: { category: "DEPLOYMENT", type: $type }', "entitySearch: { query: $search }",
        "deployment: { version: $version, commit: $commit, changelog: $changelog, deepLink: $deepLink }",
    ):  # fmt: skip
        assert part in document


def test_newrelic_change_with_all_values(stage, nerdgraph, upstream):
    nerdgraph.on("changeTrackingCreateEvent", event())
    odd = "é \" ' \\ } ) { $user"
    given = {"type": "CANARY", "commit": "abc", "changelog": odd, "description": "a\nb", "user": odd, "version": odd}
    one = stage("newrelic-change")
    assert one.run({**CHANGE, **given, "deep_link": "https://x.example/a?b=c"}, caller={"user": "c"})["status"] == "SUCCEEDED"
    assert one.run(CHANGE)["status"] == "SUCCEEDED"
    first, plain = nerdgraph.of("changeTrackingCreateEvent")
    assert first == {**given, "deepLink": "https://x.example/a?b=c", "search": f"id = '{GUID}'"}
    assert set(plain) == {"version", "type", "search"}
    assert len({request.json()["query"] for request in upstream.requests}) == 1, "values do not change what is asked"


@pytest.mark.parametrize("guid", ["x' OR name LIKE '%", "a'b", "a b", "", "a\"", "a=b", "a;b", "a\\"])
def test_newrelic_change_of_no_guid(stage, nerdgraph, upstream, guid):
    one = stage("newrelic-change")
    assert one.client.start(one.name, {**CHANGE, "entity_guid": guid}).status == 422
    assert upstream.count() == 0


@pytest.mark.parametrize(
    "answer, words",
    [
        (graphql_errors("Access denied.", "more"), "Access denied."),
        (graphql_errors("denied", data={"changeTrackingCreateEvent": None}), "denied"),
        (event(id=None, messages=["no entity found", "try again"]), "no entity found; try again"),
        (event(id=None), "New Relic made no event"),
        (reply(200, {"data": None}), "New Relic made no event"),
    ],
)
def test_newrelic_change_with_an_error_in_a_200(stage, nerdgraph, answer, words):
    nerdgraph.on("changeTrackingCreateEvent", answer)
    ended = stage("newrelic-change").run(CHANGE)
    assert ended["status"] == "TERMINAL" and words in ended["error"], ended
    assert len(nerdgraph.asked) == 1, "it is not made again"


def test_newrelic_refuses_the_key(stage, nerdgraph):
    nerdgraph.on("changeTrackingCreateEvent", reply(401, {"errors": [{"message": "Invalid API key"}]}))
    ended = stage("newrelic-change").run(CHANGE)
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_refused") and "401" in ended["error"], ended


GATE = {"account": 1234567, "query": "SELECT percentage(count(*), WHERE error IS true) FROM Transaction WHERE appName = 'a \"b\"'"}


def results(rows, id=None, **more):
    progress = {"queryId": id, "completed": rows is not None, "retryAfter": 1, "retryDeadline": 60, **more}
    return reply(200, {"data": {"actor": {"account": {"nrql": {"results": rows, "queryProgress": progress}}}}})


@pytest.fixture
def gate(stage, nerdgraph):
    one = stage("newrelic-gate", every="100ms", max_every="200ms")

    def asked(rows, **limits):
        """The gate's end where New Relic knows the results at once."""
        nerdgraph.on("nrql-async", results(rows))
        return one.run({**GATE, **limits})

    one.asked = asked
    return one


@pytest.mark.parametrize(
    "limits, rows, value",
    [
        ({"at_most": 1}, [{"percentage": 0.5}], 0.5),
        ({"at_most": 0.5}, [{"percentage": 0.5}], 0.5),
        ({"at_least": 0}, [{"count": 0}], 0),
        ({"at_least": "-1", "at_most": "1"}, [{"count": 0}], 0),
        ({"at_most": 3}, [{"percentile.duration": {"95": 2.5, "99": 9}}], 2.5),
        ({"at_most": 3}, [{"facet": "a", "appName": "a", "count": 2}, {"facet": "b", "appName": "b", "count": 9}], 2),
        ({"at_least": 7, "field": "average.duration"}, [{"count": 1, "average.duration": 8.5}], 8.5),
        ({"at_least": 7, "field": "percentile.duration"}, [{"count": 1, "percentile.duration": {"95": 8}}], 8),
    ],
)
def test_newrelic_gate_that_passes(gate, nerdgraph, limits, rows, value):
    ended = gate.asked(rows, **limits)
    assert (ended["status"], ended["outputs"]) == ("SUCCEEDED", {"value": value}), ended
    assert nerdgraph.of("nrql-async") == [{"account": GATE["account"], "nrql": GATE["query"]}] and len(nerdgraph.asked) == 1


@pytest.mark.parametrize(
    "limits, rows, words",
    [
        ({"at_most": 1}, [{"percentage": 1.5}], "the value 1.5 does not meet the limit"),
        ({"at_least": 2}, [{"percentage": 1.5}], "the value 1.5 does not meet the limit"),
        ({"at_least": 1, "at_most": 2}, [{"count": 3}], "the value 3 does not meet the limit"),
        ({"at_most": 1}, [], "the query gives no number"),
        ({"at_most": 1}, [{"average.duration": None}], "the query gives no number"),
        ({"at_most": 1}, [{"latest.name": "7"}], "the query gives no number"),
        ({"at_most": 1, "field": "sum"}, [{"count": 0}], "the query gives no number"),
        ({"at_most": 1, "field": "sum"}, [], "the query gives no number"),
    ],
)
def test_newrelic_gate_that_stays_shut(gate, nerdgraph, limits, rows, words):
    ended = gate.asked(rows, **limits)
    assert len(nerdgraph.asked) == 1
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_failed") and words in ended["error"], ended


def test_newrelic_gate_without_a_limit(gate):
    ended = gate.asked([{"count": 1}])
    assert ended["status"] == "TERMINAL" and "say at_most, at_least or both" in ended["error"], ended


@pytest.mark.parametrize("value, status", [(1, "SUCCEEDED"), (3, "TERMINAL")])
def test_newrelic_gate_waits_for_a_long_query(gate, nerdgraph, value, status):
    nerdgraph.on("nrql-async", results(None, "query-7"))
    waits = results(None, "query-7", retryAfter=0)
    nerdgraph.on("nrqlQueryProgress", waits, waits, results([{"count": value}], "query-7"))
    ended = gate.run({**GATE, "at_most": 2})
    assert (ended["status"], ended["outputs"].get("value")) == (status, value), ended
    assert nerdgraph.of("nrqlQueryProgress") == [{"account": GATE["account"], "id": "query-7"}] * 3
    assert len(nerdgraph.of("nrql-async")) == 1 and nerdgraph.of("nrql") == []
    if status == "TERMINAL":
        assert "the value 3 does not meet the limit" in ended["error"], ended


def test_newrelic_says_how_soon_it_wants_to_be_asked(gate, nerdgraph, upstream):
    nerdgraph.on("nrql-async", results(None, "query-7", retryAfter=1))
    nerdgraph.on("nrqlQueryProgress", results(None, "query-7", retryAfter=2), results([{"count": 1}], "query-7"))
    assert gate.run({**GATE, "at_most": 2})["status"] == "SUCCEEDED"
    first, second, third = (call.at for call in upstream.got("POST"))
    assert second - first >= 0.95 and third - second >= 1.95


def test_newrelic_gate_with_an_error_in_a_200(gate, nerdgraph):
    nerdgraph.on("nrql-async", graphql_errors("NRQL Syntax Error: Error at line 1 position 8", data={"actor": {"account": {"nrql": None}}}))
    ended = gate.run({**GATE, "at_most": 2})
    assert ended["status"] == "TERMINAL" and "NRQL Syntax Error" in ended["error"], ended
    assert len(nerdgraph.asked) == 1


@pytest.mark.parametrize(
    "answer, words",
    [
        (graphql_errors("query timed out"), "query timed out"),
        (reply(200, {"data": {"actor": {"account": {"nrql": None}}}}), "knows no such query any more"),
    ],
)
def test_newrelic_gate_whose_long_query_fails(gate, nerdgraph, answer, words):
    nerdgraph.on("nrql-async", results(None, "query-7"))
    nerdgraph.on("nrqlQueryProgress", results(None, "query-7"), answer)
    ended = gate.run({**GATE, "at_most": 2})
    assert ended["status"] == "TERMINAL" and words in ended["error"], ended


def test_newrelic_gate_that_is_told_nothing(gate, nerdgraph):
    nerdgraph.on("nrql-async", results(None))
    ended = gate.run({**GATE, "at_most": 2})
    assert ended["status"] == "TERMINAL" and "neither results nor a query" in ended["error"], ended


def test_newrelic_gate_canceled(gate, nerdgraph, upstream):
    nerdgraph.on("nrql-async", results(None, "query-7"))
    nerdgraph.on("nrqlQueryProgress", results(None, "query-7"))
    accepted = {"nrqlCancelQuery": {"queryId": "query-7", "requestStatus": "ACCEPTED", "rejectionReason": None}}

    def cancel(request):
        nerdgraph.on("nrqlQueryProgress", graphql_errors("the query was canceled"))
        return reply(200, {"data": accepted})

    nerdgraph.on("nrqlCancelQuery", cancel)
    report = gate.started({**GATE, "at_most": 2})
    wait_until(lambda: nerdgraph.of("nrqlQueryProgress"), "a first poll", 20)
    assert gate.client.cancel(report["id"]).status in (200, 202)
    ended = gate.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert nerdgraph.of("nrqlCancelQuery") == [{"id": "query-7"}]


@pytest.mark.parametrize(
    "answer, words",
    [
        (graphql_errors("Access denied."), "Access denied."),
        (reply(200, {"data": {"nrqlCancelQuery": {"requestStatus": "REJECTED", "rejectionReason": "NOT_CANCELABLE"}}}), "NOT_CANCELABLE"),
        (reply(200, {"data": {"nrqlCancelQuery": {"requestStatus": "REJECTED", "rejectionReason": None}}}), "rejected"),
    ],
)
def test_newrelic_gate_whose_cancel_is_refused_in_a_200(gate, nerdgraph, answer, words):
    nerdgraph.on("nrql-async", results(None, "query-7"))
    nerdgraph.on("nrqlQueryProgress", results(None, "query-7"))
    nerdgraph.on("nrqlCancelQuery", answer)
    report = gate.started({**GATE, "at_most": 2})
    wait_until(lambda: nerdgraph.of("nrqlQueryProgress"), "a first poll", 20)
    gate.client.cancel(report["id"])
    ended = gate.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed") and words in ended["progress"], ended


# ---- Jenkins ----


class Jenkins:
    """One job with folders, whose links begin with another address than the one that is asked, as behind a proxy."""

    QUEUE, BUILD = "/queue/item/12/api/json", "/job/team/job/app%20x/job/main/31/api/json"
    ROOT = "http://jenkins.internal:8080"

    def __init__(self, upstream):
        self.upstream, self.mistakes = upstream, []
        self.started = self.checked(reply(201, b"", headers={"Location": f"{self.ROOT}/queue/item/12/"}))
        self.queue({"executable": {"number": 31, "url": f"{self.ROOT}/job/team/job/app%20x/job/main/31/"}})

    def checked(self, answer):
        """The answer, to those who say who they are."""

        def play(request):
            pair = f"{SECRETS['jenkins_user']}:{SECRETS['jenkins_token']}"
            if request.header("Authorization") != "Basic " + base64.b64encode(pair.encode()).decode():
                self.mistakes.append(f"{request!r}: no credentials")
                return reply(401, "")
            return answer(request) if callable(answer) else answer

        return play

    def begins(self, how):
        self.upstream.on("POST", f"/job/team/job/app%20x/job/main/{how}", self.started)

    def queue(self, *items):
        common = {"_class": "hudson.model.Queue$WaitingItem", "id": 12, "why": "In the quiet period"}
        self.upstream.on("GET", self.QUEUE, *[self.checked(reply(200, {**common, **item})) for item in items])

    def builds(self, *moments):
        url = f"{self.ROOT}/job/team/job/app%20x/job/main/31/"
        common = {"number": 31, "url": url, "displayName": "#31"}
        said = [{**common, "building": building, "result": result} for building, result in moments]
        self.upstream.on("GET", self.BUILD, *[self.checked(reply(200, one)) for one in said])


JOB = {"job": "team/app x/main"}


@pytest.fixture
def jenkins(upstream):
    one = Jenkins(upstream)
    yield one
    assert one.mistakes == []


@pytest.fixture
def builds(stage):
    return stage("jenkins-job", every="100ms", max_every="200ms", cancel_timeout="4s")


def test_jenkins_job(builds, jenkins, upstream):
    jenkins.begins("buildWithParameters")
    jenkins.queue({}, {"executable": None}, {"executable": {"number": 31, "url": "x"}})
    jenkins.builds((True, None), (True, "SUCCESS"), (False, "SUCCESS"))
    inputs = {"VERSION": "1.2+3 é&x=y", "DRY_RUN": False, "N": 3, "a b": ""}
    ended = builds.run({**JOB, "inputs": inputs})
    assert ended["status"] == "SUCCEEDED", ended
    url = f"{Jenkins.ROOT}/job/team/job/app%20x/job/main/31/"
    assert ended["outputs"] == {"build": 31, "url": url, "conclusion": "SUCCESS"}
    (sent,) = upstream.got("POST")
    given = dict(urllib.parse.parse_qsl(sent.query, keep_blank_values=True, strict_parsing=True))
    assert given == {"VERSION": "1.2+3 é&x=y", "DRY_RUN": "false", "N": "3", "a b": ""}
    assert upstream.count("GET", Jenkins.QUEUE) == 3 and upstream.count("GET", Jenkins.BUILD) == 3


@pytest.mark.parametrize(
    "given, how",
    [({}, "build"), ({"parameterized": True}, "buildWithParameters"), ({"inputs": {"a": "b"}}, "buildWithParameters"),
     ({"inputs": "", "parameterized": "false"}, "build")],
)  # fmt: skip
def test_jenkins_job_with_and_without_parameters(builds, jenkins, upstream, given, how):
    jenkins.begins(how)
    jenkins.builds((False, "SUCCESS"))
    assert builds.run({**JOB, **given})["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    "result, status, reason",
    [("FAILURE", "TERMINAL", "upstream_failed"), ("NOT_BUILT", "TERMINAL", "upstream_failed"),
     ("SOMETHING", "TERMINAL", "upstream_failed"), ("ABORTED", "CANCELED", "upstream_canceled")],
)  # fmt: skip
def test_jenkins_job_that_does_not_succeed(builds, jenkins, result, status, reason):
    jenkins.begins("build")
    jenkins.builds((True, result), (False, result))
    ended = builds.run(JOB)
    assert (ended["status"], ended["reason"]) == (status, reason), ended
    assert status == "CANCELED" or f"the build #31 ended with {result}: {Jenkins.ROOT}/" in ended["error"], ended


def test_jenkins_job_that_is_unstable(builds, jenkins):
    jenkins.begins("build")
    jenkins.builds((True, "UNSTABLE"), (False, "UNSTABLE"))
    ended = builds.run(JOB)
    assert (ended["status"], ended["outputs"]["result"], ended["outputs"]["conclusion"]) == ("SUCCEEDED", "WARN", "UNSTABLE")


def test_jenkins_job_that_was_canceled_in_the_queue_there(builds, jenkins, upstream):
    jenkins.begins("build")
    jenkins.queue({"cancelled": False}, {"cancelled": True})
    ended = builds.run(JOB)
    assert (ended["status"], ended["reason"]) == ("CANCELED", "upstream_canceled"), ended
    assert upstream.count("GET", Jenkins.BUILD) == 0


def test_jenkins_job_canceled_in_the_queue(builds, jenkins, upstream):
    jenkins.begins("build")
    jenkins.queue({})

    def cancel(request):
        assert request.query == "id=12"
        jenkins.queue({"cancelled": True})
        return reply(204)

    upstream.on("POST", "/queue/cancelItem", jenkins.checked(cancel))
    report = builds.started(JOB)
    queued = builds.client.wait_report(report["id"], lambda one: "quiet period" in one["progress"], "its place in the queue")
    assert queued["status"] == "RUNNING"
    assert builds.client.cancel(report["id"]).status in (200, 202)
    ended = builds.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert upstream.count("POST", "/queue/cancelItem") == 1


@pytest.mark.parametrize("code", [302, 404, 422])
def test_jenkins_job_canceled_while_it_is_built(builds, jenkins, upstream, code):
    """It has left the queue, so its build is stopped; by its number and not by Jenkins' link."""
    jenkins.begins("build")
    jenkins.builds((True, None))

    def stop(request):
        jenkins.builds((True, "ABORTED"), (False, "ABORTED"))
        return reply(302, "", headers={"Location": f"{Jenkins.ROOT}/elsewhere"})

    upstream.on("POST", "/queue/cancelItem", jenkins.checked(reply(code, "")))
    upstream.on("POST", "/job/team/job/app%20x/job/main/31/stop", jenkins.checked(stop))
    report = builds.started(JOB)
    upstream.wait_for(1, "GET", Jenkins.BUILD)
    assert builds.client.cancel(report["id"]).status in (200, 202)
    ended = builds.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert upstream.count("POST", "/queue/cancelItem") == 1
    assert upstream.count("POST", "/job/team/job/app%20x/job/main/31/stop") == 1


def test_jenkins_job_that_leaves_the_queue_while_it_is_canceled(builds, jenkins, upstream):
    """Its build has no number yet that the run knows, so what became of it is not known, and that is said."""
    jenkins.begins("build")
    jenkins.queue({})

    def cancel(request):
        jenkins.queue({"executable": {"number": 31}})
        return reply(404, "")

    upstream.on("POST", "/queue/cancelItem", jenkins.checked(cancel))
    report = builds.started(JOB)
    upstream.wait_for(1, "GET", Jenkins.QUEUE)
    builds.client.cancel(report["id"])
    ended = builds.client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "cancel_unconfirmed"), ended
    assert upstream.count("POST") == 2


def test_jenkins_job_that_is_not_there(builds, jenkins, upstream):
    upstream.on("POST", "/job/team/job/app%20x/job/main/build", jenkins.checked(reply(404, "<html>", content_type="text/html")))
    ended = builds.run(JOB)
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_refused") and "404" in ended["error"], ended


def test_jenkins_job_is_not_begun_twice(builds, jenkins, upstream):
    upstream.on("POST", "/job/team/job/app%20x/job/main/build", Reset())
    ended = builds.run(JOB)
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "in_doubt") and upstream.count("POST") == 1


@pytest.mark.parametrize("job", ["", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a?b", "a%2fb", "a#b", " a"])
def test_jenkins_jobs_that_are_none(builds, upstream, job):
    """Refused at once, or before anything is sent."""
    answer = builds.client.start(builds.name, {"job": job})
    if answer.status != 422:
        ended = builds.client.wait_end(answer.json()["id"])
        assert (ended["status"], ended["reason"]) == ("TERMINAL", "invalid_request"), ended
    assert upstream.count() == 0
