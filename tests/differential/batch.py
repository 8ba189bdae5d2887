"""Many templates through one process of the renderer (tests/differential/render.c)."""

import json
import os
import random
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RENDER = Path(os.environ.get("RENDER") or ROOT / "build/differential/render")


def seed():
    """The same in every run of `make test`; SEED=random draws another, SEED=N repeats one. It is printed with what fails."""
    given = os.environ.get("SEED") or "20261123"
    return random.SystemRandom().randrange(10**9) if given == "random" else int(given)


def render(tasks):
    """One answer for each task; see render.c for both."""
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([RENDER], input=lines.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(answers) == len(tasks)
    return answers
