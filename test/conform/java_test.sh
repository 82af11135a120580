#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kafka's own Java clients and command line (4.3.1) against the server. T=groups narrows.
SUITE=java
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need java curl python3

k() { # TOOL ARGS...: one of Kafka's commands against the server
	local tool=$1
	shift
	"$KAFKA_PATH/bin/kafka-$tool.sh" --bootstrap-server "$BOOTSTRAP" "$@"
}
class() { "$PEERS/kafka.sh" run "$@"; }
expect() { # TEXT: stdin has it
	local all
	all=$(cat)
	printf '%s\n' "$all"
	grep -qF -- "$1" <<<"$all" || {
		echo "expected: $1"
		return 1
	}
}
export -f k class expect
case_of() { conform_case "$1" bash -o pipefail -euc "$1"; }

api_versions() { k broker-api-versions | tee "$OUT/api" | expect 'Produce(0): '; ! grep -q UNKNOWN "$OUT/api"; }
topics() {
	k topics --create --topic t1 --partitions 3 --replication-factor 1 --config retention.ms=3600000
	k topics --list | expect t1
	k topics --describe --topic t1 | expect 'PartitionCount: 3'
	k topics --alter --topic t1 --partitions 5
	k topics --describe --topic t1 | expect 'PartitionCount: 5'
	k topics --create --topic t2 --partitions 1
	k topics --delete --topic t2
	! k topics --describe --topic t2
}
configs() {
	k configs --entity-type topics --entity-name t1 --alter --add-config max.message.bytes=2000000
	k configs --entity-type topics --entity-name t1 --describe | expect max.message.bytes=2000000
	k configs --entity-type topics --entity-name t1 --alter --delete-config max.message.bytes
	k configs --entity-type topics --entity-name t1 --describe --all | expect 'max.message.bytes=1048588'
	k configs --entity-type topics --describe | expect t1
	k configs --entity-type brokers --entity-name 1 --describe --all | expect 'log.segment.bytes'
}
console() {
	seq 1 1000 | k console-producer --topic c1 --producer-property compression.type=zstd
	k console-consumer --topic c1 --from-beginning --max-messages 1000 --timeout-ms 20000 --group cg | sort -n | md5sum |
		expect "$(seq 1 1000 | md5sum)"
	k consumer-groups --list | expect cg
}
groups() {
	k consumer-groups --describe --group cg | expect ' 1000 '
	k consumer-groups --describe --group cg --state | expect Empty
	k consumer-groups --describe --group cg --members --verbose || true
	k consumer-groups --reset-offsets --group cg --topic c1 --to-datetime 2020-01-01T00:00:00.000 --execute | expect cg
	k consumer-groups --describe --group cg | awk '$2 == "c1" { s += $4 } END { exit s != 0 }'
	k consumer-groups --reset-offsets --group cg --topic c1 --to-latest --execute
	k consumer-groups --delete-offsets --group cg --topic c1 | expect Successful
	k consumer-groups --delete --group cg
}
offsets() {
	k get-offsets --topic c1 | expect c1:0:
	k get-offsets --topic c1 --time -2 | expect c1:0:0
	k get-offsets --topic c1 --time max-timestamp
	printf '{"partitions":[{"topic":"c1","partition":0,"offset":1}],"version":1}' >"$OUT/del.json"
	k delete-records --offset-json-file "$OUT/del.json" | expect 'low_watermark: 1'
	k get-offsets --topic c1 --time earliest | expect c1:0:1
	k log-dirs --describe | expect '"topics"' || k log-dirs --describe | expect partitions
}
cluster() {
	"$KAFKA_PATH/bin/kafka-cluster.sh" cluster-id --bootstrap-server "$BOOTSTRAP" | expect 'Cluster ID: '
	"$KAFKA_PATH/bin/kafka-cluster.sh" list-endpoints --bootstrap-server "$BOOTSTRAP" | expect 127.0.0.1
	k features describe
}
quotas() {
	# 10 s of it may come at once
	k configs --alter --add-config producer_byte_rate=300000,consumer_byte_rate=2000000 --entity-type clients --entity-name slow
	k configs --describe --entity-type clients --entity-name slow | expect 'producer_byte_rate=300000'
	k configs --alter --add-config consumer_byte_rate=5 --entity-type clients --entity-default
	k configs --describe --entity-type clients | expect 'consumer_byte_rate=5'
	k configs --alter --delete-config consumer_byte_rate --entity-type clients --entity-default
	! k configs --describe --entity-type clients --entity-default | grep -q consumer_byte_rate
	k topics --create --topic slow --partitions 1
	"$KAFKA_PATH/bin/kafka-producer-perf-test.sh" --topic slow --num-records 40000 --record-size 100 --throughput -1 \
		--producer-props "bootstrap.servers=$BOOTSTRAP" client.id=slow --print-metrics |
		awk '{ print } /produce-throttle-time-avg/ { t = $NF } / MB\/sec/ { gsub(/.*\(/, ""); r = $1 } END { exit !(t > 0 && r < 2) }'
}
consumer_quotas() {
	# 5 MB of 12 may come at once, the rest in 14 s
	k configs --alter --add-config consumer_byte_rate=500000 --entity-type clients --entity-name reader
	k topics --create --topic read-slowly --partitions 2
	"$KAFKA_PATH/bin/kafka-producer-perf-test.sh" --topic read-slowly --num-records 120000 --record-size 100 --throughput -1 \
		--producer-props "bootstrap.servers=$BOOTSTRAP" | expect '120000 records sent'
	k consumer-perf-test --topic read-slowly --num-records 120000 --timeout 60000 --command-property client.id=reader \
		--print-metrics | tee "$OUT/reader" | expect ', 120000, '
	awk '/fetch-throttle-time-avg/ { t = $NF } /, 120000, / { split($0, a, ", *"); r = a[4] } END { exit !(t > 0 && r < 1) }' "$OUT/reader"
}
ip_quotas() {
	k configs --alter --add-config connection_creation_rate=100 --entity-type ips --entity-name 127.0.0.9
	k configs --alter --add-config connection_creation_rate=200 --entity-type ips --entity-default
	k configs --describe --entity-type ips | tee "$OUT/ips"
	expect "'127.0.0.9' are connection_creation_rate=100.0" <"$OUT/ips"
	expect 'default ip are connection_creation_rate=200.0' <"$OUT/ips"
	k configs --alter --delete-config connection_creation_rate --entity-type ips --entity-name 127.0.0.9
	k configs --alter --delete-config connection_creation_rate --entity-type ips --entity-default
	! k configs --describe --entity-type ips | grep -q connection_creation_rate
}
producer_perf() {
	"$KAFKA_PATH/bin/kafka-producer-perf-test.sh" --topic perf --num-records 500000 --record-size 100 --throughput -1 \
		--producer-props "bootstrap.servers=$BOOTSTRAP" acks=all batch.size=65536 linger.ms=5 | expect '500000 records sent'
	k consumer-perf-test --topic perf --num-records 500000 --timeout 60000 | expect ' 500'
}
verifiable() {
	"$KAFKA_PATH/bin/kafka-verifiable-producer.sh" --bootstrap-server "$BOOTSTRAP" --topic ver --max-messages 2000 |
		tee "$OUT/vp" | tail -n 1 | expect '"acked":2000'
	"$KAFKA_PATH/bin/kafka-verifiable-consumer.sh" --bootstrap-server "$BOOTSTRAP" --topic ver --group-id vg \
		--max-messages 2000 --reset-policy earliest | tee "$OUT/vc" | expect shutdown_complete
	awk -F'"count":' '/records_consumed/ { split($2, a, /[,}]/); s += a[1] } END { exit s != 2000 }' "$OUT/vc"
}
group_protocol_consumer() {
	k topics --create --topic g848 --partitions 4
	# two share the partitions, one after the other
	local i
	for i in 1 2; do
		k console-consumer --topic g848 --from-beginning --timeout-ms 40000 \
			--command-property group.protocol=consumer --group g848 >"$OUT/g848.$i" &
	done
	for ((i = 0; i < 30; i++)); do
		k consumer-groups --describe --group g848 --state | tee "$OUT/g848.state" | grep -qE 'Stable +2' && break
	done
	expect uniform <"$OUT/g848.state"
	seq 1 1000 | k console-producer --topic g848 \
		--command-property partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner
	k consumer-groups --describe --group g848 --members --verbose | expect g848:
	k consumer-groups --list --type consumer | expect g848
	wait
	cat "$OUT/g848.1" "$OUT/g848.2" | sort -n | md5sum | expect "$(seq 1 1000 | md5sum)"
	[ -s "$OUT/g848.1" ] && [ -s "$OUT/g848.2" ]
	k consumer-groups --describe --group g848 | awk '$2 == "g848" { s += $6 } END { exit s != 0 }'
	k features describe | expect group.version
	k consumer-groups --delete --group g848 | expect successful
}
transactional_perf() {
	"$KAFKA_PATH/bin/kafka-producer-perf-test.sh" --topic txn --num-records 20000 --record-size 100 --throughput -1 \
		--transaction-duration-ms 50 --transactional-id perf-1 --producer-props "bootstrap.servers=$BOOTSTRAP" |
		expect '20000 records sent'
	k console-consumer --topic txn --from-beginning --max-messages 20000 --timeout-ms 20000 --isolation-level read_committed |
		wc -l | expect 20000
	k transactions list | expect perf-1
	k transactions describe --transactional-id perf-1 | expect perf-1
}
transactional_copier() {
	seq 1 500 | k console-producer --topic copyin
	class org.apache.kafka.tools.TransactionalMessageCopier --broker-list "$BOOTSTRAP" --transactional-id copy-1 \
		--consumer-group copy --input-topic copyin --input-partition 0 --output-topic copyout --max-messages 500 \
		--transaction-size 50 --enable-random-aborts | expect '"remaining":0'
	k console-consumer --topic copyout --from-beginning --max-messages 500 --timeout-ms 20000 \
		--isolation-level read_committed | sort -n | md5sum | expect "$(seq 1 500 | md5sum)"
}
connect() {
	mkdir -p "$OUT/connect"
	seq 1 200 >"$OUT/connect/in"
	: >"$OUT/connect/out"
	cat >"$OUT/connect/worker" <<-X
	bootstrap.servers=$BOOTSTRAP
	key.converter=org.apache.kafka.connect.storage.StringConverter
	value.converter=org.apache.kafka.connect.storage.StringConverter
	offset.storage.file.filename=$OUT/connect/offsets
	offset.flush.interval.ms=1000
	listeners=http://127.0.0.1:0
	X
	printf '%s\n' name=src connector.class=FileStreamSource tasks.max=1 "file=$OUT/connect/in" topic=connect >"$OUT/connect/src"
	printf '%s\n' name=dst connector.class=FileStreamSink tasks.max=1 "file=$OUT/connect/out" topics=connect >"$OUT/connect/dst"
	class org.apache.kafka.connect.cli.ConnectStandalone "$OUT/connect/worker" "$OUT/connect/src" "$OUT/connect/dst" &
	local pid=$! i
	for ((i = 0; i < 90; i++)); do
		[ "$(wc -l <"$OUT/connect/out")" -ge 200 ] && break
		sleep 1
	done
	pkill -TERM -P $pid 2>/dev/null
	kill $pid 2>/dev/null
	wait $pid || true
	sort -n "$OUT/connect/out" | cmp - "$OUT/connect/in"
}
# A Connect cluster of one worker, driven by its HTTP interface: sources that are exactly once, offsets read and reset.
connect_distributed() {
	local dir=$OUT/distributed pid i port api
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	api=http://127.0.0.1:$port/connectors
	mkdir -p "$dir"
	seq 1 300 >"$dir/in"
	: >"$dir/out"
	cat >"$dir/worker" <<-X
	bootstrap.servers=$BOOTSTRAP
	group.id=connect-cluster
	key.converter=org.apache.kafka.connect.storage.StringConverter
	value.converter=org.apache.kafka.connect.storage.StringConverter
	offset.storage.topic=connect-offsets
	config.storage.topic=connect-configs
	status.storage.topic=connect-status
	exactly.once.source.support=enabled
	offset.flush.interval.ms=1000
	listeners=http://127.0.0.1:$port
	X
	class org.apache.kafka.connect.cli.ConnectDistributed "$dir/worker" >"$dir/log" 2>&1 &
	pid=$!
	trap "pkill -TERM -P $pid || kill $pid || true" EXIT
	for ((i = 0; i < 90; i++)); do
		curl -fs "$api" >/dev/null && break
		sleep 1
	done
	post() { curl -fsS -X "$1" -H 'Content-Type: application/json' "$api$2" ${3:+-d "$3"} && echo; }
	post POST '' '{"name":"file-in","config":{"connector.class":"FileStreamSource","file":"'"$dir"'/in","topic":"distributed"}}'
	post POST '' '{"name":"file-out","config":{"connector.class":"FileStreamSink","file":"'"$dir"'/out","topics":"distributed"}}'
	for ((i = 0; i < 60; i++)); do
		[ "$(wc -l <"$dir/out")" -ge 300 ] && break
		sleep 1
	done
	sort -n "$dir/out" | cmp - "$dir/in"
	post GET /file-in/status | expect '"state":"RUNNING"'
	post PUT /file-out/stop
	for ((i = 0; i < 20; i++)); do
		post GET /file-out/offsets | grep -q '"kafka_offset":300' && break
		sleep 1
	done
	post GET /file-out/offsets | expect '"kafka_offset":300'
	post DELETE /file-out/offsets | expect 'reset successfully'
	post DELETE /file-in
	pkill -TERM -P $pid || kill $pid
	wait $pid || true
	! grep 'ERROR ' "$dir/log"
}
e2e_latency() {
	k topics --create --topic e2e --partitions 1
	class e2e-latency --bootstrap-server "$BOOTSTRAP" --topic e2e --num-records 2000 --producer-acks all --record-size 100 |
		tee "$OUT/e2e" | expect 'Percentiles'
}
# The word count of Kafka Streams' own examples, with its repartition and changelog topics; then its reset, after which
# it counts everything again.
streams() {
	local libs words i
	libs=$(echo "$KAFKA_PATH"/libs)
	counted() { # TIMES: one run until the sum of the counts is TIMES * 300
		java -Xmx256m -cp "$EXAMPLES:$libs/*" org.apache.kafka.streams.examples.wordcount.WordCountDemo "$OUT/streams.properties" &
		local pid=$!
		for ((i = 0; i < 60; i++)); do
			words=$(k console-consumer --topic streams-wordcount-output --from-beginning --timeout-ms 4000 \
				--formatter-property print.key=true --formatter-property value.deserializer=org.apache.kafka.common.serialization.LongDeserializer \
				2>/dev/null | awk -v want="$1" '$2 == 100 { n[$1]++ } END { for (w in n) if (n[w] >= want) m++; print m + 0 }')
			[ "$words" = 3 ] && break
		done
		kill $pid
		wait $pid || true
		[ "$words" = 3 ]
	}
	k topics --create --topic streams-plaintext-input --partitions 2
	k topics --create --topic streams-wordcount-output --partitions 2 --config cleanup.policy=compact
	printf '%s\n' "bootstrap.servers=$BOOTSTRAP" application.id=streams-wordcount "state.dir=$OUT/streams" \
		commit.interval.ms=500 statestore.cache.max.bytes=0 replication.factor=1 >"$OUT/streams.properties"
	for ((i = 0; i < 100; i++)); do echo "all streams lead"; done | k console-producer --topic streams-plaintext-input
	counted 1
	k topics --list | expect streams-wordcount-KSTREAM-AGGREGATE-STATE-STORE
	for ((i = 0; i < 30; i++)); do
		k consumer-groups --describe --group streams-wordcount --state | grep -q Empty && break
	done
	rm -rf "$OUT/streams"
	"$KAFKA_PATH/bin/kafka-streams-application-reset.sh" --bootstrap-server "$BOOTSTRAP" --application-id streams-wordcount \
		--input-topics streams-plaintext-input --force | expect 'Done.'
	! k topics --list | grep -q streams-wordcount-KSTREAM
	counted 2
}
export -f e2e_latency streams
export -f api_versions topics configs console groups offsets cluster quotas consumer_quotas ip_quotas producer_perf \
	verifiable group_protocol_consumer transactional_perf transactional_copier connect connect_distributed

conform_begin
kafka_tools || die "no Java tools: ../shared/peers/kafka.sh install failed"
EXAMPLES=$HOME/.m2/repository/org/apache/kafka/kafka-streams-examples/4.3.1/kafka-streams-examples-4.3.1.jar
[ -f "$EXAMPLES" ] || mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get \
	-Dartifact=org.apache.kafka:kafka-streams-examples:4.3.1 -Dtransitive=false >"$OUT/mvn.log" 2>&1 ||
	echo "$SUITE: no kafka-streams-examples: the case streams will fail" >&2
server_start
export OUT PEERS KAFKA_PATH EXAMPLES
for name in api_versions topics configs console groups offsets cluster quotas consumer_quotas ip_quotas producer_perf \
	verifiable group_protocol_consumer transactional_perf transactional_copier connect connect_distributed e2e_latency streams; do
	case_of $name
done
conform_end
