#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs and prints one line per program and the sum; of those that failed which tests did and why, then
# the end of their output (TEST_TAIL lines, default 60), which often is what a server has said.
#   test/run.sh PROGRAM...     *.py and *.sh print TAP, everything else is a cmocka program
# A program takes a minute at most on a machine of its own; on a busy one ten times as long is no failure.
# A program that crashes, times out (TEST_TIMEOUT, default 1200 s) or reports no test counts as one failure.
set -u
export LC_ALL=C
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
limit=${TEST_TIMEOUT:-1200}

# Over all groups of a cmocka program, from the line above the list at the end of each.
sum_of() {
	awk -v kind="$1" '/^\[  [A-Z]+ +\] [0-9]+ test\(s\), listed below:$/ && index($0, kind) { n += $(NF - 3) } END { print n + 0 }' "$out"
}

# The verdicts and assertions in the output of a program, without what is between them.
reasons_cmocka() {
	awk '
		/^\[ RUN      \]/ { running = $0; next }
		/^\[==========\] Running/ { split("", told) }
		/^\[  ERROR   \] ---/ || /^ERROR: / { left = 20 }
		/^\[   LINE   \]/ { print; left = 0; next }
		/^\[  (FAILED|ERROR)   ?\] [A-Za-z_0-9]+$/ { if (!told[$0]++) print }
		/^\[/ && !/^\[  ERROR   \] ---/ { left = 0; running = ""; next }
		/assertion failed|runtime error:|^==[0-9]+==ERROR|^SUMMARY: |WARNING: ThreadSanitizer/ { print; next }
		left > 0 && !/^ts=/ { print; left-- }
		END { if (running != "") print running " and did not end" }' "$out"
}
reasons_tap() {
	awk '
		/^not ok / { print; left = 40; next }
		/^ok |^1\.\.|^# server log:/ { left = 0 }
		left > 0 { print; left-- }' "$out"
}

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
		f=$(sum_of FAILED)
		s=$(sum_of SKIPPED)
		;;
	esac
	note=
	if [ $rc = 124 ] || [ $rc = 137 ]; then note=" (timed out after $limit s)"; fi
	if [ $rc != 0 ] && [ "$f" = 0 ]; then f=1 note="${note:- (exit $rc)}"; fi
	if [ $rc = 0 ] && [ $((p + f + s)) = 0 ]; then f=1 note=" (reported no test)"; fi
	name=${t#*/test/}
	if [ "$f" != 0 ]; then
		printf 'FAIL %-44s %4d passed %3d failed %3d skipped %4ds%s\n' "$name" "$p" "$f" "$s" $((SECONDS - start)) "$note"
		case $t in
		*.py | *.sh) reasons_tap ;;
		*) reasons_cmocka ;;
		esac | head -n 200 | sed 's/^/  > /'
		grep -vE '^\[ +(OK|RUN) +\]|^ok ' "$out" | tail -n "${TEST_TAIL:-60}" | sed 's/^/  | /'
	else
		printf 'ok   %-44s %4d passed %3d failed %3d skipped %4ds\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
