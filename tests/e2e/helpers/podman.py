"""Debian's podman as a service on a unix socket, in a directory of its own, with an image made from a static busybox.

Settled for any machine that can run a container at all: storage driver vfs, runtime runc, cgroups by their file system,
the host's network, limits that need no CAP_SYS_RESOURCE. The machine's own containers are neither seen nor touched.
"""

import io
import os
import pathlib
import subprocess
import tarfile

from .client import Client
from .services import Service
from .wait import wait_until

BUSYBOX = pathlib.Path("/bin/busybox")
IMAGE = "localhost/busybox:test"
APPLETS = ("sh", "sleep", "true")
ULIMITS = {"nofile": 1024, "nproc": 1024}


def root_tar():
    """A root file system: one program, and names for it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        archive.add(BUSYBOX.resolve(), "bin/busybox")
        for name in APPLETS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return made.getvalue()


class Podman(Service):
    def __init__(self, directory):
        assert BUSYBOX.exists(), "busybox is missing: make deps installs it"
        self.socket = str(directory / "podman.sock")
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{directory}/run"\ngraphroot = "{directory}/graph"\n'
        )
        (directory / "containers.conf").write_text(
            f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
            f'tmp_dir = "{directory}/tmp"\n[containers]\nnetns = "host"\n'
        )
        podman = ["env", f"CONTAINERS_STORAGE_CONF={directory}/storage.conf",
                  f"CONTAINERS_CONF={directory}/containers.conf", "podman"]  # fmt: skip
        done = subprocess.run([*podman, "import", "-", IMAGE], input=root_tar(), capture_output=True, timeout=120)
        assert done.returncode == 0, f"make deps installs podman; it says: {done.stderr.decode()}"
        serve = [*podman, "system", "service", "--time=0", f"unix://{self.socket}"]
        super().__init__(directory, serve, "/_ping", "podman.log")

    def _answers(self, path):
        assert self.process.poll() is None, f"it ended: {self.log_text()[-2000:]}"
        try:
            return self.call("GET", path).status == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        client = Client(host="engine", unix=self.socket)
        try:
            return client.request(method, path, body)
        finally:
            client.close()

    def containers(self):
        return [one["Names"][0].lstrip("/") for one in self.call("GET", "/containers/json?all=1").json()]

    def why_not(self):
        """None, or what it says when a container is to run: that is for the machine to allow."""
        limits = [{"Name": name, "Soft": value, "Hard": value} for name, value in ULIMITS.items()]
        create = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "host", "Ulimits": limits}}
        answer = self.call("POST", "/containers/create?name=probe", create)
        if answer.status != 201:
            return f"{answer.status} {answer.text}"
        answer = self.call("POST", "/containers/probe/start")
        if answer.status == 204:
            self.call("POST", "/containers/probe/wait")
        self.remove("probe")
        return None if answer.status == 204 else f"{answer.status} {answer.text}"

    def remove(self, name):
        """Gone for certain: the engine refuses while a container that has just ended is being cleaned up after."""
        path = f"/containers/{name}?force=1&v=1"
        said = []

        def gone():
            said[:] = [self.call("DELETE", path)]
            return said[0].status in (200, 204, 404)

        wait_until(gone, lambda: f"{name} to go: {said[0].status} {said[0].text}", 20)

    def close(self):
        if self.process.poll() is None:
            for name in self.containers():
                self.remove(name)
        super().close()
