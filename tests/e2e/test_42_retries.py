"""Retries and manners: what upstreams ask for is waited for, by all calls to the same host with the same credentials."""

import email.utils
import time

from helpers.gateway import stage
from helpers.jobs import call_stage
from helpers.upstream import reply


def http_date(seconds_ahead):
    return email.utils.formatdate(time.time() + seconds_ahead, usegmt=True)


def get_stage(upstream_url, name="call", **request):
    return stage(name, request={"method": "GET", "url": f"{upstream_url}/call", **request})


def gaps(upstream):
    times = [one.at for one in upstream.requests]
    return [later - earlier for earlier, later in zip(times, times[1:])]


def test_429_with_a_date(gateway, upstream):
    """A date has whole seconds, so what is 3 s ahead is more than 2 s away."""
    upstream.on("POST", "/call", lambda _: reply(429, headers={"Retry-After": http_date(3)}))
    client = gateway(stages={"call": call_stage(upstream.url)}).client()
    report = client.started("call")
    upstream.wait_for(1, "POST", "/call")
    told = client.wait_report(report["id"], lambda one: "429" in one["progress"], "the reason")
    assert "as it asks" in told["progress"], told
    upstream.on("POST", "/call", reply(201, {}))
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"
    assert upstream.count("POST", "/call") == 2
    assert gaps(upstream)[0] > 1.9


def test_403_with_no_calls_left(gateway, upstream):
    """As GitHub says it. A POST too: it was refused, and not acted on."""

    def refuse(_):
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 3)}
        return reply(403, {"message": "API rate limit exceeded"}, headers=headers)

    upstream.on("POST", "/call", refuse, reply(201, {}))
    report = gateway(stages={"call": call_stage(upstream.url)}).client().run("call")
    assert report["status"] == "SUCCEEDED", report
    assert gaps(upstream)[0] > 1.9


def test_403_without_permission_is_final(gateway, upstream):
    headers = {"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": str(int(time.time()) + 3)}
    upstream.on("POST", "/call", reply(403, {"message": "no"}, headers=headers))
    report = gateway(stages={"call": call_stage(upstream.url, error="$.message")}).client().run("call")
    assert (report["status"], report["error"]) == ("TERMINAL", "request: the upstream answered 403: no")
    assert upstream.count() == 1


def test_503_holds_others_too(gateway, upstream):
    """One reply holds every run with the same credentials to the same host, on whatever loop; not those with others."""
    stages = {
        name: get_stage(upstream.url, name, url=f"{upstream.url}/{name}", auth={"type": "bearer", "token": token})
        for name, token in (("first", "same"), ("second", "same"), ("third", "other"))
    }
    upstream.on("GET", "/first", reply(503, headers={"Retry-After": "2"}), reply(200, {}))
    upstream.on("GET", "/second", reply(200, {}))
    upstream.on("GET", "/third", reply(200, {}))
    client = gateway(stages=stages, options={"loops": 4}).client()
    first = client.started("first")
    client.wait_report(first["id"], lambda one: "503" in one["progress"], "the refusal")
    others = [client.started("second", key=f"key {n}") for n in range(12)]  # a key picks the loop
    for other in others:
        told = client.wait_report(other["id"], lambda one: "waiting until" in one["progress"], "the reason")
        assert "127.0.0.1 asked with its answer 503" in told["progress"], told
    assert client.run("third")["status"] == "SUCCEEDED"
    assert upstream.count("GET", "/second") == 0
    for one in (first, *others):
        assert client.wait_end(one["id"])["status"] == "SUCCEEDED"
    asked = next(one.at for one in upstream.requests if one.path == "/first")
    assert next(one.at for one in upstream.requests if one.path == "/second") - asked > 1.9


def test_a_run_that_is_held_can_be_canceled(gateway, upstream):
    upstream.on("POST", "/call", reply(429, headers={"Retry-After": "600"}))
    client = gateway(stages={"call": call_stage(upstream.url)}, options={"loops": 1}).client()
    first = client.started("call")
    client.wait_report(first["id"], lambda one: "429" in one["progress"], "the refusal")
    second = client.started("call")
    client.wait_report(second["id"], lambda one: "waiting until" in one["progress"], "the reason")
    for one in (first, second):
        client.cancel(one["id"])
        ended = client.wait_end(one["id"])
        assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled_before_start"), ended
    assert upstream.count() == 1


def test_the_budget(gateway, upstream):
    upstream.on("POST", "/call", reply(429, headers={"Retry-After": "600"}))
    client = gateway(stages={"call": call_stage(upstream.url, retry={"budget": "5m"})}).client()
    report = client.run("call")
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused")
    assert "it asks to wait for 10m, and retry.budget is 5m" in report["error"], report
    assert upstream.count() == 1


def test_codes_of_the_definition(gateway, upstream):
    retry = {"on": "409,503", "delay": "10ms", "attempts": 5}
    client = gateway(stages={"call": call_stage(upstream.url, retry=retry)}).client()
    upstream.on("POST", "/call", reply(409), reply(503), reply(201, {}))
    assert client.run("call")["status"] == "SUCCEEDED"
    upstream.on("POST", "/call", reply(502))
    assert client.run("call")["reason"] == "upstream_refused"
    assert upstream.count("POST", "/call") == 4
