"""A Kubernetes API server as far as its published OpenAPI description goes: every request and every reply is validated
against that (tests/e2e/data/kubernetes-openapi.json), strictly: what it does not name is refused, as with
fieldValidation=Strict. What becomes of a Job is what the test says.

It shows that requests are such as the API describes, and that replies such as it describes are understood; not that a
cluster would do the same.
"""

import json
import pathlib
import re
import urllib.parse

import jsonschema

from .upstream import reply

DESCRIPTION = json.loads((pathlib.Path(__file__).parents[1] / "data" / "kubernetes-openapi.json").read_text())
BATCH, CORE = "io.k8s.api.batch.v1", "io.k8s.api.core.v1"
NOW = "2026-11-23T10:00:00Z"


def _strict():
    """Its definitions as JSON Schemas that know no other members, with the two types that JSON writes in two ways."""
    made = {}
    for name, definition in DESCRIPTION["definitions"].items():
        definition = dict(definition)
        if "properties" in definition:
            definition["additionalProperties"] = False
        if definition.get("format") == "int-or-string":
            definition = {"type": ["integer", "string"]}
        made[name] = definition
    return made


DEFINITIONS = _strict()


def mistakes_of(value, schema):
    validator = jsonschema.Draft4Validator({**schema, "definitions": DEFINITIONS})
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in validator.iter_errors(value)]


def schema_of(name):
    return {"$ref": f"#/definitions/{name}"}


def _parameters(operation, path):
    for one in [*path.get("parameters", []), *operation.get("parameters", [])]:
        yield DESCRIPTION["parameters"][one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one


def _query_fits(parameter, text):
    if parameter["type"] == "integer":
        return re.fullmatch(r"-?\d+", text)
    return parameter["type"] == "string" or text in ("true", "false")


class Kubernetes:
    """`jobs` as the server holds them; `violations` of the description, by anybody."""

    def __init__(self, upstream, token):
        self.token = token
        self.jobs, self.logs, self.pods, self.violations, self.deleted = {}, {}, {}, [], []
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            upstream.on(method, "/*", self.answer)

    # -- what a test makes happen --

    def end(self, name, condition, exit_code, log, message=None):
        """The Job's pod has ended, and so has the Job."""
        pod = f"{name}-x7k2p"
        container = {"name": "job", "image": "i", "imageID": "", "ready": False, "restartCount": 0,
                     "state": {"terminated": {"exitCode": exit_code, "reason": "Completed"}}}  # fmt: skip
        if log is not None:
            self.logs[pod] = log
            self.pods[name] = {"apiVersion": "v1", "kind": "Pod",
                               "metadata": {"name": pod, "namespace": "default", "labels": {"job-name": name}},
                               "status": {"phase": "Succeeded", "containerStatuses": [container]}}  # fmt: skip
        first = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[condition]
        conditions = [{"type": "Suspended", "status": "False"}]
        for kind in (first, condition):
            conditions.append({"type": kind, "status": "True", "lastTransitionTime": NOW})
            if message:
                conditions[-1]["message"] = message
        self.jobs[name]["status"] = {"conditions": conditions, "startTime": NOW}

    # -- the server --

    def answer(self, request):
        query = urllib.parse.parse_qsl(request.query, keep_blank_values=True)
        for template, path in DESCRIPTION["paths"].items():
            found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), request.path)
            operation = path.get(request.method.lower()) if found else None
            if operation:
                names = {key: urllib.parse.unquote(value) for key, value in found.groupdict().items()}
                wrong = self._wrong_request(request, path, operation, query)
                if wrong:
                    return self._refuse(400, "BadRequest", wrong, request)
                if request.header("Authorization") != f"Bearer {self.token}":
                    return self._refuse(401, "Unauthorized", ["the token is not known"], request)
                code, body = getattr(self, "_" + operation["operationId"])(names, dict(query), request)
                return self._checked(operation, code, body)
        return self._refuse(404, "NotFound", ["the description has no such call"], request)

    @staticmethod
    def _wrong_request(request, path, operation, query):
        wrong, known = [], {}
        for one in _parameters(operation, path):
            known[one["in"], one["name"]] = one
        for name, value in query:
            parameter = known.get(("query", name))
            if not parameter or not _query_fits(parameter, value):
                wrong.append(f"query: {name}={value}")
        body = known.get(("body", "body"))
        if request.body and not body:
            wrong.append("a body where there is none")
        elif request.body:
            if request.header("Content-Type") != "application/json":
                wrong.append(f"Content-Type: {request.header('Content-Type')}")
            wrong += mistakes_of(request.json(), body["schema"])
        elif body and body.get("required"):
            wrong.append("no body")
        return wrong

    def _checked(self, operation, code, body):
        said = operation["responses"].get(str(code), {}).get("schema", schema_of("io.k8s.apimachinery.pkg.apis.meta.v1.Status"))
        self.violations += [f"our own reply: {one}" for one in ([] if isinstance(body, str) else mistakes_of(body, said))]
        if isinstance(body, str):
            return reply(code, body, content_type="text/plain")
        return reply(code, body)

    def _refuse(self, code, reason, wrong, request):
        if code != 401:
            self.violations.append(f"{request!r}: {wrong}")
        return reply(code, self.status(code, reason, "; ".join(wrong)))

    @staticmethod
    def status(code, reason, message):
        return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure" if code >= 400 else "Success",
                "reason": reason, "message": message, "code": code}  # fmt: skip

    def _missing(self, what, name):
        return 404, self.status(404, "NotFound", f'{what} "{name}" not found')

    def _createBatchV1NamespacedJob(self, names, query, request):
        job = request.json()
        name = job["metadata"]["name"]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name), name  # RFC 1123, as the server would have it
        if name in self.jobs:
            return 409, self.status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        self.jobs[name] = {**job, "status": {}}
        return 201, self.jobs[name]

    def _readBatchV1NamespacedJob(self, names, query, request):
        job = self.jobs.get(names["name"])
        return (200, job) if job else self._missing("jobs.batch", names["name"])

    def _deleteBatchV1NamespacedJob(self, names, query, request):
        if names["name"] not in self.jobs:
            return self._missing("jobs.batch", names["name"])
        self.deleted.append((names["name"], query.get("propagationPolicy")))
        del self.jobs[names["name"]]
        return 200, self.status(200, "", "")

    def _listCoreV1NamespacedPod(self, names, query, request):
        label, _, value = query["labelSelector"].partition("=")
        pods = [pod for pod in self.pods.values() if pod["metadata"]["labels"].get(label) == value]
        return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}

    def _readCoreV1NamespacedPodLog(self, names, query, request):
        if names["name"] not in self.logs:
            return self._missing("pods", names["name"])
        return 200, self.logs[names["name"]]
