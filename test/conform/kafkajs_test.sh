#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kafkajs' own specs of producer, consumer and admin (2.2.4) against three brokers of one server, on the ports they have
# built in: localhost 9092, 9095, 9098; over TLS one above, with SASL two above. The npm package has no specs:
# KAFKAJS_SRC is a checkout with its dependencies in place. T=src/admin narrows.
SUITE=kafkajs
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need node npx python3 openssl java
SRC=${KAFKAJS_SRC:-$CONFORM_HOME/kafkajs}

jest_results() { # of its --json file
	python3 - "$OUT/jest.json" <<-'P'
	import json, re, sys
	for file in json.load(open(sys.argv[1]))["testResults"]:
	    spec = re.sub(r".*/src/|/__tests__|\.spec\.js$", "", file["name"]).replace("/index", "")
	    spec = re.sub(r"/__tests__/", "/", spec)
	    for case in file["assertionResults"]:
	        word = {"passed": "ok", "failed": "FAIL"}.get(case["status"], "skip")
	        name = spec + ":" + re.sub(r"[^A-Za-z0-9]+", "-", case["title"]).strip("-")
	        print(word, name[:110], "by itself" if word == "skip" else "")
	P
}

conform_begin
if [ ! -x "$SRC/node_modules/.bin/jest" ]; then
	echo "skip $SUITE: no checkout with specs and dependencies: set KAFKAJS_SRC"
	exit 0
fi
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
	-keyout "$OUT/key.pem" -out "$OUT/cert.pem" 2>/dev/null || die "no certificate"
cat "$OUT/key.pem" "$OUT/cert.pem" >"$OUT/both.pem"
at=127.0.0.1
server_start --set "listeners=PLAINTEXT://$at:9092,B2://$at:9095,B3://$at:9098,SSL://$at:9093,S2://$at:9096,S3://$at:9099,SASL_SSL://$at:9094,A2://$at:9097,A3://$at:9100" \
	--set listener.security.protocol.map=B2:PLAINTEXT,B3:PLAINTEXT,S2:SSL,S3:SSL,A2:SASL_SSL,A3:SASL_SSL \
	--set "ssl.keystore.location=$OUT/both.pem" --set allow.everyone.if.no.acl.found=true \
	--set kappa.test.brokers=true --set node.id=0 --set num.partitions=2 --set group.initial.rebalance.delay.ms=0
# their users; testscram has a password for each mechanism
for user in test:testtest bob:bobbob alice:alicealice; do
	"$KAPPA" user create "${user%:*}" --data "$DATA" --http "http://$HTTP" <<<"${user#*:}" || die "no user"
done
kafka_tools && "$KAFKA_PATH/bin/kafka-configs.sh" --bootstrap-server "$at:9092" --alter --entity-type users --entity-name testscram \
	--add-config 'SCRAM-SHA-256=[password=testtestscram=256],SCRAM-SHA-512=[password=testtestscram=512]' || die "no user"
cd "$SRC" || exit 1
export KAFKA_VERSION=2.4 NODE_ENV=test KAFKAJS_DEBUG_PROTOCOL_BUFFERS=1
conform_run jest jest_results npx jest --forceExit --ci --maxWorkers=1 --no-watchman --json --outputFile="$OUT/jest.json" \
	--testPathPattern "${T:-src/(producer|consumer|admin)/}"
conform_end
