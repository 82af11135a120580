# SPDX-License-Identifier: Apache-2.0
"""TLS with kcat, the Python clients and bare sockets: certificates of both sides, versions, reload, who breaks the rules."""
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time

import harness
from certificates import Authority


def start(t, listen="SSL://127.0.0.1:0", *extra, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
    ca = Authority(t.dir)
    both = ca.issue("server", "/CN=localhost", key=key)[2]
    args = ["--set", "listeners=" + listen, "--set", "ssl.keystore.location=" + both, "--set", "super.users=User:root;User:ANONYMOUS"]
    for e in extra:
        args += ["--set", e.replace("$CA", ca.path)]
    s = t.server(args=args)
    return s, ca


def flags(ca, *more):
    return [x for p in ("security.protocol=SSL", "ssl.ca.location=" + ca.path) + more for x in ("-X", p)]


def kcat(address, *args, input=None):
    return subprocess.run(["kcat", "-b", address] + list(args), input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)


def context(ca, **kw):
    c = ssl.create_default_context(cafile=ca.path)
    for k, v in kw.items():
        setattr(c, k, v)
    return c


def connect(s):
    host, port = s.kafka.split(":")
    c = socket.create_connection((host, int(port)), timeout=harness.PATIENCE)
    return c


HELLO = struct.pack(">ihhih", 10, 18, 0, 7, -1)  # ApiVersions 0


def hello(c):
    c.sendall(HELLO)
    (n,) = struct.unpack(">i", c.recv(4, socket.MSG_WAITALL) if not isinstance(c, ssl.SSLSocket) else c.recv(4))
    got = b""
    while len(got) < n:
        got += c.recv(n - len(got))
    assert struct.unpack(">ih", got[:6]) == (7, 0)


def test_records_go_through_whole_in_both_versions(t):
    s, ca = start(t, "SSL://127.0.0.1:0", key=("rsa:2048",))
    lines = b"".join(b"%d %s\n" % (i, b"x" * (i % 5000)) for i in range(3000))
    p = kcat(s.kafka, *flags(ca), "-P", "-t", "a", input=lines)
    assert p.returncode == 0, p.stderr
    p = kcat(s.kafka, *flags(ca), "-C", "-t", "a", "-e", "-q")
    assert p.stdout == lines, (len(p.stdout), p.stderr)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with context(ca, minimum_version=version, maximum_version=version).wrap_socket(connect(s), server_hostname="localhost") as c:
            hello(c)
            hello(c)
    old = context(ca)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    try:
        old.wrap_socket(connect(s), server_hostname="localhost")
        raise AssertionError("TLS 1.1 was spoken")
    except ssl.SSLError:
        pass
    s.ok("consume", "a", "-o", "start", "-n", "1", *flags(ca))


def test_large_records_both_ways(t):
    from confluent_kafka import Consumer, Producer, TopicPartition
    s, ca = start(t, "SSL://127.0.0.1:0", "message.max.bytes=20000000")
    conf = {"bootstrap.servers": s.kafka, "security.protocol": "SSL", "ssl.ca.location": ca.path}
    p = Producer(dict(conf, **{"message.max.bytes": 20000000}))
    values = [os.urandom(8000000), b"y" * 12000000, os.urandom(100)]
    for v in values:
        p.produce("big", v)
    assert p.flush(harness.PATIENCE) == 0
    c = Consumer(dict(conf, **{"group.id": "g", "fetch.message.max.bytes": 20000000}))
    c.assign([TopicPartition("big", 0, 0)])
    got = []
    deadline = time.monotonic() + harness.PATIENCE
    while len(got) < 3 and time.monotonic() < deadline:
        m = c.poll(1)
        if m is not None and not m.error():
            got.append(m.value())
    c.close()
    assert got == values, [len(g) for g in got]


def test_only_clients_with_a_certificate_come_in_and_are_named_by_it(t):
    s, ca = start(t, "SSL://127.0.0.1:0,PLAINTEXT://127.0.0.1:0", "ssl.client.auth=required", "ssl.truststore.location=$CA")
    other = Authority(t.dir, "other")
    inside = [x["address"] for x in json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]][1]
    alice = ca.issue("alice", "/C=DE/O=Example, Inc./OU=team/CN=alice")
    mallory = other.issue("mallory", "/C=DE/O=Example, Inc./OU=team/CN=alice")
    s.ok("topic", "create", "a", "-b", inside)
    s.ok("acl", "add", "--allow", "User:CN=alice,OU=team,O=Example\\, Inc.,C=DE", "--operation", "all", "--topic", "a", "-b", inside)

    def who(paths):
        return flags(ca, "ssl.key.location=" + paths[0], "ssl.certificate.location=" + paths[1])
    p = kcat(s.kafka, *who(alice), "-P", "-t", "a", input=b"one\n")
    assert p.returncode == 0, p.stderr
    p = kcat(s.kafka, *who(alice), "-C", "-t", "a", "-e", "-q")
    assert p.stdout == b"one\n", p.stderr
    bob = ca.issue("bob", "/CN=bob")
    p = kcat(s.kafka, *who(bob), "-C", "-t", "a", "-e", "-q")
    assert p.returncode != 0 and not p.stdout, p.stdout
    for wrong in (who(mallory), flags(ca)):
        p = kcat(s.kafka, *wrong, "-L", "-m", "2")
        assert p.returncode != 0 and not p.stdout, p.stdout
    assert "kafka_tls_failed" in s.tail(100000)


def test_rules_name_the_owners_of_certificates(t):
    rules = "RULE:^CN=(.*?),OU=team,.*$/$1@team/L,RULE:^CN=(bob)$/$1/"
    s, ca = start(t, "SSL://127.0.0.1:0,PLAINTEXT://127.0.0.1:0", "ssl.client.auth=required", "ssl.truststore.location=$CA",
                  "ssl.principal.mapping.rules=" + rules)
    inside = [x["address"] for x in json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]][1]
    s.ok("topic", "create", "a", "-b", inside)
    s.ok("acl", "add", "--allow", "User:alice@team", "--operation", "all", "--topic", "a", "-b", inside)

    def who(name, subject):
        paths = ca.issue(name, subject)
        return flags(ca, "ssl.key.location=" + paths[0], "ssl.certificate.location=" + paths[1])
    p = kcat(s.kafka, *who("alice", "/O=Example/OU=team/CN=ALICE"), "-P", "-t", "a", input=b"one\n")
    assert p.returncode == 0, p.stderr
    p = kcat(s.kafka, *who("bob", "/CN=bob"), "-C", "-t", "a", "-e", "-q")
    assert p.returncode != 0 and not p.stdout, p.stdout
    p = kcat(s.kafka, *who("carol", "/CN=carol"), "-L", "-m", "2")  # no rule names her: she does not come in
    assert p.returncode != 0 and not p.stdout, p.stdout
    assert "no rule for the name" in s.tail(100000)


def test_a_listener_has_keys_of_its_own(t):
    s, ca = start(t, "SSL://127.0.0.1:0,OUTSIDE://127.0.0.1:0", "listener.security.protocol.map=OUTSIDE:SSL",
                  "listener.name.outside.ssl.client.auth=required", "listener.name.OUTSIDE.ssl.truststore.location=$CA",
                  "listener.name.outside.ssl.enabled.protocols=TLSv1.3",
                  "listener.name.outside.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/")
    second = ca.issue("outside", "/CN=localhost")[2]
    s.stop()
    s.args += ["--set", "listener.name.outside.ssl.keystore.location=" + second]
    s.start()
    outside = [x["address"] for x in json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]][1]
    p = kcat(s.kafka, *flags(ca), "-L", "-m", "5")
    assert p.returncode == 0, p.stderr
    assert kcat(outside, *flags(ca), "-L", "-m", "2").returncode != 0  # there a certificate is needed
    alice = ca.issue("alice", "/CN=alice")
    mine = flags(ca, "ssl.key.location=" + alice[0], "ssl.certificate.location=" + alice[1])
    p = kcat(outside, *mine, "-L", "-m", "5")
    assert p.returncode == 0, p.stderr
    serials = []
    for address in (s.kafka, outside):
        c = context(ca, maximum_version=ssl.TLSVersion.TLSv1_3)
        c.load_cert_chain(alice[2])
        host, port = address.split(":")
        with c.wrap_socket(socket.create_connection((host, int(port)), timeout=harness.PATIENCE), server_hostname="localhost") as one:
            serials.append(one.getpeercert()["serialNumber"])
    assert serials[0] != serials[1]
    old = context(ca, maximum_version=ssl.TLSVersion.TLSv1_2)
    host, port = outside.split(":")
    try:
        old.wrap_socket(socket.create_connection((host, int(port)), timeout=harness.PATIENCE), server_hostname="localhost")
        raise AssertionError("TLS 1.2 was spoken")
    except ssl.SSLError:
        pass


def test_who_is_refused_is_told_so_though_he_has_sent_more(t):
    s, ca = start(t, "SSL://127.0.0.1:0", "ssl.client.auth=required", "ssl.truststore.location=$CA")
    for _ in range(30):
        try:
            with context(ca, minimum_version=ssl.TLSVersion.TLSv1_3).wrap_socket(connect(s), server_hostname="localhost") as c:
                c.sendall(HELLO * 50)  # in TLS 1.3 the client's handshake is over before the server has seen that it is nobody
                time.sleep(0.02)
                c.sendall(HELLO)
                got = c.recv(1)
            raise AssertionError("served: %r" % got)
        except ssl.SSLError as e:
            assert "CERTIFICATE_REQUIRED" in str(e), e


def test_certificates_may_be_asked_for_and_not_sent(t):
    s, ca = start(t, "SSL://127.0.0.1:0", "ssl.client.auth=requested", "ssl.truststore.location=$CA")
    other = Authority(t.dir, "other").issue("mallory", "/CN=mallory")
    s.ok("topic", "create", "a", *flags(ca))
    p = kcat(s.kafka, *flags(ca), "-L", "-m", "2")
    assert p.returncode == 0, p.stderr
    p = kcat(s.kafka, *flags(ca, "ssl.key.location=" + other[0], "ssl.certificate.location=" + other[1]), "-L", "-m", "2")
    assert p.returncode != 0, p.stdout


def test_sasl_over_tls(t):
    s, ca = start(t, "SASL_SSL://127.0.0.1:0")
    s.ok("user", "create", "root", input="toor\n")
    for m in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        who = flags(ca, "sasl.mechanism=" + m, "sasl.username=root", "sasl.password=toor")
        who[1] = "security.protocol=SASL_SSL"
        p = kcat(s.kafka, *who, "-P", "-t", "a", input=m.encode() + b"\n")
        assert p.returncode == 0, (m, p.stderr)
        who[-1] = "sasl.password=wrong"
        assert kcat(s.kafka, *who, "-L", "-m", "2").returncode != 0
    from kafka import KafkaConsumer, TopicPartition
    c = KafkaConsumer(bootstrap_servers=s.kafka, security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_plain_username="root",
                      sasl_plain_password="toor", ssl_cafile=ca.path, consumer_timeout_ms=1000 * harness.PATIENCE, auto_offset_reset="earliest")
    c.assign([TopicPartition("a", 0)])
    assert [next(c).value for _ in range(3)] == [b"PLAIN", b"SCRAM-SHA-256", b"SCRAM-SHA-512"]
    c.close()
    # encrypted, but nobody: nothing is served
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
        hello(c)
        c.sendall(struct.pack(">ihhih", 10, 3, 1, 1, -1))
        assert c.recv(1) == b""


def serial(s, ca):
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
        return c.getpeercert()["serialNumber"]


def test_certificates_are_read_again_without_dropping_a_connection(t):
    s, ca = start(t)
    path = os.path.join(t.dir, "server.both.pem")
    first = serial(s, ca)
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as old:
        hello(old)
        with open(path, "w") as f:
            f.write("nothing of the kind")
        s.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + harness.PATIENCE
        while "tls_not_reloaded" not in s.tail(100000) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "tls_not_reloaded" in s.tail(100000) and serial(s, ca) == first
        ca.issue("server", "/CN=localhost")
        s.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + harness.PATIENCE
        while serial(s, ca) == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert serial(s, ca) != first
        hello(old)


def test_a_session_is_resumed_by_ticket(t):
    s, ca = start(t)
    c = context(ca, maximum_version=ssl.TLSVersion.TLSv1_2)
    with c.wrap_socket(connect(s), server_hostname="localhost") as one:
        hello(one)
        session = one.session
    with c.wrap_socket(connect(s), server_hostname="localhost", session=session) as two:
        hello(two)
        assert two.session_reused


def test_who_stops_half_way_is_disconnected(t):
    s, ca = start(t, "SSL://127.0.0.1:0", "kappa.authentication.timeout.ms=500")
    silent, half, plain = connect(s), connect(s), connect(s)
    half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the head of a ClientHello
    plain.sendall(HELLO)  # no TLS at all: an alert, or nothing, and the end
    for c in (silent, half, plain):
        while True:
            try:
                if not c.recv(100):
                    break
            except ConnectionResetError:
                break
    for attempt in range(100):  # half a second is short for a busy machine
        try:
            with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
                hello(c)
                break
        except (OSError, AssertionError):
            assert attempt < 99


def test_who_is_admitted_has_all_the_time(t):
    s, ca = start(t, "SSL://127.0.0.1:0", "kappa.authentication.timeout.ms=3000")
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
        hello(c)
        time.sleep(6)
        hello(c)


def is_ended(c):
    """Waits as long as a stopped machine may take."""
    c.settimeout(60)
    try:
        while c.recv(100):
            pass
        return True
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def half_open(s, count):
    some = [connect(s) for _ in range(count)]
    for c in some:
        c.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the head of a ClientHello
    return some


def test_half_open_connections_keep_nobody_out(t):
    s, ca = start(t, "SSL://127.0.0.1:0", "kappa.unauthenticated.connections.max=50")
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as old:
        hello(old)
        half = half_open(s, 200)
        for _ in range(20):
            with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
                hello(c)
        hello(old)
        for c in half:
            c.close()


def test_all_half_open_handshakes_end_with_their_time(t):
    """There is room for all of them: nothing but the limit of time ends one."""
    s, ca = start(t, "SSL://127.0.0.1:0", "kappa.unauthenticated.connections.max=1000", "kappa.authentication.timeout.ms=3000")
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as old:
        hello(old)
        half = half_open(s, 200)
        for _ in range(10):  # served beside them
            with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
                hello(c)
        hello(old)
        assert all([is_ended(c) for c in half])
        hello(old)  # who has shaken hands has no such limit
        for c in half:
            c.close()


def test_noise_leaves_the_server_alive(t):
    s, ca = start(t)
    for i in range(300):
        c = connect(s)
        head = b"\x16\x03\x01" + struct.pack(">H", t.random.randrange(65536)) if i % 2 else b""
        c.sendall(head + bytes(t.random.randrange(256) for _ in range(t.random.randrange(600))))
        c.close()
    # an honest handshake and then noise
    for i in range(50):
        raw = connect(s)
        c = context(ca).wrap_socket(raw, server_hostname="localhost")
        hello(c)
        fd = socket.socket(fileno=os.dup(c.fileno()))
        fd.sendall(b"\x17\x03\x03\x00\x20" + os.urandom(32))
        try:
            assert c.recv(1) == b""
        except (ssl.SSLError, ConnectionResetError):
            pass
        fd.close()
        c.close()
    with context(ca).wrap_socket(connect(s), server_hostname="localhost") as c:
        hello(c)


def test_what_cannot_work_is_refused_at_the_start(t):
    ca = Authority(t.dir)
    key, cert, both = ca.issue("server", "/CN=localhost")
    other = ca.issue("other", "/CN=other")[0]

    def refused(text, *pairs):
        args = [x for p in ("listeners=SSL://127.0.0.1:0",) + pairs for x in ("--set", p)]
        p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("none"), "--http", "127.0.0.1:0"] + args, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=harness.PATIENCE)
        err = p.stderr.decode()
        assert p.returncode != 0 and text in err, (pairs, p.returncode, err)
    refused("ssl.keystore.location")
    refused("cannot read", "ssl.keystore.location=/does/not/exist")
    refused("private key", "ssl.keystore.location=" + cert)
    refused("certificate", "ssl.keystore.location=" + key)
    refused("key", "ssl.certificate.location=" + cert, "ssl.key.location=" + other)
    refused("PEM", "ssl.keystore.location=" + both, "ssl.keystore.type=JKS")
    refused("ssl.truststore.location", "ssl.keystore.location=" + both, "ssl.client.auth=required")
    refused("authority", "ssl.keystore.location=" + both, "ssl.client.auth=required", "ssl.truststore.location=" + key)
    refused("ssl.client.auth", "ssl.keystore.location=" + both, "ssl.client.auth=maybe")
    refused("TLSv1.1", "ssl.keystore.location=" + both, "ssl.enabled.protocols=TLSv1.1")
    refused("ssl.principal.mapping.rules", "ssl.keystore.location=" + both, "ssl.principal.mapping.rules=RULE:(/y/")
    refused("there is no such listener", "ssl.keystore.location=" + both, "listener.name.other.ssl.client.auth=none")
    refused("has no TLS", "listeners=SSL://127.0.0.1:0,PLAINTEXT://127.0.0.1:0", "ssl.keystore.location=" + both,
            "listener.name.plaintext.ssl.client.auth=none")
    refused("not obeyed", "ssl.keystore.location=" + both, "listener.name.ssl.sasl.enabled.mechanisms=PLAIN")
    refused("--insecure-listen", "listeners=SSL://0.0.0.0:0", "ssl.keystore.location=" + both)
    refused("not obeyed", "ssl.cipher.suites=x")


harness.main(globals())
