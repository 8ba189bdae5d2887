"""docs/run-states.md is what gateway/run says, and the check that says so can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
SCRIPT = HOME / "tests/lint/run_states.py"


def check(root):
    return subprocess.run([sys.executable, SCRIPT, "--check", root], capture_output=True, text=True)


def copy(to):
    for path in (*HOME.glob("gateway/run/run*.[ch]"), HOME / "docs/run-states.md"):
        copied = to / path.relative_to(HOME)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    return to


def test_page_is_up_to_date():
    done = check(HOME)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_function_in_the_table_is_noticed(tmp_path):
    source = copy(tmp_path) / "gateway/run/run.c"
    text = source.read_text()
    assert "[RUN_ENDING] = {ended," in text
    source.write_text(text.replace("[RUN_ENDING] = {ended,", "[RUN_ENDING] = {is_over,"))
    done = check(tmp_path)
    assert done.returncode == 1 and "run-states.md" in done.stdout


def test_a_missing_cell_is_noticed(tmp_path):
    source = copy(tmp_path) / "gateway/run/run.c"
    text = source.read_text()
    assert "[RUN_WAITING] = {is_durable," in text
    source.write_text(text.replace("[RUN_WAITING] = {is_durable,", "[RUN_WAITING] = {"))
    done = check(tmp_path)
    assert done.returncode == 1 and "WAITING" in done.stderr
