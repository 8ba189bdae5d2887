"""The stage that ships for Kubernetes Jobs, against a server that holds both sides to Kubernetes' own OpenAPI
description. No cluster is asked."""

import json

import pytest
from helpers.kubernetes import Kubernetes, mistakes_of, schema_of
from helpers.services import shipped_text, templates
from helpers.upstream import Reset, reply
from helpers.wait import wait_until

TOKEN = "the-token-of-a-service-account"


@pytest.fixture
def cluster(upstream):
    one = Kubernetes(upstream, TOKEN)
    yield one
    assert one.violations == []


@pytest.fixture
def jobs(gateway, upstream, cluster):
    text = shipped_text("kubernetes-job", every='"100ms"').replace("https://kubernetes.default.svc", upstream.url)
    return gateway(
        stages={"kubernetes-job": text}, templates=templates(), secrets={"kubernetes_token": TOKEN}
    ).client()


def begin(jobs, cluster, parameters=None):
    report = jobs.started("kubernetes-job", parameters or {"image": "busybox:1", "command": ["echo", "a, b"]})
    name = f"stagedoor-{report['id'].lower()}"
    wait_until(lambda: name in cluster.jobs, "the Job to be made", 20)
    return report, name


def test_complete_with_properties(jobs, cluster):
    report, name = begin(jobs, cluster, {"image": "registry/app@sha256:0", "command": ["sh", "-c", "x \"y\" \\z"],
                                         "env": {"A": 'é "q"', "N": 3}, "namespace": "team-a"})  # fmt: skip
    made = cluster.jobs[name]["spec"]["template"]["spec"]["containers"][0]
    assert made["command"] == ["sh", "-c", 'x "y" \\z']
    assert made["env"] == [{"name": "A", "value": 'é "q"'}, {"name": "N", "value": "3"}]
    jobs.wait_report(report["id"], lambda now: "wait" in now["progress"], "a first poll")
    cluster.end(name, "Complete", 0, "hello\nSPINNAKER_PROPERTY_Image=app:7\nSPINNAKER_CONFIG_JSON={\"n\": [1]}\nbye\n")
    ended = jobs.wait_end(report["id"])
    assert ended["status"] == "SUCCEEDED", ended
    outputs = ended["outputs"]
    assert (outputs["Image"], outputs["image"], outputs["n"], outputs["exit_code"]) == ("app:7", "app:7", [1], 0)
    assert outputs["conditions"] == ["SuccessCriteriaMet", "Complete"] and outputs["log"].endswith("bye\n")
    assert cluster.deleted == [(name, "Background")]
    assert TOKEN not in json.dumps(ended)


def test_failed_with_its_log(jobs, cluster):
    report, name = begin(jobs, cluster)
    cluster.end(name, "Failed", 3, "SPINNAKER_PROPERTY_why=disk\n", "Job has reached the specified backoff limit")
    ended = jobs.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_failed"), ended
    assert "the job has failed: Job has reached the specified backoff limit" in ended["error"], ended
    assert (ended["outputs"]["why"], ended["outputs"]["exit_code"]) == ("disk", 3)
    assert cluster.deleted == [(name, "Background")]


def test_failed_before_it_had_a_pod(jobs, cluster):
    report, name = begin(jobs, cluster)
    cluster.end(name, "Failed", 0, None)
    ended = jobs.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("TERMINAL", "upstream_failed"), ended
    assert (ended["outputs"]["log"], ended["outputs"]["exit_code"]) == (None, None)
    assert "Kubernetes says no more" in ended["error"] and cluster.jobs == {}


def test_canceled_while_it_runs(jobs, cluster):
    report, name = begin(jobs, cluster)
    jobs.wait_report(report["id"], lambda now: "wait" in now["progress"], "a first poll")
    assert jobs.cancel(report["id"]).status in (200, 202)
    ended = jobs.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled"), ended
    assert cluster.deleted == [(name, "Background")] and cluster.jobs == {}


def test_lost_reply_makes_no_second_job(jobs, cluster, upstream):
    """The Job was made, and nobody heard of it: its name says that it is ours."""
    path = "/apis/batch/v1/namespaces/default/jobs"

    def makes_it_and_dies(request):
        cluster.answer(request)
        upstream.on("POST", path, cluster.answer)
        return Reset()

    upstream.on("POST", path, makes_it_and_dies)
    report, name = begin(jobs, cluster)
    cluster.end(name, "Complete", 0, "")
    assert jobs.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST") == 2 and cluster.deleted == [(name, "Background")]


def test_values_as_orca_sends_them(jobs, cluster):
    report, name = begin(jobs, cluster, {"image": "i", "command": '["echo", "1"]', "env": '{"A": "b"}'})
    cluster.end(name, "Complete", 0, "")
    assert jobs.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_job_that_is_refused(jobs, cluster, upstream):
    """By admission, say: with the server's own words."""
    status = Kubernetes.status(403, "Forbidden", 'jobs.batch is forbidden: exceeded quota: "pods"')
    upstream.on("POST", "/apis/batch/v1/namespaces/default/jobs", reply(403, status))
    report = jobs.run("kubernetes-job", {"image": "i"})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused"), report
    assert "403" in report["error"] and "exceeded quota" in report["error"], report


@pytest.mark.parametrize("namespace", ["a/b", "A", "-a", "a-", "a" * 64, ".."])
def test_namespaces_that_are_none(jobs, namespace):
    assert jobs.start("kubernetes-job", {"image": "i", "namespace": namespace}).status == 422


def test_shipped_waits_for_its_secret(gateway):
    client = gateway(stages={"kubernetes-job": shipped_text("kubernetes-job")}, templates=templates()).client()
    (listed,) = client.get("/stages").json()["stages"]
    assert listed["state"] == "disabled" and "kubernetes_token" in listed["disabled"]
    assert client.start("kubernetes-job", {"image": "i"}).status == 404


def test_the_mock_refuses_what_the_description_does_not_have(upstream):
    """Else this file would show nothing."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"},
           "spec": {"template": {"spec": {"containers": [{"name": "job"}]}}}}  # fmt: skip
    schema = schema_of("io.k8s.api.batch.v1.Job")
    assert mistakes_of(job, schema) == []
    for wrong in (
        {**job, "sepc": {}},
        {**job, "spec": {"backoffLimit": "0", **job["spec"]}},
        {**job, "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}},
        {**job, "spec": {}},
    ):
        assert mistakes_of(wrong, schema), wrong
    cluster = Kubernetes(upstream, TOKEN)
    for target in ("/apis/batch/v1/jobs", "/apis/batch/v1/namespaces/a/jobs/b?propagation=Background"):
        method = "DELETE" if "?" in target else "GET"
        request = type("R", (), {"method": method, "path": target.partition("?")[0], "query": target.partition("?")[2],
                                 "body": b"", "header": lambda self, name: None})()  # fmt: skip
        assert cluster.answer(request) is not None and len(cluster.violations) == 1, target
        cluster.violations.clear()
