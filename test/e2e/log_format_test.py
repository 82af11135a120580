# SPDX-License-Identifier: Apache-2.0
"""A reader of the commit log's files written from log/FORMAT.md alone: no code of the program, no library.

Checks every checksum, link, offset and CRC of test/golden/log, that flipped bits are noticed, that the example in
FORMAT.md is what the file has, and that `kappa dump` says the same (skipped when there is no program).
"""
import json
import os
import re
import struct
import subprocess
import sys
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "test/golden/log")
M64 = (1 << 64) - 1

# ---- XXH3, 64 bits, from the specification of xxHash 0.8 ----
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def u64(b, at):
    return int.from_bytes(b[at:at + 8], "little")


def fold(a, b):
    p = (a & M64) * (b & M64)
    return (p ^ (p >> 64)) & M64


def avalanche(h):
    h = ((h & M64) ^ ((h & M64) >> 37)) * 0x165667919E3779F9 & M64
    return h ^ (h >> 32)


def xxh3_long(seed, d):
    s = b"".join(struct.pack("<QQ", (u64(SECRET, i) + seed) & M64, (u64(SECRET, i + 8) - seed) & M64)
                 for i in range(0, 192, 16))
    acc = [P32_3, P1, P2, P3, P4, P32_2, P5, P32_1]

    def stripe(at, secret_at):
        for i in range(8):
            v = u64(d, at + 8 * i)
            k = v ^ u64(s, secret_at + 8 * i)
            acc[i ^ 1] = (acc[i ^ 1] + v) & M64
            acc[i] = (acc[i] + (k & 0xFFFFFFFF) * (k >> 32)) & M64

    stripes = (len(d) - 1) // 64
    for n in range(stripes):
        stripe(64 * n, 8 * (n % 16))
        if n % 16 == 15:
            for i in range(8):
                acc[i] = ((acc[i] ^ (acc[i] >> 47)) ^ u64(s, 128 + 8 * i)) * P32_1 & M64
    stripe(len(d) - 64, 121)
    h = len(d) * P1
    for i in range(4):
        h += fold(acc[2 * i] ^ u64(s, 11 + 16 * i), acc[2 * i + 1] ^ u64(s, 19 + 16 * i))
    return avalanche(h)


def xxh3(seed, d):
    n = len(d)

    def mix(at, secret_at):
        return fold(u64(d, at) ^ (u64(SECRET, secret_at) + seed & M64),
                    u64(d, at + 8) ^ (u64(SECRET, secret_at + 8) - seed & M64))

    if n > 240:
        return xxh3_long(seed, d)
    if n == 0:
        h = seed ^ u64(SECRET, 56) ^ u64(SECRET, 64)
        h = (h ^ (h >> 33)) * P2 & M64
        h = (h ^ (h >> 29)) * P3 & M64
        return h ^ (h >> 32)
    if n <= 16:
        assert n > 8, "shorter inputs do not occur"
        lo = u64(d, 0) ^ ((u64(SECRET, 24) ^ u64(SECRET, 32)) + seed & M64)
        hi = u64(d, n - 8) ^ ((u64(SECRET, 40) ^ u64(SECRET, 48)) - seed & M64)
        return avalanche(n + int.from_bytes(lo.to_bytes(8, "little"), "big") + hi + fold(lo, hi))
    h = n * P1
    if n <= 128:
        for i in reversed(range((n - 1) // 32 + 1)):
            h += mix(16 * i, 32 * i) + mix(n - 16 * (i + 1), 32 * i + 16)
        return avalanche(h)
    h += sum(mix(16 * i, 16 * i) for i in range(8))
    h = avalanche(h)
    h += sum(mix(16 * i, 16 * (i - 8) + 3) for i in range(8, n // 16)) + mix(n - 16, 119)
    return avalanche(h)


def crc32c(b):
    crc = 0xFFFFFFFF
    for byte in b:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# ---- the reader ----
class Bad(Exception):
    pass


def need(what, condition):
    if not condition:
        raise Bad(what)


def varint(b, at):
    shift = value = 0
    while True:
        value |= (b[at] & 127) << shift
        at += 1
        if b[at - 1] < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def text(b, at):
    n, at = varint(b, at)
    return (None, at) if n < 0 else (b[at:at + n], at + n)


def read_records(batch):
    (base, length, epoch, magic, crc, attributes, last, first_ms, max_ms, pid, pepoch, pseq,
     count) = struct.unpack(">qiibIhiqqqhii", batch[:61])
    need("batch length", length == len(batch) - 12 and magic == 2)
    need("batch CRC", crc == crc32c(batch[21:]))
    need("batch count", last == count - 1)
    body, at, records = batch[61:], 0, []
    if attributes & 7 == 1:
        body = zlib.decompress(body, 31)
    for _ in range(count):
        n, at = varint(body, at)
        end = at + n
        dt, p = varint(body, at + 1)
        do, p = varint(body, p)
        key, p = text(body, p)
        value, p = text(body, p)
        headers, p = varint(body, p)
        for _ in range(headers):
            _, p = text(body, p)
            _, p = text(body, p)
        need("record length", p == end)
        records.append((base + do, first_ms + dt, key, value))
        at = end
    need("bytes behind the records", at == len(body))
    return records


def read_segment(d):
    need("segment magic", d[:8] == b"KAPPASEG")
    need("segment checksum", u64(d, 4088) == xxh3(0x474553415050414B, d[:4088]))
    version, header_len, partition = struct.unpack_from("<HHI", d, 8)
    need("segment version", version == 1 and header_len == 4096)
    secret = d[32:48]
    offset, _, link, _, _, name_len = struct.unpack_from("<qQQIIH", d, 48)
    need("zeros behind the name", not any(d[82 + name_len:4088]))
    seed, body_seed = xxh3(0x726468617070616B, secret), xxh3(0x796462617070616B, secret)
    frames, sequence, at = [], 0, 4096
    while at < len(d):
        h = d[at:at + 80]
        need("frame magic", h[:4] == b"KPFM")
        need("frame header checksum", u64(h, 72) == xxh3(seed, h[:72]))
        (_, version, flags, length, principal, seq, base, delta, epoch, time_ns, durable, this_link,
         body_hash) = struct.unpack("<IHHIIQqIIqQQQ", h[:72])
        body = d[at + 80:at + 80 + length]
        need("frame link", this_link == xxh3(seed, struct.pack("<Q", link) + h[:56] + h[64:72]))
        need("frame base offset", base == offset)
        link = this_link
        if flags & 2:
            need("padding", not any(body) and body_hash == xxh3(body_seed, b""))
        else:
            need("frame body checksum", len(body) == length and body_hash == xxh3(body_seed, body))
            need("sequence ascends", seq > sequence)
            records = read_records(body)
            need("frame offsets", records[0][0] == base and len(records) == delta + 1)
            frames.append(dict(pos=at, length=length, sequence=seq, base_offset=base, link="%016x" % link,
                               header_hash=u64(h, 72), max_ms=struct.unpack_from(">q", body, 35)[0], records=records))
            offset, sequence = base + delta + 1, seq
        at += 80 + length
    return dict(topic=d[82:82 + name_len].decode(), partition=partition, frames=frames, bytes=len(d))


def read_index(d, segment):
    s = 0x786469617070616B
    need("index magic", d[:4] == b"KKIX")
    need("index checksum", u64(d, 56) == xxh3(s, d[:56]))
    _, sealed, _, count, segment_bytes = struct.unpack_from("<HHqQI", d, 4)
    need("index is sealed", sealed == 1 and count == len(segment["frames"]) and segment_bytes == segment["bytes"])
    need("index entries' checksum", u64(d, 40) == xxh3(s, d[64:]))
    last = segment["frames"][-1]
    need("index end offset", u64(d, 48) == last["base_offset"] + len(last["records"]))
    newest = -1
    for i, f in enumerate(segment["frames"]):
        newest = max(newest, f["max_ms"])
        need("index entry", struct.unpack_from("<qIIqQ", d, 64 + 32 * i) ==
             (f["base_offset"], f["pos"], f["length"] + 80, newest, f["sequence"]))


def read_journal(d, segment_bytes, segment):
    need("journal magic", d[:4] == b"KPJL")
    need("journal checksum", u64(d, 4088) == xxh3(0x6C6E726A6170706B, d[:4088]))
    seed, body_seed = xxh3(0x7264686A6170706B, d[24:40]), xxh3(0x7964626A6170706B, d[24:40])
    at, kinds, found = 4096, [], {f["pos"]: f for f in segment["frames"]}
    while at < len(d):
        (magic, version, kind, length, used, items_at, items, epoch, _, number) = struct.unpack_from("<IHHIIIIIIQ", d, at)
        e = d[at:at + length]
        need("entry magic", e[:4] == b"KPEN")
        need("entry header checksum", u64(e, 120) == xxh3(seed, e[:120]))
        need("entry body checksum", u64(e, 112) == xxh3(body_seed, e[128:]))
        need("items' checksum", u64(e, 104) == xxh3(body_seed, e[items_at:used]))
        for i in range(items):
            item = e[items_at + 64 * i:items_at + 64 * i + 64]
            pos, n, where = struct.unpack_from("<III", item, 32)
            need("item's frame", e[where:where + n] == segment_bytes[pos:pos + n])
            need("item's checksum", u64(item, 56) == found[pos]["header_hash"])
        kinds.append(kind)
        at += length
    need("entries", kinds == [1, 3])


def read_small(d, magic, seed, header, body):
    need(magic + " magic", d[:4] == magic.encode())
    need(magic + " header checksum", u64(d, header - 8) == xxh3(seed, d[:header - 8]))
    need(magic + " checksum", u64(d, body) == xxh3(seed, d[header:]))


def golden(name):
    with open(os.path.join(GOLDEN, name), "rb") as f:
        return f.read()


# ---- the tests ----
def test_a_stranger_reads_the_segment():
    s = read_segment(golden("segment.log"))
    need("topic", (s["topic"], s["partition"]) == ("golden.orders", 3))
    records = [r for f in s["frames"] for r in f["records"]]
    need("offsets", [r[0] for r in records] == list(range(1000, 1005)))
    need("records", records[0][1:] == (1740830400000, b"order-1", b'{"amount":5}') and
         records[1][3] is None and records[2][2] is None and records[4][1:] == (1740830402000, b"k", b"v"))


def test_a_stranger_reads_the_caches_the_journal_and_the_checkpoint():
    raw = golden("segment.log")
    s = read_segment(raw)
    read_index(golden("segment.idx"), s)
    read_journal(golden("journal-0"), raw, s)
    read_small(golden("segment.snap"), "KPSN", 0x706E73617070616B, 64, 48)
    read_small(golden("checkpoint-0"), "KPKP", 0x706B6361707061, 128, 112)


def test_every_flipped_byte_of_the_frames_is_noticed():
    raw = golden("segment.log")
    for at in list(range(0, 100)) + list(range(4088, len(raw))):
        bent = bytearray(raw)
        bent[at] ^= 1 << at % 8
        try:
            read_segment(bytes(bent))
        except (Bad, struct.error, IndexError, zlib.error):
            continue
        raise Bad("a flip at %d was not noticed" % at)


def test_the_example_in_the_specification_is_what_the_file_has():
    with open(os.path.join(ROOT, "log/FORMAT.md")) as f:
        lines = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2,} )*[0-9a-f]{2,})  ", f.read(), re.M)
    need("ten lines or more", len(lines) >= 10)
    raw = golden("segment.log")
    for at, digits in lines:
        want = bytes.fromhex(digits.replace(" ", ""))
        need("line " + at, raw[int(at, 16):int(at, 16) + len(want)] == want)


def test_kappa_dump_says_the_same():
    kappa = os.environ.get("KAPPA")
    if not kappa or not os.path.exists(kappa):
        return "no program to ask"
    s = read_segment(golden("segment.log"))
    out = subprocess.run([kappa, "dump", os.path.join(GOLDEN, "segment.log"), "--deep", "--json"], capture_output=True)
    if out.returncode == 2 or b"not implemented" in out.stderr:
        return "this program has no dump"
    lines = [json.loads(line) for line in out.stdout.splitlines()]
    need("exit 0", out.returncode == 0)
    frames = [line for line in lines if line["kind"] == "frame"]
    need("frames", [(f["pos"], f["sequence"], f["base_offset"], f["link"]) for f in frames] ==
         [(f["pos"], f["sequence"], f["base_offset"], f["link"]) for f in s["frames"]])
    records = [(line["offset"], line["timestamp"]) for line in lines if line["kind"] == "record"]
    need("records", records == [r[:2] for f in s["frames"] for r in f["records"]])
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
