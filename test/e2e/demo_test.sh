#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo from beginning to end, in locale C and without a home, and the figures the README quotes.
set -u
export LC_ALL=C
dir=$(mktemp -d)
trap '"$KAPPA" demo stop >/dev/null 2>&1; [ -z "$tour" ] || kill "$tour" 2>/dev/null; rm -rf "$dir"' EXIT
tour=""
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
# Where the tour sleeps for a second.
started() {
	for _ in {1..1800}; do
		grep -q 'Successfully started kappa' "$dir/tour.out" "$dir/tour.err" && return
		sleep 0.1
	done
}
# The five lines of the README's tour as they stand there, but for program, directory and ports; a busy machine needs
# more than the second that it gives the server.
tour() {
	local kafka http
	read -r kafka http < <(python3 -c 'import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in "12"]
print(*["127.0.0.1:%d" % x.getsockname()[1] for x in s])')
	sed -n '/^```sh/,/^```$/p' "$(dirname "$0")/../../README.md" | grep -A4 '/kappa serve' |
		sed "s#build/release/kappa#$KAPPA#g;s#--data /tmp/kappa#--data $dir/tour --listen $kafka --http $http#;s#127.0.0.1:9092#$kafka#g;s#& sleep 1\$#\& started#" >"$dir/tour.sh"
	[ "$(wc -l <"$dir/tour.sh")" = 5 ] || { echo "the tour has not five lines"; return 1; }
	export KAPPA_HTTP="http://$http"
	. "$dir/tour.sh" >"$dir/tour.out" 2>"$dir/tour.err"
	tour=$!
	kill "$tour" && wait "$tour" || { echo "the server did not end well"; cat "$dir/tour.err"; return 1; }
	tour=""
	unset KAPPA_HTTP
	printf '%s\n' 'view total version 1 is ready, lag 0.000 s' ' n | s' '---+----' ' 5 | 15' '{"n":5,"even":"5"}' | diff - "$dir/tour.out" || { cat "$dir/tour.err"; return 1; }
	! grep -E 'level=(warn|error)|kappa: ' "$dir/tour.err"
}
check "the README's tour works as it stands, without a warning" tour
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
# What the demo tells to try next, as it stands there; kcat is not one of the demo's packages.
tries() {
	sed -n '/^The server is up/,$p' "$dir/act2" | sed 1d | grep -v 'demo stop' >"$dir/tries.sh"
	[ "$(wc -l <"$dir/tries.sh")" -ge 5 ] || { echo "nothing to try"; return 1; }
	bash -e "$dir/tries.sh" >"$dir/tries.out" 2>&1 || { cat "$dir/tries.out"; return 1; }
	grep -q '^(3 rows)$' "$dir/tries.out" && ! grep 'kappa: ' "$dir/tries.out"
}
check "what it tells to try next works as it stands" tries
full() { [ -w /dev/full ] && ! "$KAPPA" demo events -n 100000 >/dev/full && ! "$KAPPA" errors >/dev/full; }
check "output that could not be written is a failure" full
stop() { "$KAPPA" demo stop && [ ! -e "$XDG_STATE_HOME/kappa/demo" ] && [ -z "$(ls -d "$dir"/kappa-demo-* 2>/dev/null)" ]; }
check "stop removes everything" stop
echo "1..$n"
