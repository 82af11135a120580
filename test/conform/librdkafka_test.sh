#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# librdkafka's own broker tests, as Debian ships the source (2.0.2). T=0012 narrows.
SUITE=librdkafka
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need apt-get tar make cc c++
SRC=$CONFORM_HOME/librdkafka-2.0.2

build() {
	local list=$CONFORM_HOME/apt f
	rm -rf "$SRC" && mkdir -p "$list/lists/partial" "$list/sources.d" || return 1
	for f in /etc/apt/sources.list.d/*.sources; do # the machine's own sources, asked for source packages
		sed 's/^Types: .*/Types: deb-src/' "$f" >"$list/sources.d/${f##*/}"
	done
	[ -f /etc/apt/sources.list ] && sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$list/sources.d/main.list"
	local apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$list/sources.d"
		-o "Dir::State::Lists=$list/lists")
	(cd "$CONFORM_HOME" && "${apt[@]}" update && "${apt[@]}" source --download-only librdkafka=2.0.2-1 &&
		tar xzf librdkafka_2.0.2.orig.tar.gz) >"$CONFORM_HOME/fetch.log" 2>&1 || return 1
	(cd "$SRC" && ./configure --disable-curl --disable-sasl && make -j2 libs && make -j2 -C tests build) \
		>"$CONFORM_HOME/build.log" 2>&1
}

one() { # NAME: one of its tests, in a process of its own
	cd "$SRC/tests" || return 1
	RDKAFKA_TEST_CONF=$OUT/test.conf TEST_KAFKA_VERSION=3.3.0 BROKERS=$BOOTSTRAP TESTS=${1%%_*} \
		LD_LIBRARY_PATH=../src:../src-cpp ./test-runner -p1 -Q -E -L -K -s "$SCENARIO"
}
export -f one

conform_begin
"$ROOT/tools/dev/deps.sh" rapidjson-dev libssl-dev zlib1g-dev libzstd-dev || exit 1
[ -x "$SRC/tests/test-runner" ] || build || die "build failed, see $CONFORM_HOME/*.log"
kafka_tools || echo "$SUITE: no Java tools: the tests that call them will fail" >&2
server_start --set num.partitions=4
echo "bootstrap.servers=$BOOTSTRAP" >"$OUT/test.conf"
export SRC OUT SCENARIO=default
names=$(sed -n '/^struct test tests/,/^};/p' "$SRC/tests/test.c" | tr '\n' ' ' | grep -oE '_TEST\([^)]*\)' |
	grep -vE 'TEST_F_(LOCAL|MANUAL|SOCKEM|KNOWN_ISSUE)' | sed -E 's/_TEST\(([0-9a-z_]+),.*/\1/' | grep -E '^0' | sort -u)
for name in $names; do
	case $name in
	0045_subscribe_update_* | 0022_consume_batch_local) continue ;; # run with their file's first test
	esac
	conform_case "$name" bash -c 'one "$@"' one "$name"
done
server_stop
server_start --set num.partitions=4 --set auto.create.topics.enable=false
echo "bootstrap.servers=$BOOTSTRAP" >"$OUT/test.conf"
SCENARIO=noautocreate
for name in 0007_autotopic 0045_subscribe_update 0107_topic_recreate 0109_auto_create_topics 0111_delay_create_topics; do
	conform_case "noautocreate-$name" bash -c 'one "$@"' one "$name"
done
conform_end
