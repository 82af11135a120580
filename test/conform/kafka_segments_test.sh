#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kafka's log directories in and out, against a real Kafka (4.3.1): see kafka_segments.py.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
KAFKA_SH=${KAFKA_SH:-${PEERS:-$(pwd)/../../../shared/peers}/kafka.sh}
export KAFKA_SH
[ -x "$KAFKA_SH" ] || { echo "1..0 # SKIP no kafka.sh: set PEERS"; exit 0; }
"$KAFKA_SH" install >/dev/null || exit 1
exec timeout 300 /usr/bin/python3 ./kafka_segments.py
