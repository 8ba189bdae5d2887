"""A disk that fails, or stands still: tests/faults/disk.c, and what it is told."""

import subprocess

from .gateway import BINARY, ROOT


def sanitizer():
    """AddressSanitizer's library, which has to come first, where the gateway is built with it."""
    linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    return [line.split("=> ")[1].split(" ")[0] for line in linked.splitlines() if "libasan" in line]


class Disk:
    def __init__(self, directory):
        self.library, self.orders = directory / "disk.so", directory / "disk"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o", self.library,
             ROOT / "tests/faults/disk.c", "-ldl"],
            check=True,
        )  # fmt: skip
        self.fail(0, 0)

    def fail(self, number, percent):
        self._order(number, percent, 0)

    def stall(self, stalls=True):
        """Syncs wait from now on, or go on."""
        self._order(0, 0, int(stalls))

    def _order(self, *orders):
        with open(self.orders, "r+b" if self.orders.exists() else "w+b") as file:
            file.write(bytes(orders))

    @property
    def env(self):
        return {"LD_PRELOAD": " ".join([*sanitizer(), str(self.library)]), "FAULTY_DISK": str(self.orders), "FAULTY_FILES": "/stagedoor.db"}
