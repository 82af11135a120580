# SPDX-License-Identifier: Apache-2.0
"""Bad input from outside: the server answers clearly and goes on."""
import os
import socket
import struct
import subprocess
import time

import harness


def connect(s):
    host, port = s.kafka.rsplit(":", 1)
    c = socket.create_connection((host, int(port)), timeout=harness.PATIENCE)
    c.settimeout(harness.PATIENCE)
    return c


def closed(c):
    try:
        return c.recv(1) == b""
    except ConnectionResetError:
        return True


def request(api, version, body, correlation=7, client=b"t"):
    head = struct.pack(">hhih", api, version, correlation, len(client)) + client
    return struct.pack(">i", len(head) + len(body)) + head + body


def answer(c):
    n = struct.unpack(">i", exactly(c, 4))[0]
    return exactly(c, n)


def exactly(c, n):
    out = b""
    while len(out) < n:
        piece = c.recv(n - len(out))
        assert piece, "closed after %d of %d bytes" % (len(out), n)
        out += piece
    return out


def alive(s):
    s.ok("produce", "alive", input="x\n")


def test_garbage_and_bad_frames_close_only_their_connection(t):
    s = t.server()
    s.ok("topic", "create", "alive")
    frames = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4, struct.pack(">i", 0), struct.pack(">i", 2) + b"\0\0", struct.pack(">i", 2 ** 31 - 1),
              struct.pack(">i", 20) + os.urandom(20), request(3, 1, struct.pack(">i", 2 ** 31 - 1)), request(3, 1, b"\0\0\0\1\0\5ab"),
              request(99, 0, b""), request(0, 99, b"")]
    for frame in frames:
        c = connect(s)
        c.sendall(frame)
        assert closed(c), frame[:40]
        c.close()
        alive(s)
    c = connect(s)  # half a frame, then silence, then gone
    c.sendall(struct.pack(">i", 100) + b"abc")
    c.close()
    alive(s)


def test_unknown_ApiVersions_version_is_answered_in_version_0(t):
    s = t.server()
    c = connect(s)
    c.sendall(request(18, 77, b""))
    a = answer(c)
    correlation, error, count = struct.unpack(">ihi", a[:10])
    assert (correlation, error) == (7, 35) and count >= 1
    keys = [struct.unpack(">hhh", a[10 + 6 * i:16 + 6 * i]) for i in range(count)]
    assert any(k[0] == 18 for k in keys)
    c.sendall(request(18, 0, b""))
    assert struct.unpack(">ih", answer(c)[:6]) == (7, 0)


def test_versions_and_keys_that_are_not_served_close_the_connection(t):
    s = t.server()
    s.ok("topic", "create", "alive")
    c = connect(s)
    c.sendall(request(18, 0, b""))
    a = answer(c)
    count = struct.unpack(">i", a[6:10])[0]
    served = {k: (low, high) for k, low, high in (struct.unpack(">hhh", a[10 + 6 * i:16 + 6 * i]) for i in range(count))}
    for api, (low, high) in served.items():
        for version in {low - 1, high + 1, 32767} - ({-1} if api == 18 else set()):
            if api == 18 or version < 0 and low > 0:
                continue
            c = connect(s)
            c.sendall(request(api, version, b"\0" * 64))
            assert closed(c), (api, version)
    alive(s)


def test_oversized_counts_in_every_request_are_refused(t):
    s = t.server()
    s.ok("topic", "create", "alive")
    rss = lambda: int([x for x in open("/proc/%d/status" % s.process.pid) if x.startswith("VmRSS")][0].split()[1])
    before = rss()
    big = struct.pack(">i", 2 ** 31 - 1)
    bodies = {3: big, 2: struct.pack(">i", -1) + big, 8: b"\0\1g" + struct.pack(">i", -1) + b"\0\0" + struct.pack(">q", -1) + big,
              9: b"\0\1g" + big, 19: big, 20: big, 15: big, 42: big, 32: big, 37: big, 21: big,
              0: b"\xff\xff\xff\xff" + struct.pack(">i", 1000) + big, 1: struct.pack(">iiii", -1, 100, 1, 1000000) + b"\0" + big}
    versions = {3: 1, 2: 1, 8: 2, 9: 1, 19: 2, 20: 1, 15: 0, 42: 0, 32: 1, 37: 0, 21: 0, 0: 3, 1: 4}
    for api, body in bodies.items():
        c = connect(s)
        c.sendall(request(api, versions[api], body))
        assert closed(c), api
    alive(s)
    assert rss() - before < 16 * 1024, "%d KiB more" % (rss() - before)


def test_broken_json_and_sql_over_http_are_problems(t):
    s = t.server()

    def post(path, body, kind):
        head = "POST %s HTTP/1.1\r\nHost: %s\r\nX-Kappa: 1\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
            path, s.http, s.token, kind, len(body))
        host, port = s.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=harness.PATIENCE) as c:
            c.sendall(head.encode() + body)
            out = b""
            while True:
                piece = c.recv(65536)
                if not piece:
                    return int(out.split()[1]), out
                out += piece

    for path, body, kind in (("/v1/sql", b"SELEC 1", "application/sql"), ("/v1/sql", b"SELECT 'open", "application/sql"), ("/v1/sql", b"\xff\xfe", "application/sql"),
                             ("/v1/sql", b'{"sql": ', "application/json"), ("/v1/views/none/promote", b"{", "application/json")):
        status, out = post(path, body, kind)
        assert 400 <= status < 500 and b"application/problem+json" in out, (path, body, out)
    s.ok("topic", "create", "still")


def test_random_bytes_in_every_request_are_survived(t):
    s = t.server()
    s.ok("topic", "create", "alive")
    for i in range(200 if harness.SMALL else 1500):
        c = connect(s)
        api, version = t.random.choice([0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 32, 42]), t.random.randrange(0, 12)
        body = bytes(t.random.randrange(256) if t.random.random() < 0.5 else 0 for _ in range(t.random.randrange(120)))
        c.sendall(request(api, version, body))
        c.close()
    alive(s)


def test_a_corrupt_batch_is_refused_and_nothing_is_stored(t):
    s = t.server()
    s.ok("topic", "create", "alive")
    s.ok("produce", "alive", input="good\n")

    def produce(batch):
        c = connect(s)
        body = struct.pack(">hhii", -1, -1, 5000, 1) + struct.pack(">h", 5) + b"alive" + struct.pack(">iii", 1, 0, len(batch)) + batch
        c.sendall(request(0, 3, body))
        a = answer(c)
        c.close()
        return struct.unpack(">h", a[4 + 4 + 2 + 5 + 4 + 4:][:2])[0]

    record = bytes([(7 + 1) * 2, 0, 0, 0, 1, 4]) + b"hi" + bytes([0])
    record = bytes([2 * (len(record) - 1)]) + record[1:]

    def batch(crc=None, magic=2, count=1, delta=0, attributes=0, body=record):
        tail = struct.pack(">hiqqqhii", attributes, delta, 0, 0, -1, -1, -1, count) + body
        value = crc32c(tail) if crc is None else crc
        return struct.pack(">qiib", 0, len(tail) + 9, 0, magic) + struct.pack(">I", value) + tail

    assert produce(batch()) == 0
    assert produce(batch(crc=1)) == 2
    assert produce(batch(count=2)) in (2, 87)
    assert produce(batch(delta=5)) in (2, 87)
    assert produce(batch(count=2 ** 31 - 1, delta=2 ** 31 - 2)) in (2, 87)
    assert produce(batch(magic=1)) in (2, 43, 87)
    assert produce(batch(attributes=32)) == 87
    assert produce(batch(attributes=1, body=os.urandom(50))) == -1
    assert produce(batch(attributes=4, body=os.urandom(50))) == 76, "zstd needs Produce 7"
    assert produce(batch()[:-3]) in (2, 87)
    assert s.ok("consume", "alive", "-f", "%v\\n").split() == ["good", "hi"]


def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_a_second_server_and_a_used_port_are_refused(t):
    s = t.server()
    p = subprocess.run([harness.KAPPA, "serve", "--data", s.data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
                       stderr=subprocess.PIPE, timeout=harness.PATIENCE, env=s.env)
    assert p.returncode == 4, p.stderr
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("other"), "--listen", s.kafka, "--http", "127.0.0.1:0"],
                       stderr=subprocess.PIPE, timeout=harness.PATIENCE, env=s.env)
    assert p.returncode == 1 and b"in use" in p.stderr, p.stderr
    assert str(s.process.pid).encode() in p.stderr, "the one that has the port is named: %s" % p.stderr
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("other"), "--listen", "127.0.0.1:0", "--http", s.http],
                       stderr=subprocess.PIPE, timeout=harness.PATIENCE, env=s.env)
    assert p.returncode == 1 and b"in use" in p.stderr, p.stderr
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("other"), "--listen", "0.0.0.0:0"], stderr=subprocess.PIPE, timeout=harness.PATIENCE, env=s.env)
    assert p.returncode == 4, p.stderr
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("third"), "--set", "no.such.key=1"], stderr=subprocess.PIPE, timeout=harness.PATIENCE, env=s.env)
    assert p.returncode != 0 and b"no.such.key" in p.stderr
    s.ok("topic", "create", "still")


def test_missing_files_and_wrong_files_say_so(t):
    s = t.server()
    for args, code in [(["dump", "/nonexistent"], None), (["fsck", "--data", "/nonexistent"], None), (["fsck"], 2), (["nope"], 2),
                       (["topic", "crate"], 2), (["topic", "create"], 2), (["produce", "x", "--nope"], 2)]:
        p = s.run(*args)
        assert p.returncode != 0 and p.stderr, args
        assert code is None or p.returncode == code, (args, p.returncode)
    junk = t.file("junk.log", "this is no segment" * 400)
    p = s.run("dump", junk)
    assert p.returncode != 0 and p.stderr
    assert s.run("fsck", "--data", s.data).returncode == 4, "a server holds it"
    env = dict(s.client_env(), KAPPA_BOOTSTRAP_SERVERS="127.0.0.1:1", KAPPA_HTTP="http://127.0.0.1:1")
    assert subprocess.run([harness.KAPPA, "view", "list"], env=env, stderr=subprocess.PIPE, timeout=harness.PATIENCE).returncode == 5


def test_a_configuration_that_is_no_file_or_too_long_is_refused(t):
    data = t.path("conf")
    os.makedirs(data)
    conf = os.path.join(data, "kappa.conf")

    def start():
        p = subprocess.run([harness.KAPPA, "serve", "--data", data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
        assert p.returncode not in (0, 70) and p.returncode > 0, p
        return p.stderr.decode()

    os.mkfifo(conf)
    assert "kappa.conf: not a regular file" in start()
    os.unlink(conf)
    os.symlink("/dev/zero", conf)
    assert "kappa.conf: not a regular file" in start()
    os.unlink(conf)
    with open(conf, "wb") as f:
        f.write(b"# a comment\n" * 100000)
    assert "longer than 1048576 bytes" in start()
    with open(conf, "wb") as f:
        f.write(b"num.partitions=2\0\n")
    assert "byte 0" in start()
    for wrong in ["0", "1", "4194303", "68719476737", "9223372036854775807"]:
        with open(conf, "w") as f:
            f.write("kappa.journal.bytes=%s\n" % wrong)
        assert "4194304 to 68719476736 bytes" in start(), wrong
    assert not os.path.exists(os.path.join(data, "journal")), "refused before anything is made"


def test_a_full_disk_refuses_produce_and_recovers(t):
    mount = t.path("small")
    os.mkdir(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", mount], stderr=subprocess.DEVNULL).returncode != 0:
        raise harness.Skip("mounting a tmpfs is not permitted here")
    try:
        s = harness.Server(os.path.join(mount, "data"), ["--set", "kappa.journal.bytes=8388608"])
        s.ok("topic", "create", "fill", "-c", "segment.bytes=1048576")
        s.ok("topic", "create", "small")
        s.ok("produce", "small", input="kept\n")
        line = "x" * 10000 + "\n"
        filled = 0
        for _ in range(40):
            p = s.run("produce", "fill", "-X", "message.timeout.ms=4000", input=line * 200, timeout=harness.PATIENCE)
            filled += int(p.stderr.split("acknowledged=")[1].split()[0])
            if p.returncode != 0:
                break
        else:
            raise AssertionError("48 MiB never filled up: %d records" % filled)
        assert s.process.poll() is None, s.tail()
        assert s.ok("consume", "small").split() == ["kept"], "fetch goes on"
        assert len(s.ok("consume", "fill", "-f", "%o\\n").split()) >= filled
        s.ok("topic", "delete", "fill", "--execute")
        deadline = time.monotonic() + harness.PATIENCE
        while True:
            p = s.run("produce", "small", "-X", "message.timeout.ms=4000", input="again\n", timeout=harness.PATIENCE)
            if p.returncode == 0:
                break
            assert time.monotonic() < deadline, "produce did not resume: " + p.stderr + s.tail()
        assert s.ok("consume", "small").split()[0] == "kept"
        assert s.stop() == 0
        assert s.run("fsck", "--data", s.data).returncode == 0
    except AssertionError as e:
        raise AssertionError("%s\n%s" % (e, s.tail()))
    finally:
        s.kill()
        subprocess.run(["umount", mount])


def test_a_lost_end_is_refused_until_it_is_accepted(t):
    """Acknowledged records are gone from the disk: cut off, then the file with them."""
    s = t.server()
    s.ok("topic", "create", "t")
    s.ok("produce", "t", input="a\nb\nc\n")
    assert s.stop() == 0
    segment = os.path.join(s.data, "topics", "t-0", "%020d.log" % 0)
    for loss in (lambda: os.truncate(segment, 4096 + 20), lambda: os.unlink(segment)):
        loss()
        s.start(wait=False)
        assert s.process.wait(harness.PATIENCE) == 6, s.tail()
        assert "restore it, or start with --accept-lost-suffix REASON" in s.tail(1500), s.tail()
        s.args = ["--accept-lost-suffix", ""]
        s.start(wait=False)
        assert s.process.wait(harness.PATIENCE) == 2, s.tail()
        s.args = ["--accept-lost-suffix", "the disk was swapped"]
        s.start()
        assert "event=lost_suffix_accepted" in s.tail(9000) and 'reason="the disk was swapped"' in s.tail(9000), s.tail()
        s.args = []
        s.ok("produce", "t", input="d\n")
        assert s.stop() == 0
        s.start()
        assert s.ok("consume", "t").split() == ["d"]
        assert s.stop() == 0
        assert s.run("fsck", "--data", s.data).returncode == 0


harness.main(globals())
