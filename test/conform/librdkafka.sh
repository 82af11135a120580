# SPDX-License-Identifier: Apache-2.0
# Sourced by the librdkafka suites after lib.sh: how its own test program is built and its broker tests run.
# SRC is the source's folder. Each test has time limits of its own: that of a case is for one that hangs.
CASE_TIMEOUT=${CASE_TIMEOUT:-900}

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
	LD_LIBRARY_PATH=../src:../src-cpp ./test-runner -p1 -L -K -s "$SCENARIO" >"$OUT/summary" || return
	cat "$OUT/summary"
	grep -q "| *$name *| *PASSED" <(rdkafka_plain) && return 0
	local why
	why=$(rdkafka_plain | sed -n "s/^| *$name *| *SKIPPED |[^|]*| *//p" | head -n 1)
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
	# its own switch for machines that are busy: SLOW=3 makes its time limits three times as long
	[ -z "${SLOW:-}" ] || echo "test.timeout.multiplier=$SLOW" >>"$OUT/test.conf"
	export SRC OUT SCENARIO
}

# rdkafka_case NAME[:SUBTEST] [PREFIX]. What its table runs by the same number (0045_...) is counted with it.
rdkafka_case() {
	local name=${1%%:*} row
	: >"$OUT/summary"
	conform_case "${2:-}${1//:/-}" bash -c 'rdkafka_one "$@"' one "$1"
	for row in $(rdkafka_plain | sed -nE "s/^\| *(${name%%_*}_[0-9a-z_]+) *\| *PASSED.*/\1/p" | grep -vE '_mock$|_local$'); do
		[[ $1 != *:* ]] && echo "$row" >>"$OUT/passed"
		[ "$row" = "$name" ] || counted ok "${2:-}$row" "with $name"
	done
}

# The broker tests of test.c, one a line; those that its own table runs by another's number are left out.
rdkafka_table() {
	sed -n '/^struct test tests/,/^};/p' "$SRC/tests/test.c" | tr '\n' ' ' | grep -oE '_TEST\([^)]*\)' |
		grep -vE 'TEST_F_(LOCAL|MANUAL|KNOWN_ISSUE\b)' | sed -E 's/_TEST\(([0-9a-z_]+),.*/\1/' | grep -E '^0' |
		grep -vE '_mock$|_local$' | sort -u
}
rdkafka_names() { rdkafka_table | grep -vE '^0045_subscribe_update_|^0045_(resubscribe|subscribe_many)'; }

# rdkafka_tally: how many different ones of its table have passed as a whole, in any of the runs
rdkafka_tally() {
	[ -z "${T:-}" ] || return 0
	echo "$(sort -u "$OUT/passed" | wc -l) of the $(rdkafka_table | wc -l) tests of its table that need a broker passed as a whole; not:" \
		"$(comm -13 <(sort -u "$OUT/passed") <(rdkafka_table) | paste -sd' ')"
}

# 0081_admin's parts, for where one of them keeps the whole from passing
rdkafka_admin_parts() {
	sed -n '/^static void do_test_apis/,/^}/p' "$SRC/tests/0081-admin.c" | grep -oE 'do_test_[A-Za-z_]+\(' |
		tr -d '(' | grep -vE '_(unclean_destroy|apis)$' | sort -u
}

# The same of 0113, but for those that delete a topic: closing hangs in librdkafka 2.0.2 then.
rdkafka_rebalance_parts() {
	sed -n '/^int main_0113_cooperative_rebalance(/,/^}/p' "$SRC/tests/0113-cooperative_rebalance.cpp" |
		grep -oE '\<[a-z]_[a-z_0-9]+\(' | tr -d '(' | grep -vE 'delete_topic|n_wildcard' | sort -u
}

# rdkafka_certificates: an authority, a server's key and a client's in all the forms that 0097 reads
rdkafka_certificates() {
	local d=$OUT/ssl
	mkdir -p "$d" && cd "$d" || return 1
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem || return 1
	openssl x509 -in ca.pem -outform der -out ca.der || return 1
	cat ca.pem >all.pem
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=unused -keyout unused.key -out unused.pem || return 1
	cat unused.pem >>all.pem
	local name
	for name in server client; do
		openssl req -new -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr || return 1
		openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $name.pem \
			-extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) || return 1
	done
	cat server.key server.pem >both.pem
	openssl rsa -aes256 -passout pass:secret -in client.key -out client.enc.key || return 1
	openssl rsa -passout pass:secret -in client.key -outform der -out client.key.der || return 1
	openssl x509 -in client.pem -outform der -out client.der || return 1
	openssl pkcs12 -export -inkey client.key -in client.pem -certfile ca.pem -passout pass:secret -out client.p12 || return 1
}

# rdkafka_secured: the tests of TLS and of SASL, for which a listener has to ask
rdkafka_secured() {
	local d=$OUT/ssl
	(rdkafka_certificates) >"$OUT/certificates.log" 2>&1 || die "no certificates, see $OUT/certificates.log"
	export SSL_pkcs=$d/client.p12 SSL_password=secret SSL_client_auth=required SSL_all_cas_pem=$d/all.pem SSL_ca_pem=$d/ca.pem \
		SSL_ca_der=$d/ca.der SSL_pub_pem=$d/client.pem SSL_pub_der=$d/client.der SSL_priv_pem=$d/client.enc.key \
		SSL_priv_der=$d/client.key.der
	# it knows the alerts of TLS 1.2, in which a client hears of its certificate before the handshake is over
	rdkafka_server default --set listeners=SSL://127.0.0.1:0 --set "ssl.keystore.location=$d/both.pem" \
		--set ssl.enabled.protocols=TLSv1.2 --set ssl.client.auth=required --set "ssl.truststore.location=$d/ca.pem" --set super.users=User:CN=client
	printf '%s\n' security.protocol=SSL "ssl.ca.location=$d/ca.pem" "ssl.certificate.location=$d/client.pem" \
		"ssl.key.location=$d/client.enc.key" ssl.key.password=secret >>"$OUT/test.conf"
	rdkafka_case 0097_ssl_verify tls-
	server_stop
	rdkafka_server default --set listeners=SASL_SSL://127.0.0.1:0 --set "ssl.keystore.location=$d/both.pem" \
		--set super.users=User:root
	"$KAPPA" user create root --data "$DATA" --http "http://$HTTP" <<<toor || die "no user"
	printf '%s\n' security.protocol=SASL_SSL "ssl.ca.location=$d/ca.pem" sasl.mechanism=SCRAM-SHA-256 sasl.username=root \
		sasl.password=toor >>"$OUT/test.conf"
	rdkafka_case "${1:-0135_sasl_credentials}" sasl-
	server_stop
	unset SSL_pkcs # without it 0097 leaves itself out
}

rdkafka_parts() { # NAME LIST
	local part
	for part in $("$2"); do
		rdkafka_case "$1:$part"
	done
}

# rdkafka_suite: all of them, with topics made on demand and without, and where clients have to say who they are
rdkafka_suite() {
	local name
	: >"$OUT/passed"
	rdkafka_server default
	for name in $(rdkafka_names); do
		rdkafka_case "$name"
		case $name in
		0081_admin) rdkafka_parts "$name" rdkafka_admin_parts ;;
		0113_cooperative_rebalance) [ -z "$(reason_of "$name")" ] || rdkafka_parts "$name" rdkafka_rebalance_parts ;;
		esac
	done
	server_stop
	rdkafka_server noautocreate --set auto.create.topics.enable=false
	for name in 0007_autotopic 0045_subscribe_update 0107_topic_recreate 0109_auto_create_topics \
		0111_delay_create_topics; do
		rdkafka_case "$name" noautocreate-
	done
	server_stop
	rdkafka_secured "${SASL_TEST:-}"
}
