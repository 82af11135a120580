#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kafka's own Java clients (4.3.1) over TLS: users by kafka-configs, SCRAM, PLAIN, sessions that are renewed, client certificates.
SUITE=security
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need java openssl

tool() { # TOOL ARGS...: one of Kafka's commands
	local name=$1
	shift
	"$KAFKA_PATH/bin/kafka-$name.sh" "$@"
}
expect() { # TEXT: stdin has it
	local all
	all=$(cat)
	printf '%s\n' "$all"
	grep -qF -- "$1" <<<"$all" || {
		echo "expected: $1"
		return 1
	}
}
login() { # USER PASSWORD MECHANISM: a file of properties
	local file=$OUT/$1-$3.properties module=scram.ScramLoginModule
	[ "$3" = PLAIN ] && module=plain.PlainLoginModule
	cat >"$file" <<-X
	bootstrap.servers=$BOOTSTRAP
	security.protocol=SASL_SSL
	sasl.mechanism=$3
	ssl.truststore.type=PEM
	ssl.truststore.location=$OUT/ca.pem
	sasl.jaas.config=org.apache.kafka.common.security.$module required username="$1" password="$2";
	X
	echo "$file"
}
export -f tool expect login
case_of() { conform_case "$1" bash -o pipefail -euc "$1"; }

users() {
	local root
	root=$(login root toor SCRAM-SHA-512)
	tool configs --bootstrap-server "$BOOTSTRAP" --command-config "$root" --alter --entity-type users --entity-name carol \
		--add-config 'SCRAM-SHA-256=[iterations=8192,password=secret],SCRAM-SHA-512=[password=secret]' | expect carol
	tool configs --bootstrap-server "$BOOTSTRAP" --command-config "$root" --describe --entity-type users --entity-name carol |
		expect 'SCRAM-SHA-256=iterations=8192'
	tool topics --bootstrap-server "$BOOTSTRAP" --command-config "$root" --create --topic a --partitions 1 | expect a
	tool acls --bootstrap-server "$BOOTSTRAP" --command-config "$root" --add --allow-principal User:carol --operation All \
		--topic a --group g | expect ALLOW
}
records() { # PROPERTIES
	seq 1 100 | tool console-producer --bootstrap-server "$BOOTSTRAP" --topic a --producer.config "$1"
	tool console-consumer --bootstrap-server "$BOOTSTRAP" --topic a --from-beginning --max-messages 100 --timeout-ms 20000 \
		--consumer.config "$1" --group g | grep -cx '[0-9]*' | expect 100
}
export -f records
scram_256() { records "$(login carol secret SCRAM-SHA-256)"; }
scram_512() { records "$(login carol secret SCRAM-SHA-512)"; }
plain() { records "$(login carol secret PLAIN)"; }
wrong_password() {
	! tool topics --bootstrap-server "$BOOTSTRAP" --command-config "$(login carol guess SCRAM-SHA-256)" --list >"$OUT/wrong" 2>&1
	expect SaslAuthenticationException <"$OUT/wrong"
}
# sessions have 5 s: this takes longer, over one connection
sessions_are_renewed() {
	tool producer-perf-test --topic a --num-records 900 --record-size 100 --throughput 100 \
		--producer.config "$(login carol secret SCRAM-SHA-256)" | expect '900 records sent'
	! grep -q 'session has ended' "$OUT/server.log"
}
removed_users() {
	local root
	root=$(login root toor SCRAM-SHA-512)
	tool configs --bootstrap-server "$BOOTSTRAP" --command-config "$root" --alter --entity-type users --entity-name carol \
		--delete-config SCRAM-SHA-256,SCRAM-SHA-512 | expect carol
	! tool topics --bootstrap-server "$BOOTSTRAP" --command-config "$(login carol secret SCRAM-SHA-256)" --list
}
export -f users scram_256 scram_512 plain wrong_password sessions_are_renewed removed_users

conform_begin
kafka_tools || die "no Java tools: ../shared/peers/kafka.sh install failed"
export OUT PEERS KAFKA_PATH
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext \
	subjectAltName=IP:127.0.0.1,DNS:localhost -keyout "$OUT/key.pem" -out "$OUT/ca.pem" 2>/dev/null || die "no certificate"
cat "$OUT/key.pem" "$OUT/ca.pem" >"$OUT/both.pem"
server_start --set listeners=SASL_SSL://127.0.0.1:0 --set "ssl.keystore.location=$OUT/both.pem" --set super.users=User:root \
	--set connections.max.reauth.ms=5000
"$KAPPA" user create root --data "$DATA" --http "http://$HTTP" <<<toor || die "no user"
for name in users scram_256 scram_512 plain wrong_password sessions_are_renewed removed_users; do
	case_of $name
done
conform_end
