#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutate.py NAME OUT: writes the source file of one mutant (mutants.txt) to OUT."""
import sys

TABLE = "test/crash/mutants.txt"


def find(name):
    mutant = None
    with open(TABLE) as table:
        for line in table:
            line = line.rstrip("\n")
            if line.startswith("mutant "):
                mutant = line.split()[1:3] + [None, None]
            elif line.startswith("- ") and mutant:
                mutant[2] = line[2:]
            elif line.startswith("+ ") and mutant:
                mutant[3] = line[2:]
                if mutant[0] == name:
                    return mutant[1:]
    sys.exit(f"{TABLE}: no mutant {name}")


def main():
    name, out = sys.argv[1:]
    path, old, new = find(name)
    with open(path) as source:
        text = source.read()
    if text.count(old) != 1:
        sys.exit(f"{TABLE}: mutant {name}: '{old}' stands {text.count(old)} times in {path}, not once")
    with open(out, "w") as mutated:
        mutated.write(f'#line 1 "{path}"\n' + text.replace(old, new))


main()
