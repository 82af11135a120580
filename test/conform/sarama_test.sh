#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sarama's functional tests (v1.61.1, Go module) against five brokers behind a toxiproxy (2.12.0, Go module), on the
# ports that they have built in: 29091-29095 and 8474. T=TestFuncTxn narrows.
SUITE=sarama
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need go curl
SRC=$CONFORM_HOME/sarama
PROXY=$CONFORM_HOME/gobin/server
PROXY_PID=

build() {
	mkdir -p "$CONFORM_HOME/go" && cd "$CONFORM_HOME/go" || return 1
	[ -f go.mod ] || printf 'module fetch\n' >go.mod
	[ -x "$PROXY" ] || GOBIN=$CONFORM_HOME/gobin GOFLAGS=-mod=mod go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 ||
		return 1
	if [ ! -d "$SRC" ]; then
		go mod download github.com/IBM/sarama@v1.61.1 || return 1
		cp -r "$(go env GOMODCACHE)/github.com/!i!b!m/sarama@v1.61.1" "$SRC" && chmod -R u+w "$SRC" || return 1
	fi
	cd "$SRC" && GOFLAGS=-mod=mod go test -tags functional -c -o "$CONFORM_HOME/sarama.test" .
}

# Five brokers of one server, each advertised as its proxy's address.
cluster_start() {
	local i listeners='' advertised='' map='' ports
	for i in 1 2 3 4 5; do
		listeners+=,B$i://127.0.0.1:0 advertised+=,B$i://127.0.0.1:2909$i map+=,B$i:PLAINTEXT
	done
	server_start --set "listeners=${listeners:1}" --set "advertised.listeners=${advertised:1}" \
		--set "listener.security.protocol.map=${map:1}" --set kappa.test.brokers=true --set auto.create.topics.enable=false
	ports=$(grep -oE '"address": ?"[^"]*"' "$DATA/endpoints.json" | grep -oE '[0-9]+"' | tr -d '"')
	"$PROXY" -host 127.0.0.1 -port 8474 >"$OUT/toxiproxy.log" 2>&1 &
	PROXY_PID=$!
	for i in 1 2 3 4 5 6 7 8 9 10; do
		curl -fs http://127.0.0.1:8474/version >/dev/null && break
		sleep 0.5
	done
	i=0
	for port in $ports; do
		i=$((i + 1))
		curl -fs -d "{\"name\":\"kafka$i\",\"listen\":\"127.0.0.1:2909$i\",\"upstream\":\"127.0.0.1:$port\"}" \
			http://127.0.0.1:8474/proxies >>"$OUT/toxiproxy.log" || die "no proxy on port 2909$i"
	done
}
cluster_stop() {
	[ -z "$PROXY_PID" ] || kill "$PROXY_PID" 2>/dev/null
	server_stop
}
trap cluster_stop EXIT

conform_begin
[ -x "$CONFORM_HOME/sarama.test" ] && [ -x "$PROXY" ] || build >"$CONFORM_HOME/build-sarama.log" 2>&1 ||
	die "build failed, see $CONFORM_HOME/build-sarama.log"
cluster_start
cd "$SRC" || exit 1
skip=$(left_out)
export TOXIPROXY_ADDR=http://127.0.0.1:8474 KAFKA_VERSION=4.1.0
conform_run functional go_results "$CONFORM_HOME/sarama.test" -test.v -test.timeout 1100s \
	-test.run "${T:-^Test(Func|Consumer(Group|Fetch|High|Partial)|Interceptors|ReadOnly|VersionMatrix|AsyncProducerRemote|Java)}" \
	${skip:+-test.skip "^($skip)\$"}
while read -r name reason; do
	[ -n "$skip" ] && counted skip "$name" "$reason"
done <"$HERE/$SUITE.skip"
conform_end
