#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every message and version against Kafka's own classes (kafka-clients 4.3.1), both ways: what one writes at random, the
# other reads and writes again, and the bytes are the same. CODEC_SEED=n, CODEC_COUNT=n of each version (50);
# CODEC_GOLDEN=1 makes test/golden/kafka/codec.txt anew.
SUITE=codec
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need java javac
"$PEERS/kafka.sh" install >/dev/null || die "no Kafka: set PEERS"
LIBS=${KAFKA_LIBS:-$HOME/.cache/kappa-peers/kafka-4.3.1/libs}
[ -f "$LIBS/kafka-clients-4.3.1.jar" ] || die "no kafka-clients-4.3.1.jar in $LIBS: set KAFKA_LIBS"
OURS=$(dirname "$KAPPA")/test/broker/codec_peer
SEED=${CODEC_SEED:-$RANDOM}
COUNT=${CODEC_COUNT:-50}
conform_begin
echo "CODEC_SEED=$SEED"
[ -x "$OURS" ] || die "no program at $OURS: make conform S=codec builds it"
javac -cp "$LIBS/*" -d "$OUT" "$HERE/CodecPeer.java" || die "CodecPeer.java does not compile"
theirs() { java -cp "$OUT:$LIBS/*" CodecPeer "$@"; }
"$OURS" list | grep -v '^Pending[CO]' >"$OUT/list" # which is our own

theirs_to_ours() { theirs generate "$SEED" "$COUNT" <"$OUT/list" >"$OUT/theirs" && "$OURS" verify <"$OUT/theirs"; }
ours_to_theirs() { "$OURS" generate "$SEED" "$COUNT" | grep -v '^Pending[CO]' >"$OUT/ours" && theirs verify <"$OUT/ours"; }
every_version() { # of the list there is a message
	[ -s "$OUT/theirs" ] || return 1
	awk 'NR == FNR { seen[$1 " " $2 " " $3] = 1; next } { for (v = $3; v <= $4; v++) if (!(($1 " " $2 " " v) in seen)) print $1, $2, v }' \
		"$OUT/theirs" "$OUT/list" >"$OUT/missing"
	cat "$OUT/missing"
	# versions that Kafka 4 has dropped, which clients of before still send
	! grep -vE '^(ApiVersions|Metadata|Produce|JoinGroup|FindCoordinator) ' "$OUT/missing"
}
export -f theirs theirs_to_ours ours_to_theirs every_version
export OURS LIBS SEED COUNT OUT
conform_case theirs_to_ours bash -euc theirs_to_ours
tail -n 1 "$OUT/theirs_to_ours.log"
conform_case ours_to_theirs bash -euc ours_to_theirs
tail -n 1 "$OUT/ours_to_theirs.log"
conform_case every_version bash -euc every_version
if [ -n "${CODEC_GOLDEN:-}" ]; then
	theirs generate 1 2 <"$OUT/list" >"$ROOT/test/golden/kafka/codec.txt" || die "no golden file"
fi
conform_end
