"""The JSON Schema of a stage's parameters takes exactly what the gateway takes.

Thousands of values go to build/schema/param_table, which compiles real definitions and runs the gateway's own check,
and to a validator for JSON Schema 2020-12 (python3-jsonschema). The two have to agree on every one. The validator
asserts contentMediaType, as the standard lets it, since no other word of it can say that a text is JSON; a test below
shows that without this it differs for such texts alone."""

import itertools
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from helpers.gateway import stage  # noqa: E402

TABLE = pathlib.Path(os.environ.get("PARAM_TABLE", ROOT / "build/schema/param_table"))
REQUEST = {"url": "https://a.example/"}
ABSENT = object()


# ---- the validator ----


def only_json(text):
    def pairs(found):
        if len({name for name, _ in found}) != len(found):
            raise ValueError("a name twice")
        return dict(found)

    def refuse(word):
        raise ValueError(word)

    def real(digits):
        if float(digits) in (float("inf"), float("-inf")):
            raise ValueError(digits)
        return float(digits)

    value = json.loads(text.strip(" \t\r\n"), object_pairs_hook=pairs, parse_constant=refuse, parse_float=real)
    json.dumps(value, ensure_ascii=False).encode()  # lone surrogates
    if "\0" in json.dumps(value, ensure_ascii=False) or "\\u0000" in json.dumps(value):
        raise ValueError("U+0000")


def content_media_type(validator, kind, instance, schema):
    if not validator.is_type(instance, "string"):
        return
    assert kind == "application/json"
    try:
        only_json(instance)
    except (ValueError, RecursionError) as error:
        yield ValidationError(f"not JSON: {error}")


Asserting = extend(Draft202012Validator, {"contentMediaType": content_media_type})


# ---- the gateway ----


def ask(lines):
    """Answers to {definition, values}."""
    done = subprocess.run([TABLE], input="".join(json.dumps(line) + "\n" for line in lines).encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask_one(parameter, values):
    definition = stage("s", parameters=[{"name": "p", **parameter}], request=REQUEST)
    return ask([{"definition": definition, "values": values}])[0]


# ---- the values ----

COMMON = [
    ABSENT, None, True, False, 0, 1, -1, 7, 50, 100, 101, -0.0, 0.5, 0.25, 1.5, 50.0, 1e2, 1e300, -1e300, 5e-324, 2.5e-9,
    2**31, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) + 1, -(2**63), -(2**63) - 1, 2**64, 1e16, 9.3e18,
    "", " ", "\t\r\n ", "\u00a0", "\u2003", "x", "abc", " abc ", "abc\n", "é☃😀", "e\u0301", "a" * 20, "${", "a ${b} c", "$ {x}", "$${x}", "#{x}",
    [], {}, [[]], [{}], [None], ["a"], ["a", 1, True, 1.5], ["${x}"], [["${x}"]], {"a": 1}, {"a": {"b": ["${x}"]}}, {"${a}": 1},
    {"a": None}, list(range(10)), list(range(11)), ["", " "], [1, [2]], [False],
]  # fmt: skip
NUMBERS = [
    "0", "1", "-1", "-0", "+1", "7", "9", "10", "49", "50", "50.0", "51", "99", "100", "101", "0099", "007", "5000", "5001",
    " 50 ", "50\n", "\t-3\r\n", "5 0", "1e2", "1E2", "0x10", "1_000", "1,5", ".5", "5.", "-.5", "--5", "-", "", "0.5", "0.50", "0.49",
    "0.51", "0.499999999", "0.50000000000001", "-0.5", "-0.25", "-0.250", "-0.24", "-0.26", "-12.5", "-12.49", "-12.51", "2.75", "2.750", "2.76", "2.7",
    "2.749", "3", "123456789012345", "1234567890123456", "0.12345678901234", "0.123456789012345", "12345678.1234567",
    "9007199254740991", "9007199254740992", "9223372036854775807", "9223372036854775808", "-9223372036854775807",
    "-9223372036854775808", "00000000000000000000000000000007", "99999999999999999999999", "NaN", "Infinity", "١", "５", "1e999", "0.0", "-0.0", "00.5",
    "000000000000000", "0000000000000000",
]  # fmt: skip
BOOLEANS = ["true", "false", "TRUE", "False", "tRuE", " true ", "true\n", "yes", "no", "1", "0", "on", "truee", "t", "true false", "ﬁlse", "falſe"]
CHOICES = ["smoke", "soak", " smoke", "soak\n", "Smoke", "smok", "smoke soak", "3", 3, 3.0, "3.0", 3.5, "007", 7, "a.b", "axb", "a|b", "${x}", "é", "-5", -5, "+5", "\\d"]
HOSTS = [
    "a", "a.example", "A.EXAMPLE:80", "127.0.0.1", "a_b-c~d!$&'()*+,;=", "h" * 255, "h" * 256, "", "a b", "a%20b", "é", "u@h", "u:p@h", "h:", "h:0", "h:1",
    "h:65535", "h:65536", "h:99999", "h:007", "h:00000000000000000000080", "h:8a", "h:80:80", "[::]", "[::1]", "[1::]", "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7::]",
    "[::2:3:4:5:6:7:8]", "[1::3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[12345::]", "[g::]", "[::1.2.3.4]", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]",
    "[1:2:3:4:5::1.2.3.4]", "[1::5:1.2.3.4]", "[1:2:3:4:5:6:7:1.2.3.4]", "[1:2:3:4:5:6::1.2.3.4]", "[::1.2.3]", "[::1.2.3.256]", "[::1.2.3.04]", "[::1%25eth0]", "[::1", "::1", "[::1]:80", "[::1]x",
    "[]", "[:]", "[:::]", "[1:2:3:4:5:6:7]", "[ABCD:ef01::]", "[1:2:3::6:7:8]", "[1:2:3::5:6:7:8]", "[1:2:3:4::6:7:8:9]",
]  # fmt: skip
PATHS = ["", "/", "/a/b", "/a:b@c", "/a%2Fb", "/a%2", "/a%zz", "/a b", "/é", "/a[1]", "?", "?a=b&c=/?", "?a[]=1", "#", "#x?/", "#a#b", "/?#", "//a", "/{x}", "/\\", "/a\n", "/a|b", '/"', "/<", "/^", "/`"]
URLS = [
    *(f"https://{host}/" for host in HOSTS), *(f"http://{host}" for host in HOSTS), *(f"http://h{path}" for path in PATHS),
    "HTTPS://h", "hTTp://h", "ftp://h/", "http:/h", "http:h", "//h/", "/p", "h", "http//h", "javascript:alert(1)", " http://h ", "http://h\n", "http://h/ x", "\u00a0http://h",
    "http://h/" + "a" * 20, "http://h/12345678901", "mailto:a@b", "http://", "https:///p", "file:///etc/passwd", "httpss://h",
]  # fmt: skip
LISTS = [
    "a", "a,b", "a, b,,c ", ",", ",,", " , ", "a,", ",a", "a b", "[]", "[ ]", " [1] ", "[1,2]", '["a",1,true,false,1.5]', "[1,]", "[,1]", "[1 2]", "[null]", "[[1]]", "[{}]", "[1", "[1]x", "[",
    "]", "[]]", '["a]"]', '["a,b"]', '["\\"a\\\\"]', '["\\u00e9"]', '["\\ud83d\\ude00"]', '["\\ud83d"]', '["\\ude00"]', '["\\u0000"]', '["\\x"]', '["a\nb"]', '["a\tb"]', '["\u2028"]', '["\x7f"]',
    "['a']", "[01]", "[-1]", "[-]", "[+1]", "[.5]", "[1.]", "[1e5]", "[1E+05]", "[1e-300]", "[1e99]", "[1e100]", "[1e999]", "[123456789012345678]", "[1234567890123456789]", "[-123456789012345678.5e1]",
    "[True]", "[NaN]", '["${x}"]', '["\\u0024{x}"]', "a,${x}", "[1] , [2]", "x[1]", "é,ü", '["e1234", "1e1234"]', '["a" , "b"]', "[\n1,\r\n2\t]", "[1\u00a0]", ",".join("abcdefghij"), ",".join("abcdefghijk"),
    json.dumps(list(range(10))), json.dumps(list(range(11))), json.dumps(list(range(3))), "a,b,c", "a,,,b,c", '["\\/\\b\\f\\n\\r\\t"]', '["\\uD800\\u0041"]', '["\\uFFFF"]',
]  # fmt: skip
JSONS = [
    "5", '"x"', "null", " null ", "true", "{}", '{"a": 1}', '{"a": [1, {"b": null}]}', " {} ", "{", "{a:1}", "[1,", "[1]", '{"a":1,"a":2}', '{"a":1}x', "plain", '"open', "'x'", '{"a": "${x}"}', "[1e999]", '["\\ud800"]',
    "[NaN]", '{"a":Infinity}', "{} {}", '["\\u0000"]', "\u00a0{", "]", "}", "[" * 60 + "]" * 60, "//", "{}\n", '[1,2', '["a\nb"]', '{"a":01}',
]  # fmt: skip
STRINGS = [
    "a", "0123456789", "ab", "abcde", "abcdef", "ab-12", "AB-12", "ab-12\n", "\nab-12", "ab-1234", "a.b", "a\nb", "a\rb", "a\u2028b", "a\x85b", "١٢", "12", "a_b", "a b", "a\tb", "a\u00a0b", "a\x0bb", "-ab", "/x/y", "x{2}", "x]", "é", "É", "😀",
    "aab", "b", "B", "a\\b", "[a]", "^", "$", "a$", "a-b", "xx", "xxx", "xxxx", "", "a|b", "A1", "hunter2hunter2",
]  # fmt: skip

PATTERNS = [
    "[a-z]+-[0-9]{1,3}", "^[a-z]+$", "a.b", "a\\.b", "\\d+", "\\w+", "\\W+", "a\\sb", "a\\Sb", "[\\s\\S]*", "[\\d.]+", "[^\\d]+", "[^a-z]+", "(?!-)[a-z-]+", "a|b", "(?:a|b)+", "x{2,3}", "x{2,}?", "x\\{2\\}", "[\\]x]+",
    "[\\[\\]a]+", "/x/y", "a\\\\b", ".*", ".", "[^.]", "[-a]+", "[a-]+", "a\\|b", "(?=.*1)[A-Z0-9]+", "a$", "^a", "a\\$", "[é-😀]+", "[^\\W]+", "[\\D]", "()", "", "a*?b", "\\^|\\$", "[$^]", "a\nb", "a\\tb",
]  # fmt: skip


def parameters():
    bounds = [{}, {"minimum": 1}, {"maximum": 100}, {"minimum": 1, "maximum": 5000}, {"minimum": -12.5, "maximum": 50}, {"minimum": 0}, {"maximum": 0},
              {"minimum": 0.5}, {"maximum": 0.5}, {"minimum": -0.25, "maximum": 2.75}, {"maximum": -1}, {"minimum": 100.0}, {"maximum": -0.25},
              {"minimum": 9007199254740991}, {"maximum": -9007199254740991}, {"minimum": 0.1, "maximum": 0.3}, {"minimum": 50, "maximum": 50},
              {"minimum": 1.2, "maximum": 1.8}, {"minimum": 0.00000000025}, {"maximum": 99.99}]  # fmt: skip
    lengths = [{}, {"min_length": 1}, {"min_length": 2}, {"max_length": 3}, {"min_length": 2, "max_length": 5}, {"min_length": 10, "max_length": 10}]
    for kind, options, values in (
        ("string", [*lengths, *({"pattern": one} for one in PATTERNS), {"pattern": "[a-z]*", "max_length": 3}], STRINGS),
        ("integer", bounds, NUMBERS),
        ("number", bounds, NUMBERS),
        ("boolean", [{}], BOOLEANS),
        ("choice", [{"choices": one} for one in (["smoke", "soak", "3"], ["007", "7", "a.b", "a|b", "${x}"], ["é"], ["-5", "\\d", "0"], [" smoke", "3"])], CHOICES),
        ("url", [*lengths, {"max_length": 20}, {"min_length": 20}], URLS),
        ("list", lengths, LISTS),
        ("json", [{}], [*JSONS, *LISTS, *NUMBERS]),
        ("secret", [*lengths, {"min_length": 8}], STRINGS),
    ):  # fmt: skip
        for option, required in itertools.product(options, (False, True)):
            yield {"type": kind, "required": required, **option}, [*COMMON, *values]


def label(parameter):
    return " ".join(f"{name}={value}" for name, value in parameter.items())


def as_object(value):
    return {} if value is ABSENT else {"p": value}


def compare(parameter, values, validator_class=Asserting, change=lambda schema: None):
    """How often both took and both refused; and where they differ."""
    objects = [as_object(value) for value in values]
    answer = ask_one(parameter, objects)
    assert "schema" in answer, (parameter, answer)
    change(answer["schema"])
    Draft202012Validator.check_schema(answer["schema"])
    validator = validator_class(answer["schema"])
    took = refused = 0
    differ = []
    for given, faults in zip(objects, answer["faults"]):
        valid = validator.is_valid(given)
        assert all(where.startswith("/parameters/p") for where in faults)
        took, refused = took + (valid and not faults), refused + (not valid and bool(faults))
        if valid != (not faults):
            differ.append((given, "the schema takes it" if valid else "the gateway takes it"))
    return took, refused, differ


ALL = list(parameters())


def test_the_table_is_as_large_as_it_says():
    assert sum(len(values) for _, values in ALL) >= 2000


@pytest.mark.parametrize("parameter, values", ALL, ids=[label(parameter) for parameter, _ in ALL])
def test_gateway_and_validator_agree(parameter, values):
    took, refused, differ = compare(parameter, values)
    assert not differ
    # 1.2 to 1.8 and 0.1 to 0.3 have no integer, a URL has 8 characters at least, and what is required is not empty
    barren = parameter["type"] == "integer" and parameter.get("maximum") in (1.8, 0.3) or parameter.get("max_length", 9) < 8 and parameter["type"] == "url"
    barren = parameter["required"] and (barren or parameter.get("pattern") in ("", "()"))
    assert refused > 0 and (took > 0) != barren


ALPHABETS = {
    "string": "ab-1. \n\\é😀[]{}^$|/_x",
    "integer": "0123456789-  ",
    "number": "0123456789-. e",
    "url": "htps:/.[]1@%af?# ",
    "list": "a,[]\"\\ 1.e-{t\n",
    "json": "{}[]\",:1 a\\n",
    "choice": "smoka.b|37 ",
    "boolean": "truefals TRUE",
    "secret": "ab ${",
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ALPHABETS)
def test_they_agree_on_random_text(kind, seed):
    chance = random.Random(f"{kind} {seed}")
    options = [parameter for parameter, _ in ALL if parameter["type"] == kind]
    seeds = {"url": "http://h", "list": "[1]", "number": "12.5", "integer": "50", "boolean": "true", "choice": "smoke"}

    def text():
        made = "".join(chance.choice(ALPHABETS[kind]) for _ in range(chance.randrange(12)))
        base = seeds.get(kind, "")
        if base and chance.random() < 0.6:
            at = chance.randrange(len(base) + 1)
            made = base[:at] + made[: chance.randrange(4)] + base[at:]
        return made

    for parameter in chance.sample(options, min(12, len(options))):
        assert not compare(parameter, [text() for _ in range(150)])[2]


def test_random_numbers_and_bounds():
    chance = random.Random(3)
    for _ in range(60):
        kind = chance.choice(["integer", "number"])

        def number():
            digits = chance.randrange(1, 8)
            whole = chance.randrange(-(10**digits), 10**digits)
            return whole if chance.random() < 0.5 else round(whole / 10 ** chance.randrange(1, 6), 5)

        low, high = sorted([number(), number()])
        near = [n + d for n in (low, high) for d in (-1, -0.5, -0.001, 0, 0.001, 0.5, 1)]
        texts = [f"{n:.{places}f}" for n in [*near, *(number() for _ in range(20))] for places in (0, 1, 3, 6)]
        values = [*near, *texts, *(str(n) for n in near)]
        parameter = {"type": kind, "minimum": float(low), "maximum": float(high)}
        assert not compare(parameter, values)[2]


def test_only_json_text_needs_content_media_type():
    """A validator that takes contentMediaType for a remark, as most do, is wider for such texts and for nothing else."""
    for parameter, values in ALL:
        differ = compare(parameter, values, Draft202012Validator)[2]
        assert parameter["type"] == "json" or not differ
        for given, how in differ:
            assert how == "the schema takes it" and given["p"].strip()[0] in "[{"


@pytest.mark.parametrize("kind", ["string", "integer", "number", "boolean", "choice", "url", "list", "json", "secret"])
def test_the_comparison_can_fail(kind):
    """Each alternative of a schema taken away, and `plain` too, makes a difference that some value shows."""
    parameter, values = next(one for one in ALL if one[0]["type"] == kind)
    for at in range(len(ask_one(parameter, [])["schema"]["properties"]["p"]["anyOf"])):
        assert compare(parameter, values, change=lambda schema: schema["properties"]["p"]["anyOf"].pop(at))[2], at
    if kind in ("string", "list", "json", "secret"):
        assert compare(parameter, values, change=lambda schema: schema["$defs"].update(plain=True))[2]


def test_several_parameters_and_unknown_names():
    several = [{"name": "a", "type": "integer", "required": True}, {"name": "b-c", "type": "list"}, {"name": "d", "default": "x"}]
    values = [{}, {"a": 1}, {"a": "1", "b-c": "x,y", "d": ""}, {"a": None}, {"b-c": []}, {"a": 1, "e": 1}, {"A": 1}, {"a": 1, "d": 5}, [], "x", 5]
    answer = ask([{"definition": stage("s", parameters=several, request=REQUEST), "values": values}])[0]
    validator = Asserting(answer["schema"])
    assert [validator.is_valid(value) for value in values] == [not faults for faults in answer["faults"]]
    empty = ask([{"definition": stage("s", request=REQUEST), "values": [{}, {"a": 1}]}])[0]
    assert [Asserting(empty["schema"]).is_valid(value) for value in ({}, {"a": 1})] == [True, False] == [not f for f in empty["faults"]]


@pytest.mark.parametrize(
    "parameter, sentence",
    [
        ({"type": "integer", "minimum": 2**53}, "has to be a whole number up to 2^53 - 1"),
        ({"type": "number", "maximum": 0.1234567890123456}, "15 digits at most"),
        ({"type": "number", "maximum": 1e-20}, "15 digits at most"),
        ({"type": "list", "max_length": 10001}, "at most"),
        ({"type": "string", "pattern": "(?i)a"}, "flags are not supported"),
        ({"type": "string", "pattern": "(?<=a)b"}, "looking behind is not supported"),
        ({"type": "string", "pattern": "a\\b"}, "word boundaries are not supported"),
        ({"type": "string", "pattern": "(a)\\1"}, "references to groups are not supported"),
        ({"type": "string", "pattern": "[[:alpha:]]"}, "write A-Za-z"),
    ],
)
def test_what_a_schema_could_not_say_is_refused_at_load(parameter, sentence):
    assert any(sentence in mistake for mistake in ask_one(parameter, [])["mistakes"])
