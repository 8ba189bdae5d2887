"""An upstream that is an OpenAPI description (3.0): what it is asked has to be what the description allows, and so has what it
answers. A request's mistakes are kept in `mistakes`, and answered 422; those of the test's own answers in `problems`. check()
fails a test that has either.

A body's members have to be among those that the description names, though JSON Schema would take others: GitHub's
description never closes an object, and a misspelt member would pass. It shows that calls and replies are such as the
description says; not that the service would do the same."""

import json
import re
import urllib.parse

import jsonschema

from .upstream import Move, reply


class Description:
    def __init__(self, path):
        self.whole = json.loads(path.read_text())
        self.schemas = _of_3_0(self.whole)

    def resolve(self, value):
        while "$ref" in value:
            at = self.whole
            for part in value["$ref"][2:].split("/"):
                at = at[part.replace("~1", "/").replace("~0", "~")]
            value = at
        return value

    def complaints(self, schema, value):
        schema = {**_of_3_0(schema), "components": self.schemas["components"]}
        return [f"{'/'.join(map(str, one.path))}: {one.message}" for one in
                jsonschema.Draft202012Validator(schema).iter_errors(value)]

    def example(self, schema, **members):
        """The least value that fits: of an object what is required, with `members` in place."""
        schema = self.resolve(schema)
        if schema.get("nullable"):
            return None
        if "allOf" in schema or "oneOf" in schema or "anyOf" in schema:
            return self.example((schema.get("allOf") or schema.get("oneOf") or schema["anyOf"])[0])
        if schema.get("type") == "object" or "properties" in schema:
            made = {name: self.example(schema["properties"][name]) for name in schema.get("required", []) if name not in members}
            return {**made, **members}
        if "enum" in schema:
            return schema["enum"][0]
        return {"integer": 1, "number": 1.5, "boolean": False, "array": [], "string": "text"}[schema.get("type", "string")]

    def operation(self, method, path):
        """The most literal path that fits, its operation, and the values of its variables."""
        found = []
        for template, operations in self.whole["paths"].items():
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
            fits = re.fullmatch(pattern, path)
            if fits and method.lower() in operations:
                found.append((template.count("{"), template, operations[method.lower()], fits.groupdict()))
        return min(found, key=lambda one: one[0])[1:] if found else None


def _of_3_0(value):
    """`nullable` as JSON Schema says it."""
    if isinstance(value, list):
        return [_of_3_0(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _of_3_0(one) for key, one in value.items() if key != "nullable"}
    if value.get("nullable") is True:
        made = {"anyOf": [made, {"type": "null"}]}
    return made


def _typed(schema, text):
    """A path's or a query's text as the value that its schema means."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if schema.get("type") == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


class Described:
    """Puts a description's operations on an upstream. `on("POST", "/repos/{owner}/…", answer…)`: each answer is (code, body),
    or a function of the request and its path variables that gives one, or a move of the upstream for what no description has
    (a refusal, a lost reply); the last one stays. Each request has to have `headers`, with these values."""

    def __init__(self, upstream, path, headers):
        self.upstream, self.description, self.headers = upstream, Description(path), headers
        self.answers, self.mistakes, self.problems = {}, [], []
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            upstream.on(method, "/*", self._play)

    def on(self, method, template, *answers):
        assert method.lower() in self.description.whole["paths"][template], f"the description has no {method} {template}"
        self.answers[method, template] = list(answers)

    def check(self):
        assert not self.mistakes, "\n".join(self.mistakes)
        assert not self.problems, "\n".join(self.problems)

    def _play(self, request):
        found = self.description.operation(request.method, request.path)
        if not found:
            return self._refuse(404, f"{request.method} {request.path} is not in the description")
        template, operation, variables = found
        variables = {name: urllib.parse.unquote(value) for name, value in variables.items()}
        complaints = [*self._headers(request), *self._parameters(operation, request, variables), *self._body(operation, request)]
        if complaints:
            return self._refuse(422, f"{request.method} {request.target}: " + "; ".join(complaints))
        answers = self.answers.get((request.method, template))
        if not answers:
            return self._refuse(404, f"nothing was scripted for {request.method} {template}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer) and not isinstance(answer, Move):
            answer = answer(request, variables)
        if isinstance(answer, Move):
            return answer
        code, body = answer
        self._check_answer(operation, template, code, body)
        return reply(code, b"" if body is None else body)

    def _refuse(self, code, what):
        self.mistakes.append(what)
        return reply(code, {"message": what})

    def _headers(self, request):
        for name, value in self.headers.items():
            if request.header(name) != value:
                yield f"{name}: {'another one' if request.header(name) else 'missing'}"

    def _parameters(self, operation, request, variables):
        query = urllib.parse.parse_qs(request.query, keep_blank_values=True, strict_parsing=bool(request.query))
        known = [self.description.resolve(one) for one in operation.get("parameters", [])]
        for name in set(query) - {one["name"] for one in known if one["in"] == "query"}:
            yield f"no query parameter {name}"
        for one in known:
            values = {"path": [variables[one["name"]]] if one["name"] in variables else [],
                      "query": query.get(one["name"], []), "header": []}[one["in"]]
            if one.get("required") and one["in"] != "header" and not values:
                yield f"{one['name']} is missing"
            for value in values:
                schema = self.description.resolve(one.get("schema", {}))
                yield from self.description.complaints(schema, _typed(schema, value))

    def _body(self, operation, request):
        wanted = operation.get("requestBody")
        if not wanted:
            if request.body:
                yield "a body where there is none"
            return
        wanted = self.description.resolve(wanted)
        if not request.body:
            if wanted.get("required"):
                yield "the body is missing"
            return
        kind = (request.header("Content-Type") or "").split(";")[0]
        if kind not in wanted["content"]:
            yield f"the body is {kind}, not one of {list(wanted['content'])}"
            return
        schema = wanted["content"][kind].get("schema", {})
        try:
            body = request.json()
        except ValueError as error:
            yield f"the body is not JSON: {error}"
            return
        yield from self.description.complaints(schema, body)
        schema = self.description.resolve(schema)
        if isinstance(body, dict) and "properties" in schema:
            yield from (f"no member {name}" for name in body.keys() - schema["properties"].keys())

    def _check_answer(self, operation, template, code, body):
        described = operation["responses"].get(str(code), operation["responses"].get("default"))
        if described is None:
            self.problems.append(f"{template} has no answer {code}")
            return
        content = self.description.resolve(described).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is not None and body is not None:
            self.problems += [f"{template} {code}: {one}" for one in self.description.complaints(schema, body)]
