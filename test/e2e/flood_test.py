# SPDX-License-Identifier: Apache-2.0
"""Clients that take room and do nothing for it, and an honest one beside them: it is served, and memory has a bound.

Correctness and memory, not time: `make bench-broker ONLY=flood` measures its p99 beside ten times as many."""
import json
import os
import re
import resource
import subprocess
import sys
import threading

import confluent_kafka

import harness
from certificates import Authority

COUNT = 1000
RECORDS = 2000 if harness.SMALL else 10000
MEMORY_MIB = 900 if os.environ.get("ASAN_OPTIONS") or "asan" in harness.KAPPA else 400
# budgets: 256 MiB of requests of which slow writers fill little, 128 MiB of answers, and what the server has anyway


def memory_mib(s, field):
    with open("/proc/%d/status" % s.process.pid) as f:
        return int(re.search(field + r":\s+(\d+)", f.read()).group(1)) // 1024


def start(t):
    both = Authority(t.dir).issue("server", "/CN=localhost")[2]
    return t.server(args=["--set", "listeners=PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0", "--set", "ssl.keystore.location=" + both])


def addresses(s):
    """The plain and the TLS address."""
    listeners = json.load(open(os.path.join(s.data, "endpoints.json")))["listeners"]
    at = {x["protocol"]: x["address"] for x in listeners}
    return at["PLAINTEXT"], at["SSL"]


def produce(address, topic, count, size, failed):
    p = confluent_kafka.Producer({"bootstrap.servers": address, "linger.ms": 1, "log_level": 0})
    for i in range(count):
        while True:
            try:
                p.produce(topic, b"%d" % i + bytes(size), on_delivery=lambda e, m: failed.append(e) if e else None)
                break
            except BufferError:
                p.poll(0.1)
        p.poll(0)
    if p.flush(120):
        failed.append("not delivered")


def consume(address, topic, count):
    c = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "honest", "auto.offset.reset": "earliest", "log_level": 0})
    c.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    got = []
    while len(got) < count:
        m = c.poll(60)
        assert m is not None, "nothing came for a minute after %d of %d records" % (len(got), count)
        assert not m.error(), m.error()
        got.append(int(m.value().split(b"\0")[0]))
    c.close()
    return got


def test_an_honest_client_is_served_in_a_flood(t):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT * 2:
        raise harness.Skip("at most %d descriptors" % hard)
    s = start(t)
    plain, tls = addresses(s)
    failed = []
    s.ok("topic", "create", "big")
    s.ok("topic", "create", "honest")
    produce(plain, "big", 40000, 1000, failed)
    flood = subprocess.Popen(
        [sys.executable, os.path.join(os.path.dirname(__file__), "flood.py"), plain, "big", "--tls", tls, "--idle", str(COUNT // 2),
         "--slow-readers", str(COUNT * 3 // 10), "--slow-writers", str(COUNT // 10), "--half-open", str(COUNT // 10)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        stands = int(flood.stdout.readline().split()[1])
        assert stands == COUNT, "%d of %d connections stand" % (stands, COUNT)
        writer = threading.Thread(target=produce, args=(plain, "honest", RECORDS, 100, failed))
        writer.start()
        got = consume(plain, "honest", RECORDS)
        writer.join()
        assert not failed, failed[0]
        assert got == list(range(RECORDS)), "records are missing, doubled or out of order"
        # an answer that waits for the memory that slow readers hold: they make room for it
        s.ok("topic", "create", "later")
        most = memory_mib(s, "VmHWM")
        print("# %d connections, at most %d MiB" % (stands, most))
        assert most <= MEMORY_MIB, "%d MiB" % most
        flood.stdin.close()
        held = int(flood.stdout.readline().split()[1])
        print("# %d of them were not closed" % held)
    finally:
        flood.kill()
        flood.wait()
    consume(plain, "big", 1000)


harness.main(globals())
