"""No value can leave its place: arbitrary texts as parameters, in every place, read back by Python's own parsers."""

import json
import random
import re
import urllib.parse
import xml.etree.ElementTree as xml

from batch import render, seed

SEED = seed()
COUNT = 3000
NASTY = list("\"'\\/?#&=%{}[]<>:@.,;+ \t\r\n\x01\x1f\x7f~$|*aZ0é日") + ["😀", "\u2028", "\ufeff", "{{", "}}", "{%", "%}", "{#", "\r\n", "..", "%2F", "%00", "\\u0000",
                                                               "]]>", "-->", "&amp;", "</a>", "${", "\\\"", "http://evil.example/", "//evil", "@evil", "\u0085", "\uffff", "\U0010ffff"]


def texts():
    rng = random.Random(SEED)
    print(f"SEED={SEED}")
    yield from ["", ".", "..", "a", "\r\nX: y", '"}', "{{ secret.x }}", "{% raw %}", "\\", "%", "../../x", "?a=b", "#f"]
    for _ in range(COUNT):
        yield "".join(rng.choice(NASTY) for _ in range(rng.randint(1, 12)))


def rendered(place, template, values, blocks=True):
    """Each value put in as it is, and once more as the text that {% set %} with a block made of it."""
    tasks = [{"place": place, "template": template, "vars": {"p": value}} for value in values]
    if blocks:
        block = "{% set b %}{{ p }}{% endset %}" + re.sub(r"\bp\b", "b", template)
        tasks += [{**task, "template": block} for task in tasks]
    return list(zip(values * 2 if blocks else values, render(tasks)))


def test_json_gives_back_the_value():
    template = """{"in": "<{{ p }}>", "bare": {{ p }}, "{{ p }}": [{% for x in [p, 5, p] if x is string %}{{ x }}, "{{ x }}",{% endfor %}],
                   {% if p %}"member": {{ {p: [p]} }},{% endif %}}"""
    for value, answer in rendered("json", template, list(texts())):
        if value in ("in", "bare", "member"):
            continue
        made = json.loads(answer["result"])
        wanted = {"in": f"<{value}>", "bare": value, value: [value] * 4}
        assert made == (wanted | {"member": {value: [value]}} if value else wanted), (SEED, value, answer)


def test_json_values_of_every_kind():
    rng = random.Random(SEED)

    def value(depth):
        kind = rng.randrange(9 if depth else 6)
        if kind > 6:
            return {"".join(rng.choice(NASTY) for _ in range(3)): value(depth - 1) for _ in range(rng.randint(0, 3))}
        if kind == 6:
            return [value(depth - 1) for _ in range(rng.randint(0, 3))]
        return [None, True, rng.randint(-2**63, 2**63 - 1), rng.random() * 10 ** rng.randint(-300, 300), "".join(rng.choice(NASTY) for _ in range(5)), 0][kind]

    for given, answer in rendered("json", '[{{ p }}, {"a": {{ p }} }, {% for x in [p] %}{{ x }}{% endfor %}]', [value(3) for _ in range(1000)], blocks=False):
        assert json.loads(answer["result"]) == [given, {"a": given}, given], (SEED, given, answer)


def test_url_keeps_its_shape():
    template = "https://h.example:8443/a/{{ p }}/b?q={{ p }}&{{ p }}=1#{{ p }}"
    for value, answer in rendered("url", template, list(texts())):
        if value in ("", ".", ".."):
            assert answer["kind"] == "invalid", (value, answer)
            continue
        url = urllib.parse.urlsplit(answer["result"])
        assert (url.scheme, url.netloc) == ("https", "h.example:8443"), (SEED, value, answer)
        assert [urllib.parse.unquote(part) for part in url.path.split("/")] == ["", "a", value, "b"], (SEED, value, answer)
        assert urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=True) == [("q", value), (value, "1")], (SEED, value, answer)
        assert urllib.parse.unquote(url.fragment) == value, (SEED, value, answer)


def test_url_segments_keep_the_host():
    for value, answer in rendered("url", "https://h.example/a/{{ p | segments }}/b", list(texts())):
        parts = value.split("/")
        if any(part in ("", ".", "..") for part in parts):
            assert answer["kind"] == "invalid", (SEED, value, answer)
            continue
        url = urllib.parse.urlsplit(answer["result"])
        assert url.netloc == "h.example" and [urllib.parse.unquote(part) for part in url.path.split("/")] == ["", "a", *parts, "b"], (SEED, value, answer)


def test_header_gains_no_line():
    for value, answer in rendered("header", "v={{ p }};", list(texts())):
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
            assert answer["kind"] == "invalid", (SEED, value, answer)
        else:
            assert answer["result"] == f"v={value};", (SEED, value, answer)


def test_form_gives_back_the_value():
    for value, answer in rendered("form", "a b {{ p }}", list(texts())):
        assert urllib.parse.parse_qsl("x=" + answer["result"], keep_blank_values=True) == [("x", "a b " + value)], (SEED, value, answer)


def test_xml_gives_back_the_value():
    for value, answer in rendered("xml", "<a b=\"{{ p }}\" c='{{ p }}'>{{ p }}<d/></a>", list(texts())):
        if any((ord(c) < 0x20 and c not in "\t\r\n") or c in "\ufffe\uffff" for c in value):
            assert answer["kind"] == "invalid", (SEED, value, answer)
            continue
        made = xml.fromstring(answer["result"])
        assert (made.text or "", made.get("b"), made.get("c"), len(made)) == (value, value, value, 1), (SEED, value, answer)


def test_commas_at_random():
    """Lists and objects with branches, loops and commas anywhere: what compiles makes valid JSON, and loses no element."""
    rng = random.Random(SEED)
    comma = lambda: rng.choice(["", ",", ", ", " ,\n", "\n"])

    def items(depth, inside):
        out = []
        for _ in range(rng.randint(0, 4)):
            kind = rng.randrange(6 if depth else 2)
            if kind < 2:
                out.append(rng.choice(["1", '"a,]"', "{{ p }}", '"{{ p }}"', "[]", '{"k": 1}']))
            elif kind == 2:
                out.append("[" + items(depth - 1, True) + "]")
            elif kind == 3:
                out.append("{% if " + rng.choice(["p", "not p", "true", "false"]) + " %}" + items(depth - 1, True) + rng.choice(["", "{% else %}" + items(depth - 1, True)]) + "{% endif %}")
            else:
                out.append("{% for x in " + rng.choice(["[]", "[1]", "[1, 2, 3]"]) + " %}" + rng.choice(["", "{% if not loop.first %},{% endif %}"]) + items(depth - 1, True) +
                           rng.choice(["", "{% if not loop.last %}, {% endif %}"]) + "{% endfor %}")
            out.append(comma())
        return "".join(out)

    tasks = [{"place": "json", "template": "[" + items(3, False) + "]", "vars": {"p": rng.choice(["", "x,", "]"])}} for _ in range(4000)]
    answers = render(tasks)
    good = 0
    for task, answer in zip(tasks, answers):
        if "result" not in answer:
            assert answer["kind"] in ("syntax", "invalid"), (SEED, task, answer)
            continue
        good += 1
        json.loads(answer["result"])
    assert good > 400, "too few of these templates compile to say anything"
