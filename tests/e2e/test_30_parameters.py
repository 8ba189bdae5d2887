"""Parameters: every mistake at once, each with its JSON Pointer; strings where orca has nothing else.

Assumed: the problem document lists them as `errors`: [{"pointer": "/parameters/users", "detail": "…"}], as the example
of RFC 9457 does."""

import json

import pytest
from helpers.client import check_problem
from helpers.gateway import stage
from helpers.upstream import reply

PARAMETERS = [
    {"name": "s", "type": "string", "min_length": 2, "max_length": 5},
    {"name": "p", "type": "string", "pattern": "[a-z]+-[0-9]{1,3}"},
    {"name": "i", "type": "integer", "minimum": 1, "maximum": 100, "default": 7},
    {"name": "f", "type": "number", "minimum": 0.5},
    {"name": "b", "type": "boolean"},
    {"name": "c", "type": "choice", "choices": ["red", "green"], "default": "red"},
    {"name": "u", "type": "url"},
    {"name": "l", "type": "list", "max_length": 3},
    {"name": "j", "type": "json"},
    {"name": "pw", "type": "secret"},
    {"name": "must", "type": "string", "required": True},
]
BODY = "{" + ", ".join(f'"{one["name"]}": {{{{ parameters.{one["name"]} }}}}' for one in PARAMETERS) + "}"


@pytest.fixture
def gw(gateway, upstream):
    upstream.on("POST", "/call", reply(200, {}))
    request = {"method": "POST", "url": f"{upstream.url}/call", "body": BODY, "content_type": "application/json"}
    return gateway(stages={"all": stage("all", parameters=PARAMETERS, request=request)})


def errors(answer):
    found = {}
    for error in check_problem(answer, 422)["errors"]:
        found.setdefault(error["pointer"], error["detail"])
    return found


@pytest.mark.parametrize(
    "name, value, sent",
    [
        ("s", "abc", "abc"),
        ("s", "é☃😀", "é☃😀"),  # lengths are in characters
        ("p", "ab-12", "ab-12"),
        ("i", 50, 50),
        ("i", "50", 50),
        ("i", 50.0, 50),
        ("i", " 50 ", 50),
        ("i", "", 7),  # orca sends "" for a field that was left empty
        ("u", "", None),
        ("f", 1, 1),
        ("f", "1.5", 1.5),
        ("f", 1e2, 100.0),
        ("b", True, True),
        ("b", "true", True),
        ("b", "false", False),
        ("c", "green", "green"),
        ("u", "https://example.com/a?b=c", "https://example.com/a?b=c"),
        ("l", ["a", 1], ["a", 1]),
        ("l", '["a", 1]', ["a", 1]),
        ("j", {"a": [None]}, {"a": [None]}),
        ("j", 0, 0),
        ("s", None, None),
    ],
)
def test_good_values(gw, upstream, name, value, sent):
    report = gw.client().run("all", {"must": "x", name: value})
    assert report["status"] == "SUCCEEDED", report
    body = upstream.got("POST", "/call")[0].json()
    assert body[name] == sent and type(body[name]) in (type(sent), int, float)
    assert body["must"] == "x"


def test_defaults_and_nulls(gw, upstream):
    gw.client().run("all", {"must": "x"})
    body = upstream.got("POST", "/call")[0].json()
    assert body == {
        "s": None, "p": None, "i": 7, "f": None, "b": None, "c": "red", "u": None, "l": None, "j": None, "pw": None,
        "must": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name, value",
    [
        ("s", "a"), ("s", "abcdef"), ("s", ["a"]), ("s", {"a": 1}),
        ("p", "AB-12"), ("p", "ab-12x"), ("p", "ab-12\n"), ("p", "xab-1234"),
        ("i", 0), ("i", 101), ("i", "x"), ("i", "1.5"), ("i", 1.5), ("i", True), ("i", "0x5"),
        ("i", "99999999999999999999999"), ("i", [5]),
        ("f", 0.4), ("f", "nan"), ("f", "inf"), ("f", "1,5"), ("f", "1e999"), ("f", "1e2"),
        ("b", "maybe"), ("b", 2), ("b", "TRUEX"),
        ("c", "blue"), ("c", 1), ("c", "RED "),
        ("u", "nonsense"), ("u", "ftp://example.com/"), ("u", "file:///etc/passwd"), ("u", "http://"),
        ("u", "http://u:p@example.com/"), ("u", "javascript:alert(1)"), ("u", "http://exa mple.com/"),
        ("l", [1, 2, 3, 4]), ("l", {"a": 1}), ("l", "[1"),
        ("must", None),
    ],
)  # fmt: skip
def test_bad_values(gw, upstream, name, value):
    found = errors(gw.client().start("all", {"must": "x", name: value}))
    assert list(found) == [f"/parameters/{name}"], found
    assert upstream.count() == 0


def test_all_mistakes_at_once(gw, upstream):
    bad = {"s": "a", "i": "x", "f": 0, "b": "maybe", "c": "gren", "u": "x", "l": 5, "usr": 1}
    found = errors(gw.client().start("all", bad))
    assert set(found) == {f"/parameters/{name}" for name in [*bad, "must"]}
    assert "green" in found["/parameters/c"], "the nearest choice, or all of them"
    assert all(isinstance(text, str) and len(text) > 5 for text in found.values())
    assert gw.client().get("/runs").json()["runs"] == []


def test_unknown_parameter_names_the_nearest(gw):
    found = errors(gw.client().start("all", {"must": "x", "mst": "y"}))
    assert "must" in found["/parameters/mst"]


def test_pointers_are_escaped(gw):
    """RFC 6901, 3: ~ is ~0 and / is ~1."""
    assert list(errors(gw.client().start("all", {"must": "x", "a/b~c": 1}))) == ["/parameters/a~1b~0c"]


@pytest.mark.parametrize(
    "body",
    [
        {"parameters": {"must": "${trigger['user']}"}},
        {"parameters": {"must": "a ${b} c"}},
        {"parameters": {"must": "x", "j": {"deep": [{"er": "${x}"}]}}},
        {"parameters": {"must": "x", "l": ["${x}"]}},
        {"parameters": {"must": "x", "j": {"${name}": 1}}},
        {"parameters": {"must": "${"}},
    ],
)
def test_expressions_that_orca_left_over(gw, upstream, body):
    found = errors(gw.client().request("POST", "/stages/all", body))
    assert len(found) == 1 and "expression" in json.dumps(found).lower() or "$" in json.dumps(found)
    assert upstream.count() == 0


def test_expression_in_key_or_caller(gw, upstream):
    for body in (
        {"parameters": {"must": "x"}, "key": "${execution['id']}:1"},
        {"parameters": {"must": "x"}, "caller": {"user": "${trigger['user']}"}},
    ):
        check_problem(gw.client().request("POST", "/stages/all", body), 422)
    answer = gw.client().start("all", {"must": "x"}, headers={"Idempotency-Key": "${execution['id']}"})
    check_problem(answer, 422)
    assert upstream.count() == 0


def test_secret_values_are_never_shown(gw, upstream):
    report = gw.client().run("all", {"must": "x", "pw": "hush-hush-1"})
    assert upstream.got("POST", "/call")[0].json()["pw"] == "hush-hush-1"
    assert "hush-hush-1" not in json.dumps(report)
    answer = gw.client().start("all", {"must": "x", "pw": ["hush-hush-2"]})
    check_problem(answer, 422)
    assert "hush-hush-2" not in answer.text
    assert "hush-hush" not in gw.all_logs()


# ---- as orca sends it ----


def test_json_as_latin_1_text(gw, upstream):
    """orca sends a String payload as text/plain;charset=ISO-8859-1 unless told otherwise."""
    body = '{"parameters": {"must": "café"}}'.encode("latin-1")
    answer = gw.client().request(
        "POST", "/stages/all", body, {"Content-Type": "text/plain;charset=ISO-8859-1", "Prefer": "wait=20"}
    )
    assert answer.status == 200, answer
    assert upstream.got("POST", "/call")[0].json()["must"] == "café"


def test_json_as_text_that_is_utf_8(gw, upstream):
    body = '{"parameters": {"must": "日本語"}}'.encode()
    for content_type in ("text/plain", "text/plain;charset=UTF-8", "application/json"):
        answer = gw.client().request("POST", "/stages/all", body, {"Content-Type": content_type, "Prefer": "wait=20"})
        assert answer.status == 200, answer
    assert [request.json()["must"] for request in upstream.got("POST", "/call")] == ["日本語"] * 3


def test_latin_1_that_claims_to_be_json(gw):
    body = '{"parameters": {"must": "café"}}'.encode("latin-1")
    check_problem(gw.client().request("POST", "/stages/all", body, {"Content-Type": "application/json"}), 400)
