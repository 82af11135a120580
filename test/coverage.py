#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lines and branches of a folder that the tests of a CONFIG=cov build took, worst file first.

    test/coverage.py OBJECTS    e.g. build/cov/obj/log, after the tests have run

Branches are those of gcov -b, "taken at least once"; the total is over all files listed.
"""
import glob
import re
import subprocess
import sys


def figures(text, source):
    """(lines taken, lines, branches taken, branches) of one source in the output of gcov -b -n."""
    m = re.search(r"File '%s'\n(.*?)(?:\n\n|\Z)" % re.escape(source), text, re.S)
    if not m:
        return None
    lines = re.search(r"Lines executed:([\d.]+)% of (\d+)", m.group(1))
    taken = re.search(r"Taken at least once:([\d.]+)% of (\d+)", m.group(1))

    def count(f):
        return (round(float(f.group(1)) * int(f.group(2)) / 100), int(f.group(2))) if f else (0, 0)
    return count(lines) + count(taken)


def main():
    folder = sys.argv[1].rstrip("/")
    rows, never = [], []
    for note in sorted(glob.glob(folder + "/*.gcno")):
        source = re.sub(r"^build/[^/]*/obj/", "", note)[:-5] + ".c"
        data = note[:-5] + ".gcda"
        if not glob.glob(data):
            never.append(source)
            continue
        out = subprocess.run(["gcov", "-b", "-n", data], capture_output=True, text=True, check=True).stdout
        row = figures(out, source)
        if row:
            rows.append((source,) + row)
    if not rows:
        sys.exit("coverage: no data below %s: run the tests of a CONFIG=cov build first" % folder)
    rows.sort(key=lambda r: r[3] / r[4] if r[4] else 1)
    total = [sum(r[i] for r in rows) for i in range(1, 5)]
    print("%-32s %21s %21s" % ("file", "lines", "branches"))
    for name, *f in rows + [("total", *total)]:
        print("%-32s %5.1f%% %6d of %5d %5.1f%% %6d of %5d" % (
            name, 100 * f[0] / max(f[1], 1), f[0], f[1], 100 * f[2] / max(f[3], 1), f[2], f[3]))
    for name in never:
        print("%-32s is in no test that ran" % name)


main()
