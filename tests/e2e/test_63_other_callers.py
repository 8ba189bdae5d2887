"""`stagedoor export jenkins|gitlab|github|argo|tekton|azure|azure-stage STAGE`: what is written is read as its system
reads it, its script is taken out and really run, by several shells, against a gateway; seen from outside: exit status,
output, what the gateway and its upstream got."""

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
import yaml
from helpers.gateway import command
from helpers.jobs import Jobs, job_stage, script_job, stage
from helpers.upstream import reply
from helpers.wait import wait_until

KINDS = ["jenkins", "gitlab", "github", "argo", "tekton"]
SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash -e": ["bash", "-e"], "busybox": ["busybox", "sh"], "sh -ex": ["sh", "-ex"]}
TOKEN = "a-token-of-ci-0123456789"
NASTY = "say \"hi\"\n\ttwo \\ lines\r\n$HOME `id` '' {{x}} 日本 😀 %s"


def exported(gw, kind, name="job"):
    done = command(
        "export", kind, name, "--config", gw.write_config(), "--public-url", gw.url, "--any-secret"
    )
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


# ---- each system, as far as it matters here: where the script stands, and how its variables are filled ----


def ungroovy(text):
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)


def with_env(value, env):
    """As Jenkins' withEnv takes a value: variables are put in, what is none stays, $$ is a $ (hudson.Util.replaceMacro)."""
    known = {"HOME": "/home/jenkins", **env}

    def one(match):
        name = match.group(1).strip("{}")
        return "$" if name == "$" else known.get(name, match.group(0))

    return re.sub(r"\$([A-Za-z0-9_]+|\{[A-Za-z0-9_.]+\}|\$)", one, value)


def jenkins(text, given):
    parameters = dict(re.findall(r"^    (\w+)\(name: '([\w-]+)'", text, re.M)[i][::-1] for i in range(text.count("(name: '")))
    env = {"BUILD_TAG": "jenkins-shop-7", "STAGE_NAME": "Deploy", "JOB_NAME": "shop", "BUILD_URL": "http://ci/7"}
    for variable, parameter, rest in re.findall(r"'(\w+)=' \+ \(?params\['([\w-]+)'\](.*)", text):
        assert parameter in parameters
        value = str(given.get(parameter)) if "?: ''" not in rest else given.get(parameter) or ""
        env[variable] = with_env(value.replace("$", "$$") if ".replace('$', '$$')" in rest else value, env)
    (script,) = re.findall(r"sh '''\n(.*?)(?<!\\)'''", text, re.S)
    return ungroovy(script), env


def gitlab(text, given):
    (job,) = yaml.safe_load(text).values()
    env = {"CI_JOB_ID": "77", "GITLAB_USER_LOGIN": "kim", "CI_PROJECT_PATH": "a/b", "CI_PIPELINE_URL": "http://ci/7"}
    env.update({key: value for key, value in job["variables"].items() if key.startswith("P_")})
    env.update({variable_of(key): value for key, value in given.items()})
    (script,) = job["script"]
    assert job["artifacts"]["paths"] == ["stagedoor.json"] and job["image"]["entrypoint"] == [""]
    return script, env


def variable_of(name):
    return "P_" + name.replace("-", "_")


def github(text, given):
    workflow = yaml.safe_load(text)
    inputs = workflow["on"]["workflow_dispatch"]["inputs"]
    (job,) = workflow["jobs"].values()
    (step,) = job["steps"]
    facts = {"github.run_id": "1", "github.run_attempt": "2", "github.job": "stage", "strategy.job-index": "0"}
    assert set(given) <= set(inputs) | {"pin"}

    def value(match):
        name = match.group(1)
        if name.startswith("inputs."):
            return given.get(name[7:], inputs[name[7:]].get("default", ""))
        if name.startswith("secrets."):
            return {"secrets.STAGEDOOR_TOKEN": "", "secrets.P_pin": given.get("pin", "")}[name]
        return facts[name]

    env = {key: re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, text) for key, text in step["env"].items()}
    assert step["shell"] == "sh" and workflow["permissions"] == {}
    return step["run"], {**env, "GITHUB_ACTOR": "kim", "GITHUB_WORKFLOW": "deploy", "GITHUB_RUN_ID": "1"}


def pairs(env, expression, value):
    filled = {}
    for one in env:
        if "valueFrom" in one:
            filled[one["name"]] = value("secret." + one["valueFrom"]["secretKeyRef"]["key"])
        else:
            text = re.sub(expression, lambda match: value(match.group(1)), one["value"])
            filled[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: filled.get(match.group(1), match.group(0)), text)
    return filled


def argo(text, given):
    template = yaml.safe_load(text)
    assert template["kind"] == "WorkflowTemplate"
    declared = {one["name"]: one.get("value") for one in template["spec"]["arguments"]["parameters"]}
    (one,) = template["spec"]["templates"]
    assert {p["name"] for p in one["inputs"]["parameters"]} == set(declared)
    assert template["spec"]["entrypoint"] == one["name"] and one["script"]["command"] == ["sh"]
    assert "{{" not in one["script"]["source"], "Argo would put something in its place"
    facts = {"workflow.uid": "u-1", "pod.name": "p-1", "workflow.name": "w", "secret.token": "", "secret.pin": given.get("pin", "")}

    def value(name):
        if name.startswith("inputs.parameters."):
            name = name.removeprefix("inputs.parameters.")
            return given.get(name, declared[name] or "")
        return facts[name]

    return one["script"]["source"], pairs(one["script"]["env"], r"\{\{([\w.-]+)\}\}", value)


def tekton(text, given):
    task = yaml.safe_load(text)
    assert task["kind"] == "Task" and [one["name"] for one in task["spec"]["results"]] == ["run", "status"]
    declared = {one["name"]: one.get("default") for one in task["spec"]["params"]}
    (step,) = task["spec"]["steps"]
    facts = {
        "context.taskRun.uid": "t-1", "context.task.retry-count": "0", "context.taskRun.name": "t",
        "results.run.path": "result-run", "results.status.path": "result-status",
        "secret.token": "", "secret.pin": given.get("pin", ""),
    }  # fmt: skip

    def value(name):
        if name.startswith("params."):
            return given.get(name.removeprefix("params."), declared[name.removeprefix("params.")] or "")
        return facts[name]

    assert step["script"].startswith("#!/bin/sh\n")
    assert not re.search(r"\$\((params|results|context|workspaces|steps|tasks)\.", step["script"])
    return step["script"], pairs(step["env"], r"\$\(([\w.-]+)\)", value)


READ = {"jenkins": jenkins, "gitlab": gitlab, "github": github, "argo": argo, "tekton": tekton}


def hear_interrupts():
    """A shell cannot trap what it was begun without, as in the background of another shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Job:
    """A job of that system, as a process."""

    def __init__(self, directory, kind, text, given=None, shell="dash", env=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, script, variables = directory, *READ[kind](text, given or {})
        (directory / "job.sh").write_text(script)
        variables = {key: value for key, value in variables.items() if value or key != "STAGEDOOR_TOKEN"}
        if kind in ("argo", "tekton"):
            variables["STAGEDOOR_REPORT"] = "stagedoor.json"  # /tmp is shared here
        if kind == "github":
            variables["GITHUB_OUTPUT"] = str(directory / "output")
        self.process = subprocess.Popen(
            [*SHELLS[shell], "job.sh"], cwd=directory, stdin=subprocess.DEVNULL,
            stdout=open(directory / "stdout", "w"), stderr=open(directory / "stderr", "w"),
            env={"PATH": os.environ["PATH"], "TMPDIR": str(directory), **variables, **(env or {})},
            preexec_fn=hear_interrupts,
        )  # fmt: skip

    def end(self, timeout=60):
        status = self.process.wait(timeout)
        assert [path.name for path in self.directory.iterdir() if path.name.startswith("tmp.")] == [], "it cleans up"
        return status

    def output(self):
        return (self.directory / "stdout").read_text() + (self.directory / "stderr").read_text()

    def report(self):
        return json.loads((self.directory / "stagedoor.json").read_text())


@pytest.fixture
def jobs():
    made = []

    def make(*arguments, **options):
        made.append(Job(*arguments, **options))
        return made[-1]

    yield make
    for job in made:
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()


@pytest.fixture
def gw(gateway, upstream):
    return gateway(stages={"job": job_stage(upstream.url, label="A job: ${x} {{y}} 'z'")})


# ---- what runs ----


@pytest.mark.parametrize("kind", KINDS)
def test_success(gw, upstream, tmp_path, jobs, kind):
    script_job(upstream, "queued", "running", "done")
    text = exported(gw, kind)
    job = jobs(tmp_path / "ci", kind, text, {"text": NASTY, "n": "7"})
    assert job.end() == 0, job.output()
    assert "SUCCEEDED" in job.output() and job.report()["status"] == "SUCCEEDED"
    (started,) = upstream.got("POST", "/jobs")
    assert started.json()["text"] == NASTY and started.json()["n"] == 7
    assert upstream.count("POST", "/jobs") == 1
    if kind == "github":
        name, _, value = (job.directory / "output").read_text().partition("=")
        assert name == "report" and json.loads(value)["outputs"] == {"result": "is done"}
    if kind == "tekton":
        assert (job.directory / "result-status").read_text() == "SUCCEEDED"
        assert (job.directory / "result-run").read_text() == job.report()["id"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell(gw, upstream, tmp_path, jobs, shell):
    script_job(upstream, "running", "done")
    job = jobs(tmp_path / "ci", "github", exported(gw, "github"), {"text": NASTY}, shell=shell)
    assert job.end() == 0, job.output()
    assert upstream.got("POST", "/jobs")[0].json()["text"] == NASTY


@pytest.mark.parametrize("kind", KINDS)
def test_failure(gw, upstream, tmp_path, jobs, kind):
    script_job(upstream, {"state": "failed"})
    job = jobs(tmp_path / "ci", kind, exported(gw, kind), shell="bash -e")
    assert job.end() == 1, job.output()
    assert "TERMINAL" in job.output() and job.report()["reason"] == "upstream_failed"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gitlab"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_job_that_is_canceled_cancels_its_run(gw, upstream, tmp_path, jobs, kind, number, shell):
    Jobs(upstream, hold=True)
    job = jobs(tmp_path / "ci", kind, exported(gw, kind), shell=shell)
    upstream.wait_for(1, "GET", "/jobs/1")
    wait_until(lambda: (job.directory / "stagedoor.json").exists(), lambda: "the first report")
    job.process.send_signal(number)
    began = time.monotonic()
    assert job.end() == 3, job.output()
    assert time.monotonic() - began < 20, "at once, and not when curl has come back"
    upstream.wait_for(1, "DELETE", "/jobs/1")
    client = gw.client()
    (run,) = client.get("/runs").json()["runs"]
    assert client.wait_end(run["id"])["status"] == "CANCELED" and upstream.count("DELETE") == 1


def test_gitlab_cancels_behind_its_script(gw, upstream, tmp_path, jobs):
    """Its runner tells the script nothing; what comes after it is run all the same."""
    Jobs(upstream, hold=True)
    text = exported(gw, "gitlab")
    job = jobs(tmp_path / "ci", "gitlab", text)
    upstream.wait_for(1, "GET", "/jobs/1")
    job.process.kill()
    job.process.wait()
    (after,) = next(iter(yaml.safe_load(text).values()))["after_script"]
    for status, cancels in (("success", 0), ("canceled", 1)):
        done = subprocess.run(
            ["sh", "-c", after], env={"PATH": os.environ["PATH"], "CI_JOB_ID": "77", "CI_JOB_STATUS": status},
            capture_output=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done
        if cancels:
            upstream.wait_for(1, "DELETE", "/jobs/1")
        else:
            assert upstream.count("DELETE") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_refused(gw, upstream, tmp_path, jobs, kind):
    job = jobs(tmp_path / "ci", kind, exported(gw, kind), {"n": "many"})
    assert job.end() == 2
    assert "/parameters/n" in job.output() and upstream.count() == 0


def test_gateway_that_is_gone_and_comes_back(gw, upstream, tmp_path, jobs):
    held = Jobs(upstream, hold=True)
    job = jobs(tmp_path / "ci", "github", exported(gw, "github"))
    upstream.wait_for(1, "GET", "/jobs/1")
    gw.restart()
    held.hold = False
    assert job.end() == 0, job.output()
    assert upstream.count("POST", "/jobs") == 1


def test_gateway_that_cannot_be_reached(gw, tmp_path, jobs):
    text = exported(gw, "github")
    gw.stop()
    job = jobs(tmp_path / "ci", "github", text, env={"STAGEDOOR_TRIES": "1"})
    assert job.end() == 4, job.output()


def test_rerun_is_a_new_run_and_a_second_look_is_not(gw, upstream, tmp_path, jobs):
    Jobs(upstream)
    text = exported(gw, "gitlab")
    for n, env in enumerate(({}, {}, {"CI_JOB_ID": "78"})):
        assert jobs(tmp_path / f"ci{n}", "gitlab", text, env=env).end() == 0
    assert upstream.count("POST", "/jobs") == 2


@pytest.mark.parametrize("shell", ["dash", "sh -ex"])
def test_token_is_shown_to_the_gateway_and_to_nobody_else(gateway, upstream, tmp_path, jobs, shell):
    callers = [{"name": "ci", "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "start": ["*"]}]
    gw = gateway(stages={"job": job_stage(upstream.url)}, callers=callers)
    held = Jobs(upstream, hold=True)
    text = exported(gw, "github")
    assert jobs(tmp_path / "no", "github", text).end() == 2, "401"
    job = jobs(tmp_path / "ci", "github", text, env={"STAGEDOOR_TOKEN": TOKEN}, shell=shell)
    upstream.wait_for(1, "GET", "/jobs/1")
    seen = []

    def arguments():
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(path.read_bytes())
            except OSError:
                pass
        return any(b"curl" in one and b"/runs/" in one for one in seen)

    wait_until(arguments, lambda: "a look at the run")
    held.hold = False
    assert job.end() == 0, job.output()
    assert not any(TOKEN.encode() in one for one in seen) and TOKEN not in job.output()


@pytest.mark.parametrize("value", ["$HOME", "a$$b ${JOB_NAME} $", None])
def test_jenkins_leaves_a_parameter_as_it_is(gw, value):
    """Also one that the build does not have: its first one, or one that was started by an older Jenkinsfile."""
    _, env = jenkins(exported(gw, "jenkins"), {"text": value} if value else {})
    assert env["P_text"] == (value or "")


@pytest.mark.parametrize("kind", ["argo", "tekton"])
def test_no_parameter_gets_at_a_secret(gateway, upstream, kind):
    """Kubernetes puts variables that stand above it into a value."""
    parameters = [{"name": "pin", "type": "secret"}, {"name": "text"}]
    gw = gateway(stages={"job": stage("job", parameters=parameters, request={"url": f"{upstream.url}/call"})})
    text = "$(STAGEDOOR_TOKEN) $(P_pin)"
    _, env = READ[kind](exported(gw, kind), {"text": text, "pin": "1234"})
    assert env["P_text"] == text and env["P_pin"] == "1234"


def test_secret_and_odd_parameters(gateway, upstream, tmp_path, jobs):
    parameters = [
        {"name": "pin", "type": "secret"},
        {"name": "a-b", "type": "string"},
        {"name": "a_b", "type": "string"},
        {"name": "pick", "type": "choice", "choices": ["it's", "b"], "default": "b"},
        {"name": "flag", "type": "boolean", "default": True},
        {"name": "note", "description": "line\none ${{ secrets.X }} {{workflow.name}} $(params.y) 'q' \\ \"", "default": "${x}"},
    ]
    body = '{"pin": {{ parameters.pin }}, "dash": {{ parameters["a-b"] }}, "line": {{ parameters.a_b }}, "pick": {{ parameters.pick }}, "flag": {{ parameters.flag }}}'
    text = stage("odd", parameters=parameters, request={"method": "POST", "url": f"{upstream.url}/call", "body": body})
    upstream.on("POST", "/call", reply(200, {}))
    gw = gateway(stages={"odd": text})
    for kind in ("jenkins", "github", "argo", "tekton"):
        written = exported(gw, kind, "odd")
        assert "${{ secrets.X }}" not in written and "{{workflow.name}} $" not in written
        script, env = READ[kind](written, {})
        names = re.findall(r'^  add ([\w-]+) "\$\{(\w+):-\}"$', script, re.M)
        assert dict(names) == {"pin": "P_pin", "a-b": "P_a_b", "a_b": "P_a_b_3", "pick": "P_pick", "flag": "P_flag", "note": "P_note"}
        values = {"P_pin": "12\"34", "P_a_b": "dash", "P_a_b_3": "line", "P_pick": "it's"}
        job = jobs(tmp_path / kind, kind, written, env=values)
        assert job.end() == 0, job.output()
        assert upstream.got("POST", "/call")[-1].json() == {
            "pin": '12"34', "dash": "dash", "line": "line", "pick": "it's", "flag": True,
        }  # fmt: skip


# ---- Azure Pipelines ----


def azure_body(text, given):
    """What Azure would send: its variables and parameters put in place."""
    pipeline = yaml.safe_load(text)
    (job,) = pipeline["jobs"]
    (step,) = job["steps"]
    assert job["pool"] == "server" and step["task"] == "InvokeRESTAPI@1"
    inputs = step["inputs"]
    assert inputs["waitForCompletion"] == "true"
    parameters = {one["name"]: given.get(one["name"], one.get("default")) for one in pipeline.get("parameters", [])}
    system = {
        "system.CollectionUri": "https://dev.azure.com/fabrikam/", "system.TeamProjectId": "prj-1",
        "system.HostType": "build", "system.PlanId": "plan-1", "system.JobId": "job-1",
        "system.TaskInstanceId": "task-1", "system.AccessToken": "azure-access-token", "STAGEDOOR_TOKEN": "t",
    }  # fmt: skip
    fill = lambda value: re.sub(r"\$\(([\w.]+)\)", lambda match: system[match.group(1)], value)
    body = inputs["body"].replace("${{ convertToJson(parameters) }}", json.dumps(parameters, indent=2))
    return inputs["urlSuffix"], json.loads(fill(inputs["headers"])), json.loads(fill(body))


@pytest.mark.parametrize(
    "state, given, result, status",
    [
        ("done", {"text": NASTY, "n": "3"}, "succeeded", "SUCCEEDED"),
        ("failed", {}, "failed", "TERMINAL"),
        ("done", {"n": "many"}, "failed", "TERMINAL"),
    ],
    ids=["succeeds", "fails", "is refused"],
)
def test_azure(gateway, upstream, state, given, result, status):
    gw = gateway(stages={"job": job_stage(upstream.url)})
    script_job(upstream, "running", state)
    path, headers, body = azure_body(exported(gw, "azure"), given)
    definition = exported(gw, "azure-stage")
    assert '"https://dev.azure.com/' in definition
    definition = definition.replace('url = "https://dev.azure.com/', f'url = "{upstream.url}/', 1)
    events = "/fabrikam/prj-1/_apis/distributedtask/hubs/build/plans/plan-1/events"
    upstream.on("POST", events, reply(200, {}))
    gw.put_stage("azure-job", definition)
    client = gw.client()
    wait_until(lambda: client.get("/stages/azure-job").status == 200, lambda: client.get("/stages").text)
    assert client.get("/stages/azure-job").json()["errors"] == []
    started = client.request("POST", path, json.dumps(body).encode(), headers)
    assert started.status == 202, started.text
    upstream.wait_for(1, "POST", events)
    (told,) = upstream.got("POST", events)
    assert told.json() == {"name": "TaskCompleted", "taskId": "task-1", "jobId": "job-1", "result": result}
    assert told.header("Authorization") == "Bearer azure-access-token" and told.query == "api-version=7.1"
    assert client.wait_end(started.json()["id"])["status"] == status
    assert upstream.count("POST", "/jobs") == (0 if given.get("n") == "many" else 1)
    assert "azure-access-token" not in client.get(f"/runs/{started.json()['id']}").text + gw.all_logs()
    if status == "SUCCEEDED":
        assert upstream.got("POST", "/jobs")[0].json()["text"] == NASTY


def test_azure_stage_with_callers_needs_a_token(gateway, upstream):
    gw = gateway(stages={"job": job_stage(upstream.url)}, callers=[{"name": "x", "token_sha256": "ab" * 32, "start": ["*"]}])
    definition = exported(gw, "azure-stage")
    assert definition.count("{{ secret.stagedoor_token }}") == 3 and "stagedoor_token is a token" in definition


# ---- usage ----


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["github"], "needs the name of a stage"),
        (["github", "jop"], 'did you mean "job"'),
        (["githup", "job"], "did you mean github"),
        (["orca", "job"], "--only job"),
        (["gitlab", "job", "--generic"], "takes a stage"),
        (["gitlab", "broken"], "broken.conf:1"),
        (["gitlab", "waits"], "--any-secret"),
        (["gitlab", "job", "--public-url", "https://x.example.com/?q=1"], "paths can be put behind"),
    ],
)
def test_usage(gateway, upstream, arguments, says):
    waits = 'name = "waits"; enabled = "auto"; request = { url = "https://x.example.com/{{ secret.some }}"; };'
    gw = gateway(started=False, stages={"job": job_stage(upstream.url), "broken": 'name = "broken"; request = 1;', "waits": waits})
    url = [] if "--public-url" in arguments else ["--public-url", gw.url]
    done = command("export", *arguments, "--config", gw.write_config(), *url)
    assert done.returncode == 2 and says in done.stderr and done.stdout == "", done


def test_no_public_url(gateway, upstream):
    gw = gateway(started=False, stages={"job": job_stage(upstream.url)})
    done = command("export", "github", "job", "--config", gw.write_config())
    assert done.returncode == 2 and "--public-url" in done.stderr


def test_github_takes_no_choice_for_somebody(gateway, upstream):
    """It preselects the first one, which nobody may have meant."""
    choices = {"type": "choice", "choices": ["destroy", "plan"]}
    parameters = [{"name": "open", **choices}, {"name": "preset", **choices, "default": "plan"}, {"name": "must", **choices, "required": True}]
    gw = gateway(started=False, stages={"job": stage("job", parameters=parameters, request={"url": f"{upstream.url}/call"})})
    inputs = yaml.safe_load(exported(gw, "github"))["on"]["workflow_dispatch"]["inputs"]
    assert inputs["open"]["options"] == ["", "destroy", "plan"] and "default" not in inputs["open"]
    assert inputs["preset"]["options"] == ["destroy", "plan"] and inputs["preset"]["default"] == "plan"
    assert inputs["must"]["options"] == ["destroy", "plan"]


@pytest.mark.parametrize("count", [25, 26])
def test_github_takes_so_many_inputs(gateway, upstream, count):
    parameters = [{"name": f"p{n}"} for n in range(count)] + [{"name": "pin", "type": "secret"}]
    gw = gateway(started=False, stages={"job": stage("job", parameters=parameters, request={"url": f"{upstream.url}/call"})})
    done = command("export", "github", "job", "--config", gw.write_config(), "--public-url", gw.url)
    assert done.returncode == 0 and ("25 inputs at most, and there are 26" in done.stderr) == (count > 25)


def test_azure_says_what_an_empty_parameter_is(gw):
    """It is sent, since all of them are sent in one piece."""
    written = exported(gw, "azure")
    assert "# Parameters; an empty text is a value:\n" in written and "the default holds" not in written
    assert "# Parameters; of one that is left empty the default holds:\n" in exported(gw, "tekton")
