"""`stagedoor export orca`: what it writes is what orca reads, and a stage that orca makes of it starts, ends and is
canceled. orca is played here (helpers/orca); the names of its settings and rules are those of its own classes."""

import json
import random
import re

import pytest
import yaml
from helpers import orca
from helpers.gateway import command, stage
from helpers.jobs import Jobs, job_stage, script_job
from helpers.upstream import reply

PARAMETERS = [
    {"name": "n", "type": "integer", "default": 1, "minimum": 0, "maximum": 50},
    {"name": "text", "type": "string", "default": "", "label": "A text: what to say", "description": "Said aloud."},
]


def bare(name, **settings):
    return stage(name, request={"url": "http://127.0.0.1:1/"}, **settings)


class Exported:
    """The gateway's own files, exported by its own settings."""

    def __init__(self, gw, *words, environment=None):
        self.gw, self.text = gw, self.export(gw, *words).stdout
        self.read = orca.configuration(self.text, environment)
        self.entries = {entry["type"]: entry for entry in self.read["webhook"]["preconfigured"]}
        self.token = (environment or {}).get("STAGEDOOR_TOKEN")

    @staticmethod
    def export(gw, *words, status=0, **options):
        done = command("export", "orca", "--config", gw.write_config(), *words, cwd=gw.directory, **options)
        assert done.returncode == status, done
        return done

    def stage(self, type="job", parameters=None, **more):
        client = self.gw.client()
        client.token = None  # it has to come from the entry
        return orca.Stage(client, self.gw.options["public_url"], self.entries[type], parameters, **more)


@pytest.fixture
def make(gateway, upstream):
    def make(stages=None, options=None, started=True, **more):
        stages = {"job": job_stage(upstream.url, label="A job", parameters=PARAMETERS)} if stages is None else stages
        options = {"public_url": "http://gw.ops.svc:8095", **(options or {})}
        return gateway(stages=stages, options=options, started=started, **more)

    return make


def test_a_stage_runs_from_create_to_success(make, upstream):
    script_job(upstream, "queued", "running", "done")
    one = Exported(make()).stage(parameters={"n": "7", "text": "hello"})
    assert one.run() == "SUCCEEDED"
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 7, "text": "hello"}
    assert one.polls[-1]["outputs"] == {"result": "is done"}


@pytest.mark.parametrize(
    "text",
    ['"quoted" and \\back\\ \'single\'', "line\nline\r\n\ttab", "日本 😀 é \u2028 \u0085", "a: b # c {{ x }} %{y} $x {z} }", "x" * 100 * 1024],
    ids=["quotes", "newlines", "unicode", "signs", "100 KiB"],
)
def test_every_text_arrives_as_it_is(make, upstream, text):
    script_job(upstream, "done")
    assert Exported(make()).stage(parameters={"text": text}).run() == "SUCCEEDED"
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 1, "text": text}


def test_an_expression_in_a_parameter_is_refused(make, upstream):
    """#toJson fails with it, so the payload is sent as it was written; nothing is started."""
    one = Exported(make()).stage(parameters={"text": "${HOME}"})
    with pytest.raises(orca.Terminal, match="^422: .*/parameters") as caught:
        one.create()
    assert "${" not in str(caught.value), "orca would evaluate it"
    assert one.cancel().status == 200
    assert upstream.count() == 0


@pytest.mark.parametrize("parameters", [None, {}, {"n": "", "text": ""}], ids=["defaults", "nothing", "emptied"])
def test_defaults(make, upstream, parameters):
    script_job(upstream, "done")
    assert Exported(make()).stage(parameters=parameters).run() == "SUCCEEDED"
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 1, "text": ""}


def test_no_parameters_at_all(make, upstream):
    upstream.on("POST", "/call", reply(200, {"ok": True}))
    gw = make({"call": stage("call", request={"url": f"{upstream.url}/call"})})
    assert "parameters" not in Exported(gw).entries["call"]
    assert Exported(gw).stage("call").run() == "SUCCEEDED"


def test_sent_again_is_one_run_and_restarted_by_hand_is_another(make, upstream):
    Jobs(upstream)
    exported = Exported(make())
    one = exported.stage(parameters={"n": "1"})
    assert one.create() and one.create() and one.monitor() == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 1
    again = exported.stage(parameters={"n": "1"})
    assert again.run() == "SUCCEEDED"
    assert upstream.count("POST", "/jobs") == 2


def test_who_started_it_is_told(make, upstream):
    script_job(upstream, "done")
    gw = make({"job": job_stage(upstream.url, outputs={"who": "{{ caller.user }}/{{ caller.application }}/{{ caller.pipeline }}/{{ caller.execution }}"})})
    one = Exported(gw).stage()
    one.run()
    assert one.polls[-1]["outputs"]["who"] == "kim/shop/deploy to prod/01EXEC"


def test_a_user_cancels(make, upstream):
    Jobs(upstream, hold=True)
    one = Exported(make()).stage()
    one.create()
    upstream.wait_for(1, "GET", "/jobs/1")
    assert one.cancel().status in (200, 202)
    assert one.monitor() == "CANCELED"
    assert upstream.count("DELETE", "/jobs/1") == 1


# ---- what is written ----


def test_every_knob_is_taken_and_the_list_is_the_same(make):
    gw = make({"job": job_stage("http://127.0.0.1:1", label="A job", description="Does it.", parameters=PARAMETERS), "bare": bare("bare")})
    exported = Exported(gw)
    for entry in exported.entries.values():
        assert orca.listing(entry)["noUserConfigurableFields"] is True
        assert [name for name in entry if name in orca.FIELDS] == orca.FIELDS
    assert gw.client().get("/webhooks/preconfigured").json() == [orca.listing(exported.entries[name]) for name in ("bare", "job")]
    (first, second) = exported.entries["job"]["parameters"]
    assert first == {
        "name": "n", "label": "n", "defaultValue": "1", "description": "a whole number from 0 to 50", "type": "string", "order": 0,
    }  # fmt: skip
    assert (second["label"], second["description"], second["order"]) == ("A text: what to say", "Said aloud.", 1)


def test_people_can_read_it(make):
    text = Exported(make()).text
    assert "    payload: |\n      {\"key\": \"${execution['id']}:" in text
    assert "      Content-Type: [application/json]\n" in text
    assert text.startswith("# Written by `stagedoor export orca`")


def test_json_is_the_same(make):
    gw = make()
    assert json.loads(Exported.export(gw, "--json").stdout) == yaml.safe_load(Exported(gw).text)


def test_nothing_between_braces_is_a_default_to_spring(make):
    """Whatever a definition says: no ':' in an expression, and no text that is one."""
    evil = "${a:b} ${user.home} $${x:y} ${ ${{"
    gw = make({"job": bare("job", label=evil, description=evil, permissions={"read": [evil]}, parameters=[{"name": "x", "label": evil, "description": evil, "default": evil}])})
    done = Exported.export(gw)
    assert "default of x" in done.stderr
    read, changed = yaml.safe_load(done.stdout), orca.configuration(done.stdout, {"user.home": "/root", "x": "1"})
    assert read == changed, "Spring changes nothing"
    entry = read["webhook"]["preconfigured"][0]
    assert "defaultValue" not in entry["parameters"][0] and "${" not in json.dumps([entry["label"], entry["description"], entry["parameters"], entry["permissions"]])
    for found in re.findall(r"\$\{(.*?)\}", done.stdout):
        assert ":" not in found


@pytest.mark.parametrize(
    "text",
    ["on", "No", "y", "~", "null", "1_000", "0o17", "0x1F", "12:30:45", "2026-11-23", "1e3", ".inf", "-", "- a", "? a", "a: b", "a #b", "#a", "*a", "&a", "!a", "%a", "@a", "`a`",
     "'a'", '"a"', "[a]", "{a}", "a, b", " a", "a ", "a:", "<<", "=", "|", ">", "a\nb", "a\n", "\na", " a\nb", "a \nb", "a\n\n", "\ta", "é", "😀", "\u2028", "\u0085", "\ufeff", "x" * 500, "word " * 100],
)  # fmt: skip
def test_text_stays_text(make, text):
    gw = make({"job": bare("job", label=text, parameters=[{"name": "x", "default": text, "description": text}], permissions={"write": ["ops", text]})}, started=False)
    entry = Exported(gw).entries["job"]
    parameter = entry["parameters"][0]
    assert (entry["label"], parameter["defaultValue"], parameter["description"]) == (text, text, text)
    assert entry["permissions"] == {"WRITE": ["ops", text]}


def test_text_stays_text_at_random(make):
    """Over what YAML has signs for; two hundred texts a file."""
    chance = random.Random(61)
    pieces = list(" :#-,?&*!|>'\"%@`{}[]~\\\n\tab01._=<é😀") + ["\u2028", "\x85", ": ", " #", "yes", "- ", "0x1", "${"]
    texts = ["".join(chance.choices(pieces, k=chance.randint(0, 12))) for _ in range(200)]
    parameters = [{"name": f"p{n}", "description": text} for n, text in enumerate(texts) if text]
    gw = make({"job": bare("job", parameters=parameters)}, started=False)
    read = Exported(gw).entries["job"]["parameters"]
    assert [one["description"] for one in read] == [text.replace("${", "$ {") for text in texts if text]


def test_what_a_parameter_takes_is_said(make):
    parameters = [
        {"name": "c", "type": "choice", "choices": ["a", "b", "c"], "required": True},
        {"name": "f", "type": "number", "minimum": 0.5, "description": "How much."},
        {"name": "i", "type": "integer", "maximum": 9},
        {"name": "b", "type": "boolean", "default": True},
        {"name": "l", "type": "list", "default": ["x", "y"]},
        {"name": "s", "type": "secret"},
    ]
    gw = make({"job": bare("job", parameters=parameters)}, started=False)
    said = {one["name"]: (one.get("description"), one.get("defaultValue")) for one in Exported(gw).entries["job"]["parameters"]}
    assert said == {
        "c": ("required, one of a, b or c", None),
        "f": ("How much. (a number of at least 0.5)", None),
        "i": ("a whole number of at most 9", None),
        "b": ("true or false", "true"),
        "l": ("a list: a, b", '["x","y"]'),
        "s": ("everybody who can see the pipeline can read it", None),
    }


# ---- the token ----


def test_the_token_comes_from_orcas_environment(make, upstream):
    script_job(upstream, "done")
    gw = make(callers=[{"name": "orca", "token_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "start": ["*"], "see": ["*"], "cancel": ["*"]}])
    exported = Exported(gw, environment={"STAGEDOOR_TOKEN": "test"})
    assert exported.entries["job"]["sensitiveHeaders"] == {"Authorization": ["Bearer test"]}
    assert "Authorization" not in exported.entries["job"]["customHeaders"]
    assert exported.stage().run() == "SUCCEEDED"
    assert "STAGEDOOR_TOKEN" in exported.text


@pytest.mark.parametrize(
    "words, where, value",
    [
        (["--token-env", "GW"], "sensitiveHeaders", "Bearer ${GW}"),
        (["--token-env", "GW", "--orca-before-2026.1"], "customHeaders", "Bearer ${GW}"),
        (["--token-file", "token"], "sensitiveHeaders", "Bearer s3cret"),
        ([], None, None),
        (["--no-token"], None, None),
    ],
)
def test_where_the_token_is(make, words, where, value):
    gw = make(started=False)
    (gw.directory / "token").write_text("s3cret\n")
    entry = yaml.safe_load(Exported.export(gw, *words).stdout)["webhook"]["preconfigured"][0]
    for name in ("customHeaders", "sensitiveHeaders"):
        assert entry.get(name, {}).get("Authorization") == ([value] if name == where else None)


# ---- the URL ----


@pytest.mark.parametrize(
    "url, needed",
    [
        ("https://stagedoor.example.com/", None),
        ("http://gw.ops.svc:8095", None),
        ("http://gw.ops.svc.cluster.local:8095", {"excludedDomains": ["spinnaker", "localdomain", "internal"]}),
        ("http://gw.Spinnaker", {"excludedDomains": ["local", "localdomain", "internal"]}),
        ("http://gateway:8095/sub", {"allowedHostnamesRegex": ".*\\..+|gateway"}),
        ("http://localhost:8095", {"rejectLocalhost": False}),
        ("http://127.0.0.1:8095", {"rejectVerbatimIps": False, "rejectLocalhost": False}),
        ("http://10.1.2.3", {"rejectVerbatimIps": False}),
        ("http://[::1]:80", {"rejectVerbatimIps": False, "rejectLocalhost": False}),
        ("http://169.254.1.2", {"rejectVerbatimIps": False, "rejectLinkLocal": False}),
    ],
)
def test_only_the_restrictions_that_stand_in_the_way(make, url, needed):
    exported = Exported(make(options={"public_url": url}, started=False))
    assert exported.read.get("user-configured-url-restrictions") == needed
    assert exported.entries["job"]["url"] == url.rstrip("/") + "/stages/job"


# ---- which stages ----


def three(make, **more):
    return make({name: bare(name) for name in ("github-run", "github-status", "wait")}, started=False, **more)


@pytest.mark.parametrize("only, names", [("github-*", ["github-run", "github-status"]), ("github-run", ["github-run"]), ("github-run, github-s*", ["github-run", "github-status"])])
def test_only_some(make, only, names):
    assert list(Exported(three(make), "--only", only).entries) == names


def test_prefix_of_types(make):
    exported = Exported(three(make), "--type-prefix", "gw-")
    assert list(exported.entries) == ["gw-github-run", "gw-github-status", "gw-wait"]
    assert exported.entries["gw-wait"]["url"].endswith("/stages/wait")


@pytest.mark.parametrize("name, words", [("stagedoor", []), ("stagedoor", ["--type-prefix", "gw-"]), ("door", ["--type-prefix", "stage"])])
def test_the_name_of_the_generic_entry(make, name, words):
    """orca would have two stages of one type, as soon as somebody pastes both exports."""
    gw = make({name: bare(name), "other": bare("other")}, started=False)
    done = Exported.export(gw, *words, status=1)
    assert done.stdout == ""
    assert f"{name}.conf: type \"" in done.stderr and "`export orca --generic`: give the stage another name" in done.stderr
    assert len(Exported(gw, *words, "--only", "other").entries) == 1
    assert len(Exported(gw, *words, "--generic").entries) == 1


@pytest.mark.parametrize(
    "words, status, says",
    [
        ([], 1, "wait.conf: orca has a stage of type \"wait\" itself"),
        (["--only", "gitlab-*"], 2, "there is no stage \"gitlab-*\""),
        (["--only", "github-rum"], 2, "did you mean \"github-run\"?"),
        (["--only", ""], 2, "there is no stage \"\""),
        (["--token-env", "a:b"], 2, "is not the name of a variable"),
        (["--token-env", "A", "--no-token"], 2, "exclude each other"),
        (["--token-file", "nowhere"], 2, "nowhere"),
        (["--token-file", "placeholder"], 2, "holds \"${\""),
        (["--type-prefix", "a b"], 2, "--type-prefix"),
        (["--type-prefix", "${x}"], 2, "--type-prefix"),
        (["--generic", "--only", "wait"], 2, "--generic"),
        (["--public-url", "gw"], 2, "public_url"),
        (["--public-url", "http://gw.example.com/?x=1"], 2, "not a URL"),
    ],
)
def test_mistakes_write_nothing(make, words, status, says):
    gw = three(make)
    (gw.directory / "placeholder").write_text("a${b}")
    done = Exported.export(gw, *words, status=status)
    assert done.stdout == "" and says in done.stderr


def test_without_a_public_url(make):
    done = Exported.export(make(options={"public_url": None}, started=False), status=2)
    assert done.stdout == "" and "public_url = \"https://" in done.stderr and "--public-url" in done.stderr


def test_a_broken_definition_ends_the_export(make):
    gw = make({"good": bare("good"), "bad": "name = \"bad\"; request = { };"}, started=False)
    done = Exported.export(gw, status=1)
    assert done.stdout == "" and "bad.conf" in done.stderr
    assert list(Exported(gw, "--only", "good").entries) == ["good"]


def test_a_disabled_stage_is_left_out(make):
    gw = make({"good": bare("good"), "off": bare("off", enabled=False)}, started=False)
    done = Exported.export(gw)
    assert "off is left out: its definition says enabled = false" in done.stderr
    assert [one["type"] for one in yaml.safe_load(done.stdout)["webhook"]["preconfigured"]] == ["good"]


def test_no_such_kind():
    done = command("export", "orcas")
    assert done.returncode == 2 and "did you mean orca?" in done.stderr


# ---- one entry for all ----


def test_generic_starts_any_stage(make, upstream):
    script_job(upstream, "done")
    exported = Exported(make(), "--generic")
    assert list(exported.entries) == ["stagedoor"] and orca.listing(exported.entries["stagedoor"])["noUserConfigurableFields"]
    one = exported.stage("stagedoor", {"stage": "job", "parameters": '{"n": 5,\n "text": "say \\"é\\""}'})
    assert one.run() == "SUCCEEDED"
    assert upstream.got("POST", "/jobs")[0].json() == {"n": 5, "text": 'say "é"'}
    for empty in ({"stage": " job "}, {"stage": "job", "parameters": ""}, {"stage": "job", "parameters": " \n"}):
        assert exported.stage("stagedoor", empty).run() == "SUCCEEDED"


def test_generic_is_canceled(make, upstream):
    Jobs(upstream, hold=True)
    one = Exported(make(), "--generic").stage("stagedoor", {"stage": "job"})
    one.create()
    upstream.wait_for(1, "GET", "/jobs/1")
    assert one.cancel().status in (200, 202)
    assert one.monitor() == "CANCELED"


@pytest.mark.parametrize(
    "parameters, status, says",
    [
        (None, 422, "/stage: the name of the stage is missing"),
        ({"stage": ""}, 422, "/stage"),
        ({"stage": "jop"}, 404, 'did you mean \\"job\\"?'),
        ({"stage": "../runs"}, 404, "there is no stage of this name"),
        ({"stage": "job", "parameters": "{n: 1}"}, 422, "/parameters: not valid JSON: line 1"),
        ({"stage": "job", "parameters": "[1]"}, 422, "/parameters"),
        ({"stage": "job", "parameters": '{"m": 1}'}, 422, "/parameters/m"),
        ({"stage": "job", "parameters": '{"text": "\\u0024{x}"}'}, 422, "/parameters/text"),
    ],
)
def test_generic_says_what_is_wrong(make, upstream, parameters, status, says):
    one = Exported(make(), "--generic").stage("stagedoor", parameters)
    with pytest.raises(orca.Terminal) as caught:
        one.create()
    assert str(caught.value).startswith(str(status)) and says in str(caught.value)
    assert "${" not in str(caught.value)
    one.cancel()
    assert upstream.count() == 0


# ---- what orca has, against what it should have ----


class File:
    """orca-local.yml as it was exported, and then changed by somebody."""

    def __init__(self, gw, *words):
        self.gw, self.words = gw, words
        self.path = gw.directory / "orca-local.yml"
        self.read = yaml.safe_load(Exported.export(gw, *words).stdout)
        self.entries = self.read["webhook"]["preconfigured"]

    def write(self, text=None):
        self.path.write_text(text if text is not None else yaml.safe_dump(self.read, sort_keys=False))

    def check(self, status, *words):
        return Exported.export(self.gw, *self.words, "--check", self.path, *words, status=status).stdout

    def differences(self, *words):
        """As (type, field, what)."""
        self.write()
        found = json.loads(self.check(1, "--json", *words))
        assert found["ok"] is False
        return [(one["type"], one["field"], one["what"]) for one in found["differences"]]


@pytest.fixture
def file(make):
    stages = {"job": bare("job", parameters=PARAMETERS, permissions={"write": ["ops"]}), "other": bare("other")}
    return File(make(stages, started=False), "--token-env", "TOKEN")


def test_check_takes_what_was_exported(file):
    file.write(Exported.export(file.gw, *file.words).stdout)
    assert file.check(0).endswith("orca-local.yml is what it should be\n")
    assert json.loads(file.check(0, "--json")) == {"ok": True, "differences": [], "restrictions": []}


def test_check_takes_the_same_in_other_words(file):
    """What Spring takes for the same: spellings of keys, lists with commas, other settings and webhooks around."""
    entry = file.entries[0]
    entry["fail-fast-status-codes"] = ",".join(map(str, entry.pop("failFastStatusCodes")))
    entry["WAIT_FOR_COMPLETION"] = entry.pop("waitForCompletion")
    entry["customHeaders"]["Accept"] = "application/json"
    entry["sensitiveHeaders"] = {"Authorization": ["Bearer another"]}
    del entry["enabled"]
    entry["waitBeforeMonitor"] = "0"
    file.entries.append({"type": "mine", "url": "https://elsewhere.example.com/stages/x"})
    file.write(yaml.safe_dump({"server": {"port": 8083}, "webhook.preconfigured": file.entries}))
    file.check(0)
    file.write("---\nserver: {port: 1}\n---\n" + yaml.safe_dump(file.read))
    file.check(0)


def doubled(text, old, new):
    """The line that begins with `old` once more, as `new`; and the numbers of the two."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.strip().startswith(old))
    lines.insert(first + 1, lines[first].replace(old, new, 1).replace("- ", "  ", 1))
    return "\n".join(lines) + "\n", first + 1, first + 2


@pytest.mark.parametrize("old, new, field", [("waitForCompletion:", "wait-for-completion:", "waitForCompletion"), ("defaultValue:", "DEFAULT_VALUE:", "parameters.n.defaultValue")])
def test_check_finds_a_setting_in_two_spellings(file, old, new, field):
    """Which of the two Spring takes is chance, so that a right one does not help."""
    text, first, second = doubled(yaml.safe_dump(file.read, sort_keys=False, width=1000), old, new)
    file.write(text)
    (found,) = json.loads(file.check(1, "--json"))["differences"]
    assert (found["field"], found["what"], found["line"], found["first"]) == (field, "twice", second, first)
    assert f"orca-local.yml:{second}: job: {field}: stands there in two spellings, first in line {first}\n" in file.check(1)


@pytest.mark.parametrize("webhook, preconfigured", [("Webhook", "Pre-Configured"), ("WEB_HOOK", "PRECONFIGURED"), ("web-hook", "pre_configured")])
def test_check_finds_the_list_in_any_spelling(file, webhook, preconfigured):
    file.write(yaml.safe_dump({webhook: {preconfigured: file.entries}}))
    file.check(0)
    file.write(yaml.safe_dump({f"{webhook}.{preconfigured}": file.entries}))
    file.check(0)
    file.write(f"{webhook}: {{{preconfigured}: []}}\nwebhook.preconfigured: []\n")
    done = Exported.export(file.gw, "--check", file.path, status=2)
    assert "orca-local.yml:2: webhook.preconfigured stands here and in line 1, in two spellings" in done.stderr


CHANGES = [
    (lambda e: e.update(label="x"), [("job", "label", "differs")]),
    (lambda e: e.pop("retryStatusCodes"), [("job", "retryStatusCodes", "missing")]),
    (lambda e: e.update(failFastStatusCodes=[501, 504]), [("job", "failFastStatusCodes", "differs")]),
    (lambda e: e.update(enabled=False), [("job", "enabled", "differs")]),
    (lambda e: e.update(stray=1), [("job", "stray", "extra")]),
    (lambda e: e["parameters"].pop(0), [("job", "parameters.n", "missing")]),
    (lambda e: e["parameters"].append({"name": "m"}), [("job", "parameters.m", "extra")]),
    (lambda e: e["parameters"][1].update(defaultValue="9"), [("job", "parameters.text.defaultValue", "differs")]),
    (lambda e: e["parameters"][1].pop("description"), [("job", "parameters.text.description", "missing")]),
    (lambda e: e["permissions"].update(WRITE=["dev"]), [("job", "permissions.WRITE", "differs")]),
    (lambda e: e["permissions"].update(READ=["dev"]), [("job", "permissions.READ", "extra")]),
    (lambda e: e.pop("permissions"), [("job", "permissions.WRITE", "missing")]),
    (lambda e: e["customHeaders"].pop("Content-Type"), [("job", "customHeaders.Content-Type", "missing")]),
    (lambda e: e["customHeaders"].update({"X-Key": ["s3cret"]}), [("job", "customHeaders.X-Key", "extra")]),
    (lambda e: e.pop("sensitiveHeaders"), [("job", "sensitiveHeaders.Authorization", "missing")]),
    (
        lambda e: e["customHeaders"].update(e.pop("sensitiveHeaders")),
        [("job", "sensitiveHeaders.Authorization", "missing"), ("job", "customHeaders.Authorization", "extra")],
    ),
    (lambda e: e.update(type="jab"), [("job", None, "missing"), ("jab", None, "extra")]),
    (lambda e: e.update(url="http://old.example.com/stages/job"), [("job", "url", "differs")]),
    (lambda e: e.update(type="gone", url="http://old.example.com/stages/gone"), [("job", None, "missing"), ("gone", None, "extra")]),
]


@pytest.mark.parametrize("change, expected", CHANGES, ids=[str(n) for n in range(len(CHANGES))])
def test_check_finds_every_difference(file, change, expected):
    change(file.entries[0])
    assert file.differences() == expected
    said = file.check(1)
    assert "s3cret" not in said and said.splitlines()[-1] == f"{len(expected)} difference{'s' if len(expected) > 1 else ''}"


def test_check_shows_what_differs(file):
    entry = file.entries[0]
    entry["payload"] = entry["payload"].replace("trigger['user']", "'me'")
    entry["label"] = "old"
    file.write()
    line = next(n for n, text in enumerate(file.path.read_text().splitlines(), 1) if "label: old" in text)
    said = file.check(1)
    assert f"orca-local.yml:{line}: job: label\n  - old\n  + job\n" in said
    assert "job: payload\n  -  \"user\": ${#toJson('me')},\n  +  \"user\": ${#toJson(trigger['user'])},\n" in said


def test_check_shows_no_value_of_an_entry_that_somebody_else_wrote(file):
    """It has the type of a stage by chance, and whatever its author put there."""
    file.entries[0] = {
        "type": "job", "label": "s3cret-1", "url": "https://bob:s3cret-2@h.example/?token=s3cret-3", "payload": '{"password": "s3cret-4"}',
        "customHeaders": {"Accept": ["s3cret-5"]}, "parameters": [{"name": "ref", "defaultValue": "s3cret-6"}], "cancelPayload": "s3cret-7",
    }  # fmt: skip
    assert ("job", "url", "differs") in file.differences()
    assert "s3cret" not in file.check(1) + file.check(1, "--json")


def test_check_knows_a_stage_that_is_gone(file):
    """The file says what was offered once; the definitions, what is now."""
    file.write()
    file.gw.remove_stage("other")
    assert [line for line in file.check(1).splitlines() if "other" in line][0].endswith(
        ": other: no definition makes this entry any more, or it is there twice"
    )
    assert "is what it should be" in file.check(0, "--only", "job"), "the others are not asked about"
    file.gw.put_stage("other", bare("other", enabled=False))
    assert ("other", None, "extra") in file.differences()
    file.gw.remove_stage("job")
    file.gw.remove_stage("other")
    assert sorted(file.differences()) == [("job", None, "extra"), ("other", None, "extra")]


def test_check_finds_an_entry_that_is_there_twice(file):
    file.entries.append(dict(file.entries[0], label="twice"))
    assert file.differences() == [("job", None, "extra")]


def test_check_of_the_generic_entry(make):
    file = File(make(started=False), "--generic")
    file.write()
    file.check(0)
    file.entries[0]["parameters"].pop()
    assert file.differences() == [("stagedoor", "parameters.parameters", "missing")]


@pytest.mark.parametrize(
    "restrictions, breaches",
    [
        (None, ["excludedDomains"]),
        ({"excludedDomains": ["spinnaker"]}, []),
        ({"excluded-domains": "internal, local"}, ["excludedDomains"]),
        ({"excludedDomains": [], "allowedHostnamesRegex": "gw\\.example\\.com"}, ["allowedHostnamesRegex"]),
        ({"excludedDomains": [], "allowedHostnamesRegex": "gw\\..*", "rejectLocalhost": True}, []),
    ],
)
def test_check_applies_the_restrictions_of_the_file(make, restrictions, breaches):
    file = File(make(options={"public_url": "http://gw.ops.svc.cluster.local"}, started=False))
    file.read["user-configured-url-restrictions"] = restrictions
    if restrictions is None:
        del file.read["user-configured-url-restrictions"]
    file.write()
    found = json.loads(file.check(1 if breaches else 0, "--json"))
    assert [one["setting"] for one in found["restrictions"]] == breaches and found["differences"] == []
    if breaches:
        assert f"  + {breaches[0]}: " in file.check(1)


@pytest.mark.parametrize(
    "requests, lacking",
    [
        ([], ["POST http://gw.ops.svc:8095/stages/job", "GET http://gw.ops.svc:8095/runs/", "POST http://gw.ops.svc:8095/stages/job/cancel"]),
        ([{"httpMethods": ["POST", "GET"], "matchStrategy": "STARTS_WITH", "urlPrefix": "http://gw.ops.svc:8095/"}], []),
        ([{"httpMethods": "GET,POST", "match-strategy": "pattern-matches", "urlPattern": "http://gw\\..*"}], []),
        ([{"httpMethods": ["POST"], "matchStrategy": "STARTS_WITH", "urlPrefix": "http://gw.ops.svc:8095/"}], ["GET http://gw.ops.svc:8095/runs/"]),
        ([{"httpMethods": ["GET"], "matchStrategy": "STARTS_WITH", "urlPrefix": "http://gw.ops.svc:8095/runs/"},
          {"httpMethods": ["POST"], "matchStrategy": "PATTERN_MATCHES", "urlPattern": "http://gw.ops.svc:8095/stages/[a-z]+"}],
         ["POST http://gw.ops.svc:8095/stages/job/cancel"]),
    ],
)  # fmt: skip
def test_check_knows_the_list_of_allowed_requests(make, requests, lacking):
    """Only where orca goes by it."""
    file = File(make(started=False))
    file.read["webhook"].update(allowedRequestsEnabled=True, allowedRequests=requests)
    file.write()
    found = json.loads(file.check(1 if lacking else 0, "--json"))["differences"]
    assert [one["field"] for one in found] == ["webhook.allowedRequests"] * len(lacking)
    assert all(one["stagedoor"].startswith(url) for one, url in zip(found, lacking))
    file.read["webhook"]["allowedRequestsEnabled"] = False
    file.write()
    file.check(0)


@pytest.mark.parametrize(
    "text, says",
    [("a: [", "orca-local.yml:"), ("a: 1\na: 2\n", "orca-local.yml:2"), ("\x00", "orca-local.yml:1"), ("a: &a [*a]", "orca-local.yml:1"), (None, "orca-local.yml")],
)
def test_check_of_a_file_that_cannot_be_read(file, text, says):
    if text is not None:
        file.write(text)
    done = Exported.export(file.gw, "--check", file.path, status=2)
    assert done.stdout == "" and says in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "webhook:", "webhook: {preconfigured: {0: x}}", "webhook: {preconfigured: [a, [], {}, {type: [x]}]}"])
def test_check_of_a_file_that_has_nothing(file, text):
    file.write(text)
    assert file.check(1).splitlines()[-1] == "2 differences"
