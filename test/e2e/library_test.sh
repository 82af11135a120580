#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The log as a library: the program and the link line of log/README.md are taken from that page, built and run.
set -u
export LC_ALL=C
top=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
check() { # NAME COMMAND...
	n=$((n + 1))
	local name=$1
	shift
	if "$@" >"$dir/check" 2>&1; then echo "ok $n - $name"; else echo "not ok $n - $name"; sed 's/^/# /' "$dir/check" | tail -40; fi
}
block() { sed -n "/^## As a library/,/^## Testing/p" "$top/log/README.md" | sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" | sed '1d;$d'; }
build=$(dirname "$KAPPA")
build() {
	block c >"$dir/example.c"
	local line extra=
	line=$(block sh)
	[ -s "$dir/example.c" ] && [ -n "$line" ] || { echo "the page has no program or no link line"; return 1; }
	case $build in *asan*) extra="-fsanitize=address,undefined" ;; *tsan*) extra="-fsanitize=thread" ;; *cov*) extra=--coverage ;; esac
	line=${line//build\/release/$build}
	line=${line//example.c/$dir/example.c}
	line=${line//-o example/-o $dir/example}
	cd "$top" && eval "$line -Wall -Wextra -Werror $extra"
}
check "the program of the page builds by the line of the page" build
cat >"$dir/expected" <<'X'
offset 0
0: hello
there is more
offset 1
1: world
X
run() { "$dir/example" "$dir/data" 2>"$dir/stderr" | sed 's/ sequence .*//' >"$dir/out"; cat "$dir/stderr"; diff "$dir/expected" "$dir/out"; }
check "it appends, reads and follows" run
again() { "$dir/example" "$dir/data" | grep -qx '3: world'; }
check "a second run goes on where the first stopped" again
# The limit of a process's files is an error of a write, for who has followed the page and for kappa.
limited() { (
	ulimit -f 64 || exit 1
	"$dir/example" "$dir/limited" 2>"$dir/stderr"
	[ $? -eq 1 ] && grep -q 'File too large' "$dir/stderr" || { cat "$dir/stderr"; exit 1; }
	"$KAPPA" fsck --data "$dir/data" --salvage "$dir/salvaged" >/dev/null 2>"$dir/stderr"
	[ $? -eq 1 ] && grep -q 'File too large' "$dir/stderr" || { cat "$dir/stderr"; exit 1; }
); }
check "a file at its limit ends nobody" limited
fsck() { "$KAPPA" fsck --data "$dir/data" | grep -q ' findings=0'; }
check "its directory is a server's" fsck
echo "1..$n"
