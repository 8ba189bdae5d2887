#!/usr/bin/python3
"""Makes docs/run-states.md from gateway/run: run_states.py [--check] [ROOT].

The states and events with what they mean come from run.h, the functions from the table of run.c, and what each of them
says of itself from the comment before it. With --check nothing is written, and a page that differs is a failure."""

import re
import sys
from pathlib import Path

HEAD = """# The states of a run

Made from `gateway/run/run.h` and `gateway/run/run.c` by `tests/lint/run_states.py`; a test fails where they differ.

A run is in one state at a time. What happens to it is an event; for every state and every event one function of
`gateway/run/run.c` says what the run does. `tests/unit/test_run_table.c` has what each of them changes and orders.
"""


def rows(header, name):
    """(identifier, meaning) of each X(…) row of a list macro."""
    body = re.search(rf"#define {name}\(X\)(.*?)\n\n", header, re.S).group(1)
    return [(found[0], " ".join(found[1].split()))
            for found in re.findall(r"X\((\w+)[^)]*\)\s*(?:/\*(.*?)\*/)?", body)]


def table(source):
    """state -> function names, in the order of the events."""
    body = re.search(r"\bmoves\[RUN_STATE_END\]\[RUN_EVENT_END\]\)\(struct move \*\) = \{(.*?)\n\};", source, re.S).group(1)
    return {state: [cell.strip() for cell in cells.split(",")]
            for state, cells in re.findall(r"\[RUN_(\w+)\] = \{(.*?)\}", body, re.S)}


def comments(source, functions):
    """What stands before a function, or beside its first line."""
    said = {}
    for name in functions:
        found = re.search(rf"(?:/\*((?:(?!\*/).)*?)\*/\n)?(?:static )?void {name}\(struct move \*m\) \{{(?: */\*(.*?)\*/)?", source,
                          re.S)
        if not found:
            raise SystemExit(f"run_states: gateway/run/run*.c have no function {name}")
        said[name] = " ".join((found.group(2) or found.group(1) or "").replace("\n *", " ").split())
    return said


def page(root):
    header = (root / "gateway/run/run.h").read_text()
    source = (root / "gateway/run/run.c").read_text()
    sources = "".join(part.read_text() for part in sorted((root / "gateway/run").glob("run*.c")))
    states, events, moves = rows(header, "RUN_STATES"), rows(header, "RUN_EVENTS"), table(source)
    for state, _ in states:
        if len(moves.get(state, [])) != len(events):
            raise SystemExit(f"run_states: the row of {state} has not one function for each event")
    lines = [HEAD, "## States\n", "| state | what the run does |", "|---|---|"]
    lines += [f"| `{state}` | {meaning or 'Its end is durable.'} |" for state, meaning in states]
    lines += ["\n## Events\n", "| event | what has happened |", "|---|---|"]
    lines += [f"| `{event}` | {meaning} |" for event, meaning in events]
    lines += ["\n## What answers what\n", "| | " + " | ".join(event for event, _ in events) + " |",
              "|---" * (len(events) + 1) + "|"]
    lines += [f"| **{state}** | " + " | ".join(moves[state]) + " |" for state, _ in states]
    functions = list(dict.fromkeys(name for state, _ in states for name in moves[state]))
    said = comments(sources, functions)
    lines += ["\n## Functions\n", "| function | |", "|---|---|"]
    lines += [f"| `{name}` | {said[name]} |" for name in functions if said[name]]
    return "\n".join(lines) + "\n"


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    made, at = page(root), root / "docs/run-states.md"
    if "--check" not in sys.argv:
        at.write_text(made)
        return 0
    if at.exists() and at.read_text() == made:
        return 0
    print(f"{at} is not what gateway/run says; make it anew with tests/lint/run_states.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
