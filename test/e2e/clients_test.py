# SPDX-License-Identifier: Apache-2.0
"""Unmodified clients from Debian: kcat, confluent_kafka (librdkafka) and kafka-python."""
import json
import subprocess
import threading
import time

import confluent_kafka
import confluent_kafka.admin
import kafka

import harness

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def kcat(server, *args, input=None):
    p = subprocess.run(["kcat", "-b", server.kafka] + list(args), input=input, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    assert p.returncode == 0, "kcat %s: %s" % (args, p.stderr.decode())
    return p.stdout


def make_records(t, count):
    """(key, value, headers): nulls, empties, binary, large and unicode."""
    out = [(None, None, []), (b"", b"", []), (None, b"", []), (b"k", None, []), ("ключ".encode(), "значение ✓".encode(), [("h", b"1"), ("h", b"2")]),
           (bytes(range(256)), bytes(range(256)) * 10, [("bin", bytes(range(256))), ("null", None), ("empty", b"")])]
    while len(out) < count:
        key = bytes(t.random.randrange(256) for _ in range(t.random.randrange(20))) if t.random.random() < .8 else None
        value = bytes(t.random.randrange(97, 123) for _ in range(t.random.randrange(300)))
        out.append((key, value, [("n", str(len(out)).encode())]))
    return out


def confluent_produce(server, topic, records, **conf):
    errors = []
    p = confluent_kafka.Producer({"bootstrap.servers": server.kafka, **conf})
    for key, value, headers in records:
        p.produce(topic, value=value, key=key, headers=headers, partition=0, on_delivery=lambda e, m: e and errors.append(e))
        p.poll(0)
    assert p.flush(harness.PATIENCE) == 0
    assert not errors, errors


def confluent_read(server, topic, count, group="g", **conf):
    c = confluent_kafka.Consumer({"bootstrap.servers": server.kafka, "group.id": group, "auto.offset.reset": "earliest",
                                  "enable.auto.commit": False, **conf})
    c.subscribe([topic])
    out, deadline = [], time.monotonic() + harness.PATIENCE
    while len(out) < count and time.monotonic() < deadline:
        m = c.poll(0.2)
        if m is None:
            continue
        assert not m.error(), m.error()
        out.append(m)
    c.close()
    assert len(out) == count, "%d of %d records" % (len(out), count)
    return out


def as_tuple(m):
    return (m.key(), m.value(), m.headers() or [])


def test_confluent_every_codec_comes_back_byte_for_byte(t):
    s = t.server()
    records = make_records(t, 300)
    for codec in CODECS:
        for idempotent in (False, True):
            topic = "c-%s-%d" % (codec, idempotent)
            confluent_produce(s, topic, records, **{"compression.type": codec, "enable.idempotence": idempotent, "linger.ms": 5})
            back = confluent_read(s, topic, len(records), group=topic)
            assert [m.offset() for m in back] == list(range(len(records)))
            for want, got in zip(records, back):
                assert (want[0], want[1], want[2]) == as_tuple(got), (want, as_tuple(got))


def test_kafka_python_every_codec_comes_back_byte_for_byte(t):
    s = t.server()
    records = [r for r in make_records(t, 200) if r[0] is not None or r[1] is not None]
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = "k-%s" % codec
        p = kafka.KafkaProducer(bootstrap_servers=s.kafka, compression_type=codec, acks="all", linger_ms=5)
        futures = [p.send(topic, value=v, key=k, headers=[h for h in hs if h[1] is not None], partition=0) for k, v, hs in records]
        p.flush(harness.PATIENCE)
        assert [f.get(harness.PATIENCE).offset for f in futures] == list(range(len(records)))
        p.close()
        c = kafka.KafkaConsumer(topic, bootstrap_servers=s.kafka, auto_offset_reset="earliest", group_id="kg-%s" % codec,
                                consumer_timeout_ms=1000 * harness.PATIENCE)
        back = []
        for m in c:
            back.append(m)
            if len(back) == len(records):
                break
        c.close()
        assert len(back) == len(records), "%d of %d" % (len(back), len(records))
        for (k, v, hs), m in zip(records, back):
            assert (k, v) == (m.key, m.value)
            assert [h for h in hs if h[1] is not None] == list(m.headers)


def test_kcat_every_codec_and_keys_and_headers(t):
    s = t.server()
    lines = b"".join(b"key%d\tvalue %d\n" % (i, i) for i in range(1000))
    for codec in CODECS:
        for idempotent in ("true", "false"):
            topic = "kcat-%s-%s" % (codec, idempotent)
            args = ["-P", "-t", topic, "-K", "\t", "-p", "0", "-H", "a=b", "-X", "enable.idempotence=" + idempotent]
            kcat(s, *(args + (["-z", codec] if codec != "none" else [])), input=lines)
            out = kcat(s, "-C", "-t", topic, "-e", "-q", "-f", "%k\t%s\n")
            assert out == lines, codec
            assert kcat(s, "-C", "-t", topic, "-e", "-q", "-c", "1", "-f", "%h") == b"a=b"


def test_kcat_keeps_nulls_and_empties_apart(t):
    s = t.server()
    kcat(s, "-P", "-t", "n", "-p", "0", "-K", ":", "-Z", input=b":v\nk:\n:\nk:v\n")
    kcat(s, "-P", "-t", "n", "-p", "0", "-K", ":", input=b":v\nk:\n")
    assert kcat(s, "-C", "-t", "n", "-e", "-q", "-f", "%o %K %S\n").split(b"\n") == [
        b"0 -1 1", b"1 1 -1", b"2 -1 -1", b"3 1 1", b"4 0 1", b"5 1 0", b""]


def test_kcat_reads_as_a_member_of_a_group_and_goes_on_where_it_stood(t):
    s = t.server()
    s.ok("topic", "create", "jobs", "-p", "3")
    for first in (0, 90):
        for p in range(3):
            kcat(s, "-P", "-t", "jobs", "-p", str(p), input=b"".join(b"%d\n" % i for i in range(first + 30 * p, first + 30 * p + 30)))
        out = kcat(s, "-G", "crew", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=60000", "-e", "-q", "jobs")
        assert sorted(int(x) for x in out.split()) == list(range(first, first + 90)), out


def test_kcat_lists_and_reads_by_offset_and_time(t):
    s = t.server()
    kcat(s, "-P", "-t", "times", "-p", "0", input=b"a\nb\n")
    time.sleep(0.05)
    middle = int(time.time() * 1000)
    time.sleep(0.05)
    kcat(s, "-P", "-t", "times", "-p", "0", input=b"c\nd\n")
    md = json.loads(kcat(s, "-L", "-J"))
    assert [x["topic"] for x in md["topics"] if x["topic"] == "times"] == ["times"]
    assert kcat(s, "-C", "-t", "times", "-p", "0", "-o", "1", "-e", "-q") == b"b\nc\nd\n"
    assert kcat(s, "-C", "-t", "times", "-p", "0", "-o", "-1", "-e", "-q") == b"d\n"
    assert kcat(s, "-C", "-t", "times", "-p", "0", "-o", "s@%d" % middle, "-e", "-q") == b"c\nd\n"
    assert kcat(s, "-Q", "-t", "times:0:%d" % middle).split() == b"times [0] offset 2".split()


def test_confluent_reads_by_offset_and_time(t):
    s = t.server()
    s.ok("topic", "create", "times", "-p", "2")
    p = confluent_kafka.Producer({"bootstrap.servers": s.kafka})
    for i in range(100):
        p.produce("times", value=b"%d" % i, partition=i % 2, timestamp=1700000000000 + 1000 * i)
    assert p.flush(harness.PATIENCE) == 0
    c = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "none", "enable.auto.commit": False})

    def read(partition, offset, count):
        c.assign([confluent_kafka.TopicPartition("times", partition, offset)])
        out, deadline = [], time.monotonic() + harness.PATIENCE
        while len(out) < count and time.monotonic() < deadline:
            m = c.poll(0.2)
            if m is not None and not m.error():
                out.append((m.offset(), int(m.value())))
        return out

    assert c.get_watermark_offsets(confluent_kafka.TopicPartition("times", 1), timeout=harness.PATIENCE) == (0, 50)
    assert read(1, 10, 40) == [(i, 2 * i + 1) for i in range(10, 50)]
    assert read(0, confluent_kafka.OFFSET_BEGINNING, 50)[0] == (0, 0)
    at = c.offsets_for_times([confluent_kafka.TopicPartition("times", p, 1700000000000 + 1000 * 61) for p in (0, 1)], timeout=harness.PATIENCE)
    assert [x.offset for x in at] == [31, 30]
    assert read(0, at[0].offset, 19) == [(i, 2 * i) for i in range(31, 50)]
    late = c.offsets_for_times([confluent_kafka.TopicPartition("times", 0, 1800000000000)], timeout=harness.PATIENCE)
    assert late[0].offset in (-1, 50), late
    c.close()


def test_kafka_python_reads_by_offset_and_time(t):
    s = t.server()
    s.ok("topic", "create", "times")
    p = kafka.KafkaProducer(bootstrap_servers=s.kafka, acks="all")
    for i in range(100):
        p.send("times", value=b"%d" % i, timestamp_ms=1700000000000 + 1000 * i)
    p.flush(harness.PATIENCE)
    p.close()
    c = kafka.KafkaConsumer(bootstrap_servers=s.kafka, consumer_timeout_ms=1000 * harness.PATIENCE)
    tp = kafka.TopicPartition("times", 0)
    c.assign([tp])
    assert (c.beginning_offsets([tp])[tp], c.end_offsets([tp])[tp]) == (0, 100)
    at = c.offsets_for_times({tp: 1700000000000 + 1000 * 60})[tp]
    assert (at.offset, at.timestamp) == (60, 1700000060000)
    assert c.offsets_for_times({tp: 1800000000000})[tp] is None
    for start in (99, 60, 0):
        c.seek(tp, start)
        out = [next(c) for _ in range(100 - start)]
        assert [(m.offset, int(m.value), m.timestamp) for m in out] == [(i, i, 1700000000000 + 1000 * i) for i in range(start, 100)]
    c.close()


class Member(threading.Thread):
    """A kafka-python consumer on its own thread: its poll waits while the group rebalances."""

    def __init__(self, s, topic):
        super().__init__(daemon=True)
        self.consumer = kafka.KafkaConsumer(topic, bootstrap_servers=s.kafka, group_id="team", auto_offset_reset="earliest", session_timeout_ms=60000,
                                            heartbeat_interval_ms=300, auto_commit_interval_ms=200)
        self.seen, self.assigned, self.leave = [], 0, False
        self.start()

    def run(self):
        while not self.leave:
            for records in self.consumer.poll(timeout_ms=100).values():
                self.seen.extend((m.partition, m.offset, int(m.value)) for m in records)
            self.assigned = len(self.consumer.assignment())
        self.consumer.close()


def test_two_kafka_python_consumers_share_partitions_and_survive_one_leaving(t):
    s = t.server()
    s.ok("topic", "create", "shared", "-p", "4")
    a, b = Member(s, "shared"), Member(s, "shared")
    p = kafka.KafkaProducer(bootstrap_servers=s.kafka, acks="all")

    def send(first, end):
        for i in range(first, end):
            p.send("shared", value=b"%d" % i, partition=i % 4)
        p.flush(harness.PATIENCE)

    def until(done, what):
        deadline = time.monotonic() + harness.PATIENCE
        while not done():
            assert time.monotonic() < deadline, (what, a.assigned, b.assigned, len(a.seen), len(b.seen))
            time.sleep(0.05)

    try:
        until(lambda: (a.assigned, b.assigned) == (2, 2), "sharing")
        send(0, 400)
        until(lambda: len(a.seen) + len(b.seen) >= 400, "reading")
        assert sorted(v for _, _, v in a.seen + b.seen) == list(range(400)) and len(a.seen) == len(b.seen) == 200
        b.leave = True
        b.join(harness.PATIENCE)
        until(lambda: a.assigned == 4, "taking over")
        send(400, 600)
        until(lambda: len(set(a.seen + b.seen)) == 600, "reading alone")
        assert sorted(v for _, _, v in set(a.seen + b.seen)) == list(range(600))
    finally:
        a.leave = b.leave = True
        p.close()
    a.join(harness.PATIENCE)
    assert not a.is_alive() and not b.is_alive()


def test_two_consumers_share_partitions_and_survive_one_leaving(t):
    s = t.server()
    s.ok("topic", "create", "shared", "-p", "6")
    conf = {"bootstrap.servers": s.kafka, "group.id": "team", "auto.offset.reset": "earliest", "session.timeout.ms": 60000,
            "enable.auto.commit": True, "auto.commit.interval.ms": 200}
    a, b = confluent_kafka.Consumer(conf), confluent_kafka.Consumer(conf)
    seen, assigned = [], {}

    def poll(name, c, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            m = c.poll(0.05)
            if m is not None and not m.error():
                seen.append((m.partition(), m.offset(), m.value()))

    def settle(want, consumers):
        deadline = time.monotonic() + harness.PATIENCE
        while time.monotonic() < deadline:
            for n, c in consumers:
                poll(n, c, 0.1)
            assigned.update({n: len(c.assignment()) for n, c in consumers})
            if [assigned[n] for n, _ in consumers] == want:
                return
        raise AssertionError("assignment %s, wanted %s" % (assigned, want))

    a.subscribe(["shared"])
    b.subscribe(["shared"])
    settle([3, 3], [("a", a), ("b", b)])
    p = confluent_kafka.Producer({"bootstrap.servers": s.kafka})
    for i in range(600):
        p.produce("shared", value=b"%d" % i, partition=i % 6)
    assert p.flush(harness.PATIENCE) == 0
    deadline = time.monotonic() + harness.PATIENCE
    while len(seen) < 600 and time.monotonic() < deadline:
        poll("a", a, 0.1)
        poll("b", b, 0.1)
    assert len(seen) == 600 and len(set(seen)) == 600
    b.close()
    settle([6], [("a", a)])
    for i in range(600, 900):
        p.produce("shared", value=b"%d" % i, partition=i % 6)
    assert p.flush(harness.PATIENCE) == 0
    deadline = time.monotonic() + harness.PATIENCE
    while len(set(seen)) < 900 and time.monotonic() < deadline:
        poll("a", a, 0.2)
    assert sorted(int(v) for _, _, v in set(seen)) == list(range(900))
    a.close()


def test_committed_offsets_survive_a_restart_and_group_verbs_agree(t):
    s = t.server()
    s.ok("topic", "create", "jobs", "-p", "2")
    s.ok("produce", "jobs", "-p", "0", input="".join("%d\n" % i for i in range(100)))
    c = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "w", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    c.subscribe(["jobs"])
    got = []
    deadline = time.monotonic() + harness.PATIENCE
    while len(got) < 40 and time.monotonic() < deadline:
        m = c.poll(0.1)
        if m is not None and not m.error():
            got.append(m)
    c.commit(message=got[39], asynchronous=False)
    c.close()
    lag = {(r["topic"], r["partition"]): r for r in s.rows("group", "lag", "w")}
    assert lag[("jobs", 0)]["committed"] == 40 and lag[("jobs", 0)]["lag"] == 60, lag
    s.stop()
    s.start()
    c = kafka.KafkaConsumer("jobs", bootstrap_servers=s.kafka, group_id="w", consumer_timeout_ms=1000 * harness.PATIENCE,
                            enable_auto_commit=False)
    rest = [int(next(c).value) for _ in range(60)]
    assert not c.poll(timeout_ms=500)
    c.close()
    assert rest == list(range(40, 100)), rest[:5]
    p = s.run("group", "reset", "w", "--topic", "jobs", "--to", "start")
    assert p.returncode == 4 and "plan" in p.stderr, (p.returncode, p.stderr)
    s.ok("group", "reset", "w", "--topic", "jobs", "--to", "10", "--execute")
    back = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "w"})
    committed = back.committed([confluent_kafka.TopicPartition("jobs", 0)], timeout=harness.PATIENCE)
    back.close()
    assert committed[0].offset == 10, committed
    assert [g["group"] for g in s.rows("group", "list")] == ["w"]


def test_a_group_with_members_refuses_a_reset(t):
    s = t.server()
    s.ok("topic", "create", "busy")
    c = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "live"})
    c.subscribe(["busy"])
    deadline = time.monotonic() + harness.PATIENCE
    while not c.assignment() and time.monotonic() < deadline:
        c.poll(0.1)
    p = s.run("group", "reset", "live", "--topic", "busy", "--to", "start", "--execute")
    assert p.returncode == 4, (p.returncode, p.stderr)
    c.close()


def test_admin_calls_of_librdkafka(t):
    s = t.server()
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": s.kafka})
    for f in admin.create_topics([confluent_kafka.admin.NewTopic("made", 3, 1, config={"retention.ms": "1000000"})]).values():
        f.result(harness.PATIENCE)
    assert len(admin.list_topics("made", timeout=harness.PATIENCE).topics["made"].partitions) == 3
    r = confluent_kafka.admin.ConfigResource("topic", "made")
    conf = list(admin.describe_configs([r]).values())[0].result(harness.PATIENCE)
    assert conf["retention.ms"].value == "1000000" and conf["cleanup.policy"].value == "delete"
    assert conf["kappa.durability"].value == "fsync"
    for f in admin.delete_topics(["made"]).values():
        f.result(harness.PATIENCE)
    deadline = time.monotonic() + harness.PATIENCE
    while "made" in admin.list_topics(timeout=harness.PATIENCE).topics and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "made" not in admin.list_topics(timeout=harness.PATIENCE).topics


def test_many_pipelined_producers_keep_order_per_partition(t):
    s = t.server()
    s.ok("topic", "create", "order", "-p", "4")
    count = 2000 if harness.SMALL else 20000

    def one(partition):
        p = confluent_kafka.Producer({"bootstrap.servers": s.kafka, "enable.idempotence": True, "queue.buffering.max.messages": 100000})
        for i in range(count):
            p.produce("order", value=b"%d" % i, partition=partition)
        assert p.flush(harness.PATIENCE) == 0

    threads = [threading.Thread(target=one, args=(i,)) for i in range(4)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    for partition in range(4):
        out = s.ok("consume", "order", "-p", str(partition), "-f", "%o %v\\n").split()
        assert out[0::2] == [str(i) for i in range(count)] and out[1::2] == out[0::2]


harness.main(globals())
