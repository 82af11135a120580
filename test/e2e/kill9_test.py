# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load, and again while it recovers: every acknowledged record is there once, transactions are there whole
or not at all, offsets are dense, views equal a recomputation; topics that do not wait for the disk lose only what was
behind their durable end, and the catalog names it. KAPPA_KILLS sets the number of cycles."""
import json
import os
import threading
import time
import urllib.request

import confluent_kafka

import harness

CYCLES = int(os.environ.get("KAPPA_KILLS", "5" if harness.SMALL else "50"))
PARTITIONS = 3
LAZY = {"interval": ["kappa.durability=interval", "flush.ms=20"], "none": ["kappa.durability=none"]}
LAZY_PARTITIONS = 2
TXN_PARTITIONS = 2
CONF = {"log_level": 0, "error_cb": lambda e: None}


def produce(p, topic, value, partition, report):
    try:
        p.produce(topic, value=value, partition=partition, on_delivery=report)
    except BufferError:
        p.poll(0.01)


class Load(threading.Thread):
    """An idempotent producer that notes what was acknowledged; one per server life."""

    def __init__(self, server, topic, first, partition):
        super().__init__()
        self.server, self.topic, self.next, self.partition = server, topic, first, partition
        self.acked, self.going = [], True

    def run(self):
        p = confluent_kafka.Producer({"bootstrap.servers": self.server.kafka, "enable.idempotence": True, "linger.ms": 1,
                                      "message.timeout.ms": 60000, **CONF})

        def report(n):
            return lambda err, m: None if err else self.acked.append((n, m.partition(), m.offset()))

        while self.going:
            for _ in range(20):
                body = b'{"n":%d,"g":%d,"v":%d}' % (self.next, self.next % 7, self.next * 3 % 101)
                produce(p, self.topic, body, self.partition, report(self.next))
                self.next += 1
            p.poll(0.002)
        p.purge()
        p.poll(0)


class Transactions(threading.Thread):
    """Transactions of one record in each partition, all with the same number; every fourth is aborted. One producer for
    all lives of the server: what a kill interrupts, the client takes up again."""

    def __init__(self, server):
        super().__init__()
        self.server, self.going, self.quiet = server, True, threading.Lock()
        self.committed, self.aborted, self.producers, self.wrong = [], [], 0, None

    def run(self):
        p, n = None, 0
        while self.going:
            with self.quiet:
                n += 1
                try:
                    if not p:
                        p = confluent_kafka.Producer({"bootstrap.servers": self.server.kafka, "transactional.id": "kill9", "linger.ms": 0,
                                                      "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, **CONF})
                        self.producers += 1
                        p.init_transactions(harness.PATIENCE)
                    p.begin_transaction()
                    self.one(p, n)
                except confluent_kafka.KafkaException as e:
                    p = None if self.settle(p, n, e.args[0]) else p
                except Exception as e:
                    self.wrong = e
                    return

    def one(self, p, n):
        for partition in range(TXN_PARTITIONS):
            p.produce("txn", value=b"%d" % n, partition=partition)
        if n % 4 == 0:
            self.aborted.append(n)  # from here on, whatever comes of it
            p.abort_transaction(harness.PATIENCE)
        else:
            p.commit_transaction(harness.PATIENCE)
            self.committed.append(n)

    def settle(self, p, n, error):
        """After an error of transaction n. True: the producer is of no use any more."""
        if error.txn_requires_abort():
            try:
                p.abort_transaction(harness.PATIENCE)
                self.aborted.append(n)
                return False
            except confluent_kafka.KafkaException:
                pass
        return True


class Watch(threading.Thread):
    """The durable ends of the topics that do not wait, as far as anybody was told."""

    def __init__(self, server):
        super().__init__()
        self.server, self.going = server, True
        self.durable = {}

    def run(self):
        while self.going:
            for mode in LAZY:
                try:
                    topic = json.load(urllib.request.urlopen("http://%s/v1/topics/%s" % (self.server.http, mode), timeout=5))
                except OSError:
                    return
                for p in topic["partition_list"]:
                    self.durable[(mode, p["partition"])] = p["durable_end"]
            time.sleep(0.01)


def read(s, topic, partitions, *args):
    """(partition, offset): number."""
    held = {}
    for partition in range(partitions):
        for line in s.ok("consume", topic, "-p", str(partition), "-f", "%o %v\\n", *args).splitlines():
            offset, value = line.split(" ", 1)
            held[(partition, int(offset))] = int(value.split('"n":')[1].split(",")[0]) if "{" in value else int(value)
    return held


def check_log(s, acked, topic="load", partitions=PARTITIONS):
    """What the log holds against what was acknowledged: {(partition, offset): n} of all records."""
    held = read(s, topic, partitions)
    ends = [0] * partitions
    for partition, offset in held:
        assert offset == ends[partition], "offset %d where %d is due in partition %d of %s" % (offset, ends[partition], partition, topic)
        ends[partition] += 1
    for n, partition, offset in acked:
        assert held.get((partition, offset)) == n, "%s: record %d, acknowledged at %d/%d, is %s" % (
            topic, n, partition, offset, held.get((partition, offset)))
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


def check_transactions(s, committed, aborted):
    parts = [[n for (p, _), n in sorted(read(s, "txn", TXN_PARTITIONS, "-X", "isolation.level=read_committed").items()) if p == i]
             for i in range(TXN_PARTITIONS)]
    for values in parts:
        assert values == parts[0], "a transaction is there in part: %s" % (set(values) ^ set(parts[0]))
    assert len(set(parts[0])) == len(parts[0]), "a transaction is there twice"
    assert not set(committed) - set(parts[0]), "committed and gone: %s" % (set(committed) - set(parts[0]))
    assert not set(parts[0]) & set(aborted), "aborted and there: %s" % (set(parts[0]) & set(aborted))


class Lazies:
    """What the topics that do not wait have lost, by life of the server, and whether that is named."""

    def __init__(self, s):
        self.s, self.lost, self.kills_with_loss = s, 0, 0
        self.acked = {mode: [] for mode in LAZY}
        self.epochs = {}
        self.due = []  # (topic, partition, from): gaps the catalog must name
        for mode, configs in LAZY.items():
            s.ok("topic", "create", mode, "-p", str(LAZY_PARTITIONS), *[a for c in configs for a in ("-c", c)])

    def after_start(self, durable):
        """Everything below the durable end is there; if anything else is gone, the epoch has moved."""
        for mode in LAZY:
            topic = json.load(urllib.request.urlopen("http://%s/v1/topics/%s" % (self.s.http, mode), timeout=harness.PATIENCE))
            for p in topic["partition_list"]:
                at, end = (mode, p["partition"]), p["end"]
                assert end >= durable.get(at, 0), "%s: ends at %d, %d was durable" % (at, end, durable[at])
                lost = [a for a in self.acked[mode] if a[1] == p["partition"] and a[2] >= end]
                if lost:
                    assert p["leader_epoch"] > self.epochs.get(at, 0), "%s: %d records lost in epoch %d" % (at, len(lost), p["leader_epoch"])
                    self.due.append("gap/%s/%d/%d" % (topic["id"], p["partition"], end))
                    self.lost += len(lost)
                    self.kills_with_loss += 1
                self.epochs[at] = p["leader_epoch"]
                self.acked[mode] = [a for a in self.acked[mode] if a not in set(lost)]

    def check(self):
        for mode in LAZY:
            check_log(self.s, self.acked[mode], mode, LAZY_PARTITIONS)
        rows = set(self.s.ok("consume", "__kappa_catalog", "-f", "%k\\n").split())
        missing = [d for d in self.due if d not in rows]
        assert not missing, "losses that nothing names: %s" % missing


def live(t, s, numbers, lazies):
    """One life of the server under load, up to its kill. What was acknowledged, and the durable ends that were seen."""
    loads = [Load(s, "load", numbers["load"] + 1000000 * i, i) for i in range(PARTITIONS)]
    lazy = [Load(s, mode, numbers["lazy"] + 1000000 * i, i) for mode in LAZY for i in range(LAZY_PARTITIONS)]
    watch = Watch(s)
    threads = loads + lazy + [watch]
    for thread in threads:
        thread.start()
    time.sleep(t.random.uniform(0.02, 0.5))
    s.kill()
    for thread in threads:
        thread.going = False
    for thread in threads:
        thread.join()
    numbers["load"] = max(load.next - 1000000 * load.partition for load in loads)
    numbers["lazy"] = max(load.next - 1000000 * load.partition for load in lazy)
    for load in lazy:
        lazies.acked[load.topic] += load.acked
    return loads, watch.durable


def restart(t, s):
    """Up again, in half of the cycles only after more kills, most of them within the first milliseconds."""
    kills = 0
    while kills < 4 and t.random.random() < 0.5:
        s.start(wait=False)
        time.sleep(t.random.uniform(0, t.random.choice([0.005, 0.03, 0.1])))
        s.kill()
        kills += 1
    start = time.monotonic()
    s.start()
    return kills, time.monotonic() - start


def test_acknowledged_records_survive_every_kill(t):
    s = t.server(args=["--set", "kappa.journal.bytes=8388608", "--set", "kappa.checkpoint.ms=50"])
    s.listen = s.kafka  # from now on the same port: the transactional producer stays
    s.ok("topic", "create", "load", "-p", str(PARTITIONS), "-c", "segment.bytes=262144")
    s.ok("topic", "create", "txn", "-p", str(TXN_PARTITIONS))
    lazies = Lazies(s)
    s.sql("CREATE TABLE load (n bigint NOT NULL, g integer NOT NULL, v bigint NOT NULL) WITH (topic = 'load', format = json);"
          "CREATE MATERIALIZED VIEW per_group AS SELECT g, count(*) AS c, sum(v) AS s FROM load GROUP BY g;")
    acked, again, slowest = [], 0, 0
    numbers = {"load": 0, "lazy": 0}
    txn = Transactions(s)
    txn.start()
    for cycle in range(CYCLES):
        loads, durable = live(t, s, numbers, lazies)
        for load in loads:
            acked += load.acked
        kills, took = restart(t, s)
        again, slowest = again + kills, max(slowest, took)
        lazies.after_start(durable)
        if cycle % 10 == 9 or cycle + 1 == CYCLES:
            check_view(s, check_log(s, acked))
            lazies.check()
            with txn.quiet:
                assert not txn.wrong, txn.wrong
                check_transactions(s, txn.committed, txn.aborted)
    txn.going = False
    txn.join()
    print("# %d kills, %d more during recovery, %d acknowledged records, %d committed and %d aborted transactions" % (
        CYCLES, again, len(acked), len(txn.committed), len(txn.aborted)))
    print("# without waiting for the disk: %d acknowledged, %d lost in %d partitions' crashes, all named; slowest start %.3f s" % (
        sum(len(a) for a in lazies.acked.values()) + lazies.lost, lazies.lost, lazies.kills_with_loss, slowest))
    assert len(acked) > CYCLES * 10 and len(txn.committed) > CYCLES // 10, "the load hardly ran"
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout + p.stderr


harness.main(globals())
