"""The exported YAML as Spring binds it, its expressions as orca's ContextParameterProcessor evaluates them, and orca's
own URL rules on its addresses: what is asked of orca before a request leaves, and what it does to an answer."""

import json

import pytest
import yaml
from conftest import PUBLIC_URL
from helpers.gateway import ROOT, command
from helpers.jobs import job_stage, script_job
from orca import NAMES, OrcaError
from parameters import PARAMETERS

# The texts of an entry in which orca evaluates expressions.
EVALUATED = ("url", "payload", "customHeaders", "cancelEndpoint", "cancelPayload")


@pytest.fixture
def job(native, upstream):
    script_job(upstream, "done")
    return native({"job": job_stage(upstream.url)})


def entry_of(native):
    (entry,) = native.orca.bound("webhook")["preconfigured"].values()
    return entry


def evaluated(native, parameters):
    """A started stage with these parameters, and the entry's texts as orca evaluates them there."""
    stage = {"type": "evaluateVariables", "name": "job", "variables": [], "parameterValues": parameters}
    pipeline = native.orca.start(stage).run()
    return pipeline, pipeline.evaluate({name: entry_of(native)[name] for name in EVALUATED})


def send(native, entry):
    """What CreateWebhookTask sends; the gateway's answer."""
    headers = {name: values["0"] for name, values in entry["customHeaders"].items()}
    return native.gateway.client().request("POST", entry["url"].removeprefix(PUBLIC_URL), entry["payload"].encode(), headers)


def flat(value, path=""):
    """The leaves by their paths; lists have numbers for names, as in Spring's properties."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {where: leaf for name, one in items for where, leaf in flat(one, f"{path}/{name}").items()}
    return {path: value}


def assert_bound_as_written(orca, text):
    """Spring reads the values that are written, and takes no expression in them for a placeholder of its own."""
    written = flat(yaml.safe_load(text)["webhook"])
    assert flat(orca.bound("webhook")) == written
    return [value for value in written.values() if "${" in str(value)]


def test_spring_takes_no_expression_for_a_placeholder(job):
    assert len(assert_bound_as_written(job.orca, job.yaml.read_text())) == 3, "a header, the payload, cancel's payload"


@pytest.mark.parametrize("folder", ["stages.d", "docs/examples"])
def test_spring_and_orca_read_every_stage_that_ships(orca_process, tmp_path, folder):
    """By what orca does when it starts, and by what it does when a stage of each starts."""
    here = ("--stages", ROOT / folder, "--templates", ROOT / "templates", "--any-secret", "--public-url", PUBLIC_URL)
    done = command("export", "orca", *here)
    assert done.returncode == 0, done.stderr
    told = tmp_path / "orca-local.yml"
    told.write_text(done.stdout)
    orca_process.boot(told)
    assert_bound_as_written(orca_process, done.stdout)
    entries = orca_process.bound("webhook")["preconfigured"].values()
    assert len(entries) == len(list((ROOT / folder).glob("*.conf"))) - done.stderr.count("enabled = false") > 5
    for entry in entries:
        parameters = {one["name"]: one.get("defaultValue", "") for one in entry.get("parameters", {}).values()}
        stage = {"type": "evaluateVariables", "name": entry["type"], "variables": [], "parameterValues": parameters}
        texts = orca_process.start(stage).run().evaluate({name: entry[name] for name in EVALUATED})
        assert "${" not in str(texts), entry["type"]
        assert json.loads(texts["payload"])["parameters"] == parameters


def test_every_expression_evaluates(job):
    pipeline, entry = evaluated(job, {"n": "7"})
    assert "${" not in str(entry)
    stage = pipeline.stage()
    key = f"{pipeline.id}:{stage['id']}:{stage['startTime']}"
    assert json.loads(entry["cancelPayload"]) == {"key": key}
    payload = json.loads(entry["payload"])
    assert (payload["key"], payload["user"], payload["application"]) == (key, "kim", "shop")


@pytest.mark.parametrize("value", PARAMETERS.values(), ids=PARAMETERS)
def test_parameter_arrives_as_it_is(job, upstream, value):
    _, entry = evaluated(job, {"text": value})
    answer = send(job, entry)
    assert answer.status == 202, answer
    job.gateway.client().wait_end(answer.json()["id"])
    assert [request.json()["text"] for request in upstream.got("POST", "/jobs")] == [value]


def test_expression_that_orca_cannot_evaluate(job, upstream):
    _, entry = evaluated(job, {"text": "costs ${nothing.here}"})
    answer = send(job, entry)
    assert answer.status == 422 and "${" not in answer.text
    assert upstream.count() == 0


def test_report_has_nothing_to_evaluate(job, upstream):
    evil = "${1+1} #{1+1} ${'a'}"
    script_job(upstream, {"state": evil, "percent": evil}, {"state": "done", "result": {evil: [evil]}})
    pipeline, entry = evaluated(job, {})
    report = job.gateway.client().wait_end(send(job, entry).json()["id"])
    assert "1+1" in str(report["outputs"])
    assert pipeline.evaluate(report) == {name: value for name, value in report.items() if value is not None}


@pytest.mark.parametrize("host", NAMES)
def test_urls_pass_orcas_rules(native, upstream, host):
    """By what was exported, and by no more of it than these rules need."""
    public_url = f"http://{host}:8095"
    job = native({"job": job_stage(upstream.url)}, options={"public_url": public_url})
    entry = entry_of(job)
    for url in (entry["url"], entry["cancelEndpoint"], f"{public_url}/runs/1"):
        job.orca.do("check_url", url=url)
    told = yaml.safe_load(job.yaml.read_text())
    restrictions = told.pop("user-configured-url-restrictions", None)
    job.yaml.write_text(yaml.safe_dump(told))
    job.orca.boot(job.yaml)
    if restrictions is None:
        job.orca.do("check_url", url=entry["url"])
    else:
        with pytest.raises(OrcaError, match="not allowed"):
            job.orca.do("check_url", url=entry["url"])
