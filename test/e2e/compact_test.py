# SPDX-License-Identifier: Apache-2.0
"""Compacted topics with unmodified clients: confluent_kafka (librdkafka) and kcat."""
import json
import subprocess
import time

import confluent_kafka

import harness

COMPACT = ["-c", "cleanup.policy=compact", "-c", "min.cleanable.dirty.ratio=0.01", "-c", "delete.retention.ms=2000",
           "-c", "segment.bytes=20000"]


def produce(server, topic, records, **conf):
    errors = []
    p = confluent_kafka.Producer({"bootstrap.servers": server.kafka, "linger.ms": 1, **conf})
    for key, value in records:
        p.produce(topic, key=key, value=value, partition=0, on_delivery=lambda e, m: e and errors.append(e))
        p.poll(0)
        if p.flush(0) > 100:
            p.flush(harness.PATIENCE)
    assert p.flush(harness.PATIENCE) == 0
    return errors


def read(server, topic, **conf):
    """All records of partition 0 from the beginning to its end: (offset, key, value)."""
    c = confluent_kafka.Consumer({"bootstrap.servers": server.kafka, "group.id": "g", "enable.auto.commit": False,
                                  "enable.partition.eof": True, **conf})
    c.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    out, deadline = [], time.monotonic() + harness.PATIENCE
    while time.monotonic() < deadline:
        m = c.poll(0.5)
        if m is None:
            continue
        if m.error():
            assert m.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, m.error()
            c.close()
            return out
        out.append((m.offset(), m.key(), m.value()))
    raise AssertionError("no end of the partition, %d records" % len(out))


def newest(rows):
    table = {}
    for _, key, value in rows:
        table[key] = value
        if value is None:
            del table[key]
    return table


def segments(server, topic):
    return json.loads(server.ok("topic", "describe", topic, "--segments"))["segments"]


def wait_compacted(server, topic, timeout=harness.PATIENCE):
    """Until all segments but the last are compacted."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        seen = segments(server, topic)
        if len(seen) > 1 and all(s["compacted"] for s in seen[:-1]):
            return seen
        time.sleep(0.5)
    raise AssertionError("not compacted in %s s: %s\n%s" % (timeout, seen, server.tail()))


def test_a_consumer_of_a_compacted_topic_sees_the_newest_of_each_key(t):
    s = t.server()
    s.ok("topic", "create", "t", *COMPACT, "-c", "min.compaction.lag.ms=86400000")  # not yet
    want, records = {}, []
    for i in range(3000):
        key = b"k%d" % t.random.randrange(50)
        value = None if t.random.random() < .1 else b"value %d" % i
        records.append((key, value))
        want[key] = value
    for codec in ("none", "lz4", "zstd"):
        part, records = records[:1000], records[1000:]
        assert not produce(s, "t", part, **{"compression.type": codec, "batch.num.messages": 20,
                                            "enable.idempotence": codec == "zstd"})
    want = {k: v for k, v in want.items() if v is not None}
    before = read(s, "t")
    assert len(before) == 3000, len(before)
    assert newest(before) == want
    s.ok("topic", "alter", "t", "-c", "min.compaction.lag.ms=0", "--execute")
    wait_compacted(s, "t")
    after = read(s, "t")
    assert newest(after) == want
    assert len(after) < 1500, len(after)
    offsets = [o for o, _, _ in after]
    assert offsets == sorted(set(offsets)) and set(after) <= set(before)
    assert sum(x["bytes"] for x in segments(s, "t")) < sum(x["original_bytes"] for x in segments(s, "t")) / 2
    for kill in (True, False):
        s.kill() if kill else s.stop()
        s.start()
        assert newest(read(s, "t")) == want
    # kcat from an offset in the middle of a hole: what comes next
    p = subprocess.run(["kcat", "-b", s.kafka, "-C", "-t", "t", "-p", "0", "-o", "5", "-c", "1", "-e", "-f", "%o"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    assert p.returncode == 0 and int(p.stdout) == min(o for o in offsets if o >= 5), (p.stdout, p.stderr, offsets[:5])
    # offsets go on where they were
    assert not produce(s, "t", [(b"k0", b"again")])
    assert max(o for o, _, _ in read(s, "t")) == 3000
    s.stop()
    fsck = s.run("fsck", "--data", s.data)
    assert fsck.returncode == 0, fsck.stdout + fsck.stderr


def test_a_record_without_a_key_is_refused_on_a_compacted_topic(t):
    s = t.server()
    for policy in ("compact", "compact,delete"):
        topic = policy.replace(",", "-")
        s.ok("topic", "create", topic, "-c", "cleanup.policy=" + policy)
        errors = produce(s, topic, [(None, b"no key")])
        assert [e.code() for e in errors] == [confluent_kafka.KafkaError.INVALID_RECORD], errors
        assert not produce(s, topic, [(b"k", b"v"), (b"", b"an empty key is a key")])
        assert [v for _, _, v in read(s, topic)] == [b"v", b"an empty key is a key"]


def test_sealed_segments_are_recompressed(t):
    s = t.server()
    s.ok("topic", "create", "t", "-c", "compression.type=zstd", "-c", "segment.bytes=100000")
    records = [(b"k%d" % i, b"the same words again and again %d " % i * 5) for i in range(3000)]
    assert not produce(s, "t", records, **{"batch.num.messages": 100})
    deadline = time.monotonic() + harness.PATIENCE
    while time.monotonic() < deadline:
        seen = segments(s, "t")
        if len(seen) > 2 and all(x["codec"] == "zstd" for x in seen[:-1]):
            break
        time.sleep(0.5)
    assert all(x["codec"] == "zstd" and x["bytes"] < x["original_bytes"] / 2 for x in seen[:-1]), seen
    assert [(k, v) for _, k, v in read(s, "t")] == records
    s.kill()
    s.start()
    assert [(k, v) for _, k, v in read(s, "t")] == records



harness.main(globals())
