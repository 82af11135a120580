#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Documents that are made from tables are what the tables say now.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
build=$(dirname "$KAPPA")
if diff <("$build/gen/gen_kafka" doc broker/kafka/schema/*.msg) broker/PROTOCOL.md >&2; then
	echo "ok 1 - broker/PROTOCOL.md is that of the message table (make protocol-doc)"
else
	echo "not ok 1 - broker/PROTOCOL.md is that of the message table (make protocol-doc)"
fi
echo 1..1
