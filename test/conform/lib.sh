# SPDX-License-Identifier: Apache-2.0
# Sourced by the suites of this folder: a server on free ports, a folder outside the tree, one line per case.
# A suite sets SUITE, calls conform_begin, then conform_case NAME COMMAND... for each case, then conform_end.
set -u
export LC_ALL=C
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
KAPPA=${KAPPA:-$ROOT/build/release/kappa}
CONFORM_HOME=${CONFORM_HOME:-$HOME/.cache/kappa-conform} # sources and builds of third parties
PEERS=${PEERS:-$ROOT/../shared/peers}                    # scripts that install the peers
SERVER_PID=
passed=0 failed=0 skipped=0

die() {
	echo "$SUITE: $*" >&2
	exit 1
}
need() {
	local p
	for p; do command -v "$p" >/dev/null || die "$p is missing on this machine"; done
}

# server_start [SERVE OPTIONS...]: BOOTSTRAP, HTTP, SERVER_PID; its data goes when the suite ends
server_start() {
	DATA=$(mktemp -d "${TMPDIR:-/var/tmp}/kappa-conform.XXXXXX") || exit 1
	: >"$OUT/server.log" # an earlier server's must not be taken for this one's
	"$KAPPA" serve --data "$DATA" --listen 127.0.0.1:0 --http http://127.0.0.1:0 "$@" 2>"$OUT/server.log" &
	SERVER_PID=$!
	local i
	for ((i = 0; i < 600; i++)); do
		grep -q '^Successfully started' "$OUT/server.log" && break
		kill -0 "$SERVER_PID" 2>/dev/null || break
		sleep 0.1
	done
	BOOTSTRAP=$(sed -n 's/^Successfully started kappa kafka=\([^ ]*\) .*/\1/p' "$OUT/server.log")
	HTTP=$(sed -n 's/^Successfully started kappa .*http=\([^ ]*\).*/\1/p' "$OUT/server.log")
	[ -n "$BOOTSTRAP" ] || die "the server did not start: $(tail -n 3 "$OUT/server.log")"
	export BOOTSTRAP HTTP
}
server_stop() {
	[ -n "$SERVER_PID" ] || return 0
	kill "$SERVER_PID" 2>/dev/null
	wait "$SERVER_PID"
	local rc=$?
	SERVER_PID=
	rm -rf "$DATA"
	return $rc
}
trap server_stop EXIT

conform_begin() {
	OUT=${CONFORM_OUT:-$CONFORM_HOME/out}/$SUITE
	rm -rf "$OUT" && mkdir -p "$OUT" || exit 1
	[ -x "$KAPPA" ] || die "no program at $KAPPA: build it first"
}

# reason_of NAME: why this case is left out, from $HERE/$SUITE.skip (NAME REASON...)
reason_of() {
	[ -f "$HERE/$SUITE.skip" ] || return 0
	awk -v name="$1" '$1 == name { $1 = ""; print substr($0, 2); exit }' "$HERE/$SUITE.skip"
}

# conform_case NAME COMMAND...: its output goes to a file of the name; CASE_TIMEOUT seconds. Exit 77: skipped, for the
# reason that its output gives in a line "SKIP: ..."
conform_case() {
	local name=$1 reason start=$SECONDS rc
	shift
	if [ -n "${T:-}" ] && [[ $name != *$T* ]]; then return 0; fi
	reason=$(reason_of "$name")
	if [ -n "$reason" ] && [ -z "${CONFORM_ALL:-}" ]; then
		skipped=$((skipped + 1))
		printf 'skip %-12s %-52s %s\n' "$SUITE" "$name" "$reason"
		return 0
	fi
	timeout -k 10 "${CASE_TIMEOUT:-180}" "$@" >"$OUT/$name.log" 2>&1 </dev/null
	rc=$?
	if [ $rc = 77 ]; then # the part itself had nothing to do here, and says why
		skipped=$((skipped + 1))
		printf 'skip %-12s %-52s %s\n' "$SUITE" "$name" "$(sed -n 's/^SKIP: //p' "$OUT/$name.log" | tail -n 1)"
	elif [ $rc = 0 ]; then
		passed=$((passed + 1))
		printf 'ok   %-12s %-52s %4d s\n' "$SUITE" "$name" $((SECONDS - start))
	else
		failed=$((failed + 1))
		printf 'FAIL %-12s %-52s %4d s (exit %d, %s)\n' "$SUITE" "$name" $((SECONDS - start)) $rc "$OUT/$name.log"
	fi
	if [ -n "$SERVER_PID" ] && ! kill -0 "$SERVER_PID" 2>/dev/null; then
		tail -n 20 "$OUT/server.log" >&2
		die "the server ended during $name"
	fi
}

# counted STATUS NAME [TEXT]: a line for a case that ran inside a larger run
counted() {
	local reason
	reason=$(reason_of "$2")
	case $1 in
	ok) passed=$((passed + 1)) ;;
	FAIL)
		if [ -n "$reason" ] && [ -z "${CONFORM_ALL:-}" ]; then
			skipped=$((skipped + 1))
			printf 'skip %-12s %-52s %s\n' "$SUITE" "$2" "$reason"
			return
		fi
		failed=$((failed + 1))
		;;
	*) skipped=$((skipped + 1)) ;;
	esac
	printf '%-4s %-12s %-52s %s\n' "$1" "$SUITE" "$2" "${3:-}"
}

# conform_run NAME PARSER COMMAND...: one run of a foreign test program with many cases, at most RUN_TIMEOUT seconds.
# PARSER reads its output and prints "ok|FAIL|skip NAME [TEXT]" for each case. A run that ends badly without a failed
# case, or without any case, is a failure of its own.
conform_run() {
	local name=$1 parser=$2 rc status case text bad=0 cases=0
	shift 2
	timeout -k 10 "${RUN_TIMEOUT:-1200}" "$@" >"$OUT/$name.log" 2>&1 </dev/null
	rc=$?
	while read -r status case text; do
		cases=$((cases + 1))
		[ "$status" != FAIL ] || bad=1
		counted "$status" "$case" "$text"
	done < <("$parser" <"$OUT/$name.log")
	if { [ $rc != 0 ] && [ $bad = 0 ]; } || [ $cases = 0 ]; then
		counted FAIL "$name" "(exit $rc, $OUT/$name.log)"
	fi
	if [ -n "$SERVER_PID" ] && ! kill -0 "$SERVER_PID" 2>/dev/null; then
		tail -n 20 "$OUT/server.log" >&2
		die "the server ended during $name"
	fi
}

# left_out: the names in the .skip file, as a pattern a|b|c; empty with CONFORM_ALL
left_out() {
	[ -z "${CONFORM_ALL:-}" ] && [ -f "$HERE/$SUITE.skip" ] || return 0
	sed 's/ .*//' "$HERE/$SUITE.skip" | paste -sd '|'
}

# go_results: of `go test -v`
go_results() {
	sed -nE 's/^--- PASS: ([^ ]+) .*/ok \1/p; s/^--- FAIL: ([^ ]+) .*/FAIL \1/p; s/^--- SKIP: ([^ ]+) .*/skip \1 by itself/p
		s/^\t(Test[A-Za-z0-9_]+) \([0-9.ms]+\)$/FAIL \1 timed out/p'
}

conform_end() {
	if [ -n "$SERVER_PID" ] && ! server_stop; then
		failed=$((failed + 1))
		echo "FAIL $SUITE server did not end cleanly"
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# kafka_tools: installs the peer's Java tools and makes $KAFKA_PATH/bin/kafka-*.sh for what calls them
kafka_tools() {
	[ -x "$PEERS/kafka.sh" ] || return 1
	"$PEERS/kafka.sh" install >/dev/null || return 1
	export KAFKA_PATH=$CONFORM_HOME/kafka
	mkdir -p "$KAFKA_PATH/bin"
	local name class libs
	libs=$(ls -d "${PEERS_HOME:-$HOME/.cache/kappa-peers}"/kafka-*/libs | tail -n 1)
	ln -sfn "$libs" "$KAFKA_PATH/libs"
	printf '#!/bin/sh\nexec java -Xmx256m -cp "$CLASSPATH:%s/*" "$@"\n' "$libs" >"$KAFKA_PATH/bin/kafka-run-class.sh"
	chmod +x "$KAFKA_PATH/bin/kafka-run-class.sh"
	while read -r name class; do
		printf '#!/bin/sh\nexec "%s" run %s "$@"\n' "$PEERS/kafka.sh" "$class" >"$KAFKA_PATH/bin/$name"
		chmod +x "$KAFKA_PATH/bin/$name"
	done <<-'X'
	kafka-topics.sh org.apache.kafka.tools.TopicCommand
	kafka-configs.sh kafka.admin.ConfigCommand
	kafka-acls.sh org.apache.kafka.tools.AclCommand
	kafka-console-producer.sh org.apache.kafka.tools.ConsoleProducer
	kafka-console-consumer.sh org.apache.kafka.tools.consumer.ConsoleConsumer
	kafka-consumer-groups.sh org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
	kafka-broker-api-versions.sh org.apache.kafka.tools.BrokerApiVersionsCommand
	kafka-get-offsets.sh org.apache.kafka.tools.GetOffsetShell
	kafka-delete-records.sh org.apache.kafka.tools.DeleteRecordsCommand
	kafka-log-dirs.sh org.apache.kafka.tools.LogDirsCommand
	kafka-producer-perf-test.sh org.apache.kafka.tools.ProducerPerformance
	kafka-consumer-perf-test.sh org.apache.kafka.tools.ConsumerPerformance
	kafka-verifiable-producer.sh org.apache.kafka.tools.VerifiableProducer
	kafka-verifiable-consumer.sh org.apache.kafka.tools.VerifiableConsumer
	kafka-transactions.sh org.apache.kafka.tools.TransactionsCommand
	kafka-streams-application-reset.sh org.apache.kafka.tools.StreamsResetter
	kafka-cluster.sh org.apache.kafka.tools.ClusterTool
	kafka-features.sh org.apache.kafka.tools.FeatureCommand
	X
}
