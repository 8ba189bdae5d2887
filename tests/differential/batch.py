"""Many templates through one process of the renderer (tests/differential/render.c)."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RENDER = Path(os.environ.get("RENDER") or ROOT / "build/differential/render")


def render(tasks):
    """One answer for each task; see render.c for both."""
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([RENDER], input=lines.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert len(answers) == len(tasks)
    return answers
