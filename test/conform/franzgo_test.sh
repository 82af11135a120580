#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# franz-go's own tests of its client (v1.22.2, from the Go module proxy). T=TestTxnEtl narrows.
SUITE=franzgo
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need go
SRC=$CONFORM_HOME/franz-go
RECORDS=${RECORDS:-20000} # of the ETL tests, which have 500,000 by default

build() {
	local dir
	mkdir -p "$CONFORM_HOME/go" || return 1
	if [ ! -d "$SRC" ]; then
		(cd "$CONFORM_HOME/go" && printf 'module fetch\n' >go.mod && go mod download github.com/twmb/franz-go@v1.22.2) || return 1
		dir=$(go env GOMODCACHE)/github.com/twmb/franz-go@v1.22.2
		cp -r "$dir" "$SRC" && chmod -R u+w "$SRC" || return 1
	fi
	(cd "$SRC/pkg/kgo" && GOFLAGS=-mod=mod go test -c -o "$CONFORM_HOME/kgo.test" .)
}

conform_begin
[ -x "$CONFORM_HOME/kgo.test" ] || build >"$CONFORM_HOME/build-franz-go.log" 2>&1 ||
	die "build failed, see $CONFORM_HOME/build-franz-go.log"
server_start
cd "$SRC/pkg/kgo" || exit 1
skip=$(left_out)
export KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=$RECORDS KGO_LOG_LEVEL=none
conform_run kgo go_results "$CONFORM_HOME/kgo.test" -test.v -test.timeout 1100s -test.run "${T:-.}" \
	${skip:+-test.skip "^($skip)\$"}
while read -r name reason; do
	[ -n "$skip" ] && counted skip "$name" "$reason"
done <"$HERE/$SUITE.skip"
conform_end
