"""Real servers from Debian's packages, and the sample load-test service: each a process on a free port of loopback."""

import gzip
import hashlib
import http.client
import io
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import urllib.parse

from .wait import free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def fetch(url, method="GET", body=None, headers=None):
    """(status, headers, body); url is absolute."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


class Service:
    """A process that is waited for by a URL that answers 200, and ended at the end."""

    def __init__(self, directory, command, ready_url, log_name):
        program = shutil.which(str(command[0]))
        assert program, f"{command[0]} is missing: make deps installs it"
        self.log_file = directory / log_name
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(lambda: self._answers(ready_url), lambda: f"{ready_url}: {self.log_text()[-2000:]}", 30)
        except BaseException:
            self.close()
            raise

    def _answers(self, url):
        assert self.process.poll() is None, f"it ended: {self.log_text()[-2000:]}"
        try:
            return fetch(url)[0] == 200
        except OSError:
            return False

    def log_text(self):
        return self.log_file.read_text(errors="replace")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry(Service):
    def __init__(self, directory):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = directory / "registry.json"  # JSON is YAML
        data = directory / "registry"
        config.write_text(
            json.dumps(
                {
                    "version": "0.1",
                    "log": {"level": "info"},
                    "storage": {"filesystem": {"rootdirectory": str(data)}},
                    "http": {"addr": f"127.0.0.1:{port}", "secret": "for tests"},
                }
            )
        )
        super().__init__(directory, ["docker-registry", "serve", config], f"{self.url}/v2/", "registry.log")

    def push_blob(self, image, data):
        status, headers, _ = fetch(f"{self.url}/v2/{image}/blobs/uploads/", "POST", b"")
        assert status == 202, status
        where = urllib.parse.urljoin(self.url, headers["location"])
        where += ("&" if "?" in where else "?") + "digest=" + urllib.parse.quote(sha256(data))
        status, _, answer = fetch(where, "PUT", data, {"Content-Type": "application/octet-stream"})
        assert status == 201, (status, answer)
        return {"size": len(data), "digest": sha256(data)}

    def push_manifest(self, image, tag, media_type, manifest):
        body = json.dumps(manifest).encode()
        status, headers, answer = fetch(
            f"{self.url}/v2/{image}/manifests/{tag}", "PUT", body, {"Content-Type": media_type}
        )
        assert status == 201, (status, answer)
        assert headers["docker-content-digest"] == sha256(body)
        return {"mediaType": media_type, "size": len(body), "digest": sha256(body)}

    def push_image(self, image, tag, labels, oci=False, name_type=True, architecture="amd64"):
        """A whole image, made here: one layer with one file, a config with the labels, a manifest. Its descriptor."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            entry = tarfile.TarInfo("hello.txt")
            entry.size = len(image)
            archive.addfile(entry, io.BytesIO(image.encode()))
        layer = gzip.compress(tar.getvalue(), mtime=0)
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "created": "2024-05-06T07:08:09Z",
                "config": {"Labels": labels, "Cmd": ["/bin/true"]},
                "rootfs": {"type": "layers", "diff_ids": [sha256(tar.getvalue())]},
                "history": [{"created": "2024-05-06T07:08:09Z", "created_by": "a test"}],
            }
        ).encode()
        kinds = (
            (OCI_MANIFEST, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
            if oci
            else (
                DOCKER_MANIFEST,
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": {"mediaType": kinds[1], **self.push_blob(image, config)},
            "layers": [{"mediaType": kinds[2], **self.push_blob(image, layer)}],
        }
        if not name_type:
            del manifest["mediaType"]
        described = self.push_manifest(image, tag, kinds[0], manifest)
        return {**described, "config": manifest["config"]}

    def push_index(self, image, tag, labels, oci=False):
        """A multi-arch index with one image in it."""
        one = self.push_image(image, f"{tag}-amd64", labels, oci=oci)
        one.pop("config")
        kind = OCI_INDEX if oci else DOCKER_LIST
        entry = {**one, "platform": {"architecture": "amd64", "os": "linux"}}
        return self.push_manifest(image, tag, kind, {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]})


class Prometheus(Service):
    """Scrapes itself, and whatever `targets` names ("127.0.0.1:9"), once a second."""

    def __init__(self, directory, targets=()):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = directory / "prometheus.yml"
        jobs = [{"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]
        if targets:
            jobs.append({"job_name": "test", "static_configs": [{"targets": list(targets)}]})
        config.write_text(
            json.dumps(
                {"global": {"scrape_interval": "1s", "scrape_timeout": "900ms"}, "scrape_configs": jobs}
            )
        )
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__(directory, command, f"{self.url}/-/ready", "prometheus.log")

    def value(self, query):
        status, _, body = fetch(f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}")
        assert status == 200, body
        result = json.loads(body)["data"]["result"]
        return float(result[0]["value"][1]) if result else None


class _Sample(Service):
    """A program of tests/sample that prints its address on its first line."""

    def __init__(self, directory, name, ready_path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = ROOT / "tests" / "sample" / name
        super().__init__(directory, [program, "--port", port], self.url + ready_path, f"{name}.log")


class LoadTest(_Sample):
    def __init__(self, directory):
        assert shutil.which("wrk"), "wrk is missing: make deps installs it"
        super().__init__(directory, "loadtest", "/api/stats")

    def stats(self):
        return json.loads(fetch(f"{self.url}/api/stats")[2])

    def run(self, number):
        return json.loads(fetch(f"{self.url}/api/runs/lt-{number}")[2])


class Target(_Sample):
    def __init__(self, directory):
        super().__init__(directory, "target", "/")


def shipped(name, upstream_url, **replaced):
    """A definition that ships, aimed at another upstream, with some settings (`every = "1s"`) made quicker."""
    text = (ROOT / "stages.d" / f"{name}.conf").read_text()
    text, count = re.subn(r'(\burl\s*=\s*")https?://[^/"]+', rf"\g<1>{upstream_url}", text)
    assert count, "the definition names no upstream"
    for setting, value in replaced.items():
        text, count = re.subn(rf'(\b{setting}\s*=\s*)"[^"]*"', rf'\g<1>"{value}"', text)
        assert count, f"the definition has no {setting}"
    return text


def shipped_text(name, **replaced):
    """A definition that ships, with some of its settings replaced, by values in libconfig's notation."""
    text = (ROOT / "stages.d" / f"{name}.conf").read_text()
    for setting, value in replaced.items():
        text, count = re.subn(rf'(?m)^(\s*{setting}\s*=\s*)[^;]*;', lambda found: f"{found.group(1)}{value};", text)
        assert count, f"the definition has no {setting}"
    return text


def templates():
    return {path.name: path.read_text() for path in (ROOT / "templates").iterdir()}
