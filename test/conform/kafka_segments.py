#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kafka's own log directories, in and out, against a real Kafka.

A Kafka is started, filled (every codec, several segments' worth of index entries, a committed and an aborted
transaction) and stopped. Its directory is imported, exported again and compared with what Kafka wrote; Kafka's
own tools check the export; then Kafka is started on the exported files and the records are read from it.

    KAPPA=build/release/kappa KAFKA_SH=path/to/kafka.sh test/conform/kafka_segments.py [--golden DIR]

kafka.sh start|stop|env|run are the verbs used. --golden keeps Kafka's directory as the golden one.
"""
import os, shutil, struct, subprocess, sys, tempfile
from confluent_kafka import Consumer, Producer, TopicPartition

KAPPA, KAFKA = os.environ["KAPPA"], os.environ["KAFKA_SH"]
NAME = "kappa-segments"
TOPIC = "golden"
n = 0


def check(name, good, why=""):
    global n
    n += 1
    print(f"{'ok' if good else 'not ok'} {n} - {name}")
    if not good:
        print("# " + str(why).replace("\n", "\n# ")[:3000])
        check.failed = True


check.failed = False


def run(*command, **kw):
    r = subprocess.run(command, capture_output=True, text=True, timeout=180, **kw)
    return r.returncode, r.stdout + r.stderr


def kafka_start(data, keep=False):
    rc, out = run(KAFKA, "start", "--name", NAME, "--data", data, "--heap", "512m", *(["--keep"] if keep else []))
    if rc != 0:
        sys.exit(out)
    return [w.split("=", 1)[1] for w in out.split() if w.startswith("bootstrap=")][0]


def fill(bootstrap):
    sent = []
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        p = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20, "enable.idempotence": True})
        for i in range(60):
            key, value = f"{codec}-{i}".encode(), (f"value {i} of {codec} " * 12).encode()
            p.produce(TOPIC, value=value, key=key, partition=0, headers=[("h", codec.encode())], timestamp=1740830400000 + len(sent))
            sent.append((key, value))
            if i % 10 == 9:
                p.flush()
        p.flush()
    for commit in (True, False):
        p = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"t-{commit}"})
        p.init_transactions(60)
        p.begin_transaction()
        for i in range(5):
            p.produce(TOPIC, value=f"{commit} {i}".encode(), key=b"t", partition=0, timestamp=1740830500000 + i)
            if commit:
                sent.append((b"t", f"{commit} {i}".encode()))
        p.flush()
        p.commit_transaction(60) if commit else p.abort_transaction(60)
    return sent


def read_all(bootstrap):
    c = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "enable.auto.commit": False,
                  "enable.partition.eof": True, "isolation.level": "read_committed"})
    c.assign([TopicPartition(TOPIC, 0, 0)])
    got = []
    while True:
        m = c.poll(60)
        if m is None or m.error():
            break
        got.append((m.offset(), m.key(), m.value()))
    c.close()
    return got


def same_bytes(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        return x.read() == y.read()


def index_is_right(index, log, base=0):
    """Each entry of an offset index points at the batch that ends with its offset."""
    data, entries = open(log, "rb").read(), open(index, "rb").read()
    for offset, pos in struct.iter_unpack(">ii", entries):
        first, = struct.unpack_from(">q", data, pos)
        delta, = struct.unpack_from(">i", data, pos + 23)
        if first + delta != base + offset:
            return False
    return len(entries) > 0


def main():
    work = tempfile.mkdtemp(prefix="kappa-segments-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    data, out, mine = work + "/kafka", work + "/out", work + "/kappa"
    try:
        bootstrap = kafka_start(data)
        rc, text = run(KAFKA, "run", "topics", "--bootstrap-server", bootstrap, "--create", "--topic", TOPIC, "--partitions", "1")
        sent = fill(bootstrap)
        before = read_all(bootstrap)
        run(KAFKA, "stop", "--name", NAME)
        theirs = f"{data}/{TOPIC}-0"
        if "--golden" in sys.argv:
            to = sys.argv[sys.argv.index("--golden") + 1]
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(theirs, to)
        check("Kafka gives back what was sent", [r[1:] for r in before] == sent, (len(before), len(sent)))
        rc, text = run(KAPPA, "import", data, "--data", mine)
        check("its directory is imported", rc == 0 and f"topic={TOPIC} partitions=1" in text, text)
        rc, text = run(KAPPA, "fsck", "--data", mine)
        check("what was imported verifies", rc == 0 and "findings=0" in text, text)
        rc, text = run(KAPPA, "export", TOPIC, "--format", "kafka-segments", "--out", out, "--data", mine)
        check("and is exported", rc == 0, text)
        ours = f"{out}/{TOPIC}-0"
        logs = sorted(f[:-4] for f in os.listdir(theirs) if f.endswith(".log"))
        check("as many segments", logs == sorted(f[:-4] for f in os.listdir(ours) if f.endswith(".log")), os.listdir(ours))
        for name in logs:
            for suffix in (".log", ".txnindex"):
                a, b = f"{theirs}/{name}{suffix}", f"{ours}/{name}{suffix}"
                if os.path.exists(a) or os.path.exists(b):
                    check(f"{name}{suffix} is the one that Kafka wrote", same_bytes(a, b), run("cmp", a, b)[1])
            # Kafka adds entries per append, we per batch: the last one must agree
            a, b = (open(f"{d}/{name}.timeindex", "rb").read()[-12:] for d in (theirs, ours))
            check(f"{name}.timeindex ends as Kafka's", a == b, (a, b))
        for text_file in ("partition.metadata", "leader-epoch-checkpoint"):
            a, b = open(f"{theirs}/{text_file}").read().strip(), open(f"{ours}/{text_file}").read().strip()
            check(f"{text_file} says the same", a == b, (a, b))
        name = logs[0]
        check("each entry of .index is right", index_is_right(f"{ours}/{name}.index", f"{ours}/{name}.log"))
        rc, text = run(KAFKA, "run", "dump-log", "--deep-iteration", "--print-data-log", "--files", f"{ours}/{name}.log")
        check("Kafka's dump reads every record of the export", rc == 0 and text.count("\n| offset:") == 305 and
              "isvalid: false" not in text and "rror" not in text, text[-800:])
        snaps = sorted(f for f in os.listdir(theirs) if f.endswith(".snapshot"))
        mines = sorted(f for f in os.listdir(ours) if f.endswith(".snapshot"))
        dump = lambda d, f: sorted(l for l in run(KAFKA, "run", "dump-log", "--files", f"{d}/{f}")[1].split("\n") if "producerId" in l)
        a, b = dump(theirs, snaps[-1]), dump(ours, mines[-1])
        check("the last snapshot has the same producers", snaps[-1] == mines[-1] and a == b, (snaps, mines, a, b))
        for f in sorted(f for f in os.listdir(ours) if f.endswith("index")):
            rc, text = run(KAFKA, "run", "dump-log", "--files", f"{ours}/{f}")
            check(f"Kafka's dump finds no fault in {f}", rc == 0 and "ismatch" not in text and "rror" not in text and
                  "out of order" not in text, text[-800:])
        shutil.rmtree(theirs)
        shutil.copytree(ours, theirs)
        bootstrap = kafka_start(data, keep=True)
        after = read_all(bootstrap)
        check("a Kafka on the exported files gives the same records", after == before, (len(after), len(before)))
    finally:
        run(KAFKA, "stop", "--name", NAME)
        shutil.rmtree(work, ignore_errors=True)
    print(f"1..{n}")
    return 1 if check.failed else 0


sys.exit(main())
