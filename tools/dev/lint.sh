#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy and cppcheck over the product's sources; the compiler's flags are the arguments. Slow.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
for t in clang-tidy cppcheck; do
	command -v $t >/dev/null || { echo "lint: $t is missing; make deps-dev installs it" >&2; exit 1; }
done
mapfile -t files < <(git ls-files 'log/*.c' 'broker/*.c' 'processor/*.c' 'replay/*.c' 'tools/*.c')
flags=()
for f; do
	case $f in -fstack* | -fcf* | -W* | -O* | -g* | -fsanitize*) ;; *) flags+=("$f") ;; esac
done
checks='-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-assignment-in-if-condition,-bugprone-narrowing-conversions,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,cert-err34-c,misc-redundant-expression'
rc=0
clang-tidy --quiet --checks="$checks" --warnings-as-errors='clang-analyzer-*' "${files[@]}" -- "${flags[@]}" 2>/dev/null || rc=1
cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --suppress=missingIncludeSystem --error-exitcode=1 -I. "${files[@]}" || rc=1
exit $rc
