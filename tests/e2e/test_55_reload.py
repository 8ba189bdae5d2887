"""Definitions come and go while the gateway runs: all good, or the old one stays, per stage."""

import hashlib
import shutil
import time

from helpers.client import check_problem
from helpers.gateway import Background, conf
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.upstream import reply
from helpers.wait import wait_until


def listed(client):
    return {one["name"]: one for one in client.get("/stages").json()["stages"]}


def state(client, name, wanted, timeout=5.0):
    """Waits until a stage is in a state; its entry."""
    last = {}

    def look():
        last.update(listed(client))
        return last.get(name, {}).get("state") == wanted

    wait_until(look, lambda: f"{name} to be {wanted}: {last}", timeout)
    return last[name]


def test_new_file_is_offered_within_a_second(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway()
    client = gw.client()
    assert client.start("job").status == 404
    gw.put_stage("job", job_stage(upstream.url))
    state(client, "job", "ok", timeout=1.0)
    assert client.run("job")["status"] == "SUCCEEDED"


def test_file_that_is_written_slowly(gateway, upstream):
    """An editor or cp writes in pieces: what is half there is at most broken for a moment."""
    gw = gateway()
    client = gw.client()
    text = job_stage(upstream.url)
    with open(gw.stages_dir / "job.conf", "w") as file:
        for at in range(0, len(text), 40):
            file.write(text[at : at + 40])
            file.flush()
            time.sleep(0.01)
    state(client, "job", "ok")
    assert gw.process.poll() is None


def test_broken_file_keeps_the_old_one_in_force(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    gw.put_stage("job", job_stage(upstream.url).replace("timeout", "timeuot"))
    broken = state(client, "job", "stale")
    (error,) = broken["errors"]
    assert "job.conf:" in error["where"] and "timeuot" in error["what"] and "timeout" in error["what"], broken
    assert client.run("job")["status"] == "SUCCEEDED", "the old one is in force"
    assert client.metrics()["stagedoor_stage_broken", frozenset({("stage", "job")})] == 1
    assert gw.log(level="error") or gw.log(level="warn"), "the log says it too"
    gw.put_stage("job", job_stage(upstream.url, label="mended"))
    assert state(client, "job", "ok")["label"] == "mended"
    assert client.metrics()["stagedoor_stage_broken", frozenset({("stage", "job")})] == 0


def test_log_shows_the_line_of_a_template(gateway, upstream):
    """As `check` does: the line and a caret below what is wrong, at the start and at a reload."""
    wrong = call_stage(upstream.url, body='[{{ 1 +* 2 }}]')
    gw = gateway(stages={"call": wrong})
    (line,) = [line for line in gw.wait_log(event="definition_broken")]
    assert line["lines"] == "[{{ 1 +* 2 }}]\n       ^", line
    gw.put_stage("call", wrong.replace("+*", "+ *"))
    wait_until(lambda: len(gw.log(event="definition_broken")) == 2, "the reload to be logged", 5)
    assert gw.log(event="definition_broken")[1]["lines"] == "[{{ 1 + * 2 }}]\n        ^"


def test_file_that_was_broken_from_the_start(gateway, upstream):
    script_job(upstream, "done")
    gw = gateway(stages={"job": job_stage(upstream.url), "bad": 'name = "bad";\nrequest = {\n'})
    client = gw.client()
    assert client.run("job")["status"] == "SUCCEEDED", "the others are not taken down"
    bad = listed(client)["bad"]
    assert bad["state"] == "broken" and bad["errors"], bad
    check_problem(client.start("bad"), 404)


def test_every_mistake_of_a_file_at_once(gateway, upstream):
    text = job_stage(upstream.url).replace("success", "sucess").replace('"$.state"', '"$.["').replace("every", "evry")
    client = gateway(stages={"job": text}).client()
    errors = listed(client)["job"]["errors"]
    assert len(errors) >= 3, errors
    assert all(error["where"] and error["what"] for error in errors)


def test_removed_file_is_not_offered_any_more(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.remove_stage("job")
    wait_until(lambda: "job" not in listed(client), "it to be gone", 5)
    assert client.start("job").status == 404
    jobs.hold = False
    assert client.wait_end(report["id"])["status"] == "SUCCEEDED", "its runs go on"


def test_running_run_keeps_its_definition(gateway, upstream):
    jobs = Jobs(upstream, hold=True)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    report = client.started("job")
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.put_stage("job", job_stage(upstream.url, label="new", status={"success": ["other"]}, outputs={"new": "$.result"}))
    wait_until(lambda: listed(client)["job"]["label"] == "new", "the new one")
    jobs.hold = False
    assert client.wait_end(report["id"])["outputs"] == {"result": 1}


def test_rename_of_a_stage_inside_its_file(gateway, upstream):
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    gw.put_stage("job", job_stage(upstream.url, name="work"))
    state(client, "work", "ok")
    assert "job" not in listed(client)


def test_two_files_with_one_name(gateway, upstream):
    gw = gateway(stages={"one": call_stage(upstream.url, name="same"), "two": call_stage(upstream.url, name="same")})
    entries = [one for one in gw.client().get("/stages").json()["stages"] if one["errors"]]
    assert entries and all("same" in str(one["errors"]) for one in entries), entries
    assert gw.client().start("same").status == 404


def test_template_file_that_changes(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"call": call_stage(upstream.url, template="t.json")}, templates={"t.json": '{"v": 1}'})
    client = gw.client()
    client.run("call")
    (gw.templates_dir / "t.json").write_text('{"v": 2}')
    wait_until(lambda: client.run("call") and upstream.got("POST", "/call")[-1].json()["v"] == 2, "the new template", 5)


def test_sighup_reads_anew(gateway, upstream):
    gw = gateway(stages={"call": call_stage(upstream.url)})
    client = gw.client()
    before = client.metrics()["stagedoor_reloads_total", frozenset()]
    gw.reload()
    wait_until(lambda: client.metrics()["stagedoor_reloads_total", frozenset()] > before, "a reload")
    assert listed(client)["call"]["state"] == "ok"


def test_sighup_takes_new_secrets_and_callers(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    text = call_stage(upstream.url, auth={"type": "bearer", "token": "{{ secret.token }}"})
    rights = {"start": ["*"], "see": ["*"], "cancel": ["*"]}

    def caller(token):
        return [{"name": "orca", "token_sha256": hashlib.sha256(token.encode()).hexdigest(), **rights}]

    gw = gateway(stages={"call": text}, secrets={"token": "old-secret"}, callers=caller("old-token"))
    old = gw.client(token="old-token")
    old.run("call")
    (gw.secrets_dir / "token").write_text("new-secret\n")
    (gw.directory / "callers.conf").write_text(conf({"callers": caller("new-token")}))
    gw.reload()
    wait_until(lambda: gw.client(token="new-token").get("/stages").status == 200, "the new token")
    check_problem(old.get("/stages"), 401)
    gw.client(token="new-token").run("call")
    sent = [request.header("Authorization") for request in upstream.got("POST", "/call")]
    assert sent == ["Bearer old-secret", "Bearer new-secret"]


def test_directory_that_goes_away_and_comes_back(gateway, upstream):
    gw = gateway(stages={"call": call_stage(upstream.url)})
    client = gw.client()
    moved = gw.directory / "moved"
    gw.stages_dir.rename(moved)
    gw.reload()
    assert client.get("/health").status == 200
    assert client.get("/stages/call").status == 200, "what was in force stays"
    shutil.move(moved, gw.stages_dir)
    gw.put_stage("late", call_stage(upstream.url, name="late"))
    gw.reload()
    state(client, "late", "ok")


def test_what_is_no_definition_is_left_alone(gateway, upstream):
    gw = gateway(stages={"call": call_stage(upstream.url)})
    for name in ("README", "x.conf~", ".hidden.conf", "#x.conf#", "x.conf.bak"):
        (gw.stages_dir / name).write_text("nonsense {{{")
    (gw.stages_dir / "sub.conf").mkdir()
    gw.put_stage("late", call_stage(upstream.url, name="late"))
    client = gw.client()
    state(client, "late", "ok")
    assert {"call", "late"} <= set(listed(client)) <= {"call", "late", "sub"}


def test_many_reloads_under_load(gateway, upstream):
    """Generations come and go while runs hold on to them."""
    Jobs(upstream, polls=1)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    over = []

    def load(client, base):
        ids = []
        for n in range(20):
            ids.append(client.started("job", {"n": base + n})["id"])
        return ids

    def reloads():
        for turn in range(30):
            gw.put_stage("job", job_stage(upstream.url, label=f"turn {turn}"))
            gw.put_stage("other", call_stage(upstream.url, name="other") if turn % 2 else "broken = ;")
            gw.reload()
            time.sleep(0.02)
        over.append(True)

    calls = Background(reloads, *[lambda c=gw.client(), b=b: load(c, b) for b in (0, 100, 200)])
    _, *ids = calls.results()
    client = gw.client()
    for id in sum(ids, []):
        assert client.wait_end(id)["status"] == "SUCCEEDED"
    wait_until(lambda: listed(client)["job"]["label"] == "turn 29", "the last one")


def test_no_stages_at_all(gateway):
    client = gateway().client()
    assert client.get("/stages").json()["stages"] == []
    check_problem(client.start("x"), 404)


def test_options_that_may_change_without_a_restart(gateway, upstream):
    """stagedoor.conf is read again on SIGHUP: what may change does, the rest stays and the log says so."""
    Jobs(upstream, polls=1)
    gw = gateway(stages={"job": job_stage(upstream.url)})
    client = gw.client()
    gw.options |= {"public_url": "https://gw.example.com/", "log_level": "debug", "loops": 7}
    gw.write_config()
    gw.reload()
    wait_until(
        lambda: client.get("/stages/job").json()["startUrl"] == "https://gw.example.com/stages/job", "the new public_url"
    )
    assert client.run("job")["statusUrl"].startswith("https://gw.example.com/runs/")
    assert gw.log(level="debug"), "the new level"
    assert {line["option"] for line in gw.log(event="option_changed")} == {"public_url", "log_level"}
    assert {line["option"] for line in gw.log(event="option_needs_restart")} == {"loops"}

    gw.options |= {"public_url": "https://other.example.com", "retension": "1d"}
    gw.write_config()
    gw.reload()
    wait_until(lambda: gw.log(event="options_not_read"), "the mistake in the log")
    assert client.get("/stages/job").json()["startUrl"].startswith("https://gw.example.com/"), "all or nothing"
    del gw.options["retension"]
