#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A reader of a data directory written from log/FORMAT.md alone: no code of the program, no library.

    test/e2e/log_reader.py DIRECTORY     verifies every file and prints what a consumer would get
    test/e2e/log_reader.py FILE.log      the frames of one segment

Every checksum, link, offset, sequence, index entry, journal entry and CRC is checked; what is not as the page says is
`Bad`. The lines are those of test/golden/directory.contents.txt.
"""
import os
import re
import sqlite3
import struct
import sys
import zlib

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
        if n <= 8:
            assert n >= 4, "shorter inputs do not occur"
            seed ^= int.from_bytes((seed & 0xFFFFFFFF).to_bytes(4, "little"), "big") << 32
            first, last = int.from_bytes(d[:4], "little"), int.from_bytes(d[n - 4:n], "little")
            h = (last + (first << 32)) ^ ((u64(SECRET, 8) ^ u64(SECRET, 16)) - seed & M64)
            h ^= ((h << 49 | h >> 15) ^ (h << 24 | h >> 40)) & M64
            h = h * 0x9FB21C651E98DF25 & M64
            h = (h ^ ((h >> 35) + n)) * 0x9FB21C651E98DF25 & M64
            return h ^ (h >> 28)
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


CRC_TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = (_n >> 1) ^ (0x82F63B78 if _n & 1 else 0)
    CRC_TABLE.append(_n)


def crc32c(b):
    crc = 0xFFFFFFFF
    for byte in b:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Bad(Exception):
    pass


def need(what, condition):
    if not condition:
        raise Bad(what)


def zeros(what, b):
    need(what + ": zeros", not any(b))


# ---- record batches ----
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


def lz4_block(b):
    out, at = bytearray(), 0
    while at < len(b):
        token, at = b[at], at + 1
        n = token >> 4
        while n >= 15 and (token >> 4) == 15:
            at += 1
            n += b[at - 1]
            if b[at - 1] != 255:
                break
        out += b[at:at + n]
        at += n
        if at >= len(b):
            break
        back, at = b[at] | b[at + 1] << 8, at + 2
        n = token & 15
        while n >= 15 and (token & 15) == 15:
            at += 1
            n += b[at - 1]
            if b[at - 1] != 255:
                break
        need("LZ4 offset", 0 < back <= len(out))
        for _ in range(n + 4):
            out.append(out[-back])
    return bytes(out)


def lz4_frame(b):
    need("LZ4 frame", b[:4] == b"\x04\x22\x4d\x18" and b[4] >> 6 == 1)
    at, out = 7 + (8 if b[4] & 8 else 0), b""
    while True:
        size = int.from_bytes(b[at:at + 4], "little")
        at += 4
        if size == 0:
            return out
        block = b[at:at + (size & 0x7FFFFFFF)]
        out += block if size >> 31 else lz4_block(block)
        at += len(block) + (4 if b[4] & 16 else 0)


def snappy_block(b):
    size = at = shift = 0
    while True:
        size |= (b[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if b[at - 1] < 128:
            break
    out = bytearray()
    while at < len(b):
        tag, at = b[at], at + 1
        kind, n = tag & 3, tag >> 2
        if kind == 0:
            more = max(n - 59, 0)
            if more:
                n = int.from_bytes(b[at:at + more], "little")
            out += b[at + more:at + more + n + 1]
            at += more + n + 1
            continue
        width = (0, 1, 2, 4)[kind]
        back = int.from_bytes(b[at:at + width], "little") | ((tag >> 5) << 8 if kind == 1 else 0)
        at += width
        need("snappy offset", 0 < back <= len(out))
        for _ in range((n & 7) + 4 if kind == 1 else n + 1):
            out.append(out[-back])
    need("snappy length", len(out) == size)
    return bytes(out)


def snappy(b):
    if b[:8] != b"\x82SNAPPY\0":
        return snappy_block(b)
    at, out = 16, b""  # as Java clients frame it: blocks with their lengths
    while at < len(b):
        n = int.from_bytes(b[at:at + 4], "big")
        out += snappy_block(b[at + 4:at + 4 + n])
        at += 4 + n
    return out


def zstd(b):
    """None: only its CRC can be verified here."""
    try:
        import zstandard  # Debian: python3-zstandard
    except ImportError:
        return None
    d = zstandard.ZstdDecompressor().decompressobj()
    try:
        out = d.decompress(b)
    except zstandard.ZstdError as e:
        raise Bad("zstd: %s" % e) from e
    need("a whole zstd frame", d.eof)
    return out


def unpack(codec, b):
    if codec == 0:
        return b
    if codec == 1:
        return zlib.decompress(b, 31)
    if codec == 2:
        return snappy(b)
    if codec == 4:
        return zstd(b)
    need("codec %d: there is none" % codec, codec == 3)
    return lz4_frame(b)


class Batch:
    def __init__(self, b):
        (self.base, length, self.leader_epoch, magic, self.crc, self.attributes, self.last, self.first_ms, self.max_ms,
         self.producer, self.epoch, self.sequence, self.count) = struct.unpack(">qiibIhiqqqhii", b[:61])
        need("batch length", length == len(b) - 12 and magic == 2)
        need("batch CRC", self.crc == crc32c(b[21:]))
        body, at, self.records = unpack(self.attributes & 7, b[61:]), 0, []
        self.decoded = body is not None
        for _ in range(self.count if self.decoded else 0):
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
            need("record offset", 0 <= do <= self.last and (not self.records or self.base + do > self.records[-1][0]))
            self.records.append((self.base + do, self.first_ms + dt, key, value))
            at = end
        need("bytes behind the records", not self.decoded or at == len(body))
        self.control = bool(self.attributes & 32)
        self.transactional = bool(self.attributes & 16)


# ---- segments ----
class Segment:
    """Frames up to `end` bytes (None: all), with everything about them checked."""

    def __init__(self, d, end=None):
        need("segment magic", d[:8] == b"KAPPASEG")
        need("segment checksum", u64(d, 4088) == xxh3(0x474553415050414B, d[:4088]))
        self.version, header_len, self.partition = struct.unpack_from("<HHI", d, 8)
        need("segment version", self.version in (1, 2) and header_len == 4096)
        (self.base, self.first_sequence, self.previous_link, self.epoch, self.generation,
         name_len) = struct.unpack_from("<qQQIIH", d, 48)
        self.topic_id, secret = d[16:32], d[32:48]
        self.topic, self.bytes = d[82:82 + name_len].decode(), len(d) if end is None else end
        self.codec = 65535
        if self.version == 2:
            (self.end, self.last_sequence, self.end_link, self.clean_end, self.original_bytes, self.written,
             self.codec) = struct.unpack_from("<qQQqQqH", d, 1024)
            need("generation of a segment written anew", self.generation > 0 and self.base <= self.end)
            zeros("segment header", d[82 + name_len:1024] + d[1074:4088])
        else:
            zeros("segment header", d[82 + name_len:4088])
        self.seed, self.body_seed = xxh3(0x726468617070616B, secret), xxh3(0x796462617070616B, secret)
        self.frames, self.link, self.next, self.sequence, self.time_ns = [], self.previous_link, self.base, 0, 0
        self.pads = 0
        at = 4096
        while at < self.bytes:
            if not any(d[at:self.bytes]):  # room made ahead
                break
            at += self.frame(d, at)
        need("frames fill the segment", at <= self.bytes)
        if self.version == 2:
            need("end offset", self.next == self.end)

    def frame(self, d, at):
        h = d[at:at + 80]
        need("frame magic", h[:4] == b"KPFM")
        need("frame header checksum", u64(h, 72) == xxh3(self.seed, h[:72]))
        (_, version, flags, length, principal, seq, base, delta, epoch, time_ns, durable, link,
         body_hash) = struct.unpack("<IHHIIQqIIqQQQ", h[:72])
        body = d[at + 80:at + 80 + length]
        hole, pad, direct = flags & 4, flags & 2, flags & 1
        need("frame version and flags", flags < 8 and version == (2 if hole else 1))
        need("frame link", link == xxh3(self.seed, struct.pack("<Q", self.link) + h[:56] + h[64:72]))
        need("frame base offset", base == self.next)
        self.link = link
        if pad:
            zeros("padding", body)
            need("padding's checksum", body_hash == xxh3(self.body_seed, b""))
            self.pads += 1
            return 80 + length
        need("frame body checksum", len(body) == length and body_hash == xxh3(self.body_seed, body))
        need("sequence ascends", seq > self.sequence)
        need("append time ascends", time_ns >= self.time_ns)
        f = dict(pos=at, length=length, flags=flags, sequence=seq, base_offset=base, last=base + delta, header_hash=u64(h, 72),
                 link="%016x" % link, max_ms=-1, batch=None)
        if hole:
            first, batches = struct.unpack("<QQ", body)
            need("hole", length == 16 and self.sequence < first <= seq and 0 < batches <= seq - first + 1)
            f["hole"] = (first, batches)
        else:
            b = f["batch"] = Batch(body)
            need("a batch's frame", b.base == base and b.last == delta)
            need("a batch has all its records until compaction", self.version == 2 or b.count == b.last + 1)
            f["max_ms"] = b.max_ms if b.count else -1
        need("DIRECT frames are aligned", not direct or at % 4096 == 0 or self.version == 2)
        self.frames.append(f)
        self.next, self.sequence, self.time_ns = base + delta + 1, seq, time_ns
        return 80 + length


def read_index(d, s):
    """True when it is sealed."""
    seed = 0x786469617070616B
    need("index magic", d[:4] == b"KKIX")
    need("index checksum", u64(d, 56) == xxh3(seed, d[:56]))
    version, sealed, base, count, size, generation, last_ns = struct.unpack_from("<HHqQIIq", d, 4)
    need("index version", version == 1 and sealed in (0, 1) and base == s.base and generation == s.generation)
    need("whole entries", (len(d) - 64) % 32 == 0)
    entries = (len(d) - 64) // 32
    if sealed:
        need("sealed index", count == entries == len(s.frames) and size == s.bytes and last_ns == s.time_ns)
        need("index entries' checksum", u64(d, 40) == xxh3(seed, d[64:]))
        need("index end offset", u64(d, 48) in (0, s.next))
    else:
        zeros("open index", d[16:28] + d[32:56])
        need("no more entries than frames", entries <= len(s.frames))
    newest = -1
    for i, f in enumerate(s.frames[:entries]):
        newest = max(newest, f["max_ms"])
        need("index entry", struct.unpack_from("<qIIqQ", d, 64 + 32 * i) ==
             (f["base_offset"], f["pos"], f["length"] + 80, newest, f["sequence"]))
    return bool(sealed)


def read_snap(d):
    seed = 0x706E73617070616B
    need("snapshot magic", d[:4] == b"KPSN")
    need("snapshot header checksum", u64(d, 56) == xxh3(seed, d[:56]))
    need("snapshot checksum", u64(d, 48) == xxh3(seed, d[64:]))
    version, zero, topic, partition, zero2, offset, count = struct.unpack_from("<HH16sIIqQ", d, 4)
    need("snapshot version", version in (1, 2, 3) and zero == zero2 == 0)
    at, snap = 64, dict(offset=offset, partition=partition, topic=topic, producers={}, open=[], aborted=[], sequence=None)
    if version >= 3:
        snap["sequence"] = u64(d, at)
        at += 8
    for _ in range(count):
        pid, last_ns, epoch, batches, zero = struct.unpack_from("<qqHHI", d, at)
        need("snapshot's producer", batches <= 5 and zero == 0)
        snap["producers"][pid] = (epoch, [struct.unpack_from("<IIqQq", d, at + 24 + 32 * i) for i in range(batches)])
        at += 24 + 32 * batches
    if version >= 2:
        opened, aborted = struct.unpack_from("<II", d, at)
        at += 8
        for _ in range(opened):
            snap["open"].append(struct.unpack_from("<qqQqH", d, at))
            zeros("open transaction", d[at + 34:at + 40])
            at += 40
        for _ in range(aborted):
            snap["aborted"].append(struct.unpack_from("<qqqq", d, at))
            at += 32
    need("bytes behind the snapshot", at == len(d))
    return snap


# ---- journal and checkpoint ----
ROUND, MARK, CLEAN, COPY = 1, 2, 3, 4


class Entry:
    def __init__(self, d, at, seed, body_seed):
        (magic, version, self.kind, self.length, self.used, items_at, items, self.epoch, zero, self.number, self.first,
         self.last, self.checkpoint, self.producer_ids, self.written, self.lazy) = struct.unpack_from("<4sHHIIIIIIQQQQQqQ", d, at)
        e = self.bytes = d[at:at + self.length]
        need("entry magic", magic == b"KPEN")
        need("entry header checksum", u64(e, 120) == xxh3(seed, e[:120]))
        need("entry version and kind", version == 1 and ROUND <= self.kind <= COPY and zero == 0)
        need("entry's lengths", self.length % 4096 == 0 and self.length - 4096 < self.used <= self.length == len(e) and
             self.used == items_at + 64 * items)
        zeros("entry", e[88:104] + e[self.used:])
        need("entry body checksum", u64(e, 112) == xxh3(body_seed, e[128:]))
        need("items' checksum", u64(e, 104) == xxh3(body_seed, e[items_at:self.used]))
        self.items = [struct.unpack_from("<HHI16sqIIIIQQ", e, items_at + 64 * i) for i in range(items)]
        tails = [item[0] == 2 for item in self.items]
        need("tails come first", tails == sorted(tails, reverse=True))
        for kind, flags, _, _, _, pos, n, where, zero, seq, _ in self.items:
            need("item", kind in (1, 2) and zero == 0 and pos >= 4096)
            if not flags & 1:
                need("item's bytes", 128 <= where and where + n <= items_at)


def journal_file(d):
    """(number of the file, good entries with their place): stale ones of earlier laps too."""
    need("journal magic", d[:4] == b"KPJL")
    need("journal checksum", u64(d, 4088) == xxh3(0x6C6E726A6170706B, d[:4088]))
    version, zero, number, zero2, length = struct.unpack_from("<HHIIQ", d, 4)
    need("journal version", version == 1 and zero == zero2 == 0 and number < 4 and length % 4096 == 0)
    zeros("journal header", d[40:4088])
    seed, body_seed = xxh3(0x7264686A6170706B, d[24:40]), xxh3(0x7964626A6170706B, d[24:40])
    at, entries = 4096, []
    while at + 4096 <= len(d):
        try:
            e = Entry(d, at, seed, body_seed)
        except (Bad, struct.error):  # zeros, or what a later lap has left of one
            at += 4096
            continue
        entries.append((at, e))
        at += e.length
    return number, entries


class Checkpoint:
    def __init__(self, d):
        s = 0x706B6361707061
        need("checkpoint magic", d[:4] == b"KPKP")
        need("checkpoint header checksum", u64(d, 120) == xxh3(s, d[:120]))
        (version, self.flags, self.epoch, self.file, self.counter, self.number, self.pos, self.sequence, self.producer_ids,
         self.lazy, self.last_ns, self.written, rows, gaps) = struct.unpack_from("<HHIIQQQQQQqqQI", d, 4)
        need("checkpoint version", version == 1 and self.flags < 2)
        zeros("checkpoint", d[92:112])
        end = 128 + 64 * rows + 16 * gaps
        need("checkpoint checksum", u64(d, 112) == xxh3(s, d[128:end]))
        self.rows = {}
        for i in range(rows):
            r = struct.unpack_from("<16sIIqqQQQ", d, 128 + 64 * i)
            self.rows[r[0], r[1]] = r[2:]
        self.gaps = [struct.unpack_from("<QQ", d, 128 + 64 * rows + 16 * i) for i in range(gaps)]


# ---- a directory ----
def files_of(root, below):
    path = os.path.join(root, below)
    return {n: open(os.path.join(path, n), "rb").read() for n in sorted(os.listdir(path))}


class Journal:
    """What the segments must contain, by (topic id, partition, segment's base offset)."""

    def __init__(self, root):
        files, self.entries, found = files_of(root, "journal"), [], []
        for i in range(4):
            number, entries = journal_file(files["journal-%d" % i])
            need("journal file number", number == i)
            found += entries
        self.record = max((Checkpoint(d) for n, d in files.items() if n.startswith("checkpoint-")), key=lambda c: c.counter)
        self.all = [e for _, e in found]
        self.entries = sorted((e for e in self.all if e.number > self.record.number), key=lambda e: e.number)
        numbers = [e.number for e in self.entries]
        need("no entry is missing", numbers == list(range(self.record.number + 1, self.record.number + 1 + len(numbers))))
        self.frames = {}
        for e in self.entries:
            for kind, flags, partition, topic, base, pos, n, where, _, seq, frame_hash in e.items:
                data = None if flags & 1 else e.bytes[where:where + n]
                self.frames.setdefault((topic, partition, base), []).append((kind, pos, n, data, seq, frame_hash))


class Partition:
    def __init__(self, root, name, journal):
        files = files_of(root, "topics/" + name)
        self.name, self.segments, self.snaps, self.sealed = name, [], [], 0
        logs = []
        for n, d in files.items():
            m = re.fullmatch(r"(\d{20})(?:\.g(\d+))?\.log", n)
            if m:
                logs.append((int(m.group(1)), int(m.group(2) or 0), n, d))
        newer = [(base, g, struct.unpack_from("<q", d, 1024)[0]) for base, g, _, d in logs if g]
        logs = [x for x in logs if not any(g > x[1] and base <= x[0] < end for base, g, end in newer)]
        for base, generation, n, d in logs:
            last = base == logs[-1][0]
            s = Segment(self.with_journal(d, base, last, journal), self.end if last else None)
            need("a segment's name", s.base == base and s.generation == generation)
            if self.segments:
                before = self.segments[-1]
                need("segments follow", s.base == before.next)
                need("links follow", s.previous_link == (before.end_link if before.version == 2 else before.link))
            self.segments.append(s)
            index = n[:-4] + ".idx"
            if index in files:
                self.sealed += read_index(files[index], s)
        for n, d in files.items():
            if n.endswith(".snap"):
                self.snaps.append(read_snap(d))
                need("snapshot's name", self.snaps[-1]["offset"] >= int(n[:20]))
        self.topic_id, self.partition, self.topic = s.topic_id, s.partition, s.topic
        self.end_offset = s.next

    def with_journal(self, d, base, last, journal):
        """The bytes of a segment with what the journal puts back; self.end: where its frames end."""
        key = (d[16:32], struct.unpack_from("<I", d, 12)[0])
        row = journal.record.rows.get(key)
        self.end = row[0] if row and row[2] == base else 4096
        out = bytearray(d)
        for kind, pos, n, data, _, frame_hash in journal.frames.get(key + (base,), []):
            if data is None:
                need("a DIRECT frame is in its segment", u64(d, pos + 72) == frame_hash)
            else:
                out[pos:pos + n] = data
            if kind == 1:
                need("item's checksum", u64(out, pos + 72) == frame_hash)
                self.end = max(self.end, pos + n)
        need("the segment has what the checkpoint says", not row or row[2] != base or len(d) >= row[0])
        return bytes(out)

    def frames(self):
        return [f for s in self.segments for f in s.frames]

    def batches(self):
        return [f["batch"] for f in self.frames() if f["batch"]]

    def transactions(self):
        """(aborted ones below the last stable offset, by marker; that offset)"""
        opened, aborted = {}, []
        for b in self.batches():
            if b.control:
                first = opened.pop(b.producer, None)
                if first is not None and b.records and b.records[0][2][3] == 0:
                    aborted.append((b.producer, first))
            elif b.transactional:
                opened.setdefault(b.producer, b.base)
        stable = min(opened.values(), default=self.end_offset)
        return [a for a in aborted if a[1] < stable], stable


class Directory:
    def __init__(self, root):
        self.journal = Journal(root)
        self.partitions = {n: Partition(root, n, self.journal) for n in sorted(os.listdir(os.path.join(root, "topics")))}
        self.rows = {}
        for b in self.partitions["__kappa_catalog-0"].batches():
            for _, _, key, value in b.records:
                self.rows[key.decode()] = value and dict(line.split("=", 1) for line in value.decode().splitlines())
        self.rows = {k: v for k, v in self.rows.items() if v is not None}
        self.check_catalog()
        self.check_sequences()

    def check_catalog(self):
        for p in self.partitions.values():
            row = self.rows.get("topic/" + p.topic)
            need("%s is in the catalog" % p.name, p.topic == "__kappa_catalog" or
                 row and bytes.fromhex(row["id"].replace("-", "")) == p.topic_id and p.partition < int(row["partitions"]))

    def check_sequences(self):
        """Each was given once, and each that is missing is named."""
        frames = [f for p in self.partitions.values() for f in p.frames()]
        given = [(f["sequence"], f["sequence"]) for f in frames if f["batch"]]
        holes = sum(f["hole"][1] for f in frames if "hole" in f)
        burnt = {(int(row["first_sequence"]), int(row["last_sequence"])) for key, row in self.rows.items()
                 if key.startswith("gap/")} | set(self.journal.record.gaps)
        ranges = sorted(given + list(burnt))
        for (_, last), (first, _) in zip(ranges, ranges[1:]):
            need("sequence %d is given once" % first, first > last)
        need("every sequence is accounted for", ranges[-1][1] == holes + sum(b - a + 1 for a, b in ranges))

    def partition_row(self, p):
        u = p.topic_id.hex()
        uuid = "-".join((u[:8], u[8:12], u[12:16], u[16:20], u[20:]))
        return self.rows.get("partition/%s/%d" % (uuid, p.partition), {})

    def contents(self):
        def field(b):
            return "null" if b is None else "%d:%08x" % (len(b), crc32c(b))

        for name, p in self.partitions.items():
            if name.startswith("__"):
                continue
            row = self.partition_row(p)
            aborted, stable = p.transactions()
            yield "partition %s log_start=%s end=%d stable=%d leader_epoch=%s" % (
                name, row.get("log_start", "0"), p.end_offset, stable, row.get("leader_epoch", "0"))
            for producer, first in aborted:
                yield "aborted %s %d %d" % (name, producer, first)
            for b in p.batches():
                yield "batch %s %d+%d attributes=%d producer=%d epoch=%d sequence=%d count=%d crc=%08x" % (
                    name, b.base, b.last, b.attributes, b.producer, b.epoch, b.sequence, b.count, b.crc)
                if not b.decoded:
                    yield "records %s %d+%d not decoded" % (name, b.base, b.last)
                for offset, ms, key, value in b.records:
                    yield "record %s %d %d %s %s" % (name, offset, ms, field(key), field(value))


# ---- view files ----
def check_view_file(path):
    """Checksums of all pages; how many there are."""
    with open(path, "rb") as f:
        d = f.read()
    need("whole pages", len(d) % 4096 == 0)
    for at in range(0, len(d), 4096):
        page = d[at:at + 4096]
        need("page %d of %s" % (at // 4096 + 1, path), not any(page) or u64(page, 4088) == xxh3(at, page[:4088]))
    return len(d) // 4096


def view_rows(path, sql):
    db = sqlite3.connect("file:%s?mode=rw" % path, uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if os.path.isdir(sys.argv[1]):
        for line in Directory(sys.argv[1]).contents():
            print(line)
        return
    with open(sys.argv[1], "rb") as f:
        for frame in Segment(f.read()).frames:
            print(frame["pos"], frame["sequence"], frame["base_offset"], frame["last"], frame["link"])


if __name__ == "__main__":
    main()
