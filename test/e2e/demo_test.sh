#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo from beginning to end, in locale C and without a home, and the figures the README quotes.
set -u
export LC_ALL=C
dir=$(mktemp -d)
trap '"$KAPPA" demo stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
export XDG_STATE_HOME=$dir/state TMPDIR=$dir
unset HOME
n=0
check() { # NAME COMMAND...
	n=$((n + 1))
	local name=$1
	shift
	if "$@" >"$dir/check" 2>&1; then echo "ok $n - $name"; else echo "not ok $n - $name"; sed 's/^/# /' "$dir/check" | tail -40; fi
}
same_bytes() { [ "$("$KAPPA" demo events | sha256sum | cut -d' ' -f1)" = "$(cut -d' ' -f1 "$(dirname "$0")/../golden/demo_events.sha256")" ]; }
check "the events are the same bytes everywhere" same_bytes
act1() { "$KAPPA" demo >"$dir/act1" 2>&1 || { cat "$dir/act1"; return 1; }; }
check "first act" act1
check "a second demo is refused" bash -c '! "$KAPPA" demo'
act2() { "$KAPPA" demo fix >"$dir/act2" 2>&1 || { cat "$dir/act2"; return 1; }; }
check "second act" act2
quoted() { # every figure between the README's demo marks stands in the output
	local rows
	rows=$(sed -n '/<!-- demo figures -->/,/<!-- end -->/p' "$(dirname "$0")/../../README.md" | grep -E '^\| *changed')
	[ -n "$rows" ] || { echo "the README quotes no figures"; return 1; }
	tr -s ' ' <"$dir/act2" >"$dir/plain"
	echo "$rows" | while read -r row; do
		want=$(echo "$row" | sed 's/^| */ /;s/ *|$//' | tr -s ' ')
		grep -qxF -e "$want" "$dir/plain" || { echo "missing:$want"; exit 1; }
	done
}
check "the README's figures are the demo's" quoted
stop() { "$KAPPA" demo stop && [ ! -e "$XDG_STATE_HOME/kappa/demo" ] && [ -z "$(ls -d "$dir"/kappa-demo-* 2>/dev/null)" ]; }
check "stop removes everything" stop
echo "1..$n"
