"""orca, played by the contract: it reads orca-local.yml as Spring does, evaluates a stage's expressions, and sends,
polls and cancels as its webhook tasks do. The proof on orca's own classes is tests/orca."""

import json
import re
import time

import yaml

FIXED = {"Accept": "text/plain, application/json, */*", "User-Agent": "okhttp/4.9.3", "Accept-Encoding": "gzip"}
# WebhookProperties.PreconfiguredWebhook: what a stage takes over, in its order.
FIELDS = [
    "url", "customHeaders", "method", "payload", "failFastStatusCodes", "waitForCompletion", "statusUrlResolution", "statusUrlJsonPath",
    "statusJsonPath", "progressJsonPath", "successStatuses", "canceledStatuses", "terminalStatuses", "signalCancellation", "cancelEndpoint",
    "cancelMethod", "cancelPayload", "waitBeforeMonitor", "retryStatusCodes",
]  # fmt: skip
TYPES = {
    "type": str, "label": str, "description": str, "enabled": bool, "parameters": list, "permissions": dict, "sensitiveHeaders": dict,
    "url": str, "customHeaders": dict, "method": str, "payload": str, "failFastStatusCodes": list, "waitForCompletion": bool,
    "statusUrlResolution": str, "statusUrlJsonPath": str, "statusJsonPath": str, "progressJsonPath": str, "successStatuses": str,
    "canceledStatuses": str, "terminalStatuses": str, "signalCancellation": bool, "cancelEndpoint": str, "cancelMethod": str,
    "cancelPayload": str, "waitBeforeMonitor": int, "retryStatusCodes": list,
}  # fmt: skip


class Terminal(Exception):
    """The stage would end here, with this as its error."""


class Failed(Exception):
    """An expression that could not be evaluated."""


def placeholders(text, environment):
    """Spring's PropertyPlaceholderHelper("${", "}", ":", ignoring what it does not find), which every value of orca.yml
    goes through: the braces nest, and what stands behind the first ':' is the default."""
    made, at = "", 0
    while (begin := text.find("${", at)) >= 0:
        depth, end = 0, begin + 2
        while end < len(text) and (depth or text[end] != "}"):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if end == len(text):
            break
        inner = placeholders(text[begin + 2 : end], environment)
        name, colon, preset = inner.partition(":")
        found = environment.get(inner, environment.get(name) if colon else None)
        if found is None and colon:
            found = preset
        made += text[at:begin] + (found if found is not None else text[begin : end + 1])
        at = end + 1
    return made + text[at:]


def bound(value, environment):
    if isinstance(value, dict):
        return {key: bound(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [bound(item, environment) for item in value]
    return placeholders(value, environment) if isinstance(value, str) else value


def configuration(text, environment=None):
    """What orca has after its start."""
    read = yaml.safe_load(text)
    for entry in read["webhook"]["preconfigured"]:
        for key, value in entry.items():
            assert type(value) is TYPES[key], (key, value)
        for headers in (entry["customHeaders"], entry.get("sensitiveHeaders", {})):
            assert all(type(value) is list for value in headers.values()), "orca's map has lists"
    return bound(read, environment or {})


def listing(entry):
    """OperationsController.preconfiguredWebhooks."""
    return {
        "label": entry["label"],
        "description": entry.get("description"),
        "type": entry["type"],
        "waitForCompletion": entry["waitForCompletion"],
        "preconfiguredProperties": [field for field in FIELDS if entry.get(field) is not None],
        "noUserConfigurableFields": all(entry.get(field) is not None for field in FIELDS),
        "parameters": [
            {name: one.get(name) for name in ("name", "label", "defaultValue", "description", "type", "order")}
            for one in entry.get("parameters", [])
        ],
        "parameterData": None,
    }


def to_json(value):
    made = json.dumps(value, ensure_ascii=False)
    if "${" in made:
        raise Failed("result for toJson cannot contain an expression")
    return made


def expression(text, context):
    """The few forms of SpEL that an exported entry is made of; anything else is a mistake in it."""
    if inner := re.fullmatch(r"#toJson\((.*)\)", text):
        return to_json(expression(inner[1], context))
    if text == "#currentStage().id":
        return context["stage"]["id"]
    if text == "#currentStage().startTime":
        return context["stage"]["startTime"]
    if text == "parameterValues":
        return context["parameterValues"]
    if found := re.fullmatch(r"(execution|trigger|parameterValues)\['(\w+)'\]", text):
        return (context[found[1]] or {}).get(found[2])
    raise Failed(text)


def evaluate(value, context):
    """One pass. A part that is null stays as it is; one that fails leaves the whole text as it is."""
    if isinstance(value, dict):
        return {key: evaluate(item, context) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, context) for item in value]
    if not isinstance(value, str):
        return value

    def part(found):
        made = expression(found[1], context)
        return found[0] if made is None else str(made)

    try:
        return re.sub(r"\$\{(.*?)\}", part, value)
    except Failed:
        return value


class Monitored:
    """What is asked by poll(), which keeps the answers in polls, until it is over."""

    def monitor(self, timeout=30):
        deadline = time.monotonic() + timeout
        while (status := self.poll()) == "RUNNING":
            assert time.monotonic() < deadline, self.polls[-1]
            time.sleep(0.05)
        return status


class Stage(Monitored):
    """A stage of a pipeline whose type is an entry of orca's configuration."""

    started = 1700000000000

    def __init__(self, client, base_url, entry, parameters=None, execution=None, user="kim"):
        Stage.started += 1
        self.client, self.base_url, self.entry = client, base_url, entry
        # As the editor has it: a default is what the input shows at first.
        presets = {one["name"]: one["defaultValue"] for one in entry.get("parameters", []) if "defaultValue" in one}
        context = {
            "execution": {"id": "01EXEC", "application": "shop", "name": "deploy to prod", **(execution or {})},
            "trigger": {"user": user},
            "stage": {"id": "01STAGE", "startTime": Stage.started},
            "parameterValues": {**presets, **parameters} if parameters is not None else presets or None,
        }
        fields = {name: entry[name] for name in FIELDS}
        for _ in range(3):  # before each task, over what is there
            fields = evaluate(fields, context)
        self.fields, self.status_url, self.polls, self.context = fields, None, [], context

    def headers(self):
        named = {**self.fields["customHeaders"], **self.entry.get("sensitiveHeaders", {})}
        return {**FIXED, **{name: ", ".join(values) for name, values in named.items()}}

    def path(self, url):
        assert url.startswith(self.base_url + "/"), url
        return "/" + url.split("/", 3)[3]

    def create(self):
        """False: it will be sent again."""
        answer = self.client.request(self.fields["method"], self.path(self.fields["url"]), self.fields["payload"].encode(), self.headers())
        if answer.status in self.fields["failFastStatusCodes"]:
            raise Terminal(f"{answer.status}: {answer.text}")
        if answer.status >= 500 or answer.status == 429:
            return False
        if answer.status >= 400:
            raise Terminal(f"{answer.status}: {answer.text}")
        self.status_url = self.at(answer, "statusUrlJsonPath")
        return True

    def at(self, answer, field):
        if not (answer.header("Content-Type") or "").startswith("application/json"):
            raise Terminal("a body that is not JSON is a String, in which no path is found")
        name, body = re.fullmatch(r"\$\.(\w+)", self.fields[field])[1], answer.json()
        if not isinstance(body, dict) or not isinstance(body.get(name), str):
            raise Terminal(f"{field}: not found, or not a text")
        return body[name]

    def poll(self):
        answer = self.client.request("GET", self.path(self.status_url), None, self.headers())
        if answer.status >= 500 or answer.status in (429, *self.fields["retryStatusCodes"]):
            return "RUNNING"
        if answer.status >= 400:
            raise Terminal(f"status {answer.status}")
        self.polls.append(answer.json())
        word = self.at(answer, "statusJsonPath").upper()
        self.at(answer, "progressJsonPath")
        for list_name, status in (("terminalStatuses", "TERMINAL"), ("canceledStatuses", "CANCELED"), ("successStatuses", "SUCCEEDED")):
            if word in self.fields[list_name].split(","):
                return status
        return "RUNNING"

    def cancel(self):
        return self.client.request(
            self.fields["cancelMethod"], self.path(self.fields["cancelEndpoint"]), self.fields["cancelPayload"].encode(), self.headers()
        )

    def run(self, parameters=None):
        assert self.create()
        return self.monitor()
