# SPDX-License-Identifier: Apache-2.0
"""kappa import and kappa export as commands: a Kafka log directory made here from the published format, what real clients
produced on its way out and in again, and a reader of Kafka's files that owes nothing to the program."""
import base64
import os
import signal
import struct
import subprocess
import time
import uuid

import confluent_kafka

import harness

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(n):
    n = n << 1 ^ n >> 63
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def batch(base, time_ms, values, epoch=0, attributes=0, pid=-1, pepoch=-1, seq=-1):
    body = b""
    for i, v in enumerate(values):
        r = b"\0" + varint(0) + varint(i) + varint(-1) + varint(len(v)) + v + varint(0)
        body += varint(len(r)) + r
    tail = struct.pack(">hiqqqhii", attributes, len(values) - 1, time_ms, time_ms, pid, pepoch, seq, len(values)) + body
    return struct.pack(">qiib", base, len(tail) + 9, epoch, 2) + struct.pack(">I", crc32c(tail)) + tail


def parse(data):
    """(position, base, last offset, max timestamp, attributes, producer) of each batch of a segment, checked."""
    at, out = 0, []
    while at < len(data):
        base, length, _, magic, crc = struct.unpack_from(">qiibI", data, at)
        assert magic == 2 and crc == crc32c(data[at + 21:at + 12 + length]), "batch at %d" % at
        attributes, delta, _, max_ms, pid = struct.unpack_from(">hiqqq", data, at + 21)
        out.append((at, base, base + delta, max_ms, attributes, pid))
        at += 12 + length
    assert at == len(data)
    return out


def read(path):
    with open(path, "rb") as f:
        return f.read()


def check_partition(path, end):
    """Everything in a Kafka partition's directory agrees with its batches; the bytes of all segments."""
    names = sorted(os.listdir(path))
    segments = [n for n in names if n.endswith(".log")]
    following, whole = None, b""
    for name in segments:
        base, data = int(name[:20]), read(os.path.join(path, name))
        batches = parse(data)
        assert not batches or batches[0][1] >= base
        for b in batches:
            assert following is None or b[1] == following, "offset %d where %s is due" % (b[1], following)
            following = b[2] + 1
        starts = {b[0]: b for b in batches}
        entries = list(struct.iter_unpack(">ii", read(os.path.join(path, name[:20] + ".index"))))
        for relative, pos in entries:
            assert pos in starts and starts[pos][1] <= base + relative <= starts[pos][2], "index entry %d %d" % (relative, pos)
        assert entries == sorted(entries) and (len(batches) < 4 or len(data) < 8192 or entries), "index of %s" % name
        times = list(struct.iter_unpack(">qi", read(os.path.join(path, name[:20] + ".timeindex"))))
        assert times == sorted(times)
        for ms, relative in times:
            assert ms == max(b[3] for b in batches if b[1] <= base + relative), "time index %d %d" % (ms, relative)
        if base and not name.startswith("0" * 20):
            state = read(os.path.join(path, name[:20] + ".snapshot"))
            assert struct.unpack_from(">hI", state) == (1, crc32c(state[6:]))
        whole += data
    assert following == end, "ends at %s" % following
    aborted = b"".join(read(os.path.join(path, n)) for n in names if n.endswith(".txnindex"))
    version, count, *epochs = read(os.path.join(path, "leader-epoch-checkpoint")).decode().splitlines()
    assert version == "0" and int(count) == len(epochs)
    assert read(os.path.join(path, "partition.metadata")).startswith(b"version: 0\ntopic_id: ")
    return whole, list(struct.iter_unpack(">hqqqq", aborted))


def made(t, topic, partitions, batches):
    """A Kafka log directory as the format says: batches of three records, partition after partition in time."""
    root, topic_id = t.path("kafka"), uuid.uuid4()
    wrote = {}
    for p in range(partitions):
        path = os.path.join(root, "%s-%d" % (topic, p))
        os.makedirs(path)
        log = b""
        for i in range(batches):
            ms = 1700000000000 + 1000 * (i * partitions + p)
            log += batch(3 * i, ms, [b"%d-%d-%d" % (p, i, k) for k in range(3)], epoch=7)
        wrote[p] = log
        name = os.path.join(path, "%020d" % 0)
        for suffix, content in ((".log", log), (".index", b""), (".timeindex", b""), (".txnindex", b"")):
            with open(name + suffix, "wb") as f:
                f.write(content)
        state = b"\0\0\0\0"
        with open(os.path.join(path, "%020d.snapshot" % (3 * batches)), "wb") as f:
            f.write(struct.pack(">hI", 1, crc32c(state)) + state)
        with open(os.path.join(path, "leader-epoch-checkpoint"), "w") as f:
            f.write("0\n1\n7 0\n")
        with open(os.path.join(path, "partition.metadata"), "w") as f:
            f.write("version: 0\ntopic_id: %s\n" % base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("="))
    with open(os.path.join(root, "meta.properties"), "w") as f:
        f.write("version=1\ncluster.id=x\n")
    return root, topic_id, wrote


def kappa(code, *args):
    p = subprocess.run([harness.KAPPA] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert p.returncode == code, "%s: exit %d\n%s%s" % (args, p.returncode, p.stdout.decode(), p.stderr.decode())
    return p.stdout.decode(), p.stderr.decode()


def test_a_directory_from_the_published_format(t):
    root, topic_id, wrote = made(t, "made", 3, 50)
    out, err = kappa(0, "import", root, "--data", t.path("data"), "--progress=json")
    assert "action=imported topic=made partitions=3 batches=150 records=450" in out, out
    s = t.server("data")
    assert [r["id"] for r in s.rows("topic", "list") if r["name"] == "made"] == [str(topic_id)]
    for p in range(3):
        got = s.ok("consume", "made", "-p", str(p), "-f", "%o %v\\n").split("\n")[:-1]
        assert got == ["%d %d-%d-%d" % (3 * i + k, p, i, k) for i in range(50) for k in range(3)]
    assert s.stop() == 0
    kappa(0, "export", "made", "--format", "kafka-segments", "--out", t.path("out"), "--data", s.data)
    for p in range(3):
        whole, aborted = check_partition(t.path("out/made-%d" % p), 150)
        assert whole == wrote[p] and not aborted
        assert read(t.path("out/made-%d/partition.metadata" % p)).strip() == read(os.path.join(root, "made-%d" % p, "partition.metadata")).strip()
    kappa(4, "import", root, "--data", s.data)  # there is a topic of that name
    kappa(0, "import", root, "--data", s.data, "--topic", "made", "--as", "again")
    kappa(0, "fsck", "--data", s.data)


def test_what_clients_wrote_goes_out_and_in_again(t):
    s = t.server("data")
    s.ok("topic", "create", "t", "-p", "2", "-c", "segment.bytes=1048576")
    for codec in ("none", "gzip", "lz4", "zstd"):
        p = confluent_kafka.Producer({"bootstrap.servers": s.kafka, "compression.type": codec, "enable.idempotence": True, "log_level": 0})
        for i in range(600):
            p.produce("t", b"%s-%d " % (codec.encode(), i) + os.urandom(900), key=b"k%d" % i, partition=i % 2, headers={"h": b"1"})
        assert p.flush(harness.PATIENCE) == 0
    p = confluent_kafka.Producer({"bootstrap.servers": s.kafka, "transactional.id": "x", "log_level": 0})
    p.init_transactions(harness.PATIENCE)
    for commit in (True, False, True):
        p.begin_transaction()
        p.produce("t", b"committed" if commit else b"aborted", partition=0)
        p.flush(harness.PATIENCE)
        p.commit_transaction(harness.PATIENCE) if commit else p.abort_transaction(harness.PATIENCE)
    fmt = "%p %o %d %k %v %h\\n"
    args = ["consume", "t", "-X", "isolation.level=read_committed", "-f", fmt, "-p"]
    before = [s.run(*args, str(n)).stdout for n in range(2)]
    assert s.stop() == 0
    kappa(0, "export", "t", "--format", "kafka-segments", "--out", t.path("out"), "--data", s.data)
    first = {}
    for n in range(2):
        last = max(b[2] for name in os.listdir(t.path("out/t-%d" % n)) if name.endswith(".log")
                   for b in parse(read(t.path("out/t-%d/%s" % (n, name)))))
        first[n], aborted = check_partition(t.path("out/t-%d" % n), last + 1)
        assert len(aborted) == (1 - n), aborted
    kappa(0, "import", t.path("out"), "--data", t.path("new"), "--as", "t")
    new = t.server("new")
    assert [new.run(*args, str(n)).stdout for n in range(2)] == before
    assert "aborted" not in before[0] and before[0].count("committed") == 2
    assert new.stop() == 0
    kappa(0, "export", "t", "--format", "kafka-segments", "--out", t.path("out2"), "--data", new.data)
    for n in range(2):
        whole = b"".join(read(t.path("out2/t-%d/%s" % (n, name))) for name in sorted(os.listdir(t.path("out2/t-%d" % n))) if name.endswith(".log"))
        assert whole == first[n], "partition %d is not the same, byte for byte" % n
    kappa(0, "fsck", "--data", new.data)


def state(data):
    """Everything below a directory: names, contents, times."""
    found = {}
    for folder, dirs, files in os.walk(data):
        for name in dirs + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            found[path] = (st.st_mtime_ns, st.st_size, read(path) if os.path.isfile(path) else None)
    return found


def export_reads(t, code, data, out, **more):
    args = [harness.KAPPA, "export", "t", "--format", "kafka-segments", "--out", out, "--data", data]
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)
    assert p.returncode == code, (p.returncode, p.stdout, p.stderr)
    return p.stderr.decode()


def filled_and_killed(t):
    s = t.server("data", args=["--native", "off"])
    s.ok("topic", "create", "t", "-c", "segment.bytes=4000")
    for i in range(8):
        s.ok("produce", "t", input="".join("%d-%d\n" % (i, j) * 50 for j in range(3)))
    assert "LOCKED" in export_reads(t, 4, s.data, t.path("none"))
    os.unlink(os.path.join(s.data, "lock"))
    assert "LOCKED" in export_reads(t, 4, s.data, t.path("none"))
    s.kill()
    return s


def exported(path):
    return b"".join(read(os.path.join(path, n)) for n in sorted(os.listdir(path)) if n.endswith(".log"))


def test_export_only_reads(t):
    s = filled_and_killed(t)
    # of the segment the last page is gone: what it had is in the journal alone
    last = max(n for n in os.listdir(os.path.join(s.data, "topics", "t-0")) if n.endswith(".log"))
    os.truncate(os.path.join(s.data, "topics", "t-0", last), 4096)
    before = state(s.data)
    export_reads(t, 0, s.data, t.path("out"))
    assert state(s.data) == before
    assert check_partition(t.path("out/t-0"), 8 * 150)
    s.start()
    assert s.stop() == 0
    export_reads(t, 0, s.data, t.path("after"))
    assert exported(t.path("after/t-0")) == exported(t.path("out/t-0"))


def test_export_needs_no_right_to_write(t):
    s = filled_and_killed(t)
    if os.getuid() != 0:
        raise harness.Skip("no other user to be")
    out = t.path("out")
    os.mkdir(out, 0o777)
    os.chmod(out, 0o777)
    for folder, dirs, files in os.walk(s.data):
        os.chmod(folder, 0o755)
        for name in set(files) - {"http.token"}:
            os.chmod(os.path.join(folder, name), 0o644)
    folder = os.path.dirname(s.data)
    while folder != "/tmp" and len(folder) > 1:
        os.chmod(folder, os.stat(folder).st_mode | 0o055)
        folder = os.path.dirname(folder)
    open(os.path.join(s.data, "lock"), "w").close()
    os.chmod(os.path.join(s.data, "lock"), 0o600)

    def nobody():
        os.setgid(65534)
        os.setuid(65534)
    export_reads(t, 0, s.data, out + "/x", preexec_fn=nobody)
    assert check_partition(out + "/x/t-0", 8 * 150)
    s.start()
    assert "LOCKED" in export_reads(t, 4, s.data, out + "/y", preexec_fn=nobody)


def test_export_from_a_read_only_file_system(t):
    s = filled_and_killed(t)
    at = t.path("ro")
    os.mkdir(at)
    for args in (["--bind", s.data, at], ["-o", "remount,ro,bind", at]):
        p = subprocess.run(["mount"] + args, stderr=subprocess.PIPE)
        if p.returncode != 0:
            subprocess.run(["umount", "-l", at], stderr=subprocess.DEVNULL)
            raise harness.Skip("no read-only mount: " + p.stderr.decode().strip())
    try:
        export_reads(t, 0, at, t.path("out"))
        assert check_partition(t.path("out/t-0"), 8 * 150)
        kappa(0, "fsck", "--data", at)
        s.start()
        assert "LOCKED" in export_reads(t, 4, at, t.path("none"))
    finally:
        subprocess.run(["umount", "-l", at])


def test_an_interrupted_import_is_taken_away_by_the_next(t):
    root, _, _ = made(t, "made", 2, 3)
    big = batch(9, 1700000000000, [b"x" * 500000])
    with open(os.path.join(root, "made-0", "%020d.log" % 0), "ab") as f:
        for i in range(400):
            f.write(struct.pack(">q", 9 + i) + big[8:])  # outside of the CRC
    data = t.path("data")
    p = subprocess.Popen([harness.KAPPA, "import", root, "--data", data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while p.poll() is None and not os.path.exists(os.path.join(data, "import")):
        time.sleep(0.001)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert os.path.exists(os.path.join(data, "import")), "it was too fast"
    kappa(0, "fsck", "--data", data)
    s = t.server("data")  # a server does not mind
    assert "made" not in [r["name"] for r in s.rows("topic", "list")]
    assert s.stop() == 0
    kappa(0, "import", root, "--data", data)
    assert not os.path.exists(os.path.join(data, "import")), "something is left"
    s.start()
    assert len(s.ok("consume", "made", "-p", "0", "-f", "%o\\n").split()) == 409


harness.main(globals())
