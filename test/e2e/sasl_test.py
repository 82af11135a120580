# SPDX-License-Identifier: Apache-2.0
"""SASL: users by `kappa user`, and what kcat, the Python clients and the tools can do with them."""
import socket
import struct
import subprocess
import time

import harness

LISTEN = ["--set", "listeners=SASL_PLAINTEXT://127.0.0.1:0", "--set", "super.users=User:root"]
WITH_PLAIN = LISTEN + ["--set", "kappa.sasl.plain.without.tls=true"]
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]


def properties(user, password, mechanism="SCRAM-SHA-256"):
    return ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=" + mechanism, "sasl.username=" + user, "sasl.password=" + password]


def flags(*args):
    return [x for p in properties(*args) for x in ("-X", p)]


def kcat(s, who, *args, input=None):
    return subprocess.run(["kcat", "-b", s.kafka] + who + list(args), input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=harness.PATIENCE)


def server(t, args=WITH_PLAIN, **kw):
    s = t.server(args=args, **kw)
    s.ok("user", "create", "root", input="toor\n")
    s.ok("user", "create", "alice", input="wonder land\n")
    return s


def test_users_are_made_listed_changed_and_removed(t):
    s = server(t)
    both = [{"user": "alice", "mechanism": m, "iterations": 4096} for m in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    assert s.rows("user", "list")[:2] == both
    p = s.run("user", "create", "alice", input="x\n")
    assert p.returncode == 4, (p.returncode, p.stderr)
    s.ok("user", "alter", "alice", "--mechanism", "SCRAM-SHA-512", "--iterations", "8192", input="y\n")
    assert s.rows("user", "list")[0] == {"user": "alice", "mechanism": "SCRAM-SHA-512", "iterations": 8192}
    assert len(s.rows("user", "list")) == 3
    s.stop()
    s.start()
    assert len(s.rows("user", "list")) == 3
    p = s.run("user", "delete", "alice")
    assert p.returncode == 4 and len(s.rows("user", "list")) == 3, p.stderr
    s.ok("user", "delete", "alice", "--execute")
    assert [r["user"] for r in s.rows("user", "list")] == ["root", "root"]
    assert s.run("user", "delete", "alice", "--execute").returncode == 3
    assert s.run("user", "alter", "alice", input="z\n").returncode == 3
    for args, text in ((["--iterations", "4095"], "z\n"), (["--iterations", "16385"], "z\n"), (["--mechanism", "PLAIN"], "z\n"), ([], "\n"), ([], "")):
        p = s.run("user", "create", "bob", *args, input=text)
        assert p.returncode in (1, 2), (args, p.returncode, p.stderr)
    for nobody in ("ANONYMOUS", "*"):
        p = s.run("user", "create", nobody, input="x\n")
        assert p.returncode == 1 and "nobody's name" in p.stderr, (p.returncode, p.stderr)
    assert s.ok("user", "list", "--csv").splitlines()[0] == "user,mechanism,iterations"


def test_kcat_comes_in_by_each_mechanism_and_with_the_right_password_only(t):
    s = server(t)
    root = flags("root", "toor")
    s.ok("topic", "create", "a", *root)
    s.ok("acl", "add", "--allow", "User:alice", "--operation", "read", "--operation", "write", "--topic", "a", *root)
    for i, m in enumerate(MECHANISMS):
        p = kcat(s, flags("alice", "wonder land", m), "-P", "-t", "a", input=b"%d\n" % i)
        assert p.returncode == 0, (m, p.stderr)
    p = kcat(s, flags("alice", "wonder land", "SCRAM-SHA-512"), "-C", "-t", "a", "-e", "-q")
    assert p.stdout == b"0\n1\n2\n", (p.stdout, p.stderr)
    for m in MECHANISMS:
        for user, password in (("alice", "wonder lan"), ("alice", "toor"), ("nobody", "wonder land")):
            p = kcat(s, flags(user, password, m), "-L", "-m", "2")
            assert p.returncode != 0 and b"authentication" in p.stderr.lower(), (m, user, p.stderr)
    p = kcat(s, [], "-L", "-m", "2")
    assert p.returncode != 0, p.stdout


def test_principals_feed_the_access_lists(t):
    s = server(t)
    root, alice = flags("root", "toor"), flags("alice", "wonder land")
    s.ok("topic", "create", "a", *root)
    s.ok("produce", "a", *root, input="one\n")
    assert s.run("consume", "a", *alice).returncode != 0
    assert s.rows("topic", "list", *alice) == []
    s.ok("acl", "add", "--allow", "User:alice", "--operation", "read", "--topic", "a", *root)
    s.ok("acl", "add", "--allow", "User:alice", "--operation", "all", "--group", "*", *root)
    assert s.ok("consume", "a", "-f", "%v\n", *alice) == "one\n"
    assert s.run("topic", "create", "b", *alice).returncode != 0
    assert s.run("produce", "a", *alice, input="two\n").returncode != 0


def test_reading_over_http_needs_the_token(t):
    """It passes by the access lists."""
    import urllib.error
    import urllib.request
    s = server(t)

    def get(path, token=None):
        r = urllib.request.Request("http://" + s.http + path, headers={"Authorization": "Bearer " + token} if token else {})
        try:
            with urllib.request.urlopen(r, timeout=harness.PATIENCE) as f:
                return f.status
        except urllib.error.HTTPError as e:
            return e.code
    for path in ("/v1/topics", "/v1/topics/a/records", "/v1/groups", "/metrics"):
        assert get(path) == 401, path
        assert get(path, "0" * 64) == 401, path
        assert get(path, s.token) in (200, 404), path
    assert get("/health") == 200 and get("/ready") == 200
    assert s.ok("user", "list") is not None


def test_credentials_are_shown_to_nobody(t):
    s = server(t)
    p = kcat(s, flags("root", "toor"), "-C", "-t", "__kappa_users", "-e")
    assert b"authorization" in p.stderr.lower() and not p.stdout, (p.stdout, p.stderr)
    import urllib.error
    import urllib.request
    try:
        url = "http://%s/v1/topics/__kappa_users/records" % s.http
        urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": "Bearer " + s.token}), timeout=harness.PATIENCE)
        raise AssertionError("records of __kappa_users were served")
    except urllib.error.HTTPError as e:
        assert e.code == 403, e.code


def test_plain_is_not_offered_without_tls(t):
    s = server(t, LISTEN)
    p = kcat(s, flags("alice", "wonder land", "PLAIN"), "-L", "-m", "2")
    assert p.returncode != 0 and b"SCRAM-SHA-256" in p.stderr, p.stderr
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("none"), "--http", "127.0.0.1:0", "--set", "sasl.enabled.mechanisms=PLAIN"] + LISTEN,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    assert p.returncode != 0 and b"kappa.sasl.plain.without.tls" in p.stderr, p.stderr


def test_a_changed_password_counts_for_the_next_connection(t):
    s = server(t)
    s.ok("user", "alter", "root", input="new\n")
    assert kcat(s, flags("root", "toor"), "-L", "-m", "2").returncode != 0
    assert kcat(s, flags("root", "new"), "-L", "-m", "2").returncode == 0
    s.ok("user", "delete", "root", "--execute")
    assert kcat(s, flags("root", "new"), "-L", "-m", "2").returncode != 0


def test_librdkafka_producer_and_consumer_group(t):
    from confluent_kafka import Consumer, Producer
    s = server(t)
    conf = dict(p.split("=", 1) for p in properties("root", "toor", "SCRAM-SHA-512"))
    conf["bootstrap.servers"] = s.kafka
    p = Producer(dict(conf, **{"enable.idempotence": True}))
    for i in range(100):
        p.produce("t", str(i))
    assert p.flush(harness.PATIENCE) == 0
    c = Consumer(dict(conf, **{"group.id": "g", "auto.offset.reset": "earliest"}))
    c.subscribe(["t"])
    got, deadline = [], time.monotonic() + harness.PATIENCE
    while len(got) < 100 and time.monotonic() < deadline:
        m = c.poll(0.5)
        if m is not None and not m.error():
            got.append(int(m.value()))
    c.close()
    assert sorted(got) == list(range(100))


def test_kafka_python(t):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    s = server(t)
    for m in MECHANISMS:
        conf = dict(bootstrap_servers=s.kafka, security_protocol="SASL_PLAINTEXT", sasl_mechanism=m, sasl_plain_username="root",
                    sasl_plain_password="toor")
        p = KafkaProducer(**conf)
        p.send("t", m.encode()).get(harness.PATIENCE)
        p.close()
    c = KafkaConsumer(consumer_timeout_ms=1000 * harness.PATIENCE, auto_offset_reset="earliest", **conf)
    c.assign([TopicPartition("t", 0)])
    assert [next(c).value.decode() for _ in MECHANISMS] == MECHANISMS
    c.close()


def test_a_session_that_has_ended_is_not_served(t):
    s = server(t, WITH_PLAIN + ["--set", "connections.max.reauth.ms=2000"])
    # librdkafka of this age does not renew: it is disconnected, connects again and goes on
    from confluent_kafka import Producer
    conf = dict(p.split("=", 1) for p in properties("root", "toor"))
    p = Producer(dict(conf, **{"bootstrap.servers": s.kafka}))
    for i in range(4):
        p.produce("t", str(i))
        assert p.flush(harness.PATIENCE) == 0
        time.sleep(1.2)
    assert "session has ended" in s.tail(100000)
    assert kcat(s, flags("root", "toor"), "-C", "-t", "t", "-e", "-q").stdout == b"0\n1\n2\n3\n"


def test_the_native_door_asks_too(t):
    s = server(t)

    def ask(request):
        """One REQ to kappa.ipc; its answer, b"" when the door closes."""
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(harness.PATIENCE)
            c.connect(s.data + "/kappa.ipc")
            c.sendall(b"\0SP\0\0\x30\0\0")
            body = b"\x80\0\0\1" + request
            c.sendall(b"\1" + struct.pack(">Q", len(body)) + body)
            got = b""
            while len(got) < 8 + 9 + 8:
                more = c.recv(4096)
                if not more:
                    break
                got += more
            return got[8 + 9 + 4:]
    assert struct.unpack(">i", ask(struct.pack(">hhih", 18, 0, 7, -1))[:4]) == (7,)  # ApiVersions
    assert ask(struct.pack(">hhihi", 3, 1, 7, -1, 0)) == b""  # Metadata
    assert "before authentication" in s.tail(100000)


def test_who_says_nothing_is_disconnected(t):
    s = server(t, WITH_PLAIN + ["--set", "kappa.authentication.timeout.ms=500"])
    host, port = s.kafka.split(":")
    with socket.create_connection((host, int(port)), timeout=harness.PATIENCE) as c:
        assert c.recv(1) == b""
    with socket.create_connection((host, int(port)), timeout=harness.PATIENCE) as c:
        c.sendall(struct.pack(">ihhih", 10, 3, 1, 1, -1))  # Metadata before anything
        assert c.recv(1) == b""
    with socket.create_connection((host, int(port)), timeout=harness.PATIENCE) as c:
        c.sendall(struct.pack(">i", 100 * 1024 * 1024))  # a frame larger than a stranger may send
        assert c.recv(1) == b""


harness.main(globals())
