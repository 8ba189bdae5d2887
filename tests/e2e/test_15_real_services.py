"""The two stages that ship for real servers, against Debian's docker-registry and Prometheus."""

import pytest
from helpers.jobs import job_stage
from helpers.services import shipped
from helpers.upstream import reply
from helpers.wait import wait_until


@pytest.fixture
def labels(gateway, registry):
    return gateway(stages={"labels": shipped("docker-image-labels", registry.url)}).client()


@pytest.mark.parametrize("image", ["app", "team/app", "a/b/c-d/e_f.g"])
@pytest.mark.parametrize("oci", [False, True], ids=["docker", "oci"])
def test_labels_of_an_image(labels, registry, image, oci):
    wanted = {"org.opencontainers.image.revision": "abc123", "team": 'q"uo\\te é☃', "empty": ""}
    pushed = registry.push_image(image, "1.0", wanted, oci=oci, architecture="arm64")
    report = labels.run("docker-image-labels", {"image": image, "tag": "1.0"})
    assert report["status"] == "SUCCEEDED", report
    assert report["outputs"] == {
        "labels": wanted,
        "created": "2024-05-06T07:08:09Z",
        "architecture": "arm64",
        "os": "linux",
        "digest": pushed["digest"],
        "config_digest": pushed["config"]["digest"],
    }


def test_labels_by_digest_and_by_default_tag(labels, registry):
    pushed = registry.push_image("team/digest", "latest", {"a": "1"})
    for parameters in ({"image": "team/digest"}, {"image": "team/digest", "tag": pushed["digest"]}):
        assert labels.run("docker-image-labels", parameters)["outputs"]["labels"] == {"a": "1"}


def test_image_without_labels(labels, registry):
    registry.push_image("team/bare", "1", None)
    report = labels.run("docker-image-labels", {"image": "team/bare", "tag": "1"})
    assert (report["status"], report["outputs"]["labels"]) == ("SUCCEEDED", None)


def test_oci_image_that_does_not_name_its_type(labels, registry):
    registry.push_image("team/untyped", "1", {"a": "1"}, oci=True, name_type=False)
    assert labels.run("docker-image-labels", {"image": "team/untyped", "tag": "1"})["outputs"]["labels"] == {"a": "1"}


@pytest.mark.parametrize("oci, word", [(False, "manifest.list.v2"), (True, "image.index.v1")])
def test_index_of_several_platforms_is_named(labels, registry, oci, word):
    registry.push_index("team/multi", f"m{int(oci)}", {}, oci=oci)
    report = labels.run("docker-image-labels", {"image": "team/multi", "tag": f"m{int(oci)}"})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed")
    assert word in report["error"] and word in report["progress"], report


def test_image_that_is_not_there(labels):
    report = labels.run("docker-image-labels", {"image": "team/none", "tag": "1"})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused")
    assert "404" in report["error"], report


@pytest.mark.parametrize(
    "image", ["../../etc", "a/../b", "a//b", "/a", "a/", "A", "a b", "a?x", "a%2fb", "", "a\n", "http://x/y"]
)
def test_names_that_are_no_image(labels, registry, image):
    answer = labels.start("docker-image-labels", {"image": image})
    assert answer.status == 422, answer


# ---- Prometheus ----


def test_gate_opens_when_the_value_falls(gateway, prometheus, prometheus_upstream):
    prometheus_upstream.on("GET", "/metrics", reply(200, "gate_errors 9\n", content_type="text/plain"))
    wait_until(lambda: prometheus.value("gate_errors") == 9, "the first value", 15)
    client = gateway(stages={"gate": shipped("prometheus-gate", prometheus.url, every="200ms")}).client()
    report = client.started("prometheus-gate", {"query": 'sum(gate_errors{job="test"}) + 0 * 1', "threshold": 0.5})
    running = client.wait_report(report["id"], lambda one: one["upstream"].get("code") == 200, "a first poll")
    assert running["status"] == "RUNNING" and "9" in running["progress"], running
    prometheus_upstream.on("GET", "/metrics", reply(200, "gate_errors 0.25\n", content_type="text/plain"))
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["outputs"]["value"]) == ("SUCCEEDED", "0.25")


def test_gate_that_is_open_at_once(gateway, prometheus):
    client = gateway(stages={"gate": shipped("prometheus-gate", prometheus.url)}).client()
    report = client.run("prometheus-gate", {"query": "vector(1)", "threshold": "1"})
    assert (report["status"], report["outputs"]) == ("SUCCEEDED", {"value": "1", "labels": {}})


def test_gate_at_least(gateway, prometheus):
    text = shipped("prometheus-gate", prometheus.url, every="100ms", timeout="1s").replace("at_most", "at_least")
    client = gateway(stages={"gate": text}).client()
    assert client.run("prometheus-gate", {"query": "vector(5)", "threshold": 5})["status"] == "SUCCEEDED"
    report = client.run("prometheus-gate", {"query": "vector(5)", "threshold": 5.1})
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout")


@pytest.mark.parametrize("query", ["vector(7)", "no_such_metric", "vector(NaN)"])
def test_gate_whose_time_is_up(gateway, prometheus, query):
    """Too large, no sample, and what is not a number: none of them is met."""
    client = gateway(stages={"gate": shipped("prometheus-gate", prometheus.url, every="100ms", timeout="1s")}).client()
    report = client.run("prometheus-gate", {"query": query, "threshold": 5})
    assert (report["status"], report["reason"]) == ("TERMINAL", "timeout"), report


def test_query_that_does_not_parse(gateway, prometheus):
    client = gateway(stages={"gate": shipped("prometheus-gate", prometheus.url, every="100ms")}).client()
    report = client.run("prometheus-gate", {"query": "sum(", "threshold": 5})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused")
    assert "400" in report["error"], report


def test_several_stages_side_by_side(gateway, upstream, registry, prometheus):
    registry.push_image("team/side", "1", {"a": "1"})
    upstream.on("POST", "/jobs", reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    upstream.on("GET", "/jobs/1", reply(200, {"state": "done", "result": 3}))
    client = gateway(
        stages={
            "labels": shipped("docker-image-labels", registry.url),
            "gate": shipped("prometheus-gate", prometheus.url),
            "job": job_stage(upstream.url),
        }
    ).client()
    started = [
        client.started("docker-image-labels", {"image": "team/side", "tag": "1"}),
        client.started("prometheus-gate", {"query": "vector(1)", "threshold": 1}),
        client.started("job"),
    ]
    assert [client.wait_end(report["id"])["status"] for report in started] == ["SUCCEEDED"] * 3
