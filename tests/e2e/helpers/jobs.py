"""The stage that most tests use: a job that is started by POST, watched at its own URL, and canceled by DELETE."""

import threading

from .gateway import stage
from .upstream import reply


def job_stage(upstream_url, name="job", request=None, status=None, **more):
    """Its definition. `request` and `status` replace or add settings; a setting of None is left out."""
    settings = {
        "parameters": [
            {"name": "n", "type": "integer", "default": 1},
            {"name": "text", "type": "string", "default": ""},
        ],
        "request": {
            "method": "POST",
            "url": f"{upstream_url}/jobs",
            "body": '{"n": {{ parameters.n }}, "text": "{{ parameters.text }}"}',
            "expect": "200,201,202",
            **(request or {}),
        },
        "status": {
            "url": "{{ request.body.links.self }}",
            "every": "100ms",
            "timeout": "60s",
            "value": "$.state",
            "running": ["queued", "running"],
            "success": ["done"],
            "failure": ["failed"],
            "canceled": ["aborted"],
            "progress": "$.percent",
            **(status or {}),
        },
        "cancel": {"method": "DELETE", "url": "{{ request.body.links.self }}"},
        "outputs": {"result": "$.result"},
        **more,
    }
    for part in ("request", "status"):
        settings[part] = {key: value for key, value in settings[part].items() if value is not None}
    return stage(name, **{key: value for key, value in settings.items() if value is not None})


def call_stage(upstream_url, name="call", **request):
    """One call, and that is all."""
    return stage(name, request={"method": "POST", "url": f"{upstream_url}/call", **request})


def script_job(upstream, *states, created=201):
    """POST /jobs makes job 1; its states follow each other, the last one stays. A state is a word, a body or a move."""
    upstream.on("POST", "/jobs", reply(created, {"id": "1", "links": {"self": f"{upstream.url}/jobs/1"}}))
    moves = []
    for state in states or ("done",):
        if isinstance(state, str):
            state = {"state": state, "percent": 100 if state == "done" else 40, "result": f"is {state}"}
        moves.append(reply(200, state) if isinstance(state, dict) else state)
    upstream.on("GET", "/jobs/1", *moves)
    upstream.on("DELETE", "/jobs/1", stopping(upstream))


def stopping(upstream, code=202):
    """Takes a cancel call: from then on job 1 is aborted."""

    def stop(request):
        upstream.on("GET", "/jobs/1", reply(200, {"state": "aborted"}))
        return reply(code, {"state": "aborted"})

    return stop


class Jobs:
    """Many jobs at a time, each by the number `n` that its POST had: so many polls "running", then "done"."""

    def __init__(self, upstream, polls=2, hold=False):
        self.upstream, self.polls, self.hold = upstream, polls, hold
        self.posts, self.gets, self.deletes, self.aborted = {}, {}, {}, set()
        self.lock = threading.Lock()
        upstream.on("POST", "/jobs", self.post)
        upstream.on("GET", "/jobs/*", self.get)
        upstream.on("DELETE", "/jobs/*", self.delete)

    def post(self, request):
        n = request.json()["n"]
        with self.lock:
            self.posts[n] = self.posts.get(n, 0) + 1
        return reply(201, {"id": str(n), "links": {"self": f"{self.upstream.url}/jobs/{n}"}})

    def get(self, request):
        n = int(request.path.rsplit("/", 1)[1])
        with self.lock:
            self.gets[n] = self.gets.get(n, 0) + 1
            state = "running" if self.hold or self.gets[n] <= self.polls else "done"
            if n in self.aborted:
                state = "aborted"
        return reply(200, {"state": state, "percent": 50, "result": n})

    def delete(self, request):
        n = int(request.path.rsplit("/", 1)[1])
        with self.lock:
            self.deletes[n] = self.deletes.get(n, 0) + 1
            self.aborted.add(n)
        return reply(202, {"state": "aborted"})
