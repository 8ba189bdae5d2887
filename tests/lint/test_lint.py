"""The lint finds one violation of each kind in a tiny tree, at the right file and line, and nothing in a clean one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
STORY = "/* A file for a test.\n * It does nothing else. */\n"
GUARDED = "#ifndef {0}\n#define {0}\n\n{1}\n\n#endif\n"
LAYERS = """layer low
layer mid
layer top
library event2/ low/wait
library jansson top/
prefix low/wait rest_
"""
CLEAN = {
    "gateway/LAYERS": LAYERS,
    "gateway/low/wait.h": GUARDED.format("LOW_WAIT_H", "int wait_once(void);\nint rest_once(void);"),
    "gateway/low/wait.c": STORY + """#include "low/wait.h"

#include <event2/event.h>
#include <stdio.h>

static const char sprintf_is_only_text[] = "call strcpy(a, b), free(c)"; /* and system() */

int wait_once(void) {
    return puts(sprintf_is_only_text);
}

int rest_once(void) {
    return 1;
}
""",
    "gateway/top/walk.h": GUARDED.format("TOP_WALK_H", "int walk_once(void);"),
    "gateway/top/walk.c": STORY + """#include "top/walk.h"

#include <jansson.h>

#include "low/wait.h"

int walk_once(void) {
    return wait_once();
}
""",
    "gateway/main.c": STORY + """#include "top/walk.h"

int main(void) {
    return walk_once();
}
""",
}

LOW = "gateway/low/other.c"


def other(body, includes=""):
    return {LOW: STORY + includes + "\n" + body}


# what is changed or added, and the finding: file, line, a part of the sentence
VIOLATIONS = {
    "include from below": (other("int other(void);\n", '#include "top/walk.h"\n'), (LOW, 3, "from below")),
    "include between header files": (
        {"gateway/mid/up.h": GUARDED.format("MID_UP_H", '#include "top/walk.h"')}, ("gateway/mid/up.h", 4, "from below")),
    "symbol from below": (
        other("int walk_once(void);\nint other(void);\nint other(void) {\n    return walk_once();\n}\n"),
        (LOW, 4, "walk_once of top/walk.c, which is below")),
    "library outside its file": (other("", "#include <event2/event.h>\n"), (LOW, 3, "belongs to low/wait")),
    "library outside its folder": (other("", "#include <jansson.h>\n"), (LOW, 3, "belongs to top/")),
    "unknown library": (other("", "#include <oniguruma.h>\n"), (LOW, 3, "no header of the C library")),
    "hidden include": (
        other("", "#define NAME <stdio.h>\n#include NAME\n"), (LOW, 4, "name the header")),
    "banned call that is folded away": (
        other("int other(const char *s);\nint other(const char *s) {\n    return atoi(s);\n}\n", "#include <stdlib.h>\n"),
        (LOW, 7, "atoi is banned")),
    "banned function by address": (
        other("void (*other_end)(void *) = free;\n", "#include <stdlib.h>\n"), (LOW, 5, "free is banned")),
    "banned function by another name": (
        other('#define READ __isoc99_sscanf\nint READ(const char *s, const char *format, ...);\n'
              'int other(const char *s, int *n);\nint other(const char *s, int *n) {\n    return READ(s, "%d", n);\n}\n'),
        (LOW, 4, "sscanf is banned")),
    "no story": ({LOW: "int other(void);\n"}, (LOW, 1, "begin with a comment")),
    "story of one line": ({LOW: "/* Other. */\nint other(void);\n"}, (LOW, 1, "begin with a comment")),
    "foreign prefix": (
        other("int stranger(void);\nint stranger(void) {\n    return 1;\n}\n"), (LOW, 4, "stranger is seen by other files")),
    "foreign data": (other("int stray = 1;\n"), (LOW, 4, "stray is seen by other files")),
    "unfinished": (other("/* TO" "DO: more */\nint other(void);\n"), (LOW, 4, "TO" "DO")),
    "out of form": (other("int   other( void );\n"), (LOW, 4, "make format")),
    "header that needs another": (
        {"gateway/low/needy.h": GUARDED.format("LOW_NEEDY_H", "size_t needy(void);")},
        ("gateway/low/needy.h", 4, "does not compile alone")),
    "header without a guard": (
        {"gateway/low/open.h": "struct open {\n    int n;\n};\n"}, ("gateway/low/open.h", 1, "does not compile alone")),
    "folder without a layer": (
        {"gateway/new/file.c": STORY + "int file(void);\n"}, ("gateway/new/file.c", 1, "does not name the folder")),
    "line of LAYERS": ({"gateway/LAYERS": LAYERS + "layers up\n"}, ("gateway/LAYERS", 7, "cannot be read")),
}


def plant(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(HERE.parents[1] / ".clang-format", root / ".clang-format")
    for source in (root / "gateway").rglob("*.c"):
        made = root / "build/obj" / source.relative_to(root).with_suffix(".o")
        made.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-w", "-O2", "-D_GNU_SOURCE", "-Igateway", "-c", "-o", made, source], cwd=root, check=True)


def lint(root):
    done = subprocess.run([sys.executable, HERE / "lint", "--root", root, root / "build"], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()[:-1], done.stdout + done.stderr


def test_clean_tree_passes(tmp_path):
    plant(tmp_path, CLEAN)
    status, findings, output = lint(tmp_path)
    assert (status, findings) == (0, []), output


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_violation_is_found(tmp_path, kind):
    files, (path, line, sentence) = VIOLATIONS[kind]
    plant(tmp_path, {**CLEAN, **files})
    status, findings, output = lint(tmp_path)
    assert status == 1, output
    assert any(finding.startswith(f"{path}:{line}: ") and sentence in finding for finding in findings), output
    assert all(finding.startswith(f"{path}:") for finding in findings), output


def test_allowed_function_passes(tmp_path):
    files = {"gateway/LAYERS": LAYERS + "allow free low/other\n"}
    plant(tmp_path, {**CLEAN, **files, **other("void (*other_end)(void *) = free;\n", "#include <stdlib.h>\n")})
    status, findings, output = lint(tmp_path)
    assert (status, findings) == (0, []), output


def test_source_that_was_not_built_is_found(tmp_path):
    plant(tmp_path, CLEAN)
    (tmp_path / "build/obj/gateway/low/wait.o").unlink()
    status, findings, output = lint(tmp_path)
    assert status == 1 and any("build first" in finding for finding in findings), output


def test_nothing_to_check_fails(tmp_path):
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/LAYERS").write_text(LAYERS)
    assert lint(tmp_path)[0] != 0
