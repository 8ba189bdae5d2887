"""Reads what callgrind counted, and says to which phase the instructions belong.

A phase begins in the functions that it names, and holds all that they call, as far as that begins no other phase. What several
phases call (malloc, a buffer) belongs to each by what its calls from there cost. callgrind tells calls apart by who calls, not by
who called that one: two steps up, shares are an average.
"""

import re
from collections import defaultdict

NAME = re.compile(r"(c?)(fn|fl|fi|fe|ob)=(?:\((\d+)\))?\s*(.*)")
TWIN = re.compile(r"(\.(isra|part|constprop|cold)(\.\d+)?)*('\d+)?$")  # what a compiler and recursion make of a function
PASSES = 60  # until shares stand still, in spite of recursion


class Counts:
    """Functions, as (name, file, object), with what they took themselves and what their calls of each other took."""

    def __init__(self, paths):
        self.own, self.calls, self.count = defaultdict(int), defaultdict(int), defaultdict(int)
        for path in paths:
            self._read(path.read_text().splitlines())

    def _read(self, lines):
        functions = dict(self._functions(lines))
        here = there = calls = None
        for line in lines:
            found = NAME.match(line)
            if found and found[1] + found[2] == "fn":
                here = functions[found[3]]
            elif found and found[1] + found[2] == "cfn":
                there = functions.get(found[3], (found[3], "", ""))
            elif line.startswith("calls="):
                calls = int(line[6:].split()[0])
            elif line and line[0] in "0123456789+-*":
                cost = int(line.split()[1])
                if calls is None:
                    self.own[here] += cost
                else:
                    self.calls[here, there] += cost
                    self.count[there] += calls
                calls = None

    @staticmethod
    def _functions(lines):
        """By their number. A name is written out where its number comes up first, be that as a callee."""
        names, file, library = {}, None, None
        for line in lines:
            found = NAME.match(line)
            if not found:
                continue
            of_callee, what, number, name = found.groups()
            table = what if what in ("fn", "ob") else "file"
            if name:
                names[table, number] = name
            name = names[table, number]
            if of_callee:
                continue
            if what == "ob":
                library = name
            elif what == "fl":
                file = name
            elif what == "fn":
                yield number, (TWIN.sub("", name), file, library)

    def phases(self, phase_of, rest):
        """Instructions by phase. `phase_of` gives the phase that a function begins, or None."""
        callers, shares = defaultdict(list), {}
        for (here, there), cost in self.calls.items():
            if here != there and cost:
                callers[there].append((here, cost))
        functions = set(self.own) | set(callers) | {here for here, _ in self.calls}
        begun = {function: phase_of(*function) for function in functions}
        shares = {function: {begun[function] or rest: 1.0} for function in functions}
        free = [function for function in functions if not begun[function] and callers[function]]
        for _ in range(PASSES):
            for function in free:
                mixed, whole = defaultdict(float), sum(cost for _, cost in callers[function])
                for caller, cost in callers[function]:
                    for phase, share in shares[caller].items():
                        mixed[phase] += share * cost / whole
                shares[function] = mixed
        taken = defaultdict(float)
        for function, own in self.own.items():
            for phase, share in shares[function].items():
                taken[phase] += own * share
        return taken
