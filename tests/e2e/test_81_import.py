"""`stagedoor import orca`: entries of webhook.preconfigured, as people write them, become definitions that `check` passes and
that send what orca would have sent; or are refused with a line that says why.

tests/e2e/data/orca-import has the entries. They are modelled on Spinnaker's guides, on issues, and on what vendors and
distributions publish; the head of each file says what it shows."""

import json
import re
import urllib.parse
from pathlib import Path

import pytest
from helpers.gateway import command
from helpers.upstream import reply

DATA = Path(__file__).parent / "data" / "orca-import"
SETTLED, LEFT_OUT = [], "left out"

# file → type → what stands between it and being offered: nothing, or (line, what is said) for each.
EXPECTED = {
    "orca-sample.yml": {"announceRelease": SETTLED, "nothingYet": LEFT_OUT},
    "github-status.yml": {"githubStatus": SETTLED, "githubMeta": SETTLED},
    "request-bin.yml": {"bucketPing": [(11, "does not know the key userDefinedParams"), (16, "a property of orca")]},
    "jira-task.yml": {"createOpsTask": SETTLED},
    "configmap.yml": {
        "enforcePolicy": [(28, "did you mean customHeaders?")],
        "createIssue": SETTLED,
        "updateIssue": [(65, "selections and projections")],
    },
    "image-history.yml": {"imageHistory": SETTLED},
    "log-tag.yml": {
        "logTag": [(13, "scheme, host and port stand in the definition"), (16, "the key Authorization"), (18, "the key Content-Type")],
        "logTagMended": SETTLED,
    },
    "terraform.yml": {"terraformPlan": SETTLED, "terraformDestroy": SETTLED},
    "gitlab-trigger.yml": {"gitlabTrigger": SETTLED, "gitlabPipeline": SETTLED},
    "teamcity.yml": {"teamcityBuild": SETTLED},
    "codes.yml": {"codes": SETTLED},
    "conditionals.yml": {"choices": SETTLED},
    "canary.yml": {"canaryJudgement": SETTLED, "canaryPercent": SETTLED},
    "load-test.yml": {"loadTest": SETTLED, "loadTestAnyEnd": SETTLED},
    "idempotency.yml": {"keyed": [(9, "run.id and run.key name the run")], "keyedByExecution": SETTLED},
    "secrets.yml": {"chat": SETTLED, "secretKinds": SETTLED, "sameSecret": SETTLED},
    "spinnaker-service.yml": {"change record": SETTLED},
    "refused.yml": {
        "listPath": [(9, "gives a list, on which orca ends the stage")],
        "lengthPath": [(16, "length() is a function of Jayway's")],
        "javaType": [(22, "types and objects of Java")],
        "mappingPayload": [(27, "orca takes a text")],
        "": [(28, "has no type")],
        "listPath#2": [(30, "in line 4, and orca takes the first")],
        "stageKey": [(36, "stageTimeoutMs is for a stage of a pipeline")],
        "noJson": [(43, "payload is no JSON")],
        "leftOpen": [(48, "waitForCompletion is left to each pipeline")],
    },
}


def run_import(*arguments, **more):
    return command("import", "orca", *arguments, **more)


def imported(tmp_path, file, *flags):
    done = run_import(file, "--to", tmp_path, "--json", *flags)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def check(tmp_path, *flags):
    done = command("check", "--stages", tmp_path / "stages.d", "--templates", tmp_path / "templates", "--json", "--any-secret", *flags)
    return done.returncode, json.loads(done.stdout)["definitions"]


def by_type(answer):
    stages = {}
    for stage in answer["stages"]:
        name = stage["type"] if stage["type"] not in stages else f"{stage['type']}#2"
        stages[name] = stage
    return stages


def test_every_file_of_the_collection_is_expected():
    assert {path.name for path in DATA.glob("*.yml")} == set(EXPECTED)
    assert sum(len(entries) for entries in EXPECTED.values()) >= 20


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_entries_are_settled_or_say_why_not(tmp_path, name):
    status, answer = imported(tmp_path, DATA / name)
    stages = by_type(answer)
    assert set(stages) == set(EXPECTED[name])
    for type_, wanted in EXPECTED[name].items():
        stage = stages[type_]
        said = [(r["line"], r["message"]) for r in stage["remarks"] if r["grade"] != "note"]
        if wanted == LEFT_OUT:
            assert stage["files"] == [] and said == [] and stage["remarks"], stage
            continue
        assert [line for line, _ in said] == [line for line, _ in wanted], said
        for (_, text), (_, part) in zip(said, wanted):
            assert part in text
    assert status == (1 if any(w not in (SETTLED, LEFT_OUT) for w in EXPECTED[name].values()) else 0)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_check_refuses_what_is_not_settled_and_nothing_else(tmp_path, name):
    _, answer = imported(tmp_path, DATA / name)
    status, definitions = check(tmp_path)
    unsettled = {stage["stage"]: [r for r in stage["remarks"] if r["grade"] == "unsettled"] for stage in answer["stages"] if stage["stage"]}
    assert {one["stage"] for one in definitions} == set(unsettled)
    for one in definitions:
        mistakes = sorted(mistake["message"] for mistake in one["mistakes"])
        shown = sorted(f"not settled: {name}:{r['line']}: {r['message']}".replace("${", "$ {") for r in unsettled[one["stage"]])
        assert mistakes == shown
        assert all(mistake["line"] for mistake in one["mistakes"])
    assert status == (1 if any(unsettled.values()) else 0)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_importing_once_more_changes_nothing(tmp_path, name):
    """A file with the same bytes is not in the way; one that somebody has edited is."""
    _, answer = imported(tmp_path, DATA / name)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert imported(tmp_path, DATA / name)[1] == answer
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


# ---- the calls that come out ----


def sooner(definition):
    """Asked every 100 ms, so that a test does not wait for what it is not about."""
    return definition.replace("\nstatus = {\n", '\nstatus = {\n  every = "100ms";\n')


class Moved:
    """An imported file whose hosts are the scripted upstream, and a gateway that offers what came out."""

    def __init__(self, gateway, upstream, tmp_path, name, hosts, secrets=None, stages=None):
        source = (DATA / name).read_text()
        for host in hosts:
            assert host in source
            source = source.replace(host, upstream.url)
        file = tmp_path / name
        file.write_text(source)
        _, self.answer = imported(tmp_path / "out", file, "--secrets", tmp_path / "lifted")
        lifted = {path.name: path.read_text() for path in (tmp_path / "lifted").glob("*")}
        self.gateway = gateway(
            stages={path.stem: sooner(path.read_text()) for path in (tmp_path / "out/stages.d").glob("*")},
            templates={path.name: path.read_text() for path in (tmp_path / "out/templates").glob("*")},
            secrets={**lifted, **(secrets or {})},
        )
        self.client = self.gateway.client()
        self.upstream = upstream


@pytest.fixture
def moved(gateway, upstream, tmp_path):
    return lambda name, *hosts, **more: Moved(gateway, upstream, tmp_path, name, hosts, **more)


CALLER = {"user": "ada@example.com", "application": "shop", "pipeline": "Deploy \"all\"", "execution": "01EXEC"}


def start(one, stage, parameters=None):
    return one.client.run(stage, parameters, caller=CALLER)


def sent(request, *names):
    return (request.method, request.target, {name: request.header(name) for name in names})


def test_the_sample_goes_all_the_way(moved, upstream):
    one = moved("orca-sample.yml", "https://board.example.com")
    upstream.on("POST", "/event", reply(200, {"statusUrl": f"{upstream.url}/event/7"}))
    upstream.on("GET", "/event/7", reply(200, {"status": "running", "progress": "half"}), reply(200, {"status": "completed", "progress": "all"}))
    report = start(one, "announceRelease", {"trigger_buildInfo_artifacts_0_version": "1.2 \"rc\""})
    assert (report["status"], report["outputs"]["body"]) == ("SUCCEEDED", {"status": "completed", "progress": "all"}), report
    create, poll = upstream.requests[0], upstream.requests[1]
    assert create.json() == {"text": 'Version 1.2 "rc" is out'}
    names = ("Accept", "X-Audience", "Authorization")
    headers = {"Accept": "application/json", "X-Audience": "operations, support", "Authorization": "Basic Ym9hcmQ6czNzYW1lLW9wZW4="}
    assert sent(create, *names) == ("POST", "/event", headers)
    assert sent(poll, *names) == ("GET", "/event/7", headers)
    assert upstream.count("POST", "/event") == 1


def test_the_sample_is_canceled_where_it_says(moved, upstream):
    one = moved("orca-sample.yml", "https://board.example.com")
    upstream.on("POST", "/event", reply(200, {"statusUrl": f"{upstream.url}/event/7"}))
    upstream.on("GET", "/event/7", reply(200, {"status": "running", "progress": "half"}))
    upstream.on("POST", "/cancel", lambda request: (upstream.on("GET", "/event/7", reply(200, {"status": "CANCELED"})), reply(200, {}))[1])
    run = one.client.started("announceRelease", {"trigger_buildInfo_artifacts_0_version": "1"})
    upstream.wait_for(1, "GET", "/event/7")
    assert one.client.cancel(run["id"]).status in (200, 202)
    report = one.client.wait_end(run["id"])
    assert (report["status"], report["reason"]) == ("CANCELED", "canceled")
    cancel = next(request for request in upstream.requests if request.path == "/cancel")
    assert cancel.body == b"{}" and cancel.header("Authorization").startswith("Basic ")


def test_parameters_stand_in_the_path_and_the_body(moved, upstream):
    one = moved("github-status.yml", "https://github.example.com")
    upstream.on("POST", "/repos/acme/shop/statuses/*", reply(201, {"id": 1}))
    upstream.on("GET", "/meta", reply(200, {"ok": True}))
    given = {"gitCommit": "0af3", "status": "success", "targetUrl": "https://ci/1?a=b", "context": "spin"}
    assert start(one, "githubStatus", given)["status"] == "SUCCEEDED"
    request = upstream.requests[0]
    assert sent(request, "Authorization") == ("POST", "/repos/acme/shop/statuses/0af3", {"Authorization": "token gh-not-a-real-one"})
    assert request.json() == {"state": "success", "target_url": "https://ci/1?a=b", "context": "spin"}
    assert start(one, "githubMeta")["outputs"] == {"body": {"ok": True}}


def test_slashes_of_a_path_stay(moved, upstream):
    one = moved("image-history.yml", "http://history.example.com")
    upstream.on("GET", "/hub/library/nginx/1.25/history*", reply(200, ["a", "b"]))
    report = start(one, "imageHistory", {"account": "hub", "repository": "library/nginx", "tag": "1.25"})
    assert (report["status"], report["outputs"]["body"]) == ("SUCCEEDED", ["a", "b"]), report
    assert upstream.requests[0].target == "/hub/library/nginx/1.25/history?level=0"
    refused = one.client.start("imageHistory", {"account": "hub", "tag": "1"})
    assert refused.status == 422 and "repository" in refused.text  # its default was an expression


def test_what_the_execution_knows_comes_from_the_caller(moved, upstream):
    one = moved("terraform.yml", "http://terraform.example.com:8090")
    upstream.on("POST", "/api/v1/*", reply(200, {}))
    start(one, "terraformPlan", {"gitAccount": "acme", "plan": "main", "execution_pipelineConfigId": "c0"})
    start(one, "terraformDestroy")
    plan, destroy = upstream.requests
    assert plan.json() == {
        "gitAccount": "acme", "applicationName": "shop", "pipelineName": 'Deploy "all"', "pipelineId": "c0",
        "run": "01EXEC", "plan": "main",
    }  # fmt: skip
    assert destroy.header("Content-Type").startswith("text/plain")
    assert destroy.body.decode().split() == ['"applicationName":', '"shop",', '"pipelineName":', '"Deploy', '"all""']


def test_credentials_are_sent_and_stand_nowhere(moved, upstream):
    one = moved(
        "secrets.yml", "https://robot:pw-not-real@vault.example.com", "https://vault.example.com",
        secrets={"secretkinds_x_api_key": "key-from-the-engine", "secretkinds_x_auth_token": "from-the-environment"},
    )  # fmt: skip
    upstream.on("POST", "/v1/*", reply(200, {}))
    assert start(one, "secretKinds", {"note": "n"})["status"] == "SUCCEEDED"
    assert start(one, "sameSecret")["status"] == "SUCCEEDED"
    first, second = upstream.requests
    assert first.target == "/v1/things?api_key=k-not-real&dry=1"
    assert first.header("X-Api-Key") == "key-from-the-engine" and first.header("X-Auth-Token") == "from-the-environment"
    assert first.json() == {"user": "robot", "password": "body-not-real", "note": "n"}
    assert second.header("X-Other") == "k-not-real"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_no_value_of_a_secret_is_shown_or_written(tmp_path, flags):
    for name in ("secrets.yml", "jira-task.yml", "gitlab-trigger.yml", "orca-sample.yml", "teamcity.yml"):
        done = run_import(DATA / name, "--to", tmp_path / name, "--secrets", tmp_path / "secrets", *flags)
        written = "".join(path.read_text() for path in (tmp_path / name).rglob("*") if path.is_file())
        for shown in (done.stdout, done.stderr, written):
            assert not re.search(r"not.?real|hunter2|s3same|cm9ib3Q6|Ym9hcmQ6", shown), name
    files = list((tmp_path / "secrets").iterdir())
    assert len(files) == 9 and all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_credentials_in_odd_places_are_not_taken_along(tmp_path):
    """In expressions, in defaults of properties and parameters, in a URL that has an expression too, in a body that is not
    what its type says."""
    text = """
webhook:
  preconfigured:
    - type: odd
      url: https://bob:pw-leak@h.example/${parameterValues['x']}
      customHeaders:
        Authorization: "Basic ${#toBase64('user:pw-leak')}"
        X-Token: "${TOKEN:pw-leak}"
        Content-Type: application/x-www-form-urlencoded
      payload: '{"token": "pw-leak"}'
      parameters: [{name: token}, {name: password, defaultValue: pw-leak}]
"""
    done = run_import("-", "--to", tmp_path, input=text)
    definition = (tmp_path / "stages.d/odd.conf").read_text()
    assert "pw-leak" not in done.stdout + done.stderr + definition
    assert done.returncode == 1 and "make a secret of it" in done.stdout
    assert definition.count('type = "secret"') == 2 and "secret.odd_x_token" in definition


def test_forms_and_ids(moved, upstream):
    one = moved("gitlab-trigger.yml", "https://gitlab.example.com")
    upstream.on("POST", "/api/v4/projects/*", reply(201, {"id": 77}))
    upstream.on("GET", "/api/v4/projects/42/pipelines/77", reply(200, {"status": "running"}), reply(200, {"status": "skipped"}))
    start(one, "gitlabTrigger", {"version": "1.0 & more"})
    form = upstream.requests[0]
    assert form.header("Content-Type") == "application/x-www-form-urlencoded"
    assert dict(urllib.parse.parse_qsl(form.body.decode())) == {"token": "glptt-not-real", "ref": "main", "variables[VERSION]": "1.0 & more"}
    report = start(one, "gitlabPipeline", {"ref": "feature/x"})
    assert report["status"] == "CANCELED", report
    create = upstream.requests[1]
    assert create.header("PRIVATE-TOKEN") == "glpat-not-real" and create.path == "/api/v4/projects/acme%2Fshop/pipeline"
    assert urllib.parse.parse_qs(create.query) == {"ref": ["feature/x"]}


def test_a_status_url_of_pieces(moved, upstream):
    """What concat() puts behind the call's own origin may have a query, and is followed as it is."""
    one = moved("teamcity.yml", "https://teamcity.example.com")
    upstream.on("POST", "/app/rest/buildQueue", reply(200, {"href": "/app/rest/builds/id:7?fields=status"}))
    upstream.on("GET", "/app/rest/builds/id:7", reply(200, {"status": "ERROR"}))
    report = start(one, "teamcityBuild", {"buildType": "Shop_Build"})
    assert report["status"] == "TERMINAL"
    assert upstream.requests[1].target == "/app/rest/builds/id:7?fields=status"
    assert upstream.requests[0].json() == {"buildType": {"id": "Shop_Build"}, "branchName": "main"}


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"name": "Ada"}, {"region": "eu-west-1", "mode": "safe", "dry": False, "replicas": 2}),
        ({"name": "ADA", "region": "", "fast": "yes", "dry": "true", "replicas": "5"}, {"region": "eu-west-1", "mode": "fast", "dry": True, "replicas": 5}),
        ({"name": "ada", "region": "us", "fast": "no", "replicas": '"many"'}, {"region": "us", "mode": "safe", "dry": False, "replicas": "many"}),
    ],
)
def test_choices_are_made(moved, upstream, given, wanted):
    one = moved("conditionals.yml", "https://deploy.example.com")
    upstream.on("POST", "/jobs", reply(200, {}))
    note = 'a "quoted" line\nand \\ another, ünïcode'
    report = start(one, "choices", {"note": note, "fast": "no", **given})
    assert report["status"] == "SUCCEEDED", report
    body = upstream.requests[0].json()
    assert {name: body[name] for name in wanted} == wanted
    assert body["note"] == note and body["host"] == "https://ada.example.com"
    assert body["all"]["note"] == note and body["all"]["replicas"] == given.get("replicas", "2")


def test_the_same_url_is_asked_and_percentages_end_at_100(moved, upstream):
    one = moved("canary.yml", "http://canary.example.com:8090")
    upstream.on("POST", "/canary/c1", reply(200, {}))
    upstream.on("GET", "/canary/c1", reply(200, {"status": "running"}), reply(200, {"status": "Succeeded"}))
    upstream.on("POST", "/percent", reply(200, {}))
    upstream.on("GET", "/percent", reply(200, {"percent-done": 40}), reply(200, {"percent-done": 100}))
    assert start(one, "canaryJudgement", {"config": "c1"})["status"] == "SUCCEEDED"
    assert upstream.requests[0].json() == {"thresholds": {"pass": 95, "marginal": 75}}
    assert start(one, "canaryPercent", {"config": "c1"})["status"] == "SUCCEEDED"
    assert upstream.count("GET", "/percent") == 2


def test_location_and_a_cancel_url_of_the_reply(moved, upstream):
    one = moved("load-test.yml", "https://load.example.com")
    upstream.on("POST", "/runs", reply(202, {"links": {"cancel": f"{upstream.url}/runs/9"}}, headers={"Location": f"{upstream.url}/runs/9"}))
    upstream.on("GET", "/runs/9", reply(200, {"state": "going", "detail": {"how-far": "half way"}}))
    upstream.on("DELETE", "/runs/9", lambda request: (upstream.on("GET", "/runs/9", reply(404, {})), reply(204))[1])
    run = one.client.started("loadTest", {"users": "7"}, caller=CALLER)
    upstream.wait_for(1, "GET", "/runs/9")
    one.client.wait_report(run["id"], lambda report: "half way" in report["progress"])
    one.client.cancel(run["id"])
    assert one.client.wait_end(run["id"])["status"] == "CANCELED"
    assert upstream.requests[0].target == "/runs?users=7&by=ada%40example.com"
    assert upstream.count("DELETE", "/runs/9") == 1


def test_codes_to_go_on_after(moved, upstream):
    one = moved("codes.yml", "http://jobs.example.com")
    upstream.on("PUT", "/start", reply(200, {"buildInfo": {"url": f"{upstream.url}/jobs/1"}}))
    upstream.on("GET", "/jobs/1", reply(418, {}), reply(404, {}), reply(200, {"buildInfo": {"status": "ok", "progress": "done"}}))
    assert start(one, "codes")["status"] == "SUCCEEDED"
    assert upstream.requests[0].header("Content-Type") == "application/json;charset=UTF-8"
    assert upstream.requests[0].json() == {"test": "payload", "status": 200}
    upstream.on("PUT", "/start", reply(503, {}))
    count = upstream.count("PUT", "/start")
    assert start(one, "codes")["status"] == "TERMINAL"
    assert upstream.count("PUT", "/start") == count + 1  # failFastStatusCodes has 503


# ---- the page, and the way back ----


def test_the_example_of_the_page_is_what_comes_out(tmp_path):
    page = (Path(__file__).parents[2] / "docs/moving.md").read_text()
    blocks = dict(re.findall(r"^```(yaml|conf|json)\n(.*?)^```", page, re.M | re.S))
    (tmp_path / "orca-local.yml").write_text(blocks["yaml"])
    assert run_import(tmp_path / "orca-local.yml", "--to", tmp_path).returncode == 1
    assert (tmp_path / "stages.d/deployJob.conf").read_text() == blocks["conf"]
    assert (tmp_path / "templates/deployJob.json").read_text() == blocks["json"]


def test_what_was_imported_is_exported_with_its_type_and_parameters(tmp_path):
    """So pipelines that have the stage go on with it."""
    imported(tmp_path, DATA / "jira-task.yml")
    imported(tmp_path, DATA / "spinnaker-service.yml")
    done = command(
        "export", "orca", "--stages", tmp_path / "stages.d", "--templates", tmp_path / "templates", "--any-secret",
        "--public-url", "http://gateway.ops.svc:8095", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entries = {entry["type"]: entry for entry in json.loads(done.stdout)["webhook"]["preconfigured"]}
    assert set(entries) == {"createOpsTask", "change-record"}
    task, change = entries["createOpsTask"], entries["change-record"]
    assert [(one["name"], one["label"]) for one in task["parameters"]] == [("summary", "Task summary"), ("description", "Task description")]
    assert change["permissions"] == {"READ": ["dev", "ops"], "WRITE": ["ops"]}
    assert task["label"] == "Create a task" and task["url"] == "http://gateway.ops.svc:8095/stages/createOpsTask"


# ---- the file ----

GOOD = "webhook: {preconfigured: [{type: a, url: 'https://a.example/x'}]}\n"


@pytest.mark.parametrize(
    "text, where, what",
    [
        (b"webhook:\n  preconfigured:\n\t- type: a\n", ":3:1", "a tab cannot stand here"),
        (b"webhook:\n  a: b\n  a: c\n", ":3:3", "a second time; the first is in line 2"),
        (b"webhook:\n  label: \xff\xfe\n", ":2:10", "this is not UTF-8"),
        (b"webhook:\n  label: \x07\n", ":2:10", "a control character"),
        (b"webhook: [a\nb: c\n", ":2:2", "did not find expected ',' or ']'"),
        (b"a: *nobody\n", ":1:4", "there is no &nobody above"),
        (b"a: &x [*x]\n", ":1:8", "inside of what &x names"),
        (b"a: " + b"[" * 100 + b"]" * 100 + b"\n", ":1:", "64 levels"),
        (b"job: {preconfigured: [{type: a}]}\n", "", "no entry in webhook.preconfigured"),
        (b"webhook: {preconfigured: {type: a}}\n", ":1:", "has to be a list"),
        (b"", "", "no entry in webhook.preconfigured"),
        ("webhook: [a]\n".encode("utf-16"), ":1:1", "this is not UTF-8"),
        (b"data:\n  orca.yml: |\n    webhook:\n      preconfigured:\n      - {a: b\n    x: y\n", "orca.yml from line 3 on", ""),
    ],
)
def test_files_that_cannot_be_read_say_where(tmp_path, text, where, what):
    file = tmp_path / "orca-local.yml"
    file.write_bytes(text)
    done = run_import(file, "--to", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stagedoor import: ") and str(file) in done.stderr
    assert where in done.stderr and what in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_a_billion_laughs_are_bounded(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 10)}]" for i in range(1, 10)]
    file = tmp_path / "laughs.yml"
    file.write_text("\n".join(lines) + "\n" + GOOD)
    done = run_import(file, "--to", tmp_path, timeout=20)
    assert done.returncode == 2 and "too entangled" in done.stderr, done


@pytest.mark.parametrize("kind", ["properties", "aliases", "placeholders"])
def test_hostile_files_end_soon(tmp_path, kind):
    entry = "    - {type: t, url: 'https://a.example/${p0}'}\n"
    if kind == "properties":  # each property brings ten of the next
        text = "".join(f"p{i}: '{('${p' + str(i + 1) + '}') * 10}'\n" for i in range(20)) + "webhook:\n  preconfigured:\n" + entry
    elif kind == "aliases":  # a large payload, a thousand times
        large = "x" * 200_000
        text = f"base: &b {{url: 'https://a.example/x', payload: '{large}'}}\nwebhook:\n  preconfigured:\n"
        text += "".join(f"    - {{<<: *b, type: t{i}}}\n" for i in range(1000))
    else:
        text = "webhook:\n  preconfigured:\n    - {type: t, url: 'https://a.example/x', payload: '" + "${" * 200_000 + "'}\n"
    file = tmp_path / "orca.yml"
    file.write_text(text)
    done = run_import(file, "--to", tmp_path, "--json", timeout=60)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["stages"][-1]["unsettled"]


def test_nothing_is_overwritten_without_force(tmp_path):
    file = tmp_path / "orca.yml"
    file.write_text(GOOD + "---\nwebhook.preconfigured: [{type: b, url: 'https://b.example/x', payload: '" + "{\"a\": 1}".ljust(200) + "'}]\n")
    (tmp_path / "stages.d").mkdir()
    mine = tmp_path / "stages.d/b.conf"
    mine.write_text("mine")
    done = run_import(file, "--to", tmp_path)
    assert done.returncode == 2 and "stages.d/b.conf exists" in done.stderr
    assert [path.name for path in (tmp_path / "stages.d").iterdir()] == ["b.conf"] and mine.read_text() == "mine"
    assert run_import(file, "--to", tmp_path, "--force").returncode == 0
    assert 'name = "b"' in mine.read_text()
    assert sorted(path.name for path in (tmp_path / "stages.d").iterdir()) == ["a.conf", "b.conf"]


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "stages.d").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "stages.d/a.conf").symlink_to(tmp_path / "elsewhere")
    done = run_import("-", "--to", tmp_path, "--force", input=GOOD)
    assert done.returncode == 2 and (tmp_path / "elsewhere").read_text() == "mine"


def test_stdin_only_and_usage(tmp_path):
    assert run_import("-", "--to", tmp_path, input=GOOD).returncode == 0
    assert (tmp_path / "stages.d/a.conf").exists()
    assert run_import(DATA / "canary.yml", "--only", "canaryPercent", "--to", tmp_path).returncode == 0
    assert not (tmp_path / "stages.d/canaryJudgement.conf").exists()
    for arguments, said in [
        ([DATA / "canary.yml", "--only", "nope", "--to", tmp_path], "has no entry of the type \"nope\""),
        ([tmp_path / "none.yml"], "cannot be read"),
        ([], "one FILE is needed"),
    ]:
        done = run_import(*arguments)
        assert done.returncode == 2 and said in done.stderr, done
    done = command("import", "orcca", "x")
    assert done.returncode == 2 and "did you mean orca?" in done.stderr


def test_a_type_cannot_leave_the_directory(tmp_path):
    text = "webhook: {preconfigured: [{type: ../../evil, url: 'https://a.example/x'}, {type: .hidden, url: 'https://a.example/x'}]}\n"
    done = run_import("-", "--to", tmp_path / "out", input=text)
    assert done.returncode == 0, done
    assert sorted(path.name for path in (tmp_path / "out/stages.d").iterdir()) == ["x.-..-evil.conf", "xhidden.conf"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("word", ["request", "status", "header", "escaped", "hook", "preset"])
def test_credentials_beside_other_text_are_not_taken_along(tmp_path, word):
    """In the URL that concat() makes, behind a parameter, with escapes, in a URL that is one as a whole, by parameterValues."""
    entry = {
        "request": {"url": "https://h.example/x", "customHeaders": {"Api-Auth": "pw-leak"}},
        "status": {
            "url": "https://h.example/x", "waitForCompletion": True, "statusUrlResolution": "webhookResponse", "statusJsonPath": "$.s",
            "statusUrlJsonPath": 'concat("https://h.example/s?token=pw-leak&id=", $.id)', "successStatuses": "OK",
        },
        "header": {"url": "https://h.example/x", "customHeaders": {"PRIVATE-TOKEN": "${parameterValues['t']}pw-leak"}},
        "escaped": {"url": "https://h.example/x", "payload": '{"name": "a\\"b", "password": "\\"pw-leak\\u0041\\\\"}'},
        "hook": {"url": "https://acme.webhook.office.com/webhookb2/pw-leak/x"},
        "preset": {
            "url": "https://h.example/x?k=${parameterValues['apiToken']}", "parameterValues": {"apiToken": "pw-leak"},
            "customHeaders": {"X-Some": "${parameterValues['apiToken']}"}, "payload": "{\"t\": \"${parameterValues['apiToken']}\"}",
        },
    }[word]  # fmt: skip
    text = json.dumps({"webhook": {"preconfigured": [{"type": "odd", **entry}]}})
    done = run_import("-", "--to", tmp_path, "--secrets", tmp_path / "secrets", input=text)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "secrets")
    assert "pw-leak" not in done.stdout + done.stderr + written
    if word == "header":
        assert done.returncode == 1 and "make a secret of it" in done.stdout
        return
    assert done.returncode == 0, done.stdout
    assert check(tmp_path)[0] == 0
    (value,) = [path.read_text() for path in (tmp_path / "secrets").iterdir()]
    assert value == {"escaped": '"pw-leakA\\', "hook": "pw-leak/x"}.get(word, "pw-leak")


@pytest.mark.parametrize("words", [[], ["--generic"], ["--type-prefix", "gw-"]])
def test_own_entries_are_left_out(tmp_path, words):
    """Else a stage would call the gateway that has it."""
    (tmp_path / "stages.d").mkdir()
    (tmp_path / "stages.d/job.conf").write_text('name = "job"; request = { url = "https://h.example/x"; };')
    done = command("export", "orca", *words, "--public-url", "http://gw.ops.svc:1", "--no-token", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_import("-", "--to", tmp_path / "to", input=done.stdout)
    assert done.returncode == 0, done.stdout
    assert "0 imported" in done.stdout and "`export orca` has written it" in done.stdout and list((tmp_path / "to/stages.d").iterdir()) == []


RELAXED = """{webhook}:
  {preconfigured}:
  - Type: one
    LABEL: One
    url: https://a.example.com/x
    custom-headers: {{X-A: [b]}}
    payload: '{{"a": "${{parameterValues[''p'']}}"}}'
    Wait_For_Completion: true
    status-url-resolution: webhook-response
    status-url-json-path: $.self
    STATUS_JSON_PATH: $.state
    Success-Statuses: DONE
    parameters:
    - {{NAME: p, default-value: x}}
"""


@pytest.mark.parametrize("webhook, preconfigured", [("webhook", "preconfigured"), ("Webhook", "Pre-Configured"), ("WEB_HOOK", "PRECONFIGURED"), ("spring.web-hook", "pre_configured")])
def test_keys_in_any_spelling_that_spring_takes(tmp_path, webhook, preconfigured):
    plain = run_import("-", "--to", tmp_path / "plain", input=RELAXED.format(webhook="webhook", preconfigured="preconfigured"))
    assert plain.returncode == 0, plain.stdout
    text = RELAXED.format(webhook=webhook, preconfigured=preconfigured)
    inside = "data:\n  orca-local.yml: |\n" + "".join(f"    {line}\n" for line in text.splitlines())
    dotted = text.replace(f"{webhook}:\n  {preconfigured}:", f"{webhook}.{preconfigured}:")
    wanted = (tmp_path / "plain/stages.d/one.conf").read_text().splitlines()[3:]
    assert any("default = \"x\"" in line for line in wanted) and any("request.body.self" in line for line in wanted)
    for n, one in enumerate((text, inside, dotted)):
        done = run_import("-", "--to", tmp_path / str(n), input=one)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / str(n) / "stages.d/one.conf").read_text().splitlines()[3:] == wanted


@pytest.mark.parametrize(
    "text, line, first",
    [
        ("webhook:\n  preconfigured: []\n  preConfigured: []\n", 3, 2),
        ("webhook:\n  preconfigured: []\nWEBHOOK.preconfigured: []\n", 3, 2),
        ("a:\n  webhook:\n    preconfigured: []\n  web-hook:\n    pre-configured: []\n", 5, 3),
        ("data:\n  a.yml: |\n    webhook:\n      preconfigured: []\n      Preconfigured: []\n", 5, 4),
    ],
)
def test_a_list_in_two_spellings(tmp_path, text, line, first):
    done = run_import("-", "--to", tmp_path, input=text)
    assert done.returncode == 2 and f":{line}: webhook.preconfigured stands here and in line {first}, in two spellings" in done.stderr, done


def test_a_key_in_two_spellings(tmp_path):
    text = "webhook:\n  preconfigured:\n  - type: a\n    url: https://a.example.com/\n    Url: https://b.example.com/\n" \
           "    parameters:\n    - name: p\n      label: A\n      LABEL: B\n"
    for offset, one in [(0, text), (2, "data:\n  a.yml: |\n" + "".join(f"    {line}\n" for line in text.splitlines()))]:
        done = run_import("-", "--to", tmp_path / str(offset), "--json", input=one)
        said = [(r["line"], r["message"]) for r in json.loads(done.stdout)["stages"][0]["remarks"] if r["grade"] == "unsettled"]
        assert said == [(5 + offset, f"url stands here and in line {4 + offset}, in two spellings"),
                        (9 + offset, f"label stands here and in line {8 + offset}, in two spellings")]  # fmt: skip
