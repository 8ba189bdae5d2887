#!/usr/bin/python3
"""Puts what a command prints between a page's two marks: put.py PAGE NAME COMMAND…

The marks are lines of their own: <!-- begin: NAME --> and <!-- end: NAME -->."""

import subprocess
import sys
from pathlib import Path

page, name, *command = sys.argv[1:]
begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
text = Path(page).read_text()
if text.count(begin) != 1 or text.count(end) != 1:
    raise SystemExit(f"{page}: the marks {begin.strip()} and {end} have to stand there once each")
head, rest = text.split(begin)
made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
new = head + begin + made + end + rest.split(end)[1]
if new != text:
    Path(page).write_text(new)
    print(f"{page}: {name} made anew")
