# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: every acknowledged record is there once, offsets are dense, views equal a recomputation.
KAPPA_KILLS sets the number of cycles (default 50)."""
import os
import threading
import time

import confluent_kafka

import harness

CYCLES = int(os.environ.get("KAPPA_KILLS", "5" if harness.SMALL else "50"))
PARTITIONS = 3


class Load(threading.Thread):
    """An idempotent producer that notes what was acknowledged; one per server life."""

    def __init__(self, server, first, partition):
        super().__init__()
        self.server, self.next, self.partition = server, first, partition
        self.acked, self.going = [], True

    def run(self):
        p = confluent_kafka.Producer({"bootstrap.servers": self.server.kafka, "enable.idempotence": True, "linger.ms": 1,
                                      "message.timeout.ms": 60000, "log_level": 0, "error_cb": lambda e: None})

        def report(n):
            return lambda err, m: None if err else self.acked.append((n, m.partition(), m.offset()))

        while self.going:
            for _ in range(20):
                body = b'{"n":%d,"g":%d,"v":%d}' % (self.next, self.next % 7, self.next * 3 % 101)
                p.produce("load", value=body, partition=self.partition, on_delivery=report(self.next))
                self.next += 1
            p.poll(0.002)
        p.purge()
        p.poll(0)


def check_log(s, acked):
    """What the log holds against what was acknowledged: {(partition, offset): n} of all records."""
    held = {}
    for partition in range(PARTITIONS):
        out = s.ok("consume", "load", "-p", str(partition), "-f", "%o %v\\n").splitlines()
        for want, line in enumerate(out):
            offset, value = line.split(" ", 1)
            assert int(offset) == want, "offset %s where %d is due in partition %d" % (offset, want, partition)
            held[(partition, want)] = int(value.split('"n":')[1].split(",")[0])
    for n, partition, offset in acked:
        assert held.get((partition, offset)) == n, "record %d, acknowledged at %d/%d, is %s" % (n, partition, offset, held.get((partition, offset)))
    numbers = list(held.values())
    assert len(set(numbers)) == len(numbers), "a record is there twice"
    return held


def check_view(s, held):
    s.wait_view("per_group")
    want = {}
    for n in held.values():
        g = want.setdefault(n % 7, [0, 0])
        g[0] += 1
        g[1] += n * 3 % 101
    got = {r["g"]: [r["c"], int(r["s"])] for r in s.query("SELECT g, c, s FROM per_group")}
    assert got == want, "view %s, recomputed %s" % (got, want)


def test_acknowledged_records_survive_every_kill(t):
    s = t.server(args=["--set", "kappa.journal.bytes=8388608", "--set", "kappa.checkpoint.ms=50"])
    s.ok("topic", "create", "load", "-p", str(PARTITIONS), "-c", "segment.bytes=262144")
    s.sql("CREATE TABLE load (n bigint NOT NULL, g integer NOT NULL, v bigint NOT NULL) WITH (topic = 'load', format = json);"
          "CREATE MATERIALIZED VIEW per_group AS SELECT g, count(*) AS c, sum(v) AS s FROM load GROUP BY g;")
    acked, first, slowest = [], 0, 0
    for cycle in range(CYCLES):
        loads = [Load(s, first + 1000000 * i, i) for i in range(PARTITIONS)]
        for load in loads:
            load.start()
        time.sleep(t.random.uniform(0.02, 0.35))
        s.kill()
        for load in loads:
            load.going = False
        for load in loads:
            load.join()
            acked += load.acked
        first = max(load.next - 1000000 * i for i, load in enumerate(loads))
        if t.random.random() < 0.3:  # a kill while it recovers
            s.start(wait=False)
            time.sleep(t.random.uniform(0, 0.1))
            s.kill()
        start = time.monotonic()
        s.start()
        slowest = max(slowest, time.monotonic() - start)
        if cycle % 10 == 9 or cycle + 1 == CYCLES:
            check_view(s, check_log(s, acked))
    print("# %d kills, %d acknowledged records, slowest start %.3f s" % (CYCLES, len(acked), slowest))
    assert len(acked) > CYCLES * 10, "the load hardly ran"
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout + p.stderr


harness.main(globals())
