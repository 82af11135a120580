# SPDX-License-Identifier: Apache-2.0
"""A full disk (a small tmpfs): produce is refused with a retriable error before the ballast is used, everything else goes
on, and it resumes by itself; the same with the journal on a full disk of its own, and compaction beside a full disk."""
import errno
import os
import re
import signal
import subprocess
import threading
import time

import confluent_kafka

import harness

MIB = 1 << 20
CONF = {"log_level": 0, "error_cb": lambda e: None}


class Disk:
    """A file system of its own below the case's directory."""

    def __init__(self, t, name, size):
        self.path = t.path(name)
        os.mkdir(self.path)
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size, "none", self.path], stderr=subprocess.PIPE)
        if p.returncode != 0:
            raise harness.Skip("no tmpfs: " + p.stderr.decode().strip())

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def size(self):
        s = os.statvfs(self.path)
        return s.f_blocks * s.f_frsize

    def fill(self, leave=0):
        """Somebody else takes the rest of it."""
        with open(os.path.join(self.path, "others"), "ab", buffering=0) as f:
            while self.free() > leave:
                try:
                    f.write(b"x" * min(MIB, self.free() - leave))
                except OSError as e:  # the server was faster
                    assert e.errno == errno.ENOSPC, e

    def empty(self):
        os.unlink(os.path.join(self.path, "others"))

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


def on_disks(fn):
    """A case with disks, which are unmounted behind its servers."""
    def run(t):
        disks = []

        def disk(name, size):
            disks.append(Disk(t, name, size))
            return disks[-1]

        try:
            fn(t, disk)
            for s in t.servers:
                if s.process.poll() is None:
                    assert s.stop() == 0, s.tail()
        finally:
            for s in t.servers:
                s.kill()
            for d in disks:
                d.close()
    return run


def serve(t, disk, name, *settings):
    os.mkdir(os.path.join(disk.path, name))
    os.symlink(os.path.join(disk.path, name), t.path(name))  # the server's own lines go elsewhere
    args = [a for s in ("kappa.journal.bytes=8388608",) + settings for a in ("--set", s)]
    return t.server(name, args=args)


class Pipeline(threading.Thread):
    """An idempotent producer with many batches in flight; numbers every record of a partition."""

    def __init__(self, s, topic, partition, size=2000, limit=1 << 40):
        super().__init__(daemon=True)  # a case that fails leaves it
        self.conf = {"bootstrap.servers": s.kafka, "enable.idempotence": True, "linger.ms": 1, "batch.size": 16000,
                     "message.timeout.ms": 120000, "retry.backoff.ms": 20, "queue.buffering.max.kbytes": 4096, **CONF}
        self.topic, self.partition, self.size, self.limit = topic, partition, size, limit
        self.sent, self.acked, self.failed, self.going = 0, 0, [], True

    def report(self, err, m):
        if err:
            self.failed.append(err)
        else:
            self.acked += 1

    def run(self):
        p = confluent_kafka.Producer(self.conf)
        while self.going and self.sent < self.limit:
            try:
                p.produce(self.topic, b"%08d " % self.sent + os.urandom(self.size), partition=self.partition, on_delivery=self.report)
                self.sent += 1
            except BufferError:
                p.poll(0.02)
        p.flush(120)

    def stop(self):
        self.going = False
        self.join()
        assert not self.failed, "%d refused for good, first: %s" % (len(self.failed), self.failed[0])
        assert self.acked == self.sent


def numbers(s, topic, partition):
    c = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "reader", "enable.auto.commit": False,
                                  "enable.partition.eof": True, **CONF})
    c.assign([confluent_kafka.TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING)])
    got = []
    while True:
        m = c.poll(30)
        assert m, "nothing to read"
        if m.error():
            assert m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, m.error()
            c.close()
            return got
        got.append(int(m.value()[:8]))


def wait_for(what, fn, timeout=harness.PATIENCE):
    deadline = time.monotonic() + timeout
    while not fn():
        assert time.monotonic() < deadline, "not within %d s: %s" % (timeout, what)
        time.sleep(0.02)


def refused_once(s):
    """What a producer without retries is told; None: it was taken."""
    errors = []
    p = confluent_kafka.Producer({"bootstrap.servers": s.kafka, "retries": 0, "linger.ms": 0, **CONF})
    p.produce("probe", b"x" * 1000, partition=0, on_delivery=lambda err, m: errors.append(err))
    p.flush(harness.PATIENCE)
    return errors[0]


def commit(s, offset):
    c = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "g", "enable.auto.commit": False, **CONF})
    c.commit(offsets=[confluent_kafka.TopicPartition("keep", 0, offset)], asynchronous=False)
    got = c.committed([confluent_kafka.TopicPartition("keep", 0)], timeout=harness.PATIENCE)[0].offset
    c.close()
    assert got == offset, "committed %d, have %d" % (offset, got)


@on_disks
def test_produce_waits_and_everything_else_goes_on(t, disk):
    d = disk("disk", 64 * MIB)
    s = serve(t, d, "data")
    for topic in ("t", "doomed", "keep", "probe"):
        s.ok("topic", "create", topic, "-p", "2", "-c", "segment.bytes=1048576")
    s.sql("CREATE TABLE keep (n bigint NOT NULL) WITH (topic = 'keep', format = json);"
          "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS c, sum(n) AS s FROM keep;")
    s.ok("produce", "keep", "-p", "0", input="".join('{"n":%d}\n' % n for n in range(100)))
    s.wait_view("total")
    s.ok("produce", "doomed", "-p", "0", input="".join("x" * 1000 + "\n" for _ in range(12000)))
    pipes = [Pipeline(s, "t", partition) for partition in (0, 1)]
    for p in pipes:
        p.start()
    wait_for("the disk is full", lambda: "event=no_space" in s.tail(200000))
    least = d.free()
    for i in range(40):
        e = refused_once(s) if i % 10 == 0 else None
        assert e is None or e.code() == confluent_kafka.KafkaError.KAFKA_STORAGE_ERROR, e  # retriable by its number
        commit(s, i)
        assert s.query("SELECT c, s FROM total") == [{"c": 100, "s": "4950"}]
        least = min(least, d.free())
    assert len(s.ok("consume", "keep", "-f", "%v\\n").split()) == 100
    assert least > d.size() // 16 // 4, "%d bytes were free, the ballast is gone" % least
    acked = sum(p.acked for p in pipes)
    s.ok("topic", "delete", "doomed", "--execute")  # what ends it
    wait_for("produce goes on", lambda: sum(p.acked for p in pipes) > acked + 500)
    for p in pipes:
        p.going = False
    s.ok("topic", "alter", "t", "-c", "retention.bytes=4194304", "--execute")  # room for what is still on its way
    for p in pipes:
        p.stop()
    for p in pipes:
        got = numbers(s, "t", p.partition)
        assert got == list(range(got[0], p.sent)), "partition %d is not in order, or has holes" % p.partition
    assert "event=space_found" in s.tail(200000)
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout


@on_disks
def test_a_stop_on_a_full_disk_ends(t, disk):
    """Nothing is left, not even the ballast, and requests wait in a round that has no room: SIGTERM ends it all the same."""
    d = disk("disk", 48 * MIB)
    s = serve(t, d, "data")
    s.ok("topic", "create", "t", "-c", "segment.bytes=1048576")
    s.listen = s.kafka  # the producer finds it again
    pipe = Pipeline(s, "t", 0)
    pipe.start()
    wait_for("there is work", lambda: pipe.acked > 1000)
    d.fill()
    wait_for("the disk is full", lambda: "NOSPACE" in s.tail(200000) or "event=no_space" in s.tail(200000))
    time.sleep(0.5)
    assert d.free() == 0 or not d.fill()
    acked = pipe.acked
    s.process.send_signal(signal.SIGTERM)
    s.process.wait(harness.PATIENCE)
    d.empty()
    s.start()
    wait_for("produce goes on", lambda: pipe.acked > acked + 500)
    pipe.stop()
    assert numbers(s, "t", 0) == list(range(pipe.sent))
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout


@on_disks
def test_nothing_of_a_new_producer_is_taken_out_of_order(t, disk):
    """Producers whose first batches meet the full disk: what they pipeline behind them waits."""
    d = disk("disk", 40 * MIB)
    s = serve(t, d, "data")
    s.ok("topic", "create", "probe")
    s.ok("topic", "create", "t", "-p", "4")
    for cycle in range(4):
        wait_for("the disk is full", lambda: d.fill(MIB) or refused_once(s))  # the deleted topic still makes room
        pipes = [Pipeline(s, "t", partition, size=300, limit=4000) for partition in range(4)]
        for p in pipes:
            p.start()
        time.sleep(0.3)
        d.empty()
        for p in pipes:
            p.stop()
        for p in pipes:
            got = numbers(s, "t", p.partition)
            mine = got[-p.sent:]
            assert mine == list(range(p.sent)), "cycle %d partition %d: %d sent, the log ends %s" % (cycle, p.partition, p.sent, got[-5:])
        s.ok("topic", "delete", "t", "--execute")
        s.ok("topic", "create", "t", "-p", "4")


@on_disks
def test_a_full_disk_of_the_journal(t, disk):
    """The journal was written ahead, its checkpoint records replace each other: nothing of it needs more room."""
    d, j = disk("disk", 200 * MIB), disk("journal", 16 * MIB)
    s = serve(t, d, "data", "kappa.journal.dir=" + os.path.join(j.path, "journal"))
    s.ok("topic", "create", "t", "-c", "segment.bytes=1048576", "-c", "retention.bytes=8388608")
    wait_for("the journal is written", lambda: j.free() < 9 * MIB)
    time.sleep(0.5)
    j.fill()
    pipe = Pipeline(s, "t", 0)
    pipe.start()
    wait_for("several journals were used", lambda: pipe.acked > 20000, harness.PATIENCE)
    pipe.stop()
    s.kill()
    s.start()
    got = numbers(s, "t", 0)
    assert got == list(range(got[0], pipe.sent))
    s.ok("produce", "t", input="00000000\n")
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout


@on_disks
def test_compaction_gives_up_and_tries_again(t, disk):
    d = disk("disk", 64 * MIB)
    s = serve(t, d, "data")
    s.ok("topic", "create", "c", "-c", "cleanup.policy=compact", "-c", "min.cleanable.dirty.ratio=0", "-c", "segment.bytes=1048576",
         "-c", "min.compaction.lag.ms=3000")
    s.ok("topic", "create", "z", "-c", "segment.bytes=1048576")
    rows = "".join("k%d\t%s\n" % (n, "v" * 900) for n in range(9000))
    s.ok("produce", "c", "-K", "\t", input=rows)
    s.ok("produce", "z", input="".join("text " * 200 + "\n" for _ in range(8000)))
    time.sleep(6)  # a checkpoint, so that the segments may be rewritten
    before = d.free()
    d.fill(5 * MIB)  # less than a new generation needs beside the ballast
    s.ok("topic", "alter", "z", "-c", "compression.type=zstd", "--execute")
    wait_for("compaction meets the full disk", lambda: re.search("event=compact_failed .*NOSPACE", s.tail(500000)), harness.PATIENCE)
    assert s.process.poll() is None
    assert len(s.ok("consume", "c", "-f", "%k\\n").split()) == 9000
    assert not [n for n in os.listdir(os.path.join(s.data, "topics/c-0")) if n.endswith(".new")], "left over"
    d.empty()
    wait_for("recompression comes back", lambda: "event=recompressed partition=z-0" in s.tail(500000), harness.PATIENCE)
    wait_for("the saving", lambda: d.free() > before + 4 * MIB)
    assert len(s.ok("consume", "c", "-f", "%k\\n").split()) == 9000
    assert s.stop() == 0
    p = s.run("fsck", "--data", s.data)
    assert p.returncode == 0, p.stdout


def refused(s, *words):
    assert s.process.wait(harness.PATIENCE) == 1, s.tail()
    for word in ("NOSPACE", "kappa.journal.bytes") + words:
        assert word in s.tail(), s.tail()


@on_disks
def test_a_journal_that_does_not_fit_is_refused(t, disk):
    d, j = disk("disk", 64 * MIB), disk("journal", 12 * MIB)
    os.mkdir(os.path.join(d.path, "data"))
    os.symlink(os.path.join(d.path, "data"), t.path("data"))
    s = t.server("data", wait=False)  # the default: 256 MiB
    refused(s, "the journal takes 268435456")
    s.args = ["--set", "kappa.journal.dir=" + os.path.join(j.path, "journal"), "--set", "kappa.journal.bytes=%d" % (16 * MIB)]
    s.start(wait=False)
    refused(s, "the journal takes 16777216", j.path)
    assert d.free() > 60 * MIB and j.free() > 11 * MIB
    s.args[-1] = "kappa.journal.bytes=%d" % (8 * MIB)
    s.start()
    s.ok("topic", "create", "t", "-c", "segment.bytes=1048576", "-c", "retention.bytes=8388608")
    pipe = Pipeline(s, "t", 0)
    pipe.start()
    wait_for("produce goes on", lambda: pipe.acked > 15000, harness.PATIENCE)
    pipe.stop()
    assert s.stop() == 0


@on_disks
def test_a_start_on_a_disk_full_of_zeros_takes_some_back(t, disk):
    d = disk("disk", 96 * MIB)
    s = serve(t, d, "data", "kappa.journal.bytes=%d" % (64 * MIB))
    s.ok("topic", "create", "t")
    s.ok("produce", "t", input="a\n")
    journal = os.path.join(s.data, "journal", "journal-3")
    wait_for("the journal is filled", lambda: os.path.getsize(journal) == 16 * MIB, harness.PATIENCE)
    assert d.free() > 12 * MIB  # an eighth
    s.kill()
    d.fill()
    assert d.free() == 0
    s.start()
    assert "journal_given_back" in s.tail(20000) and d.free() > 11 * MIB, (d.free(), s.tail())
    s.ok("produce", "t", input="b\n")
    assert s.ok("consume", "t", "-f", "%v\\n").split() == ["a", "b"]
    assert d.free() > 11 * MIB


harness.main(globals())
