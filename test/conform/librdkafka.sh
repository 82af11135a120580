# SPDX-License-Identifier: Apache-2.0
# Sourced by the librdkafka suites after lib.sh: how its own test program is built and its broker tests run.
# SRC is the source's folder.

# rdkafka_build: 0 when $SRC/tests/test-runner is there
rdkafka_build() {
	[ -x "$SRC/tests/test-runner" ] && return 0
	(cd "$SRC" && ./configure --disable-curl --disable-sasl && make -j2 libs && make -j2 -C tests build) \
		>"$CONFORM_HOME/build-${SRC##*/}.log" 2>&1
}

rdkafka_one() { # NAME[:SUBTEST]: one of its tests, in a process of its own
	local name=${1%%:*} part=
	[[ $1 != *:* ]] || part=${1#*:}
	cd "$SRC/tests" || return 1
	export RDKAFKA_TEST_CONF=$OUT/test.conf TEST_KAFKA_VERSION=$RDKAFKA_BROKER BROKERS=$BOOTSTRAP TESTS=${name%%_*}
	[ -z "$part" ] || export SUBTESTS=$part
	# its progress goes to stderr, the summary at the end to stdout; in full, not in its quick mode
	LD_LIBRARY_PATH=../src:../src-cpp ./test-runner -p1 -E -L -K -s "$SCENARIO" >"$OUT/summary" || return
	cat "$OUT/summary"
	grep -q '| *0[0-9a-z_]* *| *PASSED' <(rdkafka_plain) && return 0
	local why
	why=$(rdkafka_plain | sed -n "s/^| *0[^|]*| *SKIPPED |[^|]*| *//p" | head -n 1)
	echo "SKIP: by itself: ${why:-for another scenario}"
	return 77
}
rdkafka_plain() { sed 's/\x1b\[[0-9;]*m//g' "$OUT/summary"; }
export -f rdkafka_one rdkafka_plain

# rdkafka_server SCENARIO [SERVE OPTIONS...]
rdkafka_server() {
	SCENARIO=$1
	shift
	server_start --set num.partitions=4 "$@"
	echo "bootstrap.servers=$BOOTSTRAP" >"$OUT/test.conf"
	export SRC OUT SCENARIO
}

rdkafka_case() { conform_case "${2:-}${1//:/-}" bash -c 'rdkafka_one "$@"' one "$1"; }

# The broker tests of test.c, one a line; those that its own table runs by another's number are left out.
rdkafka_names() {
	sed -n '/^struct test tests/,/^};/p' "$SRC/tests/test.c" | tr '\n' ' ' | grep -oE '_TEST\([^)]*\)' |
		grep -vE 'TEST_F_(LOCAL|MANUAL|SOCKEM|KNOWN_ISSUE)' | sed -E 's/_TEST\(([0-9a-z_]+),.*/\1/' | grep -E '^0' |
		grep -vE '^0045_subscribe_update_|^0045_(resubscribe|subscribe_many)|_mock$|_local$' | sort -u
}

# 0081_admin's parts, for where one of them keeps the whole from passing
rdkafka_admin_parts() {
	sed -n '/^static void do_test_apis/,/^}/p' "$SRC/tests/0081-admin.c" | grep -oE 'do_test_[A-Za-z_]+\(' |
		tr -d '(' | grep -vE '_(unclean_destroy|apis)$' | sort -u
}

# rdkafka_suite: all of them, with topics made on demand and without
rdkafka_suite() {
	local name
	rdkafka_server default
	for name in $(rdkafka_names); do
		rdkafka_case "$name"
		[ "$name" != 0081_admin ] || for name in $(rdkafka_admin_parts); do
			rdkafka_case "0081_admin:$name"
		done
	done
	server_stop
	rdkafka_server noautocreate --set auto.create.topics.enable=false
	for name in 0007_autotopic 0045_subscribe_update 0107_topic_recreate 0109_auto_create_topics \
		0111_delay_create_topics; do
		rdkafka_case "$name" noautocreate-
	done
}
