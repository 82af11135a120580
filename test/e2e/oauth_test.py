# SPDX-License-Identifier: Apache-2.0
"""OAUTHBEARER with a file of keys: librdkafka comes in with a good token, and forged ones of every kind do not."""
import hashlib
import hmac
import json
import socket
import struct
import subprocess
import time

import harness
from tokens import Key, b64

ISSUER, AUDIENCE = "https://issuer.example", "kappa"


def start(t, keys, *extra):
    path = t.file("keys.json", json.dumps({"keys": keys}))
    args = []
    for pair in ("listeners=SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=OAUTHBEARER",
                 "sasl.oauthbearer.jwks.endpoint.url=file://" + path, "sasl.oauthbearer.expected.issuer=" + ISSUER,
                 "sasl.oauthbearer.expected.audience=other," + AUDIENCE, "super.users=User:alice",
                 "connection.failed.authentication.delay.ms=0", "sasl.oauthbearer.clock.skew.seconds=0") + extra:
        args += ["--set", pair]
    return t.server(args=args)


class Raw:
    """SaslHandshake 1 and SaslAuthenticate 1 by hand."""

    def __init__(self, s):
        host, port = s.kafka.split(":")
        self.c = socket.create_connection((host, int(port)), timeout=harness.PATIENCE)
        self.call(17, 1, struct.pack(">h", 11) + b"OAUTHBEARER")

    def call(self, key, version, body):
        frame = struct.pack(">hhih", key, version, 1, -1) + body
        self.c.sendall(struct.pack(">i", len(frame)) + frame)
        (n,) = struct.unpack(">i", self.read(4))
        return self.read(n)[4:]

    def read(self, n):
        got = b""
        while len(got) < n:
            more = self.c.recv(n - len(got))
            assert more, "closed"
            got += more
        return got

    def message(self, message):
        r = self.call(36, 1, struct.pack(">i", len(message)) + message)
        (error,) = struct.unpack(">h", r[:2])
        (lifetime,) = struct.unpack(">q", r[-8:])
        return error, lifetime


def attempt(s, token, head="n,,", tail=""):
    raw = Raw(s)
    error, lifetime = raw.message(("%s\x01auth=Bearer %s\x01%s\x01" % (head, token, tail)).encode())
    raw.c.close()
    return error, lifetime


def test_librdkafka_comes_in_with_a_token(t):
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    rsa, ec = Key(t.dir, "rsa"), Key(t.dir, "ec", "EC")
    s = start(t, [rsa.jwk(), ec.jwk(alg="ES256")])
    for key in (rsa, ec):
        conf = {"bootstrap.servers": s.kafka, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
                "oauth_cb": lambda _: (key.token(), time.time() + 3600)}
        p = Producer(conf)
        p.produce("a", key.kid)
        p.poll(0)
        assert p.flush(harness.PATIENCE) == 0
    c = Consumer(dict(conf, **{"group.id": "g"}))
    c.assign([TopicPartition("a", 0, 0)])
    got, deadline = [], time.monotonic() + harness.PATIENCE
    while len(got) < 2 and time.monotonic() < deadline:
        m = c.poll(0.5)
        if m is not None and not m.error():
            got.append(m.value())
    c.close()
    assert got == [b"rsa", b"ec"], got


def test_what_is_asked_of_a_token(t):
    rsa, ec = Key(t.dir, "rsa"), Key(t.dir, "ec", "EC")
    s = start(t, [rsa.jwk(), ec.jwk()], "kappa.oauthbearer.required.scope=read write")
    now = int(time.time())
    for good in (rsa.token(), ec.token(), rsa.token(aud=["x", AUDIENCE]), rsa.token(scope=["write", "read", "more"]),
                 rsa.token(nbf=now - 1), rsa.token(exp=now + 60.5), rsa.token(header={"kid": None}), rsa.token(iat=None)):
        assert attempt(s, good)[0] == 0, good
    # ends in centuries: further than nanoseconds count
    for exp in (9300000000, 20000000000, 40000000000, 200000000000):
        error, lifetime = attempt(s, rsa.token(exp=exp))
        assert error == 0 and lifetime > 3000000000000, (exp, error, lifetime)
    for name, bad in {
            "ended": rsa.token(exp=now - 1), "no end": rsa.token(exp=None), "end as text": rsa.token(exp=str(now + 60)),
            "end below zero": rsa.token(exp=-1), "huge end": rsa.token(exp=1e300), "not yet": rsa.token(nbf=now + 100),
            "made later": rsa.token(iat=now + 100), "nbf as text": rsa.token(nbf="x"), "issuer": rsa.token(iss="https://evil.example"),
            "no issuer": rsa.token(iss=None), "issuer in a list": rsa.token(iss=[ISSUER]), "issuer longer": rsa.token(iss=ISSUER + "/"),
            "audience": rsa.token(aud="kapp"), "no audience": rsa.token(aud=None), "audience list": rsa.token(aud=["x", "y"]),
            "audience with commas": rsa.token(aud="other," + AUDIENCE), "empty audience": rsa.token(aud=""), "number": rsa.token(aud=1),
            "no user": rsa.token(sub=None), "empty user": rsa.token(sub=""), "user list": rsa.token(sub=["alice"]),
            "long user": rsa.token(sub="x" * 256), "control": rsa.token(sub="a\nb"),
            "nobody": rsa.token(sub="ANONYMOUS"), "everybody": rsa.token(sub="*"), "scope": rsa.token(scope="read"),
            "scope part": rsa.token(scope="read writer"), "no scope": rsa.token(scope=None), "claims a list": rsa.token(claims=[1]),
            "empty": rsa.token(claims={})}.items():
        assert attempt(s, bad)[0] == 58, name
    assert "it has ended" in s.tail(1000000)


def test_forged_signatures_and_algorithms(t):
    rsa, ec, mine = Key(t.dir, "rsa"), Key(t.dir, "ec", "EC"), Key(t.dir, "mine")
    s = start(t, [rsa.jwk(), ec.jwk()])
    good = rsa.token()
    head, claims, sig = good.split(".")
    public = open(rsa.public, "rb").read()
    n = json.loads(json.dumps(rsa.jwk()))["n"]

    def hs(secret, alg="HS256", kid="rsa"):
        text = b64({"alg": alg, "kid": kid}) + "." + claims
        return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())
    forged = {
        "none": b64({"alg": "none", "kid": "rsa"}) + "." + claims + ".", "None": b64({"alg": "None", "kid": "rsa"}) + "." + claims + ".",
        "none with signature": b64({"alg": "none", "kid": "rsa"}) + "." + claims + "." + sig,
        "no alg": b64({"kid": "rsa"}) + "." + claims + "." + sig, "alg number": b64({"alg": 1, "kid": "rsa"}) + "." + claims + "." + sig,
        "HS256 with the public key": hs(public), "HS256 with the modulus": hs(n.encode()), "HS256 empty": hs(b""),
        "RS256 label on a MAC": hs(public, "RS256"), "another key": mine.token(header={"kid": "rsa"}), "unknown key": mine.token(),
        "the key in the header": mine.token(header={"kid": "rsa", "jwk": mine.jwk()}),
        "a key's address": mine.token(header={"kid": "rsa", "jku": "file://" + mine.path}),
        "EC under RSA": ec.token(header={"kid": "rsa"}), "RSA under EC": rsa.token(header={"kid": "ec"}),
        "RS256 said by EC": ec.token(header={"alg": "RS256"}), "RS512": rsa.token(header={"alg": "RS512"}),
        "PS256": rsa.token(header={"alg": "PS256"}), "crit": rsa.token(header={"crit": ["x"]}), "kid number": rsa.token(header={"kid": 1}),
        "no signature": head + "." + claims + ".", "two parts": head + "." + claims, "four parts": good + ".x", "nothing": "", "dots": "..",
        "padding": good + "=", "longer": good + "AAAA", "zeros": ec.token().rsplit(".", 1)[0] + "." + b64(b"\0" * 64),
        "DER": ec.token().rsplit(".", 1)[0] + "." + b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"),
        "claims of another": head + "." + b64(dict(json.loads('{"sub":"root"}'), iss=ISSUER, aud=AUDIENCE, exp=4102444800)) + "." + sig,
        "space": good.replace(".", " .", 1), "long": head + "." + "A" * 20000 + "." + sig}
    for name, token in forged.items():
        assert attempt(s, token)[0] == 58, name
    # every character of the signature counts
    for i in range(0, len(sig), 7):
        other = sig[:i] + ("A" if sig[i] != "A" else "B") + sig[i + 1:]
        assert attempt(s, head + "." + claims + "." + other)[0] == 58, i
    assert attempt(s, good)[0] == 0


def test_the_message_around_the_token(t):
    rsa = Key(t.dir, "rsa")
    s = start(t, [rsa.jwk()])
    good = rsa.token()
    assert attempt(s, good, "n,a=alice,")[0] == 0
    assert attempt(s, good, "y,,", "traceId=123\x01")[0] == 0
    assert attempt(s, good, "n,a=root,")[0] == 58
    assert attempt(s, good, "p=tls-unique,,")[0] == 58
    for message in (b"", b"n,,", b"n,,\x01\x01", b"n,,\x01auth=Basic x\x01\x01", b"n,,auth=Bearer " + good.encode(), b"\x01" * 50,
                    b"n,,\x01auth=Bearer \x01\x01", b"n" * 3000, b"n,a=", b"n,a=alice"):
        raw = Raw(s)
        assert raw.message(message)[0] == 58, message
        raw.c.close()


def test_a_session_ends_with_its_token(t):
    rsa = Key(t.dir, "rsa")
    s = start(t, [rsa.jwk()])
    raw = Raw(s)
    error, lifetime = raw.message(b"n,,\x01auth=Bearer " + rsa.token(exp=int(time.time()) + 6).encode() + b"\x01\x01")
    assert error == 0 and 0 < lifetime <= 6000, (error, lifetime)
    raw.call(3, 1, struct.pack(">i", 0))
    time.sleep(6.2)
    try:
        raw.call(3, 1, struct.pack(">i", 0))
        raise AssertionError("served after the token's end")
    except AssertionError as e:
        assert str(e) == "closed", e


def test_keys_are_read_again(t):
    old, new = Key(t.dir, "old"), Key(t.dir, "new")
    s = start(t, [old.jwk()], "sasl.oauthbearer.jwks.endpoint.refresh.ms=200")
    assert attempt(s, old.token())[0] == 0 and attempt(s, new.token())[0] == 58
    t.file("keys.json", json.dumps({"keys": [new.jwk()]}))
    deadline = time.monotonic() + harness.PATIENCE
    while attempt(s, new.token())[0] != 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert attempt(s, new.token())[0] == 0 and attempt(s, old.token())[0] == 58
    t.file("keys.json", "{}")
    deadline = time.monotonic() + harness.PATIENCE
    while "jwks_not_reloaded" not in s.tail(1000000) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "jwks_not_reloaded" in s.tail(1000000) and attempt(s, new.token())[0] == 0


def test_without_keys_issuer_or_audience_it_does_not_start(t):
    rsa, small = Key(t.dir, "rsa"), Key(t.dir, "small", bits=1024)

    def refused(text, keys, *pairs):
        path = t.file("k.json", keys if isinstance(keys, str) else json.dumps({"keys": keys}))
        all_pairs = ["listeners=SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=OAUTHBEARER",
                     "sasl.oauthbearer.jwks.endpoint.url=file://" + path, "sasl.oauthbearer.expected.issuer=" + ISSUER,
                     "sasl.oauthbearer.expected.audience=" + AUDIENCE] + list(pairs)
        p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("none"), "--http", "127.0.0.1:0"] + [x for a in all_pairs for x in ("--set", a)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
        assert p.returncode != 0 and text in p.stderr.decode(), (pairs, p.returncode, p.stderr)
    good = [rsa.jwk()]
    refused("any token would do", good, "sasl.oauthbearer.jwks.endpoint.url=")
    refused("any token would do", good, "sasl.oauthbearer.expected.issuer=")
    refused("any token would do", good, "sasl.oauthbearer.expected.audience=")
    refused("only file:", good, "sasl.oauthbearer.jwks.endpoint.url=https://issuer.example/keys")
    refused("cannot read", good, "sasl.oauthbearer.jwks.endpoint.url=file:///does/not/exist")
    for none in ([], "{}", "[]", "", [{"kty": "oct", "k": b64(b"secret"), "alg": "HS256"}], [small.jwk()], [dict(rsa.jwk(), use="enc")],
                 [dict(rsa.jwk(), alg="RS512")], [dict(rsa.jwk(), n="!")], [dict(Key(t.dir, "e", "EC").jwk(), x=b64(b"\1" * 32))]):
        refused("", none)
        refused("k.json", none)


harness.main(globals())
