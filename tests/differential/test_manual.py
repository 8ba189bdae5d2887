"""Every example of docs/templates.md makes what the page says."""

import json
import re

import pytest

from batch import ROOT, render

PAGE = (ROOT / "docs/templates.md").read_text()
VALUES = json.loads(re.search(r"```values\n(.*?)\n```", PAGE, re.S).group(1))
EXAMPLES = re.findall(r"```template (\w+)\n(.*?)\n```\n\n```makes\n(.*?)\n```", PAGE, re.S)


def test_every_example_is_found():
    assert len(EXAMPLES) == PAGE.count("```template ") == PAGE.count("```makes") >= 8


@pytest.mark.parametrize("place, template, made", EXAMPLES)
def test_example(place, template, made):
    assert render([{"place": place, "template": template, "vars": VALUES}])[0].get("result") == made


def test_parts_are_compiled_in():
    parts = {"a": "{{ n }}{% set n = 9 %}{{ n }}{% include 'b' %}", "b": "b{{ p }}", "loop": "{% include 'again' %}", "again": "\n{% include 'loop' %}",
             "open": "{% if p %}", "wrong": "one\n{{ nope }}", "json": '"{{ p }}", '}

    def one(template, place="text"):
        return render([{"place": place, "template": template, "vars": {"p": "v"}, "parts": parts}])[0]

    assert one("{% set n = 1 %}{% include 'a' %}{{ n }}")["result"] == "19bv1"
    assert one("{% for n in [1, 2] %}{% include \"a\" %}{% endfor %}")["result"] == "19bv29bv"
    assert one("[{% include 'json' %}{% include 'json' -%}  ]", "json")["result"] == '["v", "v"]'
    assert "includes itself" in one("{% include 'loop' %}")["what"]
    assert "cannot be read" in one("{% include 'gone' %}")["what"]
    assert one("{% include 'open' %}{% endif %}")["kind"] == "syntax"
    wrong = one("{% include 'wrong' %}")
    assert (wrong["where"], wrong["lines"]) == ("wrong:2:4", "{{ nope }}\n   ^~~~")


def test_parts_have_a_ceiling():
    parts = {str(i): f"{{% include '{i + 1}' %}}" * 2 for i in range(30)} | {"x0": "y" * 70000}
    assert "nested deeper" in render([{"template": "{% include '0' %}", "vars": {}, "parts": parts}])[0]["what"]
    assert render([{"template": "{% include 'x0' %}" * 20, "vars": {}, "parts": parts}])[0]["kind"] == "too_large"


@pytest.mark.parametrize("template, what", [
    ("{% for a in xs %}{% for b in xs %}{% for c in xs %}.{% endfor %}{% endfor %}{% endfor %}", "passes"),
    ("{% for a in xs %}{% set y = big ~ big %}{% endfor %}", "bytes of text"),
    ("{% for a in xs %}{{ 'z' in many }}{{ 'z' in many }}{{ 'z' in many }}{% endfor %}", "steps"),
    ("{% for a in xs %}{{ evil | regex_replace('(a|a)*$', '') }}{% endfor %}", "match limit"),
    ("{% for a in xs %}{{ evil is match('(a+)+$') }}{% endfor %}", "match limit"),
    ("{{ evil is search('(x+x+)+y') }}{{ evil | regex_search('^(([a-z])+.)+[A-Z]([a-z])+$') }}", "match limit"),
    ("{% for a in xs %}{{ 'a' | regex_replace('a', 'b') }}{% endfor %}" * 60, "matches"),
    ("{{ [" * 70, "nested deeper than 64"), ("{% if 1 %}" * 40, "nested deeper than 32"), ("{% for x in xs %}" * 20, "nested deeper than 16"),
    ("".join(f"{{% set v{i} = 1 %}}" for i in range(70)), "64 variables"), ("{{ 1" + " + 1" * 100 + " }}", "operators in a row"),
    ("{{ xs" + " | list" * 100 + " }}", "filters in a row"), ("{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}", "bytes"),
])
def test_ceilings_say_their_name(template, what):
    values = {"xs": list(range(200)), "big": "b" * 100000, "many": ["m"] * 100000, "evil": "a" * 60 + "!"}
    answer = render([{"template": template, "vars": values}])[0]
    assert answer.get("kind") in ("too_large", "invalid") and what in answer["what"], answer
