"""A stage from its start to its end, against the sample load-test service, which really drives load.

Without `Prefer` a start is 202 also if the run has already ended by then; with it,
200 says that the run has ended and 202 that the time was up; `GET /runs/{id}` takes `Prefer: wait` too."""

import time
import urllib.parse

import pytest
from helpers.client import ENDED, REPORT_FIELDS, Client, check_problem, check_report
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.services import fetch, shipped, templates
from helpers.upstream import Gate, reply
from helpers.wait import wait_until


@pytest.fixture
def load(gateway, loadtest):
    return gateway(stages={"load-test": shipped("load-test", loadtest.url, every="200ms")}, templates=templates())


def test_load_test_from_start_to_end(load, loadtest, target):
    client = load.client()
    posts = loadtest.stats()["posts"]
    began = time.monotonic()
    answer = client.start("load-test", {"target": target.url + "/", "users": 3, "duration": 2})
    assert time.monotonic() - began < 1, "the answer waits for nothing but the disk"
    assert answer.status == 202, answer
    report = check_report(answer.json())
    assert answer.header("Location") == report["statusUrl"] == f"{load.url}/runs/{report['id']}"
    assert report["cancelUrl"] == f"{load.url}/runs/{report['id']}/cancel"
    assert (report["stage"], report["outputs"], report["ended"]) == ("load-test", {}, None)

    seen = []
    while not seen or seen[-1]["status"] not in ENDED:
        seen.append(client.report(report["id"]))
        time.sleep(0.05)
        assert len(seen) < 400, seen[-1]
    last = seen[-1]
    assert last["status"] == "SUCCEEDED", last
    assert {one["status"] for one in seen[:-1]} <= {"NOT_STARTED", "RUNNING"}
    percents = [one["percent"] for one in seen if one["percent"] is not None]
    assert percents == sorted(percents) and len(set(percents)) > 2, f"progress is seen: {percents}"
    assert any("running" in one["progress"] for one in seen), [one["progress"] for one in seen]

    # What came out is what the service measured.
    assert loadtest.stats()["posts"] == posts + 1
    run = loadtest.run(loadtest.stats()["runs"])
    assert run["order"] == {"target": target.url + "/", "users": 3, "profile": "smoke", "duration": 2}
    assert last["outputs"] == {
        "report": run["links"]["report"],
        "requests": run["metrics"]["requests"],
        "p50_ms": run["metrics"]["p50"],
        "p99_ms": run["metrics"]["p99"],
    }
    assert last["outputs"]["requests"] > 10
    assert fetch(last["outputs"]["report"])[0] == 200
    assert last["upstream"]["status"] == "passed" and last["upstream"]["code"] == 200


def test_load_test_that_fails(load, target):
    report = load.client().run("load-test", {"target": target.url + "/failing", "users": 2, "duration": 1})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed")
    assert "failed" in report["progress"], report
    assert report["outputs"]["requests"] > 0, "outputs of a failed run help to find out why"


def test_load_test_that_cannot_be_run(load, target):
    report = load.client().run("load-test", {"target": "http://127.0.0.1:1/", "users": 2, "duration": 1})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_failed")


def test_load_test_canceled(load, loadtest, target):
    client = load.client()
    report = client.started("load-test", {"target": target.url + "/", "users": 2, "duration": 600})
    client.wait_report(report["id"], lambda one: one["upstream"].get("status") == "running", "the load")
    number = loadtest.stats()["runs"]
    answer = client.cancel(report["id"])
    assert answer.status in (200, 202), answer
    check_report(answer.json())
    ended = client.wait_end(report["id"])
    assert (ended["status"], ended["reason"]) == ("CANCELED", "canceled")
    assert loadtest.run(number)["state"] == "aborted"


def test_refused_by_the_service(load):
    """The service drives load nowhere but on loopback; its 422 is outside of `expect`."""
    report = load.client().run("load-test", {"target": "http://192.0.2.1/", "duration": 1})
    assert (report["status"], report["reason"]) == ("TERMINAL", "upstream_refused")
    assert "422" in report["error"], report


# ---- the form of answers ----


def test_report_is_whole_from_the_first_answer_on(gateway, upstream):
    gate = Gate(reply(201, {"links": {"self": f"{upstream.url}/jobs/1"}}))
    script_job(upstream, "queued", "running", "done")
    upstream.on("POST", "/jobs", gate)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    first = client.started("job")
    assert set(first) >= REPORT_FIELDS
    polled = client.report(first["id"])  # before the upstream has said anything
    assert set(polled) == set(first)
    gate.open()
    last = client.wait_end(first["id"])
    assert set(last) == set(first)
    assert (last["status"], last["outputs"]) == ("SUCCEEDED", {"result": "is done"})
    assert first["created"] == last["created"] <= last["ended"] <= last["updated"]


def test_start_never_waits_for_the_upstream(gateway, upstream):
    gate = upstream.on("POST", "/call", Gate(reply(200, {})))
    client = gateway(stages={"call": call_stage(upstream.url)}).client()
    began = time.monotonic()
    report = client.started("call")
    assert time.monotonic() - began < 1
    assert report["status"] in ("NOT_STARTED", "RUNNING")
    gate.open()
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED"


def test_prefer_wait_holds_until_the_end(gateway, upstream):
    script_job(upstream, "running", "running", "done")
    client = gateway(stages={"job": job_stage(upstream.url)}).client()
    answer = client.start("job", wait=20)
    assert answer.status == 200, answer
    assert check_report(answer.json())["status"] == "SUCCEEDED"


def test_prefer_wait_ends_when_the_time_is_up(gateway, upstream):
    script_job(upstream, "running")
    client = gateway(stages={"job": job_stage(upstream.url)}).client()
    began = time.monotonic()
    answer = client.start("job", wait=1)
    assert 0.8 < time.monotonic() - began < 4
    assert answer.status == 202 and check_report(answer.json())["status"] == "RUNNING"


def test_prefer_wait_on_a_poll(gateway, upstream):
    script_job(upstream, "running", "running", "running", "done")
    client = gateway(stages={"job": job_stage(upstream.url)}).client()
    report = client.started("job")
    answer = client.get(f"/runs/{report['id']}", headers={"Prefer": "wait=20"})
    assert answer.status == 200 and check_report(answer.json())["status"] == "SUCCEEDED"


@pytest.mark.parametrize("prefer", ["wait=", "wait=-1", "wait=x", "wait=99999999999999999999", "respond-async", "wait=0"])
def test_prefer_that_makes_no_sense_is_ignored(gateway, upstream, prefer):
    """RFC 7240, 2: preferences that are not understood are ignored."""
    upstream.on("POST", "/call", reply(200, {}))
    client = gateway(stages={"call": call_stage(upstream.url)}).client()
    assert client.start("call", headers={"Prefer": prefer}).status in (200, 202)


def test_public_url_is_what_links_begin_with(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"call": call_stage(upstream.url)}, options={"public_url": "https://gw.example.com/door/"})
    answer = gw.client().start("call")
    report = check_report(answer.json())
    assert report["statusUrl"] == f"https://gw.example.com/door/runs/{report['id']}" == answer.header("Location")


def test_a_stage_of_one_call(gateway, upstream):
    """Without `status` the run ends with the reply; outputs come from it."""
    text = call_stage(upstream.url, body="{}", expect="2xx") + 'outputs = { id = "$.made.id"; all = "$.made"; };\n'
    upstream.on("POST", "/call", reply(200, {"made": {"id": 17}}))
    report = gateway(stages={"call": text}).client().run("call")
    assert report["outputs"] == {"id": 17, "all": {"id": 17}}, "values keep their type"
    assert upstream.count("POST", "/call") == 1


def test_values_reach_their_places(gateway, upstream):
    text = """
        name = "places";
        parameters = ( { name = "text"; type = "string"; }, { name = "n"; type = "integer"; },
                       { name = "flag"; type = "boolean"; }, { name = "any"; type = "json"; } );
        request = {
          method = "PUT"; url = "URL/a/{{ parameters.text }}/b?q={{ parameters.text }}&n={{ parameters.n }}";
          headers = { X-Run = "{{ run.id }}"; X-Who = "{{ caller.user | default('nobody') }}"; };
          body = "{\\"in\\": \\"<{{ parameters.text }}>\\", \\"bare\\": {{ parameters.text }}, \\"n\\": {{ parameters.n }},
                   \\"flag\\": {{ parameters.flag }}, \\"any\\": {{ parameters.any }}}";
          content_type = "application/json";
        };
    """.replace("URL", upstream.url)
    upstream.on("PUT", "/a/*", reply(200, {}))
    evil = "a/../b?x=1&y#\"\\\n</é☃ %2f"
    client = gateway(stages={"places": text}).client()
    parameters = {"text": evil, "n": "50", "flag": "true", "any": {"k": [1, None]}}
    report = client.run("places", parameters, caller={"user": "kim"})
    assert report["status"] == "SUCCEEDED", report
    (request,) = upstream.got()
    quoted = urllib.parse.quote(evil, safe="")
    assert request.path == f"/a/{quoted}/b", "a value is one segment, whatever it holds"
    assert urllib.parse.parse_qs(request.query) == {"q": [evil], "n": ["50"]}
    assert request.json() == {"in": f"<{evil}>", "bare": evil, "n": 50, "flag": True, "any": {"k": [1, None]}}
    assert (request.header("X-Run"), request.header("X-Who")) == (report["id"], "kim")
    assert request.header("Content-Type").startswith("application/json")
    assert request.header("User-Agent").startswith("stagedoor/")


def test_traceparent_is_passed_on_or_made(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"call": call_stage(upstream.url)})
    trace = "0af7651916cd43dd8448eb211c80319c"
    client = gw.client()
    report = client.run("call", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    client.run("call")
    sent = [request.header("traceparent") for request in upstream.got("POST", "/call")]
    assert sent[0].split("-")[1] == trace
    assert sent[1].split("-")[1] not in (trace, "0" * 32)
    assert any(trace in str(line) for line in gw.wait_log(run=report["id"])), "the log has it too"


def test_relative_status_url_and_text_plain(gateway, upstream):
    """AWX gives a relative URL; many servers send JSON as text/plain."""
    upstream.on("POST", "/jobs", reply(201, '{"links": {"self": "/jobs/1"}}', content_type="text/plain"))
    upstream.on("GET", "/jobs/1", reply(200, '{"state": "done", "result": 1}', content_type="text/plain"))
    assert gateway(stages={"job": job_stage(upstream.url)}).client().run("job")["status"] == "SUCCEEDED"


def test_steps_hand_on_what_they_got(gateway, upstream):
    text = """
        name = "two";
        steps = ( { name = "find"; url = "URL/find"; },
                  { name = "use"; method = "POST"; url = "URL/use/{{ find.body.items[1].id }}";
                    body = "{\\"code\\": {{ find.code }}, \\"tag\\": \\"{{ find.headers.etag }}\\"}"; } );
        outputs = { found = "{{ find.body.items[1].id }}"; used = "$.ok"; };
    """.replace("URL", upstream.url)
    upstream.on("GET", "/find", reply(200, {"items": [{"id": 1}, {"id": "b c"}]}, headers={"ETag": "e1"}))
    upstream.on("POST", "/use/b%20c", reply(200, {"ok": True}))
    report = gateway(stages={"two": text}).client().run("two")
    assert report["outputs"] == {"found": "b c", "used": True}, report
    assert upstream.got("POST")[0].json() == {"code": 200, "tag": "e1"}


def test_steps_hand_on_their_outputs(gateway, upstream):
    """What one step made of its reply is known by name to the steps behind it, also where its reply was long."""
    text = """
        name = "three";
        steps = ( { name = "find"; url = "URL/find"; outputs = { mine = "$.items[?@.owner == 'me'].id"; }; },
                  { name = "start"; method = "POST"; url = "URL/start/{{ find.outputs.mine | first }}"; body = "{\\"all\\": {{ find.outputs }}}";
                    outputs = { job = "job-{{ body.job }}"; }; },
                  { name = "look"; url = "URL/look?job={{ start.outputs.job }}"; outputs = { state = "$.state"; }; } );
        outputs = { said = "{{ look.outputs.state | upper }} {{ start.outputs.job }}"; };
    """.replace("URL", upstream.url)
    upstream.on("GET", "/find", reply(200, {"items": [{"id": 1}, {"id": "b/c", "owner": "me"}]}))
    upstream.on("POST", "/start/b%2Fc", reply(200, {"job": 7}))
    upstream.on("GET", "/look", reply(200, {"state": "fine"}))
    report = gateway(stages={"three": text}).client().run("three")
    assert report["outputs"] == {"mine": ["b/c"], "job": "job-7", "state": "fine", "said": "FINE job-7"}, report
    assert upstream.got("POST")[0].json() == {"all": {"mine": ["b/c"]}}
    assert upstream.got("GET", "/look")[0].query == "job=job-7"


def test_pace_of_polls(gateway, upstream):
    script_job(upstream, *["running"] * 5, "done")
    gw = gateway(stages={"job": job_stage(upstream.url, status={"every": "300ms"})})
    gw.client().run("job")
    times = [request.at for request in upstream.got("GET", "/jobs/1")]
    gaps = [after - before for before, after in zip(times, times[1:])]
    # The first poll is prompt; the second falls on the run's own phase, and from there it is one every 300 ms.
    assert len(times) == 6 and 0.02 < gaps[0] < 1.0 and all(0.25 < gap < 1.0 for gap in gaps[1:]), gaps


def test_list_of_stages_and_one(gateway, upstream):
    text = job_stage(upstream.url, label="A job", description="Does it.")
    client = gateway(stages={"job": text, "call": call_stage(upstream.url)}).client()
    listed = client.get("/stages").json()["stages"]
    assert [(one["name"], one["label"]) for one in listed] == [("call", "call"), ("job", "A job")]
    one = client.get("/stages/job").json()
    assert (one["name"], one["label"], one["description"]) == ("job", "A job", "Does it.")
    assert [parameter["name"] for parameter in one["parameters"]] == ["n", "text"]
    schema = one["schema"]
    assert schema["properties"]["n"]["anyOf"][0]["type"] == "integer" and schema["additionalProperties"] is False
    check_problem(client.get("/stages/jop"), 404)
    assert "job" in client.get("/stages/jop").text, "it names the nearest"


def test_list_of_runs_by_filter_and_cursor(gateway, upstream):
    Jobs(upstream, polls=0)
    upstream.on("POST", "/call", reply(500, {}))
    client = gateway(stages={"job": job_stage(upstream.url), "call": call_stage(upstream.url)}).client()
    made = [client.run("job", {"n": n})["id"] for n in range(5)]
    failed = client.run("call")["id"]

    def ids(query):
        answer = client.get("/runs" + query)
        assert answer.status == 200, answer
        return [check_report(one)["id"] for one in answer.json()["runs"]]

    assert ids("") == [failed, *reversed(made)], "newest first"
    assert ids("?stage=job") == made[::-1]
    assert ids("?status=TERMINAL") == [failed]
    assert ids("?stage=job&status=TERMINAL") == []
    assert ids("?since=2999-01-01T00:00:00Z") == []
    got, cursor = [], ""
    while cursor is not None:
        page = client.get("/runs?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["runs"]) <= 2
        got += [one["id"] for one in page["runs"]]
        cursor = page.get("cursor")
    assert got == [failed, *reversed(made)], "pages have all of them, each once"
    for bad in ("?limit=0", "?limit=x", "?limit=1001", "?status=DONE", "?since=yesterday", "?cursor=!"):
        assert client.get("/runs" + bad).status in (400, 422), bad
    for bad in ("?stage=%zz", "?stage=job%00", "?status=%ff", "?stage=%4"):
        check_problem(client.get("/runs" + bad), 400)  # never a filter that is silently left out


def test_list_tells_as_much_as_the_reports(gateway, upstream):
    """Runs in flight belong to several loops, and the store is not told of every poll."""
    Jobs(upstream, hold=True)
    client = gateway(stages={"job": job_stage(upstream.url)}, options={"loops": 3}).client()
    made = [client.started("job", {"n": n})["id"] for n in range(12)]
    for id in made:
        client.wait_report(id, lambda one: one["upstream"]["status"] == "running", "a poll")
    for _ in range(3):  # over connections that different loops accept
        listed = client.get("/runs?stage=job").json()["runs"]
        assert [one["id"] for one in listed] == made[::-1]
        assert {one["progress"] for one in listed} == {"status: running (50 %)"}
        assert {one["upstream"]["status"] for one in listed} == {"running"}
        client.close()


def test_unknown_run(gateway):
    client = gateway().client()
    for id in ("01HZZZZZZZZZZZZZZZZZZZZZZZ", "x", "..%2f", "a" * 300, "%00"):
        assert client.get(f"/runs/{id}").status in (400, 404), id
    check_problem(client.get("/runs/01HZZZZZZZZZZZZZZZZZZZZZZZ"), 404)
    check_problem(client.cancel("01HZZZZZZZZZZZZZZZZZZZZZZZ"), 404)


def test_unknown_words_are_running_and_counted(gateway, upstream):
    script_job(upstream, "bewildered", "bewildered", {}, {"state": None}, "DONE")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    report = client.run("job")
    assert report["status"] == "SUCCEEDED", "words are compared without case; absent and null are running"
    assert upstream.count("GET", "/jobs/1") == 5
    told = gw.wait_log(run=report["id"], event="contract_finding", kind="word")
    assert [line["word"] for line in told] == ["bewildered"], "once"
    assert client.metrics()["stagedoor_unmapped_words_total", frozenset()] >= 1


def test_unknown_word_that_shall_fail(gateway, upstream):
    script_job(upstream, "running", "bewildered")
    report = gateway(stages={"job": job_stage(upstream.url, status={"unknown": "fail"})}).client().run("job")
    assert (report["status"], report["reason"]) == ("TERMINAL", "unknown_status") and "bewildered" in report["error"], report


def test_not_found_grace(gateway, upstream):
    script_job(upstream, reply(404, {}), reply(404, {}), "done")
    gw = gateway(stages={"job": job_stage(upstream.url, status={"not_found_grace": "20s"})})
    assert gw.client().run("job")["status"] == "SUCCEEDED"


def test_output_that_is_missing(gateway, upstream):
    script_job(upstream, {"state": "done"})
    report = gateway(stages={"job": job_stage(upstream.url)}).client().run("job")
    assert report["status"] == "SUCCEEDED" and report["outputs"] == {"result": None}, report


def test_unix_socket(gateway, upstream, tmp_path):
    upstream.on("POST", "/call", reply(200, {}))
    path = tmp_path / "door.sock"
    gw = gateway(started=False, stages={"call": call_stage(upstream.url)})
    gw.options["listen"] = [f"127.0.0.1:{gw.port}", f"unix:{path}"]
    gw.start()
    client = Client(unix=path)
    assert client.run("call")["status"] == "SUCCEEDED"
    client.close()
    gw.kill9()
    gw.start()  # the stale socket file is replaced
    wait_until(path.exists, "the socket")
    client = Client(unix=path)
    assert client.get("/health").status == 200
    client.close()


def test_ipv6(gateway, upstream):
    gw = gateway(started=False)
    gw.options["listen"] = [f"127.0.0.1:{gw.port}", f"[::1]:{gw.port}"]
    gw.start()
    client = Client(host="::1", port=gw.port)
    assert client.get("/health").status == 200
    client.close()


def test_artifacts_are_in_the_report(gateway, upstream):
    """In Spinnaker's form, with Prefer: wait already, and after a restart."""
    script_job(upstream, "running", {"state": "done", "image": "shop/web", "tag": "1.7"})
    image = {"type": "docker/image", "name": "$.image", "version": "$.tag", "reference": "{{ body.image }}:{{ body.tag }}", "location": "$.none"}
    gw = gateway(stages={"job": job_stage(upstream.url, artifacts=[image])})
    report = gw.client().run("job")
    made = [{"type": "docker/image", "name": "shop/web", "version": "1.7", "reference": "shop/web:1.7"}]
    assert (report["status"], report["artifacts"]) == ("SUCCEEDED", made)
    gw.restart()
    assert gw.client().report(report["id"])["artifacts"] == made
