# SPDX-License-Identifier: Apache-2.0
"""test/e2e/log_reader.py, which knows log/FORMAT.md and nothing of the program, on the golden files.

Every checksum, link, offset and CRC of test/golden/log and of the whole directory test/golden/directory is right, what
a reader gets of it is what the program gets, flipped bits are noticed, the example in FORMAT.md is what the file has,
and `kappa dump` and `kappa fsck` say the same (skipped when there is no program).
"""
import csv
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import log_reader  # noqa: E402
from log_reader import Bad, Segment, need  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "test/golden/log")
DIRECTORY = os.path.join(ROOT, "test/golden/directory")

def golden(name):
    with open(os.path.join(GOLDEN, name), "rb") as f:
        return f.read()


def program():
    kappa = os.environ.get("KAPPA")
    return kappa if kappa and os.path.exists(kappa) else None


# ---- the tests ----
def test_a_stranger_reads_the_segment():
    s = Segment(golden("segment.log"))
    need("topic", (s.topic, s.partition) == ("golden.orders", 3))
    records = [r for f in s.frames for r in f["batch"].records]
    need("offsets", [r[0] for r in records] == list(range(1000, 1005)))
    need("records", records[0][1:] == (1740830400000, b"order-1", b'{"amount":5}') and
         records[1][3] is None and records[2][2] is None and records[4][1:] == (1740830402000, b"k", b"v"))


def test_a_stranger_reads_the_caches_the_journal_and_the_checkpoint():
    raw = golden("segment.log")
    s = Segment(raw)
    need("a sealed index", log_reader.read_index(golden("segment.idx"), s))
    number, entries = log_reader.journal_file(golden("journal-0"))
    need("entries", number == 0 and [e.kind for _, e in entries] == [log_reader.ROUND, log_reader.CLEAN])
    for kind, flags, partition, topic, base, pos, n, where, zero, seq, frame_hash in entries[0][1].items:
        need("item's frame", entries[0][1].bytes[where:where + n] == raw[pos:pos + n])
    snap, old = log_reader.read_snap(golden("segment.snap")), log_reader.read_snap(golden("segment.v1.snap"))
    need("producers", list(snap["producers"]) == list(old["producers"]) == [4000, 4001])
    need("the sequence of the batch before", snap["sequence"] == 45 and old["sequence"] is None)
    need("transactions", len(snap["open"]) == len(snap["aborted"]) == 1 and not old["open"])
    need("checkpoint", log_reader.Checkpoint(golden("checkpoint-0")).counter == 12)


def test_a_stranger_reads_the_whole_directory_as_the_program_does():
    with open(DIRECTORY + ".contents.txt") as f:
        want = f.read().splitlines()
    found = list(log_reader.Directory(DIRECTORY).contents())
    for a, b in zip(found, want):
        need("'%s' is wanted, not '%s'" % (b, a), a == b)
    need("%d lines, not %d" % (len(want), len(found)), len(found) == len(want))


def test_every_form_that_is_on_disk_is_in_the_directory():
    d = log_reader.Directory(DIRECTORY)
    frames = [f for p in d.partitions.values() for f in p.frames()]
    batches = [f["batch"] for f in frames if f["batch"]]
    segments = [s for p in d.partitions.values() for s in p.segments]
    snaps = [s for p in d.partitions.values() for s in p.snaps]
    kinds = {e.kind for e in d.journal.all}
    items = [i for e in d.journal.all for i in e.items]
    for form, there in {
            "plain segment": any(s.version == 1 for s in segments),
            "compacted generation": any(s.version == 2 and s.codec == 65535 for s in segments),
            "recompressed generation": any(s.version == 2 and s.codec == 3 for s in segments),
            "sealed and open indexes": 0 < sum(p.sealed for p in d.partitions.values()) < len(segments),
            "DIRECT": any(f["flags"] & 1 for f in frames), "PAD": any(s.pads for s in segments),
            "HOLE": any("hole" in f for f in frames), "a batch without records": any(b.count == 0 for b in batches),
            "a delete horizon": any(b.attributes & 64 for b in batches), "markers": any(b.control for b in batches),
            "an aborted transaction": any(s["aborted"] for s in snaps), "an open one": any(s["open"] for s in snaps),
            "producers": any(s["producers"] for s in snaps),
            "all kinds of entries": kinds == {1, 2, 3, 4}, "tails": any(i[0] == 2 for i in items),
            "DIRECT items": any(i[1] & 1 for i in items),
            "a second lap": max(e.number for e in d.journal.all) > len(d.journal.all) + 4,
            "a gap": any(k.startswith("gap/") for k in d.rows),
            "quarantine": os.listdir(os.path.join(DIRECTORY, "quarantine")),
    }.items():
        need("no %s in the directory" % form, there)


def test_a_stranger_knows_every_codec():
    raw = b"\x14\x00a\x4a\x01\x00"  # 20 bytes: a literal, and a copy of 19 from one back
    need("snappy", log_reader.unpack(2, raw) == b"a" * 20)
    framed = b"\x82SNAPPY\0" + bytes(8) + (len(raw).to_bytes(4, "big") + raw) * 2
    need("snappy as Java frames it", log_reader.unpack(2, framed) == b"a" * 40)
    try:
        import zstandard
    except ImportError:
        need("zstd that cannot be decoded", log_reader.unpack(4, b"") is None)
        return
    frame = zstandard.ZstdCompressor().compress(b"a" * 20)
    need("zstd", log_reader.unpack(4, frame) == b"a" * 20)
    for bad in frame[:-1], b"\0" + frame[1:]:
        try:
            log_reader.unpack(4, bad)
        except Bad:
            continue
        raise Bad("a bad zstd frame was taken")


def test_a_stranger_reads_the_view():
    with tempfile.TemporaryDirectory() as t:
        shutil.copytree(os.path.join(DIRECTORY, "views"), t + "/views", symlinks=True)
        path = t + "/views/per_product/v1.db"
        need("pages", log_reader.check_view_file(path) > 3)
        rows = log_reader.view_rows(path, "SELECT product, orders FROM rows ORDER BY product")
        with open(DIRECTORY + ".rows.csv") as f:
            want = [(r["product"], int(r["orders"])) for r in csv.DictReader(f)]
        need("rows %s, not %s" % (rows, want), rows == sorted(want))
        letters = log_reader.view_rows(path, "SELECT reason FROM dead_letters")
        need("a dead letter", {r[0] for r in letters} == {"BAD_JSON"})


def bent_is_noticed(read, raw, places):
    for at in places:
        bent = bytearray(raw)
        bent[at] ^= 1 << at % 8
        try:
            read(bytes(bent))
        except (Bad, struct.error, IndexError, zlib.error):
            continue
        raise Bad("a flip at %d was not noticed" % at)


def test_every_flipped_byte_of_the_frames_is_noticed():
    raw = golden("segment.log")
    bent_is_noticed(Segment, raw, list(range(0, 100)) + list(range(4088, len(raw))))


def test_flipped_bytes_of_every_file_are_noticed():
    for name, files in (("compact-0", "topics/compact-0"), ("txn-0", "topics/txn-0")):
        for n, raw in log_reader.files_of(DIRECTORY, files).items():
            if n.endswith(".log"):
                bent_is_noticed(Segment, raw, range(0, len(raw), 7 if len(raw) < 20000 else 61))
            elif n.endswith(".snap"):
                bent_is_noticed(log_reader.read_snap, raw, range(len(raw)))
    for n, raw in log_reader.files_of(DIRECTORY, "journal").items():
        if n.startswith("checkpoint-"):
            c = log_reader.Checkpoint(raw)
            bent_is_noticed(log_reader.Checkpoint, raw, range(128 + 64 * len(c.rows) + 16 * len(c.gaps)))


def test_the_example_in_the_specification_is_what_the_file_has():
    with open(os.path.join(ROOT, "log/FORMAT.md")) as f:
        lines = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2,} )*[0-9a-f]{2,})  ", f.read(), re.M)
    need("ten lines or more", len(lines) >= 10)
    raw = golden("segment.log")
    for at, digits in lines:
        want = bytes.fromhex(digits.replace(" ", ""))
        need("line " + at, raw[int(at, 16):int(at, 16) + len(want)] == want)


def test_kappa_dump_says_the_same():
    if not program():
        return "no program to ask"
    s = Segment(golden("segment.log"))
    out = subprocess.run([program(), "dump", os.path.join(GOLDEN, "segment.log"), "--deep", "--json"], capture_output=True)
    lines = [json.loads(line) for line in out.stdout.splitlines()]
    need("exit 0", out.returncode == 0)
    frames = [line for line in lines if line["kind"] == "frame"]
    need("frames", [(f["pos"], f["sequence"], f["base_offset"], f["link"]) for f in frames] ==
         [(f["pos"], f["sequence"], f["base_offset"], f["link"]) for f in s.frames])
    records = [(line["offset"], line["timestamp"]) for line in lines if line["kind"] == "record"]
    need("records", records == [r[:2] for f in s.frames for r in f["batch"].records])
    return None


def test_kappa_dumps_checks_and_keeps_the_directory():
    if not program():
        return "no program to ask"
    with tempfile.TemporaryDirectory() as t:
        shutil.copytree(DIRECTORY, t + "/data", symlinks=True)
        for below in ("topics", "journal"):
            for root, _, names in os.walk(os.path.join(t, "data", below)):
                for n in names:
                    p = subprocess.run([program(), "dump", os.path.join(root, n), "--deep"], capture_output=True)
                    # the tail of a segment that the journal has is not in the golden files' way
                    need("dump %s: %s" % (n, p.stderr), p.returncode == 0)
        p = subprocess.run([program(), "fsck", "--data", t + "/data"], capture_output=True, text=True)
        with open(DIRECTORY + ".fsck.txt") as f:
            need("fsck: %s" % p.stdout, p.returncode == 0 and all(line in p.stdout for line in f.read().splitlines()))
    return None


def main():
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_")]
    print("1..%d" % len(tests))
    failed = 0
    for i, (name, test) in enumerate(tests, 1):
        try:
            skipped = test()
            print("ok %d - %s%s" % (i, name[5:].replace("_", " "), " # SKIP " + skipped if skipped else ""))
        except Exception as e:  # noqa: BLE001: any failure is one failed test
            failed += 1
            print("not ok %d - %s\n# %r" % (i, name[5:].replace("_", " "), e))
    sys.exit(1 if failed else 0)


main()
