#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs and prints one line per program, the output of those that failed, and the sum.
#   test/run.sh PROGRAM...     *.py and *.sh print TAP, everything else is a cmocka program
# A program that crashes, times out (TEST_TIMEOUT, default 300 s) or reports no test counts as one failure.
set -u
export LC_ALL=C
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
limit=${TEST_TIMEOUT:-300}
for t; do
	start=$SECONDS
	case $t in
	*.py) timeout -k 10 "$limit" /usr/bin/python3 "$t" >"$out" 2>&1 </dev/null ;;
	*.sh) timeout -k 10 "$limit" bash "$t" >"$out" 2>&1 </dev/null ;;
	*) timeout -k 10 "$limit" "$t" >"$out" 2>&1 </dev/null ;;
	esac
	rc=$?
	case $t in
	*.py | *.sh)
		s=$(grep -ciE '^ok .*# SKIP' "$out")
		p=$(($(grep -c '^ok ' "$out") - s))
		f=$(grep -c '^not ok ' "$out")
		;;
	*)
		p=$(grep -cE '^\[ +OK +\]' "$out")
		f=$(grep -cE '^\[ +(FAILED|ERROR) +\] [A-Za-z_0-9]+$' <(sed '/^\[==========\]/,$d' "$out") || true)
		s=$(grep -cE '^\[ +SKIPPED +\] [A-Za-z_0-9]+$' <(sed '/^\[==========\].*run/,$d' "$out") || true)
		;;
	esac
	note=
	if [ $rc = 124 ] || [ $rc = 137 ]; then note=" (timed out after $limit s)"; fi
	if [ $rc != 0 ] && [ "$f" = 0 ]; then f=1 note="${note:- (exit $rc)}"; fi
	if [ $rc = 0 ] && [ $((p + f + s)) = 0 ]; then f=1 note=" (reported no test)"; fi
	name=${t#*/test/}
	if [ "$f" != 0 ]; then
		printf 'FAIL %-44s %4d passed %3d failed %3d skipped %4ds%s\n' "$name" "$p" "$f" "$s" $((SECONDS - start)) "$note"
		grep -vE '^\[ +(OK|RUN) +\]|^ok ' "$out" | tail -n "${TEST_TAIL:-60}" | sed 's/^/  | /'
	else
		printf 'ok   %-44s %4d passed %3d failed %3d skipped %4ds\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
