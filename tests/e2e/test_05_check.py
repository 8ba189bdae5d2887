"""`stagedoor check` seen from outside: exit status, what it prints for people and as JSON, and where it takes its
directories from. The messages themselves are the matter of tests/broken."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("STAGEDOOR") or ROOT / "build/stagedoor")
GOOD = 'name = "%s";\nrequest = { url = "https://a.example/"; };\n'
BAD = 'name = "bad";\nrequest = {\n  url = "https://a.example/";\n  metod = "GET";\n};\n'
SECRET = 'name = "s";\nrequest = { url = "https://a.example/"; headers = { X-Key = "{{ secret.a_key }}"; }; };\n'


@pytest.fixture
def place(tmp_path):
    (tmp_path / "stages.d").mkdir()
    (tmp_path / "templates").mkdir()
    return tmp_path


def check(place, *args, **env):
    base = {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}
    return subprocess.run([BINARY, "check", *args], cwd=place, env={**base, **env}, capture_output=True, text=True,
                          timeout=30)


def test_all_good(place):
    (place / "stages.d/a.conf").write_text(GOOD % "a")
    done = check(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 definition, 0 mistakes, 0 warnings\n"


def test_mistake_shows_its_line(place):
    (place / "stages.d/a.conf").write_text(GOOD % "a")
    (place / "stages.d/bad.conf").write_text(BAD)
    done = check(place)
    assert done.returncode == 1
    assert done.stdout == ('stages.d/bad.conf:4: mistake: unknown setting "metod" in request; did you mean "method"?\n'
                           '     4 |   metod = "GET";\n2 definitions, 1 mistake, 0 warnings\n')


def test_json(place):
    (place / "stages.d/bad.conf").write_text(BAD)
    done = check(place, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"ok": False, "definitions": [{
        "file": "stages.d/bad.conf", "stage": "bad", "ok": False, "disabled": None, "durable": None, "warnings": [], "mistakes": [{
            "file": "stages.d/bad.conf", "line": 4, "kind": "undefined",
            "message": 'unknown setting "metod" in request; did you mean "method"?'}]}]}


def test_named_files_only(place):
    (place / "stages.d/bad.conf").write_text(BAD)
    (place / "one.conf").write_text(GOOD % "one")
    assert check(place, "one.conf").returncode == 0
    assert check(place, "one.conf", "stages.d/bad.conf").returncode == 1
    gone = check(place, "gone.conf")
    assert gone.returncode == 1 and "gone.conf cannot be read" in gone.stdout


def test_two_files_of_one_name(place):
    (place / "stages.d/a.conf").write_text(GOOD % "same")
    (place / "stages.d/b.conf").write_text(GOOD % "same")
    done = check(place, "--json")
    found = json.loads(done.stdout)["definitions"]
    assert done.returncode == 1
    assert [one["mistakes"][0]["kind"] for one in found] == ["conflict", "conflict"]


def test_disabled_is_no_mistake(place):
    (place / "stages.d/a.conf").write_text('enabled = "auto";\n' + SECRET)
    (place / "stages.d/b.conf").write_text("enabled = false;\n" + GOOD % "b")
    (place / "stages.d/c.conf").write_text("enabled = false;\n" + BAD)
    done = check(place)
    assert done.returncode == 1
    assert "stages.d/a.conf: disabled: it needs the secret a_key; docs/operations.md says how one is set\n" in done.stdout
    assert "stages.d/b.conf: disabled: its definition says enabled = false\n" in done.stdout
    assert done.stdout.endswith("3 definitions, 1 mistake, 0 warnings, 2 disabled\n")
    (place / "stages.d/c.conf").unlink()
    assert check(place).returncode == 0
    shown = json.loads(check(place, "--json", STAGEDOOR_SECRET_A_KEY="x").stdout)
    assert [one["disabled"] for one in shown["definitions"]] == ["its definition says enabled = false", None]


@pytest.mark.parametrize("setting, what", [
    ('orphan_after = "5m";', "orphan_after cancels a run, and there is no cancel: the upstream is not told"),
    ('dedup = { key = "{{ caller.user }}"; on_duplicate = "supersede"; };',
     "supersede cancels a run, and there is no cancel: the upstream is not told, and both do the work"),
])  # fmt: skip
def test_warning_of_a_cancel_that_is_not_there(place, setting, what):
    text = f'name = "a";\nrequest = {{ url = "https://a.example/"; }};\n{setting}\n'
    (place / "stages.d" / "a.conf").write_text(text)
    done = check(place, "--json")
    warnings = json.loads(done.stdout)["definitions"][0]["warnings"]
    assert done.returncode == 0 and [(one["line"], one["message"]) for one in warnings] == [(3, what)], warnings
    (place / "stages.d" / "a.conf").write_text(text + 'cancel = { url = "https://a.example/stop"; };\n')
    assert check(place).stdout == "1 definition, 0 mistakes, 0 warnings\n"


def test_warning_is_no_mistake(place):
    (place / "stages.d/a.conf").write_text(
        'name = "a";\nrequest = { url = "https://a.example/"; tls = { insecure = true; }; };\n')
    done = check(place, "--json")
    assert done.returncode == 0
    assert [one["line"] for one in json.loads(done.stdout)["definitions"][0]["warnings"]] == [2]


def test_secrets(place):
    (place / "stages.d/s.conf").write_text(SECRET)
    (place / "keys").mkdir()
    assert check(place).returncode == 1
    assert "STAGEDOOR_SECRET_A_KEY" in check(place).stdout
    assert check(place, STAGEDOOR_SECRET_A_KEY="x-secret-x").returncode == 0
    assert check(place, "--any-secret").returncode == 0
    (place / "keys/a_key").write_text("x-secret-x")
    assert check(place, "--secrets", "keys").returncode == 0


def test_directories_from_the_configuration(place):
    (place / "etc/defs").mkdir(parents=True)
    (place / "etc/defs/bad.conf").write_text(BAD)
    (place / "etc/s.conf").write_text('stages = "defs";\n')
    assert "etc/defs/bad.conf:4: mistake" in check(place, "--config", "etc/s.conf").stdout
    assert check(place, "--config", "etc/s.conf", "--stages", "stages.d").returncode == 0


@pytest.mark.parametrize("args", [("--stages", "gone"), ("--config", "gone.conf"), ("--jsno",)])
def test_usage(place, args):
    done = check(place, *args)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("stagedoor check: ")


def test_broken_configuration(place):
    (place / "stagedoor.conf").write_text("stages = 1;\nlops = 2;\n")
    done = check(place)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "stagedoor check: stagedoor.conf:1: stages must be a string in quotes, and here is the number 1",
        'stagedoor check: stagedoor.conf:2: unknown option "lops"; did you mean "loops"?']
