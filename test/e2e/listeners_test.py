# SPDX-License-Identifier: Apache-2.0
"""`listeners=` as Kafka writes it: several addresses, names, what is told to clients, what is refused."""
import json
import os
import subprocess

import harness


def refused(t, text, *args):
    """The server does not start, and says why."""
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("none"), "--http", "127.0.0.1:0"] + list(args),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    err = p.stderr.decode()
    assert p.returncode != 0 and text in err, (args, p.returncode, err)


def test_a_topic_written_at_one_address_is_read_at_another(t):
    s = t.server(args=["--set", "listeners=PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:0", "--set",
                       "listener.security.protocol.map=INSIDE:PLAINTEXT"])
    found = json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]
    assert [x["protocol"] for x in found] == ["PLAINTEXT", "PLAINTEXT"]
    first, second = (x["address"] for x in found)
    assert first == s.kafka and first != second
    s.ok("topic", "create", "a")
    s.ok("produce", "a", input="one\n")
    assert s.ok("consume", "a", "-b", second, "-f", "%v\n") == "one\n"
    listing = subprocess.run(["kcat", "-b", second, "-L", "-J"], stdout=subprocess.PIPE, check=True, timeout=harness.PATIENCE).stdout
    assert [b["name"] for b in json.loads(listing)["brokers"]] == [second], listing


def test_each_listener_tells_its_own_advertised_address(t):
    s = t.server(args=["--set", "listeners=PLAINTEXT://127.0.0.1:0,OUT://127.0.0.1:0", "--set",
                       "listener.security.protocol.map=OUT:PLAINTEXT", "--set", "advertised.listeners=OUT://kappa.example:7"])
    for address, name in zip([x["address"] for x in json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]],
                             [s.kafka, "kappa.example:7"]):
        listing = subprocess.run(["kcat", "-b", address, "-L", "-J"], stdout=subprocess.PIPE, check=True, timeout=harness.PATIENCE).stdout
        assert [b["name"] for b in json.loads(listing)["brokers"]] == [name], listing


def test_who_insists_listens_without_authentication(t):
    s = t.server(args=["--set", "listeners=PLAINTEXT://0.0.0.0:0", "--insecure-listen"])
    assert "insecure_listen" in s.tail(100000)
    port = s.kafka.split(":")[1]
    s.ok("topic", "list", "-b", "127.0.0.1:" + port)


def test_what_makes_no_sense_is_refused_at_the_start(t):
    refused(t, "two listeners named PLAINTEXT", "--set", "listeners=PLAINTEXT://127.0.0.1:0,127.0.0.1:0")
    refused(t, "listener.security.protocol.map", "--set", "listeners=INSIDE://127.0.0.1:0")
    refused(t, "HOST:PORT", "--set", "listeners=PLAINTEXT://127.0.0.1")
    refused(t, "there is no listener OUT", "--set", "advertised.listeners=OUT://a:1", "--listen", "127.0.0.1:0")
    refused(t, "NAME:PROTOCOL", "--set", "listeners=A://127.0.0.1:0", "--set", "listener.security.protocol.map=A:TLS")
    refused(t, "loopback", "--set", "listeners=PLAINTEXT://0.0.0.0:0")
    refused(t, "loopback", "--set", "listeners=PLAINTEXT://127.example.org:0")


def test_listeners_are_a_cluster_for_test_suites_that_want_one(t):
    s = t.server(args=["--set", "listeners=PLAINTEXT://127.0.0.1:0,TWO://127.0.0.1:0,THREE://127.0.0.1:0", "--set",
                       "listener.security.protocol.map=TWO:PLAINTEXT,THREE:PLAINTEXT", "--set", "kappa.test.brokers=true", "--set", "node.id=0"])
    found = [x["address"] for x in json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]]
    s.ok("topic", "create", "a", "-p", "6")
    for address in found:
        out = subprocess.run(["kcat", "-b", address, "-L", "-J"], stdout=subprocess.PIPE, check=True, timeout=harness.PATIENCE).stdout
        listing = json.loads(out)
        assert sorted((b["id"], b["name"]) for b in listing["brokers"]) == list(zip([0, 1, 2], found)), listing
        parts = [x for x in listing["topics"] if x["topic"] == "a"][0]["partitions"]
        assert sorted(p["leader"] for p in parts) == [0, 0, 1, 1, 2, 2], parts
    # a client that goes to each leader finds everything it wrote
    lines = "".join("%d\n" % i for i in range(1000))
    subprocess.run(["kcat", "-P", "-b", found[2], "-t", "a", "-p", "-1"], input=lines.encode(), check=True, timeout=harness.PATIENCE)
    got = subprocess.run(["kcat", "-C", "-b", found[1], "-t", "a", "-e", "-q"], stdout=subprocess.PIPE, check=True, timeout=harness.PATIENCE)
    assert sorted(got.stdout.split(), key=int) == lines.encode().split()


harness.main(globals())
