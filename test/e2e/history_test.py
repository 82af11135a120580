# SPDX-License-Identifier: Apache-2.0
"""A history of concurrent clients, checked afterwards: transactional producers and copiers (consume, transform, produce with
the offsets in the transaction), an idempotent producer, readers of committed and of all data that read while it happens,
under kill -9, connections that flood the server with garbage, and producers that are fenced. What must not be found:

  lost          a write that was acknowledged, or a record of a committed transaction, that no reader finds at the end
  aborted read  a record of an aborted transaction seen by a reader of committed data, at any time
  duplicate     a record twice; a copied record that was not copied exactly once
  half          a transaction of unknown outcome that is there in part
  inconsistent  two readers, or one at two times, with different records at an offset; an offset out of order; the records
                of one producer in a partition in another order than they were sent

KAPPA_HISTORY_SECONDS sets how long (make history SECONDS=n)."""
import collections
import os
import random
import shutil
import socket
import threading
import time

import confluent_kafka

import harness

SECONDS = float(os.environ.get("KAPPA_HISTORY_SECONDS", "6" if harness.SMALL else "15"))
PARTITIONS = 3
QUIET = {"log_level": 0, "error_cb": lambda e: None}
Error = confluent_kafka.KafkaException


class Worker(threading.Thread):
    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.failure = world, None
        self.random = random.Random(world.random.random())

    def run(self):
        try:
            self.work()
        except BaseException as e:  # told by the main thread
            self.failure = e


class World:
    def __init__(self, server, rng):
        self.server, self.random, self.going = server, rng, True
        self.bootstrap = server.kafka  # stays: the port is kept over restarts
        self.outcome = {}  # transaction -> committed | aborted | unknown
        self.records = {}  # transaction -> its values
        self.acked = []    # (value, partition, offset) of the idempotent producer
        self.seen = []     # (reader, topic, partition, offset, value), in order of each reader
        self.lock = threading.Lock()

    def producer(self, **conf):
        return confluent_kafka.Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 1, "socket.timeout.ms": 3000,
                                         "retry.backoff.ms": 20, "reconnect.backoff.max.ms": 200, **QUIET, **conf})


class Transactor(Worker):
    """Transactions over all partitions. An error that needs it is answered with a new producer of the same id."""

    def __init__(self, world, name, transactional_id):
        super().__init__(world)
        self.name, self.id, self.number = name, transactional_id, 0

    def open(self):
        while True:
            p = self.world.producer(**{"transactional.id": self.id, "transaction.timeout.ms": 4000})
            try:
                p.init_transactions(harness.PATIENCE)
                return p
            except Error:
                if not self.world.going:
                    return None

    def one(self, p, t):
        commit = self.random.random() < 0.75
        values = self.world.records[t] = []
        p.begin_transaction()
        for i in range(self.random.randint(1, 6)):
            values.append("%s/%d" % (t, i))
            p.produce("t", value=values[-1], partition=(self.number + i) % PARTITIONS)
            p.poll(0)
        if self.random.random() < 0.3:
            p.flush(2)
        if commit:
            p.commit_transaction(harness.PATIENCE)
        else:
            self.world.outcome[t] = "aborted"  # whatever becomes of the request: it is never committed
            p.abort_transaction(harness.PATIENCE)
        self.world.outcome[t] = "committed" if commit else "aborted"

    def work(self):
        p = self.open()
        while self.world.going and p is not None:
            t = "%s-%d" % (self.name, self.number)
            self.world.outcome[t] = "unknown"
            try:
                self.one(p, t)
            except Error as e:
                if self.world.outcome[t] == "unknown" and e.args[0].txn_requires_abort():
                    self.world.outcome[t] = "aborted"
                p = self.open()
            self.number += 1
            if self.random.random() < 0.02:
                p = self.open()  # fences the other one


class Plain(Worker):
    """An idempotent producer: what it was told is there, is there."""

    def work(self):
        p = self.world.producer(**{"enable.idempotence": True, "message.timeout.ms": 60000})
        n = 0

        def report(err, m):
            if not err:
                self.world.acked.append((m.value().decode(), m.partition(), m.offset()))

        while self.world.going:
            try:
                p.produce("t", value="plain-%d/0" % n, partition=n % PARTITIONS, on_delivery=report)
                n += 1
            except BufferError:
                pass
            p.poll(0.005)
        p.flush(harness.PATIENCE)


class Copier(Worker):
    """Copies t to c, exactly once: the member of a group whose offsets are part of its transactions."""

    def __init__(self, world, name):
        super().__init__(world)
        self.name = name

    def open(self):
        c = confluent_kafka.Consumer({"bootstrap.servers": self.world.bootstrap, "group.id": "copy", "auto.offset.reset": "earliest",
                                      "enable.auto.commit": False, "isolation.level": "read_committed", "session.timeout.ms": 6000,
                                      "heartbeat.interval.ms": 500, "partition.assignment.strategy": "cooperative-sticky",
                                      "reconnect.backoff.max.ms": 200, **QUIET})
        c.subscribe(["t"])
        return c

    def work(self):
        c, p = self.open(), None
        while self.world.going:
            try:
                if p is None:
                    p = self.world.producer(**{"transactional.id": self.name, "transaction.timeout.ms": 4000})
                    p.init_transactions(harness.PATIENCE)
                batch = [m for m in c.consume(50, 0.2) if not m.error()]
                if not batch:
                    continue
                p.begin_transaction()
                for m in batch:
                    p.produce("c", value=m.value(), partition=m.partition())
                p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 10)
                p.commit_transaction(harness.PATIENCE)
            except Error:
                p = None  # a new life of both: what was read and not committed is read again
                c.close()
                c = self.open()
        c.close()


class Reader(Worker):
    """Reads everything from the beginning, while it is written."""

    def __init__(self, world, name, isolation):
        super().__init__(world)
        self.name, self.isolation = name, isolation

    def work(self):
        c = confluent_kafka.Consumer({"bootstrap.servers": self.world.bootstrap, "group.id": self.name, "enable.auto.commit": False,
                                      "isolation.level": self.isolation, "auto.offset.reset": "error",
                                      "reconnect.backoff.max.ms": 200, "fetch.wait.max.ms": 50, **QUIET})
        c.assign([confluent_kafka.TopicPartition(t, i, 0) for t in ("t", "c") for i in range(PARTITIONS)])
        while self.world.going:
            got = [(self.name, m.topic(), m.partition(), m.offset(), m.value().decode())
                   for m in c.consume(200, 0.2) if not m.error()]
            with self.world.lock:
                self.world.seen += got
        c.close()


class Flood(Worker):
    """Connections that send nothing, garbage, or half a request, and stay."""

    def work(self):
        host, port = self.world.bootstrap.rsplit(":", 1)
        held = collections.deque(maxlen=200)
        while self.world.going:
            try:
                s = socket.create_connection((host, int(port)), 1)
                s.sendall(self.random.choice([b"", os.urandom(40), b"\0\0\x10\0\0\x01", b"\x7f\xff\xff\xff", b"GET / HTTP/1.0\r\n\r\n"]))
                held.append(s)
            except OSError:
                pass
            time.sleep(0.01)


def read_all(world, topic, isolation):
    """Each partition to its end: {(partition, offset): value}."""
    c = confluent_kafka.Consumer({"bootstrap.servers": world.bootstrap, "group.id": "final", "enable.auto.commit": False,
                                  "isolation.level": isolation, "enable.partition.eof": True, **QUIET})
    c.assign([confluent_kafka.TopicPartition(topic, i, 0) for i in range(PARTITIONS)])
    found, ended, deadline = {}, set(), time.monotonic() + harness.PATIENCE
    while len(ended) < PARTITIONS:
        assert time.monotonic() < deadline, "a reader does not come to the end: a transaction stays open"
        for m in c.consume(1000, 0.5):
            if m.error():
                assert m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, m.error()
                ended.add(m.partition())
            else:
                assert (m.partition(), m.offset()) not in found, "offset %d twice" % m.offset()
                found[m.partition(), m.offset()] = m.value().decode()
    c.close()
    return found


def check_transactions(world, committed):
    count = collections.Counter(committed.values())
    twice = [v for v, n in count.items() if n > 1]
    assert not twice, "duplicate: %s" % twice[:5]
    for t, values in world.records.items():
        found = sum(v in count for v in values)
        state = world.outcome[t]
        assert state != "committed" or found == len(values), "lost: %s has %d of %d" % (t, found, len(values))
        assert state != "aborted" or found == 0, "aborted read: %s" % t
        assert found in (0, len(values)), "half: %s has %d of %d" % (t, found, len(values))
    for value, partition, offset in world.acked:
        assert committed.get((partition, offset)) == value, "lost: %s at %d/%d" % (value, partition, offset)


def check_order(found):
    last = {}
    for (partition, _), value in sorted(found.items()):
        name, index = value.rsplit("/", 1)
        producer, number = name.rsplit("-", 1)
        here, key = (int(number), int(index)), (partition, producer)
        assert key not in last or last[key] < here, "inconsistent: %s behind %s of %s" % (here, last[key], key)
        last[key] = here


def check_readers(world, final):
    """final: {isolation: {topic: {(partition, offset): value}}}"""
    last = {}
    for reader, topic, partition, offset, value in world.seen:
        key = reader, topic, partition
        assert last.get(key, -1) < offset, "inconsistent: %s went from %d to %d" % (key, last[key], offset)
        last[key] = offset
        there = final[reader][topic].get((partition, offset))
        assert there == value, "inconsistent: %s saw %s at %s/%d/%d, at the end there is %s" % (
            reader, value, topic, partition, offset, there)
    for topic, found in final["read_committed"].items():
        for at, value in found.items():
            assert final["read_uncommitted"][topic].get(at) == value, "inconsistent: %s/%s" % (topic, at)


def wait_copied(world, committed):
    deadline, there = time.monotonic() + harness.PATIENCE, set(committed.values())
    while True:
        copied = collections.Counter(read_all(world, "c", "read_committed").values())
        twice = [v for v, n in copied.items() if n > 1]
        assert not twice, "duplicate: copied twice: %s" % twice[:5]
        wrong = set(copied) - there
        assert not wrong, "aborted read: copied: %s" % sorted(wrong)[:5]
        if len(copied) == len(there):
            return
        assert time.monotonic() < deadline, "lost: %d of %d were copied\n%s" % (
            len(copied), len(there), world.server.ok("group", "lag", "copy"))
        time.sleep(0.2)


def finish(workers):
    """What a client complained about is told by complain(): an anomaly says more."""
    for w in workers:
        w.join(120)
        assert not w.is_alive(), "%s does not end" % type(w).__name__


def complain(workers):
    for w in workers:
        if w.failure:
            raise w.failure


def restart(s):
    s.kill()
    s.start()


def disturb(world, seconds, again):
    end, kills = time.monotonic() + seconds, 0
    committed = lambda: sum(o == "committed" for o in list(world.outcome.values()))
    # on a slow machine longer, until there is something to look at
    while time.monotonic() < end or (committed() <= 20 and time.monotonic() < end + harness.PATIENCE):
        time.sleep(1 + 3 * world.random.random())
        again(world.server)
        kills += 1
    return kills


def history(s, rng, seconds, again=restart):
    """Everybody at work against the server s, which is killed by `again` now and then. What they saw is checked: an anomaly
    is an AssertionError that begins with its name."""
    s.listen = s.kafka
    for topic in ("t", "c"):
        s.ok("topic", "create", topic, "-p", str(PARTITIONS))
    world, copying = World(s, rng), World(s, rng)
    # two of one id fence each other
    writers = [Transactor(world, "tx%d" % i, "id%d" % (i // 2)) for i in range(4)] + [Plain(world), Flood(world)]
    readers = [Reader(copying, i, i) for i in ("read_committed", "read_uncommitted")]
    copiers = [Copier(copying, "copy%d" % i) for i in range(2)]
    for w in writers + readers + copiers:
        w.start()
    try:
        kills = disturb(world, seconds, again)
        world.going = False
        finish(writers)
        committed = read_all(world, "t", "read_committed")
        check_transactions(world, committed)
        complain(writers)
        wait_copied(world, committed)
    finally:
        world.going = copying.going = False
    finish(readers + copiers)
    final = {i: {topic: read_all(world, topic, i) for topic in ("t", "c")} for i in ("read_committed", "read_uncommitted")}
    world.seen = copying.seen
    check_readers(world, final)
    check_order(committed)
    complain(readers + copiers)
    states = collections.Counter(world.outcome.values())
    print("# %d kills, %d transactions (%s), %d plain records, %d records read on the way" % (
        kills, len(world.outcome), ", ".join("%d %s" % (n, k) for k, n in sorted(states.items())), len(world.acked), len(world.seen)))
    assert states["committed"] > 5 and world.acked and world.seen and kills > 0


def test_no_anomaly_in_a_history_of_concurrent_clients(t):
    history(t.server(), t.random, SECONDS)


def refuses(word, fn, *args):
    try:
        fn(*args)
    except AssertionError as e:
        assert str(e).startswith(word), (word, e)
        return
    raise AssertionError("the check does not see: %s" % (word,))


def test_the_checks_see_each_anomaly(t):
    class Fake:
        records = {"a-0": ["a-0/0", "a-0/1"], "b-0": ["b-0/0"], "c-0": ["c-0/0", "c-0/1"]}
        outcome = {"a-0": "committed", "b-0": "aborted", "c-0": "unknown"}
        acked = [("plain-0/0", 0, 7)]

    good = {(0, 1): "a-0/0", (0, 2): "a-0/1", (0, 7): "plain-0/0"}
    check_transactions(Fake, good)
    refuses("lost", check_transactions, Fake, {k: v for k, v in good.items() if v != "a-0/1"})
    refuses("lost", check_transactions, Fake, {k: v for k, v in good.items() if v != "plain-0/0"})
    refuses("duplicate", check_transactions, Fake, {**good, (1, 0): "a-0/1"})
    refuses("aborted read", check_transactions, Fake, {**good, (1, 0): "b-0/0"})
    refuses("half", check_transactions, Fake, {**good, (1, 0): "c-0/0"})
    check_order(good)
    refuses("inconsistent", check_order, {(0, 1): "a-0/1", (0, 2): "a-0/0"})
    refuses("inconsistent", check_order, {(0, 1): "a-1/0", (0, 2): "a-0/5"})
    final = {i: {"t": good} for i in ("read_committed", "read_uncommitted")}
    for seen in ([("read_committed", "t", 0, 2, "a-0/1"), ("read_committed", "t", 0, 1, "a-0/0")],
                 [("read_committed", "t", 0, 1, "other")], [("read_uncommitted", "t", 0, 3, "gone")]):
        Fake.seen = seen
        refuses("inconsistent", check_readers, Fake, final)
    Fake.seen = []
    check_readers(Fake, final)
    refuses("inconsistent", check_readers, Fake, {"read_committed": {"t": good}, "read_uncommitted": {"t": {}}})


def go_back(s):
    """Killed, it comes back with the disk it had at the kill before."""
    s.kill()
    before = s.data + ".before"
    if os.path.exists(before):
        shutil.rmtree(s.data)
        os.rename(before, s.data)
    shutil.copytree(s.data, before, ignore=shutil.ignore_patterns("*.ipc"))
    s.start()


# what is found, which mutant of test/sim/mutant.h the server is, how it is killed
BAD = [("lost", None, go_back), ("aborted read", "an abort is taken for a commit", restart),
       ("duplicate", "a retry is stored again", restart), ("aborted read", "an open transaction holds nobody back", restart),
       (("lost", "half", "aborted read"), "the end of a transaction forgets a partition", restart)]


def test_the_checks_find_servers_that_are_bad(t):
    program = os.path.join(os.path.dirname(harness.KAPPA), "test/sim/kappa")
    if not os.path.exists(program):
        raise harness.Skip("no %s: make history builds it" % program)
    every = "KAPPA_HISTORY_SECONDS" in os.environ
    for n, (word, mutant, again) in enumerate(BAD if every else BAD[1:3]):
        for seconds in (8, 16, 32, 64):  # a kill has to come at the right moment, and clients that get on
            server = t.server("bad%d-%d" % (n, seconds), env={"KAPPA_MUTANT": mutant} if mutant else {}, program=program)
            try:
                refuses(word, history, server, t.random, seconds, again)
                break
            except AssertionError:
                if seconds == 64:
                    raise
            finally:
                server.kill()


harness.main(globals())
