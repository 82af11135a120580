#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a Prometheus exporter polls (exporter.go, with sarama 1.61.1 from the Go module proxy), while records come in.
SUITE=exporter
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need go
SARAMA=github.com/IBM/sarama

build() {
	local dir=$CONFORM_HOME/exporter
	mkdir -p "$dir" && cp "$HERE/exporter.go" "$dir/main.go" && cd "$dir" || return 1
	[ -f go.mod ] || go mod init exporter || return 1
	go get $SARAMA@v1.61.1 && go build -o exporter .
}
polled() {
	local i
	"$KAPPA" topic create polled -p 1 -b "$BOOTSTRAP"
	seq 1 1000 | "$KAPPA" produce polled -b "$BOOTSTRAP"
	"$KAPPA" consume polled -G watchers -o start -e -b "$BOOTSTRAP" -f '%v\n' | wc -l | grep -qx 1000
	seq 1 50 | "$KAPPA" produce polled -b "$BOOTSTRAP"
	for i in 1 2 3; do
		"$CONFORM_HOME/exporter/exporter" "$BOOTSTRAP" >"$OUT/figures"
	done
	cat "$OUT/figures"
	grep -q '^brokers 1$' "$OUT/figures"
	grep -q '^group watchers members=0 state=Empty$' "$OUT/figures"
	# current offsets, lag and sizes add up
	awk '/^partition polled\// { for (i = 1; i <= NF; i++) if (split($i, a, "=") == 2 && a[1] == "current") n += a[2] }
		END { exit n != 1050 }' "$OUT/figures"
	awk '/^lag watchers polled\// { split($5, a, "="); n += a[2] } END { exit n != 50 }' "$OUT/figures"
	awk '/^size polled\// { split($3, a, "="); n += a[2] } END { exit n < 10000 }' "$OUT/figures"
}
export -f polled

conform_begin
build >"$CONFORM_HOME/build-exporter.log" 2>&1 || die "build failed, see $CONFORM_HOME/build-exporter.log"
server_start
export OUT KAPPA CONFORM_HOME
conform_case polled bash -euo pipefail -c polled
conform_end
