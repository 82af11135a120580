#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kafkajs' own specs of producer, consumer and admin (2.2.4) against three brokers of one server, on the ports they have
# built in: localhost 9092, 9095, 9098. The npm package has no specs: KAFKAJS_SRC is a checkout with its dependencies in
# place. T=src/admin narrows.
SUITE=kafkajs
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need node npx python3
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
server_start --set "listeners=PLAINTEXT://127.0.0.1:9092,B2://127.0.0.1:9095,B3://127.0.0.1:9098" \
	--set listener.security.protocol.map=B2:PLAINTEXT,B3:PLAINTEXT --set kappa.test.brokers=true --set node.id=0 \
	--set num.partitions=2 --set group.initial.rebalance.delay.ms=0
cd "$SRC" || exit 1
export KAFKA_VERSION=2.4 NODE_ENV=test KAFKAJS_DEBUG_PROTOCOL_BUFFERS=1
# without the specs that sign in with SASL over TLS before they do anything
conform_run jest jest_results npx jest --forceExit --ci --maxWorkers=1 --no-watchman --json --outputFile="$OUT/jest.json" \
	--testPathPattern "${T:-src/(producer|consumer|admin)/}" --testPathIgnorePatterns Acls connection.spec
conform_end
