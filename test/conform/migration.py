#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replaces the consumers of a group one after the other while records are produced, there and back, and checks that
none of the records is lost and that each partition has one reader in the end.

    migration.py run BOOTSTRAP OLD NEW     OLD, NEW: kinds below
    migration.py kill KAPPA OLD NEW        the same with a server of its own, which is killed while members come;
                                           KAPPA may be kafka.sh of the peers: then it is Apache Kafka
    migration.py consume KIND BOOTSTRAP TOPIC GROUP FILE

Kinds: range, cooperative (librdkafka, classic protocol), consumer (librdkafka 2.15.1, KIP-848), java-classic,
java-consumer (Kafka's console consumer). RDKAFKA_NEW is the directory of the newer librdkafka.so.1.
"""
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PARTITIONS = 6
MEMBERS = 3
KINDS = {
    "range": {"partition.assignment.strategy": "range"},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
}


# ---- one consumer --------------------------------------------------------------------------------

def consume(kind, bootstrap, topic, group, path):
    from confluent_kafka import Consumer
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    config = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
              "auto.commit.interval.ms": 500, **KINDS[kind],
              **({"debug": os.environ["RDKAFKA_DEBUG"]} if "RDKAFKA_DEBUG" in os.environ else {})}
    if kind != "consumer":
        config["session.timeout.ms"] = 10000
        config["heartbeat.interval.ms"] = 500
    c = Consumer(config)
    c.subscribe([topic])
    with open(path, "w", buffering=1) as out:
        while not ending.is_set():
            m = c.poll(0.2)
            if m and not m.error():
                out.write(f"{m.partition()} {m.offset()} {m.value().decode()}\n")
            elif m and m.error().fatal():
                sys.exit(f"{m.error()}")
    c.close()


class Worker:
    count = 0

    def __init__(self, kind, bootstrap, topic, group):
        Worker.count += 1
        self.kind = kind
        self.path = f"{os.environ['OUT']}/migration.{topic}.{Worker.count}"
        env = dict(os.environ)
        if kind.startswith("java-"):
            args = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-cp", os.environ["KAFKA_PATH"] + "/libs/*",
                    "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", bootstrap,
                    "--topic", topic, "--group", group, "--from-beginning",
                    "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true",
                    "--command-property", "group.protocol=" + kind[5:],
                    "--command-property", "auto.commit.interval.ms=500"]
            if kind == "java-classic":
                args += ["--command-property", "heartbeat.interval.ms=500"]
        else:
            if kind != "range":
                env["LD_LIBRARY_PATH"] = os.environ["RDKAFKA_NEW"]
            args = [sys.executable, __file__, "consume", kind, bootstrap, topic, group, self.path]
        self.errors = open(self.path + ".err", "w")
        out = open(self.path, "w") if kind.startswith("java-") else self.errors
        self.process = subprocess.Popen(args, stdout=out, stderr=self.errors, env=env)

    def lines(self):
        """(partition, offset, value) of what it has read."""
        found = []
        try:
            with open(self.path) as f:
                for line in f:
                    if not line.endswith("\n"):
                        break
                    p = line.split()
                    if len(p) == 3:
                        found.append((int(p[0].split(":")[-1]), int(p[1].split(":")[-1]), int(p[2])))
        except FileNotFoundError:
            pass
        return found

    def stop(self):
        assert self.process.poll() is None, f"{self.kind} ended by itself: {self.path}.err"
        self.process.terminate()
        self.process.wait(30)


# ---- what the server says ------------------------------------------------------------------------

def call(bootstrap, key, version, body):
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as s:
        head = struct.pack(">hhi", key, version, 1) + struct.pack(">h", 1) + b"m" + b"\0"
        s.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        need, data = 4, b""
        while len(data) < need:
            part = s.recv(65536)
            assert part, "the server closed the connection"
            data += part
            if len(data) >= 4:
                need = 4 + struct.unpack(">i", data[:4])[0]
        return data[9:]  # length, correlation, tags


def group_of(bootstrap, group):
    """(state, type) by ListGroups 5, or None."""
    data = call(bootstrap, 16, 5, b"\x01\x01\0")
    at, count = 7, data[6] - 1
    for _ in range(count):
        texts = []
        for _ in range(4):
            n = data[at] - 1
            texts.append(data[at + 1:at + 1 + n].decode())
            at += 1 + n
        at += 1
        if texts[0] == group:
            return texts[2], texts[3].lower()
    return None


class Server:
    """A kappa that can be killed."""

    def __init__(self, program, name):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.bootstrap = f"127.0.0.1:{s.getsockname()[1]}"
        self.args = [program, "serve", "--data", f"{os.environ['OUT']}/{name}.data", "--listen", self.bootstrap,
                     "--http", "http://127.0.0.1:0"]
        self.log = open(f"{os.environ['OUT']}/{name}.server", "w")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.args, stderr=self.log)
        wait_for("the server", 60, self.is_up)

    def is_up(self):
        assert self.process.poll() is None, "the server did not start"
        host, port = self.bootstrap.split(":")
        with socket.socket() as s:
            return s.connect_ex((host, int(port))) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, "the server did not end cleanly"


class Kafka:
    """The same with Apache Kafka, by the peers' script."""

    def __init__(self, script, name):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.bootstrap = f"127.0.0.1:{s.getsockname()[1]}"
        self.script, self.name = script, "migration-" + name
        self.start()

    def start(self, *more):
        said = subprocess.check_output([self.script, "start", "--name", self.name, "--port", self.bootstrap.split(":")[1],
                                        "--data", f"{os.environ['OUT']}/{self.name}.data", *more], text=True)
        self.pid = int(said.split("pid=")[1].split()[0])

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        wait_for("the end of Kafka", 10, lambda: not os.path.exists(f"/proc/{self.pid}"))
        self.start("--keep")

    def stop(self):
        subprocess.check_call([self.script, "stop", "--name", self.name])


# ---- the run -------------------------------------------------------------------------------------

class Producer(threading.Thread):
    def __init__(self, bootstrap, topic):
        super().__init__()
        from confluent_kafka import Producer as Rd
        self.rd = Rd({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
        self.topic, self.sent, self.acked, self.ending = topic, 0, set(), False

    def send(self, partition):
        value = self.sent
        self.sent += 1

        def done(error, message):
            assert error is None, error
            self.acked.add(value)
        self.rd.produce(self.topic, str(value), partition=partition, callback=done)

    def run(self):
        while not self.ending:
            self.send(self.sent % PARTITIONS)
            self.rd.poll(0.005)
        self.rd.flush(30)


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"timed out: {what}"
        time.sleep(0.2)


class Run:
    def __init__(self, bootstrap, old, new, server=None):
        self.bootstrap, self.old, self.new, self.server = bootstrap, old, new, server
        self.topic = self.group = f"{old}-{new}" + ("-kill" if server else "")
        self.all, self.now = [], []

    def start(self, kind):
        w = Worker(kind, self.bootstrap, self.topic, self.group)
        self.all.append(w)
        return w

    def check(self, kind):
        """Everybody reads, and the group is of that kind."""
        before = {w: len(w.lines()) for w in self.now}
        wait_for(f"reading, {kind}", 120, lambda: all(len(w.lines()) > before[w] for w in self.now))
        wait_for(f"type {kind}", 30, lambda: (group_of(self.bootstrap, self.group) or "x?")[1] == kind)
        wait_for("Stable", 60, lambda: group_of(self.bootstrap, self.group)[0] == "Stable")
        print(f"{time.strftime('%H:%M:%S')} {[w.kind for w in self.now]} {group_of(self.bootstrap, self.group)}", flush=True)

    def kill(self):
        if self.server:
            time.sleep(random.random() * 3)
            self.server.kill()

    def roll(self, kind, kinds):
        for i in range(MEMBERS):
            self.now[i].stop()
            self.now[i] = self.start(kind)
            self.kill()
            self.check(kinds[i])

    def finish(self, producer):
        producer.ending = True
        producer.join()
        assert len(producer.acked) == producer.sent
        tail = producer.sent
        for _ in range(20):
            for p in range(PARTITIONS):
                producer.send(p)
        producer.rd.flush(30)
        everything = set(range(producer.sent))

        def all_read():
            return everything <= {v for w in self.all for _, _, v in w.lines()}
        try:
            wait_for("the last records", 60, all_read)
        finally:
            missing = everything - {v for w in self.all for _, _, v in w.lines()}
            print(f"{producer.sent} records, missing {len(missing)}: {sorted(missing)[:20]}", flush=True)
        readers = {}
        for w in self.now:
            for p, _, v in w.lines():
                if v >= tail:
                    readers.setdefault(p, set()).add(w)
        assert sorted(readers) == list(range(PARTITIONS)) and all(len(r) == 1 for r in readers.values()), readers
        count = sum(len(w.lines()) for w in self.all)
        print(f"read more than once: {count - len(everything)}", flush=True)
        return count - len(everything)

    def run(self):
        from confluent_kafka.admin import AdminClient, NewTopic
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(30)
        producer = Producer(self.bootstrap, self.topic)
        producer.start()
        try:
            self.now = [self.start(self.old) for _ in range(MEMBERS)]
            self.check("classic")
            self.roll(self.new, ["consumer"] * MEMBERS)
            self.roll(self.old, ["consumer"] * (MEMBERS - 1) + ["classic"])
            again = self.finish(producer)
            assert self.server or again < producer.sent / 10, "too much was read again"
        finally:
            producer.ending = True
            for w in self.all:
                if w.process.poll() is None:
                    w.process.terminate()
            for w in self.all:
                w.process.wait(30)


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        consume(*sys.argv[2:7])
    elif sys.argv[1] == "kill":
        server = (Kafka if sys.argv[2].endswith("kafka.sh") else Server)(sys.argv[2], f"{sys.argv[3]}-{sys.argv[4]}")
        try:
            Run(server.bootstrap, sys.argv[3], sys.argv[4], server).run()
        finally:
            server.stop()
    else:
        Run(sys.argv[2], sys.argv[3], sys.argv[4]).run()
