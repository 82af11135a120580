#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Rolling change of a group's consumers from the classic protocol to KIP-848 and back, while records are produced:
# librdkafka 2.0.2 (Debian's python3-confluent-kafka) and 2.15.1, Kafka's Java clients. T=cooperative narrows.
# KAFKA=1: against Apache Kafka itself, to see what it does.
SUITE=migration
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need java /usr/bin/python3
CASE_TIMEOUT=$((300 * ${SLOW:-1}))

conform_begin
kafka_tools || die "no Java tools: ../shared/peers/kafka.sh install failed"
/usr/bin/python3 -c 'import confluent_kafka' || "$ROOT/tools/dev/deps.sh" python3-confluent-kafka || exit 1
export OUT RDKAFKA_NEW=$CONFORM_HOME/librdkafka-2.15.1/src
[ -f "$RDKAFKA_NEW/librdkafka.so.1" ] || die "no librdkafka 2.15.1: make conform S=librdkafka_new T=0001 builds it"
if [ -n "${KAFKA:-}" ]; then
	BOOTSTRAP=127.0.0.1:9392
	"$PEERS/kafka.sh" start --name migration --port 9392 || die "Kafka did not start"
	# also those of the cases with kills, when a case has run into its limit
	trap 'for name in "" -range-consumer -cooperative-consumer; do "$PEERS/kafka.sh" stop --name "migration$name"; done' EXIT
else
	server_start
fi
run=(/usr/bin/python3 "$HERE/migration.py")
conform_case rdkafka_eager "${run[@]}" run "$BOOTSTRAP" range consumer
conform_case rdkafka_cooperative "${run[@]}" run "$BOOTSTRAP" cooperative consumer
conform_case java "${run[@]}" run "$BOOTSTRAP" java-classic java-consumer
conform_case java_to_rdkafka "${run[@]}" run "$BOOTSTRAP" java-classic consumer
program=$KAPPA
[ -z "${KAFKA:-}" ] || program=$PEERS/kafka.sh
conform_case rdkafka_eager_kill9 "${run[@]}" kill "$program" range consumer
conform_case rdkafka_cooperative_kill9 "${run[@]}" kill "$program" cooperative consumer
conform_end
