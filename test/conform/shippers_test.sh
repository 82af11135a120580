#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Log shippers of Debian deliver what they read, each line once: rsyslog (omkafka) and syslog-ng (kafka-c). Their
# packages are unpacked, not installed: no daemon starts on the machine. T=rsyslog narrows.
SUITE=shippers
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need apt-get dpkg-deb
LINES=5000

unpack() { # FOLDER PACKAGE...
	local to=$CONFORM_HOME/$1 deb
	shift
	[ -f "$to/complete" ] && return 0
	rm -rf "$to" && mkdir -p "$to/deb" && cd "$to/deb" || return 1
	apt-get -q download "$@" || return 1
	for deb in *.deb; do
		dpkg-deb -x "$deb" "$to" || return 1
	done
	touch "$to/complete"
}

# shipped TOPIC PROGRAM ARGS...: runs it until the topic has every line of $OUT/TOPIC.in
shipped() {
	local topic=$1 i
	shift
	"$@" &
	local pid=$!
	trap "kill $pid 2>/dev/null" EXIT
	for ((i = 0; i < 60; i++)); do
		kill -0 $pid || return 1
		"$KAPPA" consume "$topic" -b "$BOOTSTRAP" -o start:end -f '%v\n' >"$OUT/$topic.out" 2>/dev/null || true # not there yet
		[ "$(wc -l <"$OUT/$topic.out")" -ge $LINES ] && break
		sleep 1
	done
	sed 's/^ //' "$OUT/$topic.out" | sort -n | cmp - "$OUT/$topic.in"
}

rsyslog() {
	local root=$CONFORM_HOME/rsyslog lib=usr/lib/x86_64-linux-gnu
	seq 1 $LINES >"$OUT/rsyslog.in"
	mkdir -p "$OUT/rsyslog.work"
	cat >"$OUT/rsyslog.conf" <<-X
	global(workDirectory="$OUT/rsyslog.work")
	module(load="imfile" PollingInterval="1")
	module(load="omkafka")
	template(name="plain" type="string" string="%msg%")
	input(type="imfile" File="$OUT/rsyslog.in" Tag="t" ruleset="out")
	ruleset(name="out") {
	  action(type="omkafka" broker=["$BOOTSTRAP"] topic="rsyslog" template="plain" partitions.auto="on")
	}
	X
	LD_LIBRARY_PATH=$root/$lib shipped rsyslog "$root/usr/sbin/rsyslogd" -n -f "$OUT/rsyslog.conf" \
		-i "$OUT/rsyslog.pid" -M "$root/$lib/rsyslog"
}

syslog_ng() {
	local root=$CONFORM_HOME/syslog-ng lib
	lib=$(echo "$root"/usr/lib/syslog-ng/*/)
	seq 1 $LINES >"$OUT/syslogng.in"
	cat >"$OUT/syslogng.conf" <<-X
	@version: 3.38
	source s { file("$OUT/syslogng.in" follow-freq(1) read-old-records(yes) flags(no-parse)); };
	destination d { kafka-c(bootstrap-servers("$BOOTSTRAP") topic("syslogng") message("\$MSG")); };
	log { source(s); destination(d); flags(flow-control); };
	X
	LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/syslog-ng shipped syslogng "$root/usr/sbin/syslog-ng" -F \
		--no-caps --module-path "$lib" -f "$OUT/syslogng.conf" --persist-file "$OUT/syslogng.persist" \
		--pidfile "$OUT/syslogng.pid" --control "$OUT/syslogng.ctl"
}
export -f rsyslog syslog_ng shipped

conform_begin
{
	unpack rsyslog rsyslog rsyslog-kafka librdkafka1 libestr0 libfastjson4 liblognorm5 &&
		unpack syslog-ng syslog-ng-core syslog-ng-mod-rdkafka librdkafka1 libivykis0 libnet1 libjson-c5
} >"$CONFORM_HOME/fetch-shippers.log" 2>&1 || die "no packages, see $CONFORM_HOME/fetch-shippers.log"
server_start
export OUT KAPPA LINES CONFORM_HOME
conform_case rsyslog bash -euo pipefail -c rsyslog
conform_case syslog_ng bash -euo pipefail -c syslog_ng
conform_end
