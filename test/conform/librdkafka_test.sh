#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# librdkafka's own broker tests, as Debian ships the source (2.0.2). T=0012 narrows.
SUITE=librdkafka
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$HERE/librdkafka.sh"
need apt-get tar make cc c++ openssl
SRC=$CONFORM_HOME/librdkafka-2.0.2
export RDKAFKA_BROKER=3.3.0

fetch() {
	local list=$CONFORM_HOME/apt f
	mkdir -p "$list/lists/partial" "$list/sources.d" || return 1
	for f in /etc/apt/sources.list.d/*.sources; do # the machine's own sources, asked for source packages
		sed 's/^Types: .*/Types: deb-src/' "$f" >"$list/sources.d/${f##*/}"
	done
	[ -f /etc/apt/sources.list ] && sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$list/sources.d/main.list"
	local apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$list/sources.d"
		-o "Dir::State::Lists=$list/lists")
	(cd "$CONFORM_HOME" && "${apt[@]}" update && "${apt[@]}" source --download-only librdkafka=2.0.2-1 &&
		tar xzf librdkafka_2.0.2.orig.tar.gz) >"$CONFORM_HOME/fetch.log" 2>&1
}

conform_begin
"$ROOT/tools/dev/deps.sh" rapidjson-dev libssl-dev zlib1g-dev libzstd-dev || exit 1
[ -d "$SRC" ] || fetch || die "no source, see $CONFORM_HOME/fetch.log"
rdkafka_build || die "build failed, see $CONFORM_HOME/build-*.log"
kafka_tools || echo "$SUITE: no Java tools: the tests that call them will fail" >&2
rdkafka_suite
rdkafka_tally
conform_end
