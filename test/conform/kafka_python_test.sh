#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kafka-python's own integration tests (3.0.12's source package). T=test_group narrows.
SUITE=kafka_python
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3
VERSION=3.0.12
SRC=$CONFORM_HOME/kafka-python-$VERSION
VENV=$CONFORM_HOME/venv-kafka-python

build() {
	python3 -m venv "$VENV" || return 1
	if [ ! -d "$SRC" ]; then
		(cd "$CONFORM_HOME" && "$VENV/bin/pip" download -q --no-deps --no-binary :all: "kafka-python==$VERSION" -d pip &&
			tar xzf pip/kafka_python-$VERSION.tar.gz && mv kafka_python-$VERSION "$SRC") || return 1
	fi
	"$VENV/bin/pip" install -q "$SRC"'[testing,lz4,snappy,zstd,crc32c]' && touch "$VENV/complete"
}
# The source package lacks the module that starts its own brokers; for one that runs already this is all of it.
services() {
	: >"$SRC/test/__init__.py"
	cat >"$SRC/test/service.py" <<-'P'
	class ExternalService:
	    def __init__(self, host, port):
	        self.host, self.port = host, port

	    def open(self):
	        pass


	class SpawnedService:
	    def __init__(self, args, env):
	        raise RuntimeError("only a broker that runs already")
	P
}
pytest_results() {
	sed -nE 's/^PASSED [^ ]*::([^ ]+).*/ok \1/p; s/^(FAILED|ERROR) [^ ]*::([^ ]+)( - (.*))?/FAIL \2 \4/p
		s/^SKIPPED \[[0-9]+\] test\/integration\/([^ ]+): (.*)/skip \1 by itself: \2/p'
}

conform_begin
[ -f "$VENV/complete" ] || build >"$CONFORM_HOME/build-kafka-python.log" 2>&1 ||
	die "build failed, see $CONFORM_HOME/build-kafka-python.log"
services
server_start --set num.partitions=4 --set node.id=0 # which test_create_partitions assigns to
cd "$SRC" || exit 1
export PYTHONPATH=. KAFKA_URI=kafka://$BOOTSTRAP KAFKA_VERSION=4.3.0 KAFKA_ROOT=$SRC
conform_run pytest pytest_results "$VENV/bin/python" -m pytest -rA -q -p no:cacheprovider -o log_level=WARNING \
	--show-capture=no --timeout=180 ${T:+-k "$T"} test/integration
conform_end
