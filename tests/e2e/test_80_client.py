"""The commands against a real gateway: exit statuses, --json, what is printed. (test_79 has them against a played one.)"""

import hashlib
import json
import os
import signal
import subprocess

import pytest
from helpers.gateway import BINARY, ROOT, command
from helpers.jobs import Jobs, call_stage, job_stage, script_job
from helpers.services import shipped, templates
from helpers.upstream import reply
from helpers.wait import free_port, wait_until


@pytest.fixture
def gw(gateway, upstream):
    return gateway(stages={"job": job_stage(upstream.url, description="Does it."), "call": call_stage(upstream.url)})


def tool(gw, *arguments, **options):
    return command(*arguments, env={"STAGEDOOR_URL": gw.url, **options.pop("env", {})}, **options)


def test_run_that_succeeds(gw, upstream):
    script_job(upstream, "running", "running", "done")
    done = tool(gw, "run", "job", "n=5", "text=two words")
    assert done.returncode == 0, done
    assert "SUCCEEDED" in done.stdout and "is done" in done.stdout
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 5, "text": "two words"}


def test_run_as_json(gw, upstream):
    script_job(upstream, "running", "done")
    done = tool(gw, "run", "job", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["outputs"] == {"result": "is done"}, done


@pytest.mark.parametrize("state, status", [("failed", 1), ("aborted", 3)])
def test_run_that_ends_otherwise(gw, upstream, state, status):
    word = {"failed": "TERMINAL", "aborted": "CANCELED"}[state]
    script_job(upstream, state)
    done = tool(gw, "run", "job")
    assert done.returncode == status and word in done.stdout, done


def test_explain(gw, upstream):
    script_job(upstream, *["running"] * 3, reply(503, "busy"), *["mystery"] * 2, "failed")
    run = gw.client().run("job")
    answer = gw.client().get(f"/runs/{run['id']}/explain")
    assert answer.status == 200, answer
    told = answer.json()
    calls = [(one["step"], one["count"], one["code"], one["verdict"], one["rule"]) for one in told["calls"]]
    assert calls == [
        ("request", 1, 201, "succeeded", "the code is in expect"),
        ("status", 3, 200, "running", '$.state is "running"'),
        ("status", 1, 503, "again", "the upstream answered 503"),
        ("status", 2, 200, "running", '$.state is "mystery", which no list names'),
        ("status", 1, 200, "failed", '$.state is "failed"'),
    ]
    assert (told["status"], told["reason"], told["next"], told["leftOut"]) == ("TERMINAL", "upstream_failed", None, 0)
    done = tool(gw, "explain", run["id"], "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == told
    done = tool(gw, "explain", run["id"])
    assert done.returncode == 0 and '$.state is "mystery", which no list names' in done.stdout, done
    assert tool(gw, "explain", "01HZZZZZZZZZZZZZZZZZZZZZZZ").returncode == 2


def test_explain_of_a_run_in_flight(gw, upstream):
    """What it waits for, and by when; and after a crash, what was on disk."""
    Jobs(upstream, hold=True)
    client = gw.client()
    run = client.started("job")
    upstream.wait_for(2, "GET")
    told = wait_until(lambda: told_of(client, run, "waiting"), "it waits")
    assert told["next"]["step"] == "status" and told["next"]["at"] and told["deadline"], told
    assert tool(gw, "explain", run["id"]).stdout.count("running") >= 1
    gw.restart()
    again = gw.client().get(f"/runs/{run['id']}/explain").json()
    assert again["calls"][0] == told["calls"][0], again
    gw.client().cancel(run["id"])
    gw.client().wait_end(run["id"])
    last = gw.client().get(f"/runs/{run['id']}/explain").json()["calls"][-2:]
    words = [(call["step"], call["call"], call["verdict"]) for call in last]
    assert words == [("cancel", "cancel", "succeeded"), ("status", "check", "canceled")], last


def told_of(client, run, state):
    told = client.get(f"/runs/{run['id']}/explain").json()
    return told if told["state"] == state else None


def test_explain_masks_secrets(gateway, upstream):
    gw = gateway(
        stages={"job": job_stage(upstream.url, request={"headers": {"X": "{{ secret.hush }}"}})},
        secrets={"hush": "tell-nobody"},
    )
    script_job(upstream, "tell-nobody", "failed")
    run = gw.client().run("job")
    answer = gw.client().get(f"/runs/{run['id']}/explain")
    assert "tell-nobody" not in answer.text and '***' in answer.text, answer


def test_run_with_mistakes(gw):
    done = tool(gw, "run", "job", "n=x", "txt=y")
    assert done.returncode == 2, done
    assert "/parameters/n" in done.stderr and "/parameters/txt" in done.stderr
    done = tool(gw, "run", "jop")
    assert done.returncode == 2 and "job" in done.stderr, done


def test_gateway_that_is_not_there():
    for words in (["run", "job"], ["list"], ["runs"], ["watch", "01HZZZZZZZZZZZZZZZZZZZZZZZ"]):
        done = command(*words, "--url", f"http://127.0.0.1:{free_port()}")
        assert done.returncode == 4 and "connect" in done.stderr, done


def test_same_key_same_run(gw, upstream):
    script_job(upstream, "done")
    ids = {json.loads(tool(gw, "run", "job", "--key", "k", "--json").stdout)["id"] for _ in range(2)}
    assert len(ids) == 1 and upstream.count("POST", "/jobs") == 1


def test_list(gw):
    done = tool(gw, "list")
    assert done.returncode == 0 and "job" in done.stdout and "Does it." in done.stdout
    assert [one["name"] for one in json.loads(tool(gw, "list", "--json").stdout)["stages"]] == ["call", "job"]


def test_runs_watch_and_cancel(gw, upstream):
    Jobs(upstream, hold=True)
    client = gw.client()
    id = client.started("job")["id"]
    upstream.wait_for(1, "GET", "/jobs/1")
    done = tool(gw, "runs")
    assert done.returncode == 0 and id in done.stdout
    assert [one["id"] for one in json.loads(tool(gw, "runs", "--status", "running", "--json").stdout)["runs"]] == [id]
    assert json.loads(tool(gw, "runs", "--stage", "call", "--json").stdout)["runs"] == []
    watcher = subprocess.Popen(
        [BINARY, "watch", id], stdout=subprocess.PIPE, text=True, env={**os.environ, "STAGEDOOR_URL": gw.url}
    )
    done = tool(gw, "cancel", id)
    assert done.returncode == 0, done
    output, _ = watcher.communicate(timeout=30)
    assert watcher.returncode == 3 and "CANCELED" in output


def test_watch_of_what_has_ended(gw, upstream):
    script_job(upstream, "done")
    id = gw.client().run("job")["id"]
    done = tool(gw, "watch", id, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["id"] == id


def test_run_survives_a_restart_of_the_gateway(gw, upstream):
    jobs = Jobs(upstream, hold=True)
    runner = subprocess.Popen(
        [BINARY, "run", "job"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "STAGEDOOR_URL": gw.url},
    )  # fmt: skip
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.restart()
    jobs.hold = False
    output, errors = runner.communicate(timeout=30)
    assert runner.returncode == 0 and "SUCCEEDED" in output, (output, errors)
    assert jobs.posts == {1: 1}


def test_interrupt_leaves_the_run(gw, upstream):
    jobs = Jobs(upstream, hold=True)
    runner = subprocess.Popen(
        [BINARY, "run", "job"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "STAGEDOOR_URL": gw.url},
    )  # fmt: skip
    upstream.wait_for(2, "GET", "/jobs/1")
    runner.send_signal(signal.SIGINT)
    _, errors = runner.communicate(timeout=10)
    assert runner.returncode == 130 and "goes on" in errors
    (run,) = gw.client().get("/runs").json()["runs"]
    assert run["status"] == "RUNNING"
    jobs.hold = False
    assert gw.client().wait_end(run["id"])["status"] == "SUCCEEDED"


def test_load_test_from_the_command_line(gateway, loadtest, target):
    """The line that make run prints."""
    gw = gateway(stages={"load-test": shipped("load-test", loadtest.url, every="200ms")}, templates=templates())
    done = tool(gw, "run", "load-test", f"target={target.url}/", "users=5", "duration=1")
    assert done.returncode == 0 and "p99_ms" in done.stdout, done


def test_token_from_environment_and_file(gateway, upstream, tmp_path):
    token = "a-good-token"
    rights = {"start": ["*"], "see": ["*"], "cancel": ["*"]}
    callers = [{"name": "kim", "token_sha256": hashlib.sha256(token.encode()).hexdigest(), **rights}]
    gw = gateway(stages={"call": call_stage(upstream.url)}, callers=callers)
    upstream.on("POST", "/call", reply(200, {}))
    assert tool(gw, "list").returncode == 2
    assert tool(gw, "run", "call", env={"STAGEDOOR_TOKEN": token}).returncode == 0
    (tmp_path / "token").write_text(token + "\n")
    assert tool(gw, "list", env={"STAGEDOOR_TOKEN_FILE": str(tmp_path / "token")}).returncode == 0
    wrong = tool(gw, "list", env={"STAGEDOOR_TOKEN": "wrong-one"})
    assert wrong.returncode == 2 and "wrong-one" not in wrong.stderr + wrong.stdout


# ---- without a gateway ----


def test_eval_template(tmp_path):
    file = tmp_path / "t.json"
    file.write_text('{"a": "<{{ parameters.a }}>", "b": {{ parameters.b }}}')
    done = command("eval", "template", file, "--vars", '{"parameters": {"a": "q\\"", "b": [1, null]}}')
    assert done.returncode == 0 and json.loads(done.stdout) == {"a": '<q">', "b": [1, None]}, done
    done = command("eval", "template", file, "--vars", '{"parameters": {"a": 1}}')
    assert done.returncode == 1 and "parameters.b" in done.stderr, done
    file.write_text('{"a": {{ parameters.a }')
    done = command("eval", "template", file, "--vars", "{}")
    assert done.returncode == 2 and "t.json:1" in done.stderr, done


@pytest.mark.parametrize(
    "path, nodes",
    [
        ("$.a.b", ["x y"]),
        ("$.list[1].n", [2]),
        ("$.list[*].n", [1, 2, 3]),
        ("$.list[?@.n > 1].n", [2, 3]),
        ("$.list[?@.k == 'two'].n", [2]),
        ("$['a']['b']", ["x y"]),
        ("$.list[-1].n", [3]),
    ],
)
def test_eval_jsonpath(path, nodes):
    document = {"a": {"b": "x y"}, "list": [{"n": 1}, {"n": 2, "k": "two"}, {"n": 3}]}
    done = command("eval", "jsonpath", path, "--json", input=json.dumps(document))
    assert done.returncode == 0 and json.loads(done.stdout)["result"] == nodes, done


def test_eval_jsonpath_that_finds_nothing_or_is_none():
    assert command("eval", "jsonpath", "$.x", input="{}").returncode == 1
    done = command("eval", "jsonpath", "$.[", input="{}")
    assert done.returncode == 2 and done.stderr, done
    assert command("eval", "jsonpath", "$.a", input="{not json").returncode == 2


def test_check_of_what_ships():
    done = command("check", cwd=ROOT)
    assert done.returncode == 0, done


def test_check_of_what_is_broken(tmp_path):
    (tmp_path / "stages.d").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "stages.d" / "bad.conf").write_text(
        'name = "bad";\nrequest = { method = "POST"; url = "http://127.0.0.1/"; expct = "200"; };\n'
        'status = { url = "{{ request.body.x }}"; value = "$.["; };\n'
    )
    done = command("check", cwd=tmp_path)
    assert done.returncode in (1, 2), done
    said = done.stdout + done.stderr
    assert "bad.conf:2" in said and "expct" in said and "expect" in said and "bad.conf:3" in said, said
    done = command("check", "--json", cwd=tmp_path)
    (definition,) = json.loads(done.stdout)["definitions"]
    lines = {mistake["line"] for mistake in definition["mistakes"]}
    assert definition["ok"] is False and {2, 3} <= lines, definition


def test_version():
    done = command("version")
    assert done.returncode == 0 and done.stdout.startswith("stagedoor ")
