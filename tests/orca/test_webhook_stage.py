"""Every stage as orca's own classes run it: PreconfiguredWebhookStage, CreateWebhookTask, MonitorWebhookTask and
WebhookService of orca-webhook (or our stand-in, where that is absent), under the handlers of orca's queue, on the YAML
that `stagedoor export orca` writes. In each test the stage ends as it should, and the upstream has seen each POST once."""

import hashlib

import pytest
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.upstream import Reset, reply, text
from ingress import Fault
from orca import TOKEN
from parameters import PARAMETERS

# What stages downstream read, by the expression that the docs give.
OUTPUT = "${#stage('job')['context']['webhook']['monitor']['body']['outputs']['result']}"
DOWNSTREAM = {"type": "evaluateVariables", "name": "Downstream", "variables": [{"key": "seen", "value": OUTPUT}]}
HOUR_S = 3600


@pytest.fixture
def job(native, upstream):
    return native({"job": job_stage(upstream.url)})


def assert_succeeded(pipeline, seen):
    assert pipeline.status("1") == "SUCCEEDED", pipeline.webhook()
    assert pipeline.status("2") == "SUCCEEDED"
    assert pipeline.stage("2")["outputs"]["seen"] == seen


# ---- how a stage ends ----


def test_success_and_its_outputs_downstream(job, upstream):
    script_job(upstream, "queued", "running", "done")
    pipeline = job.start("job", {"n": "7", "text": "hello"}, after=[DOWNSTREAM]).run()
    assert_succeeded(pipeline, "is done")
    (request,) = upstream.got("POST", "/jobs")
    assert request.json() == {"n": 7, "text": "hello"}


def test_failure_says_why_and_ends_the_pipeline(job, upstream):
    script_job(upstream, "running", {"state": "failed"})
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert (pipeline.status("1"), pipeline.status("2")) == ("TERMINAL", "NOT_STARTED")
    assert "failed" in pipeline.webhook()["monitor"]["progressMessage"], "all that deck shows"
    assert job.ingress.count("POST") == 2, "orca sent a cancel after the failure"
    assert upstream.count("POST", "/jobs") == 1 and upstream.count("DELETE") == 0


def test_failure_that_the_pipeline_ignores(job, upstream):
    script_job(upstream, {"state": "failed", "result": "broken"})
    ignore = {"failPipeline": False, "continuePipeline": True}
    pipeline = job.start("job", after=[DOWNSTREAM], **ignore).run()
    assert pipeline.status("1") == "FAILED_CONTINUE"
    assert pipeline.status("2") == "SUCCEEDED"


def test_user_cancels(job, upstream):
    Jobs(upstream, hold=True)
    pipeline = job.start("job").poll_until(lambda monitor: upstream.count("GET", "/jobs/1"))
    pipeline.cancel().run()
    assert pipeline.status() == "CANCELED"
    upstream.wait_for(1, "DELETE", "/jobs/1")
    job.gateway.client().wait_end(pipeline.webhook()["body"]["id"])
    assert upstream.count("DELETE") == 1 and upstream.count("POST", "/jobs") == 1


def test_user_cancels_before_the_first_poll(job, upstream):
    Jobs(upstream, hold=True)
    pipeline = job.start("job").step_to("CreateWebhookTask")
    pipeline.cancel().run()
    assert pipeline.status() == "CANCELED"
    assert job.gateway.client().wait_end(pipeline.webhook()["body"]["id"])["status"] == "CANCELED"
    assert upstream.count("POST", "/jobs") == upstream.count("DELETE")


def assert_orphan_ends(gateway, upstream):
    """Orca sends no cancel in these cases; orphan_after is what ends the run."""
    (line,) = gateway.wait_log(event="run_orphaned")
    assert gateway.client().wait_end(line["run"])["reason"] == "orphaned"
    assert upstream.count("POST", "/jobs") == upstream.count("DELETE") == 1


def test_user_cancels_while_create_is_sent_again(native, upstream):
    Jobs(upstream, hold=True)
    job = native({"job": job_stage(upstream.url, orphan_after="1s")})
    job.ingress.fail(Fault("POST", passes=True, status=502))
    pipeline = job.start("job").step_to("CreateWebhookTask")
    assert pipeline.cancel().run().status() == "CANCELED"
    assert job.ingress.count("POST") == 1
    assert_orphan_ends(job.gateway, upstream)


def test_another_branch_fails(native, upstream):
    Jobs(upstream, hold=True)
    upstream.on("POST", "/call", reply(400, {}))
    stages = {"job": job_stage(upstream.url, orphan_after="1s"), "call": call_stage(upstream.url)}
    branch = {"type": "call", "alias": "preconfiguredWebhook", "name": "call", "requisiteStageRefIds": []}
    job = native(stages)
    pipeline = job.start("job", after=[{**branch, "parameterValues": {}}]).run()
    assert (pipeline.status("1"), pipeline.status("2")) == ("CANCELED", "TERMINAL")
    assert_orphan_ends(job.gateway, upstream)


@pytest.mark.parametrize("settings, after_s", [({}, HOUR_S), ({"stageTimeoutMs": 60_000}, 60)])
def test_timeout_of_orca_cancels_the_run(job, upstream, settings, after_s):
    Jobs(upstream, hold=True)
    pipeline = job.start("job", **settings).poll_until(lambda monitor: upstream.count("GET", "/jobs/1"))
    job.orca.do("advance", seconds=after_s - 5)
    assert pipeline.step_to("MonitorWebhookTask").status() == "RUNNING"
    job.orca.do("advance", seconds=6)
    assert pipeline.run().status() == "TERMINAL"
    report = job.gateway.client().wait_end(pipeline.webhook()["body"]["id"])
    assert (report["status"], upstream.count("DELETE", "/jobs/1")) == ("CANCELED", 1)


def test_timeout_of_the_gateway_is_told_in_the_progress(native, upstream):
    Jobs(upstream, hold=True)
    pipeline = native({"job": job_stage(upstream.url, status={"timeout": "1s"})}).start("job").run()
    assert pipeline.status() == "TERMINAL"
    assert "within its time" in pipeline.webhook()["monitor"]["progressMessage"], pipeline.webhook()["monitor"]
    assert upstream.count("POST", "/jobs") == 1


# ---- what gets lost on the way ----


@pytest.mark.parametrize("passes", [False, True], ids=["before the gateway", "after the gateway"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_create_is_sent_again(job, upstream, status, passes):
    script_job(upstream, "done")
    job.ingress.fail(Fault("POST", passes, status), Fault("POST", passes, status))
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert_succeeded(pipeline, "is done")
    assert pipeline.delays["CreateWebhookTask"] == [0, 10_000, 10_000]
    assert upstream.count("POST", "/jobs") == 1


def test_full_gateway_is_waited_out(native, upstream):
    jobs = Jobs(upstream, hold=True)
    job = native({"job": job_stage(upstream.url)}, options={"max_runs": 1, "loops": 1})
    first = job.gateway.client().started("job", {"n": 8})
    pipeline = job.start("job", {"n": "9"}).step_to("CreateWebhookTask")
    assert (pipeline.status(), pipeline.webhook()["statusCodeValue"]) == ("RUNNING", 503)
    jobs.hold = False
    job.gateway.client().wait_end(first["id"])
    assert pipeline.run().status() == "SUCCEEDED"
    assert jobs.posts == {8: 1, 9: 1}


def test_reply_lost_on_a_connection_that_was_kept(job, upstream):
    """OkHttp sends again by itself, and orca never knows."""
    script_job(upstream, "done")
    assert job.start("job").run().status() == "SUCCEEDED"
    job.ingress.fail(Fault("POST", passes=True))
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert_succeeded(pipeline, "is done")
    assert job.ingress.count("POST") == 3 and pipeline.delays["CreateWebhookTask"] == [0]
    assert upstream.count("POST", "/jobs") == 2, "one for each pipeline"


def test_reply_lost_on_a_new_connection(job, upstream):
    """Orca takes it for a failure; its cancel reaches the run by the key, so that none is left behind."""
    Jobs(upstream, hold=True)
    job.ingress.fail(Fault("POST", passes=True))
    pipeline = job.start("job").run()
    assert pipeline.status() == "TERMINAL"
    (run,) = job.gateway.client().get("/runs").json()["runs"]
    assert job.gateway.client().wait_end(run["id"])["status"] == "CANCELED"
    assert upstream.count("POST", "/jobs") == upstream.count("DELETE")


def test_create_delivered_twice_by_the_queue(job, upstream):
    script_job(upstream, "done")
    pipeline = job.start("job", after=[DOWNSTREAM]).step_to("CreateWebhookTask")
    first = pipeline.webhook()["body"]["id"]
    job.orca.do("redeliver")
    assert pipeline.step_to("CreateWebhookTask").webhook()["body"]["id"] == first
    assert_succeeded(pipeline.run(), "is done")
    assert upstream.count("POST", "/jobs") == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_poll_fails_on_the_way(job, upstream, status):
    script_job(upstream, "running", "done")
    job.ingress.fail(Fault("GET", True, status), Fault("GET", False, status))
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert_succeeded(pipeline, "is done")


# ---- restarts ----


def test_gateway_killed_between_create_and_poll(job, upstream):
    jobs = Jobs(upstream, hold=True)
    pipeline = job.start("job", after=[DOWNSTREAM]).step_to("CreateWebhookTask")
    upstream.wait_for(1, "GET", "/jobs/1")
    job.gateway.restart()
    assert pipeline.step_to("MonitorWebhookTask").status() == "RUNNING"
    jobs.hold = False
    assert_succeeded(pipeline.run(), 1)
    assert upstream.count("POST", "/jobs") == 1


def test_gateway_killed_between_two_polls(job, upstream):
    """Orca keeps its connection; the next poll finds it dead."""
    jobs = Jobs(upstream, hold=True)
    pipeline = job.start("job", after=[DOWNSTREAM]).poll_until(lambda monitor: upstream.count("GET", "/jobs/1"))
    for _ in range(3):
        job.gateway.restart()
        assert pipeline.step_to("MonitorWebhookTask").status() == "RUNNING"
    jobs.hold = False
    assert_succeeded(pipeline.run(), 1)
    assert upstream.count("POST", "/jobs") == 1


def test_gateway_killed_before_its_answer_came(job, upstream):
    """Create is accepted, the gateway dies, and the ingress says 502: the re-send finds the same run."""
    jobs = Jobs(upstream, hold=True)
    job.ingress.fail(Fault("POST", passes=True, status=502))
    pipeline = job.start("job", after=[DOWNSTREAM]).step_to("CreateWebhookTask")
    upstream.wait_for(1, "GET", "/jobs/1")
    job.gateway.restart()
    jobs.hold = False
    assert_succeeded(pipeline.run(), 1)
    assert upstream.count("POST", "/jobs") == 1


def test_stage_restarted_by_hand_is_a_new_run(job, upstream):
    script_job(upstream, {"state": "failed"})
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    first = pipeline.webhook()["body"]
    script_job(upstream, "running", "done")
    assert_succeeded(pipeline.restart().run(), "is done")
    second = pipeline.webhook()["body"]
    assert first["id"] != second["id"] and first["key"] != second["key"]
    assert upstream.count("POST", "/jobs") == 2


# ---- what upstreams do ----


def test_upstream_down_while_the_stage_polls(native, upstream):
    """Orca's minute passes at a word; the gateway's polls, which it lets get rarer, meet the outage several times."""
    jobs = Jobs(upstream, hold=True)
    job = native({"job": job_stage(upstream.url)})
    pipeline = job.start("job", after=[DOWNSTREAM]).poll_until(lambda monitor: upstream.count("GET", "/jobs/1"))
    before = upstream.connections
    upstream.on("GET", "/jobs/1", Reset())
    upstream.refuse_connections(1_000_000)
    pipeline.poll_until(lambda monitor: upstream.connections >= before + 3)
    job.orca.do("advance", seconds=60)
    assert pipeline.step_to("MonitorWebhookTask").status() == "RUNNING"
    upstream.on("GET", "/jobs/1", jobs.get)
    jobs.hold = False
    upstream.refuse_connections(0)
    assert_succeeded(pipeline.run(), 1)
    assert upstream.count("POST", "/jobs") == 1


ODD = {
    "status field missing": reply(200, {"percent": 1}),
    "status null": reply(200, {"state": None, "percent": None}),
    "status a number": reply(200, {"state": 7, "percent": "many"}),
    "text/plain": text(200, "Queued"),
    "JSON as text/plain": text(200, '{"state": "running", "percent": 3}'),
    "204": reply(204),
    "null": reply(200, None),
    "array": reply(200, [1]),
    "500": reply(500, "oh"),
    "reset": Reset(),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_odd_answer_while_queued(job, upstream, answer):
    script_job(upstream, answer, "done")
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert_succeeded(pipeline, "is done")
    assert upstream.count("POST", "/jobs") == 1


CALLS = {"204": reply(204), "text/plain": text(200, "started"), "JSON as text/plain": text(201, '{"id": 5}'), "empty": reply(200)}


@pytest.mark.parametrize("answer", CALLS.values(), ids=CALLS)
def test_odd_answer_to_a_stage_of_one_call(native, upstream, answer):
    upstream.on("POST", "/call", answer)
    assert native({"call": call_stage(upstream.url)}).start("call").run().status() == "SUCCEEDED"
    assert upstream.count("POST", "/call") == 1


# ---- parameters ----


@pytest.mark.parametrize("value", PARAMETERS.values(), ids=PARAMETERS)
def test_parameter_arrives_as_it_is(job, upstream, value):
    script_job(upstream, "done")
    assert job.start("job", {"text": value}).run().status() == "SUCCEEDED"
    assert [request.json()["text"] for request in upstream.got("POST", "/jobs")] == [value]


def test_payload_sent_as_text(job, upstream):
    """Without a Content-Type in customHeaders Spring sends a text as text/plain;charset=ISO-8859-1."""
    script_job(upstream, "done")
    text = job.yaml.read_text()
    job.yaml.write_text(text.replace("Content-Type: [application/json]", "X-Left-Out: [nothing]"))
    assert job.yaml.read_text() != text
    job.orca.boot(job.yaml)
    pipeline = job.start("job", {"text": "café"}).run()
    assert pipeline.status() == "SUCCEEDED", pipeline.webhook()
    assert upstream.got("POST", "/jobs")[0].json()["text"] == "café"


def test_defaults(job, upstream):
    """Of those that the pipeline does not set, and of those that the editor wrote into it."""
    script_job(upstream, "done")
    (entry,) = job.orca.bound("webhook")["preconfigured"].values()
    written = {one["name"]: one["defaultValue"] for one in entry["parameters"].values()}
    assert job.start("job").run().status() == job.start("job", written).run().status() == "SUCCEEDED"
    assert [request.json() for request in upstream.got("POST", "/jobs")] == [{"n": 1, "text": ""}] * 2


def test_expression_in_a_parameter_is_evaluated_by_orca(job, upstream):
    script_job(upstream, "done")
    assert job.start("job", {"text": "${trigger['user']}", "n": "${1 + 1}"}).run().status() == "SUCCEEDED"
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 2, "text": "kim"}


def test_expression_that_orca_cannot_evaluate(job, upstream):
    pipeline = job.start("job", {"text": "costs ${nothing.here}"}).run()
    assert (pipeline.status(), pipeline.webhook()["statusCodeValue"]) == ("TERMINAL", 422)
    assert upstream.count() == 0


def test_type_with_a_prefix(native, upstream):
    script_job(upstream, "done")
    prefixed = native({"job": job_stage(upstream.url)}, export=["--type-prefix", "gw-"])
    assert prefixed.start("gw-job").run().status() == "SUCCEEDED"


def test_one_entry_for_all_stages(native, upstream):
    script_job(upstream, "done")
    generic = native({"job": job_stage(upstream.url)}, export=["--generic"])
    (entry,) = generic.orca.bound("webhook")["preconfigured"].values()
    pipeline = generic.start(entry["type"], {"stage": "job", "parameters": '{"n": 7, "text": "a \\"b\\""}'}).run()
    assert pipeline.status() == "SUCCEEDED", pipeline.webhook()
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 7, "text": 'a "b"'}


# ---- what the gateway answers ----


def test_nothing_that_is_answered_is_evaluated(job, upstream):
    evil = "${T(java.lang.System).setProperty('stagedoor.evaluated', 'yes')} ${1+1} #{1+1}"
    script_job(upstream, {"state": evil, "percent": evil}, {"state": "done", "result": {evil: [evil]}})
    pipeline = job.start("job", after=[DOWNSTREAM]).run()
    assert pipeline.status("2") == "SUCCEEDED"
    assert "${" not in str(pipeline.webhook())
    assert pipeline.stage("1")["context"]["expressionEvaluationSummary"] == {}, "orca met no expression that fails"
    (seen,) = pipeline.stage("2")["outputs"]["seen"].items()
    assert "1+1" in seen[0] and "1+1" in seen[1][0]


def test_failure_with_an_expression_in_its_reason(native, upstream):
    script_job(upstream, {"state": "failed", "why": "${1+1}"})
    job = native({"job": job_stage(upstream.url, status={"error": "$.why"})})
    pipeline = job.start("job").run()
    assert pipeline.status() == "TERMINAL"
    assert "1+1" in pipeline.webhook()["monitor"]["progressMessage"] and "${" not in str(pipeline.webhook())


# ---- tokens, permissions and refusals ----


@pytest.mark.parametrize("known", [True, False])
def test_token_from_orcas_environment(native, upstream, known):
    """The YAML has its name, and Spring puts it in; a cancel and the polls carry it too."""
    script_job(upstream, "running", "done")
    digest = hashlib.sha256((TOKEN if known else "another").encode()).hexdigest()
    rights = {"start": ["*"], "see": ["*"], "cancel": ["*"]}
    job = native({"job": job_stage(upstream.url)}, callers=[{"name": "orca", "token_sha256": digest, **rights}])
    assert TOKEN not in job.yaml.read_text()
    pipeline = job.start("job").run()
    assert pipeline.status() == ("SUCCEEDED" if known else "TERMINAL")
    assert pipeline.webhook()["statusCodeValue"] == (202 if known else 401)
    assert upstream.count("POST", "/jobs") == (1 if known else 0)


@pytest.mark.parametrize("role, status", [("release-team", "SUCCEEDED"), ("admins", "TERMINAL")])
def test_permissions_are_orcas(native, upstream, role, status):
    script_job(upstream, "done")
    job = native({"job": job_stage(upstream.url, permissions={"write": [role]})})
    assert job.start("job").run().status() == status
    assert upstream.count("POST", "/jobs") == (1 if status == "SUCCEEDED" else 0)


def test_refused_parameter_is_named_in_the_stage(job, upstream):
    pipeline = job.start("job", {"n": "many"}).run()
    assert pipeline.status() == "TERMINAL"
    webhook = pipeline.webhook()
    assert webhook["statusCodeValue"] == 422 and "/parameters/n" in str(webhook["body"])
    assert upstream.count() == 0
