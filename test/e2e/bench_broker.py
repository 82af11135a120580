#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of the Kafka door beside Apache Kafka, the same client and loads in one run on one directory: `make bench-broker`.

Kafka is started with its defaults, which do not fsync before the answer; kappa always does. Each runs alone, one after the other,
ROUNDS times; the table has the median of the rounds. What a figure should be stands in its row, and whether it is met. A load
that the rest of the machine has disturbed is marked *: its ratio says little. Installing, starting and the loads are scripts
of another folder (--peers); without it nothing is measured, and that is said.

Bounds stand beside: what the client does against a broker that keeps nothing (null_broker.py) and how busy its busiest thread is, what
the disk does for one writer with O_DIRECT and fdatasync and for one reader (fio), and what one consumer finds slow when the door is flooded (flood.py)."""
import argparse
import csv
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
FLOOD = {"idle": 10000, "slow-readers": 500, "slow-writers": 500, "half-open": 500}

LOADS = ["produce", "consume", "latency", "idle"]
EXTRAS = ["connections", "flood", "bounds"]

# load -> what is asked: throughput against Kafka's, CPU per GB against Kafka's (at most)
ASKED = {
    ("produce", "100", "none"): (1.3, 1 / 5),
    ("produce", "1024", "none"): (3.0, 1 / 5),
    ("produce", "100", "lz4"): (1.0, None),
    ("produce", "1024", "lz4"): (1.0, None),
    ("consume", "100", "none"): (1.0, 2 / 3),
    ("consume", "1024", "none"): (1.0, 2 / 3),
    ("consume", "100", "lz4"): (1.0, 1.0),
    ("consume", "1024", "lz4"): (1.0, 1.0),
}
LATENCY = {"p50_ms": 0.5, "p99_ms": 2.0, "p999_ms": 10.0}


def say(text):
    print(text, flush=True)


def kib(pid, field):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(field + r":\s+(\d+)", f.read()).group(1))


class Broker:
    """One that runs: address, pid, how long it took to be ready, memory then."""

    def __init__(self, name, address, pid, ready_ms, stop):
        self.name, self.address, self.pid, self.ready_ms, self.stop = name, address, pid, ready_ms, stop
        self.start_mib = kib(pid, "VmRSS") / 1024


class Bench:
    def __init__(self, args):
        self.args = args
        self.kappa = os.path.abspath(args.kappa)
        self.peers = os.path.abspath(args.peers)
        self.home = os.environ.get("PEERS_HOME", os.path.expanduser("~/.cache/kappa-peers"))
        self.dir = tempfile.mkdtemp(prefix="kappa-bench-broker-", dir=args.dir)
        self.env = dict(os.environ, PEERS_HOME=self.home)
        self.count = 0
        self.running = []

    def peer(self, script, *args, **kw):
        return subprocess.run([os.path.join(self.peers, script)] + list(args), env=self.env, check=True, stdout=subprocess.PIPE, text=True,
                              timeout=900, **kw).stdout

    def probe(self, *args, **kw):
        return subprocess.run([os.path.join(self.home, "bin", "kprobe")] + list(args), **kw)

    # ---- brokers

    def start_kafka(self):
        self.count += 1
        name, data = "bench-broker-%d" % os.getpid(), os.path.join(self.dir, "kafka%d" % self.count)
        said = self.peer("kafka.sh", "start", "--name", name, "--data", data)
        found = dict(part.split("=", 1) for part in said.split())

        def stop():
            self.peer("kafka.sh", "stop", "--name", name, stderr=subprocess.DEVNULL)
            shutil.rmtree(data, ignore_errors=True)
        return self.started(Broker("kafka", found["bootstrap"], int(found["pid"]), int(found["ready_ms"]), stop))

    def start_kappa(self, *more):
        """On an empty directory; ready is when it has answered Metadata."""
        self.count += 1
        data = os.path.join(self.dir, "kappa%d" % self.count)
        port = free_port()
        address = "127.0.0.1:%d" % port
        log = open(data + ".log", "wb")
        begin = time.monotonic()
        p = subprocess.Popen([self.kappa, "serve", "--data", data, "--listen", address, "--http", "127.0.0.1:0"] + list(more),
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.probe("ready", address, "20", str(p.pid), check=True, stdout=subprocess.DEVNULL)
        ready = (time.monotonic() - begin) * 1000

        def stop():
            p.terminate()
            code = p.wait(60)
            log.close()
            if code != 0:
                raise SystemExit("kappa ended with %d:\n%s" % (code, open(data + ".log").read()[-2000:]))
            shutil.rmtree(data, ignore_errors=True)
        return self.started(Broker("kappa", address, p.pid, ready, stop))

    def started(self, broker):
        self.running.append(broker)
        return broker

    def stop(self, broker):
        self.running.remove(broker)
        broker.stop()

    # ---- loads

    def loads(self, broker):
        """The rows of bench_broker.sh, and what it says of memory."""
        path = os.path.join(self.dir, broker.name + ".csv")
        args = ["--bootstrap", broker.address, "--pid", str(broker.pid), "--label", broker.name, "--quick", "--clients", "rdkafka", "--csv", path]
        for part in self.args.only:
            args += ["--only", part]
        say("\n# %s" % broker.name)
        p = subprocess.Popen([os.path.join(self.peers, "bench_broker.sh")] + args, env=self.env, stdout=subprocess.PIPE, text=True)
        for line in p.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
        if p.wait() != 0:
            raise SystemExit("bench_broker.sh ended with %d" % p.returncode)
        rows, memory = {}, {}
        with open(path) as f:
            for row in csv.reader(f):
                if len(row) > 2 and row[1] == "memory":
                    memory = {k: v for k, v in (part.split("=") for part in row[2:])}
                elif len(row) > 17 and row[0] == broker.name:
                    rows[(row[1], row[3], row[4], row[5], row[6])] = dict(zip(
                        ("rate", "mb", "cpu", "client", "p50_ms", "p99_ms", "p999_ms", "lost", "other"), row[9:18]))
        return {"rows": rows, "memory": memory, "ready_ms": broker.ready_ms, "start_mib": broker.start_mib}

    def connections(self):
        """Memory with 10,000 connections that have said ApiVersions."""
        broker = self.start_kappa()
        holder = subprocess.Popen([os.path.join(self.home, "bin", "kprobe"), "idle", broker.address, "10000"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = holder.stdout.readline().strip()
        time.sleep(1)
        mib = kib(broker.pid, "VmRSS") / 1024
        holder.stdin.close()
        holder.wait(30)
        self.stop(broker)
        return line, mib

    def client_bound(self):
        """MB/s of the client against a broker that keeps nothing: 100 B and 1 KiB, none and lz4."""
        rdkafka = os.path.join(self.peer("rdkafka.sh", "path").strip(), "rdkafka_performance")
        p = subprocess.Popen([sys.executable, os.path.join(HERE, "null_broker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        address, found = p.stdout.readline().strip(), {}
        for size, codec, count in ((100, "none", 4000000), (1024, "none", 1000000), (100, "lz4", 4000000), (1024, "lz4", 1000000)):
            out = subprocess.run([rdkafka, "-P", "-t", "x", "-b", address, "-c", str(count), "-m", "x" * size, "-a", "-1", "-z", codec,
                                  "-X", "linger.ms=5", "-X", "queue.buffering.max.messages=1000000", "-i", "5000"],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
            found[(str(size), codec)] = float(re.findall(r"and ([0-9.]+) MB/s", out)[-1])
        p.stdin.close()
        p.wait(10)
        return found

    def client_threads(self):
        """How busy the client's busiest thread is while it produces to kappa, in % of a core: at 100 it is the bound."""
        rdkafka, found = os.path.join(self.peer("rdkafka.sh", "path").strip(), "rdkafka_performance"), {}
        broker, hertz = self.start_kappa(), os.sysconf("SC_CLK_TCK")
        for size, count in ((100, 8000000), (1024, 4000000)):
            p = subprocess.Popen([rdkafka, "-P", "-t", "x%d" % size, "-b", broker.address, "-c", str(count), "-m", "x" * size, "-a", "-1",
                                  "-X", "linger.ms=5", "-X", "queue.buffering.max.messages=1000000", "-i", "5000"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.8)
            before, begin = thread_ticks(p.pid), time.monotonic()
            time.sleep(1)
            after, seconds = thread_ticks(p.pid), time.monotonic() - begin
            found[str(size)] = max([100 * (after[t] - before.get(t, 0)) / hertz / seconds for t in after] or [float("nan")])
            p.wait(60)
        self.stop(broker)
        return found

    def disk_bound(self):
        """MB/s of fio: 1 MiB appends with O_DIRECT and fdatasync, and reads past the page cache, two seconds each."""
        path, found = os.path.join(self.dir, "fio"), {}
        if not shutil.which("fio"):
            return found
        for mode, more in (("write", ["--fdatasync=1", "--fallocate=none", "--size=8g"]), ("read", ["--size=1g"])):
            out = subprocess.run(["fio", "--name=x", "--filename=" + path, "--rw=" + mode, "--bs=1m", "--direct=1", "--ioengine=psync",
                                  "--runtime=2", "--time_based=1", "--output-format=json"] + more, check=True, stdout=subprocess.PIPE).stdout
            found[mode] = json.loads(out)["jobs"][0][mode]["bw_bytes"] / 1e6
            if mode == "write":
                os.truncate(path, min(os.stat(path).st_size, 1 << 30))
        os.unlink(path)
        return found

    def latency(self, broker, topic):
        self.probe("create", broker.address, topic, "1", check=True, stdout=subprocess.DEVNULL)
        program = os.path.join(self.peer("rdkafka.sh", "path").strip(), "e2e")
        out = subprocess.run([program, broker.address, topic, "1000", "6", "100", "all"], stdout=subprocess.PIPE, text=True, timeout=120).stdout
        found = re.search(r"e2e n=\d+ p50=(\d+) p90=\d+ p99=(\d+) p99.9=(\d+)", out)
        return [int(v) / 1000 for v in found.groups()] if found else [float("nan")] * 3

    def flood(self):
        """p99 of one honest client before and during a flood, and the most memory."""
        tls = "127.0.0.1:%d" % free_port()
        folder = os.path.join(self.dir, "certificates")
        os.mkdir(folder)
        sys.path.insert(0, HERE)
        from certificates import Authority
        both = Authority(folder).issue("server", "/CN=localhost")[2]
        plain = free_port()
        broker = self.start_kappa_at("127.0.0.1:%d" % plain, "--set", "listeners=PLAINTEXT://127.0.0.1:%d,SSL://%s" % (plain, tls), "--set",
                                     "ssl.keystore.location=" + both, "--set", "max.connections=20000")
        self.probe("create", broker.address, "big", "1", check=True, stdout=subprocess.DEVNULL)
        rdkafka = os.path.join(self.peer("rdkafka.sh", "path").strip(), "rdkafka_performance")
        subprocess.run([rdkafka, "-P", "-t", "big", "-b", broker.address, "-c", "50000", "-s", "1000", "-X", "linger.ms=5"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        before = self.latency(broker, "before")
        p = subprocess.Popen([sys.executable, os.path.join(HERE, "flood.py"), broker.address, "big", "--tls", tls] +
                             [x for kind, n in FLOOD.items() for x in ("--" + kind, str(n))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stands = p.stdout.readline().strip()
        during = self.latency(broker, "during")
        peak = kib(broker.pid, "VmHWM") / 1024
        p.stdin.close()
        held = p.stdout.readline().strip()
        p.wait(30)
        self.stop(broker)
        return {"before": before, "during": during, "peak_mib": peak, "stands": stands, "held": held}

    def start_kappa_at(self, address, *more):
        """As start_kappa, where the listeners are among the settings."""
        self.count += 1
        data = os.path.join(self.dir, "kappa%d" % self.count)
        log = open(data + ".log", "wb")
        p = subprocess.Popen([self.kappa, "serve", "--data", data, "--http", "127.0.0.1:0"] + list(more), stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log)
        self.probe("ready", address, "20", str(p.pid), check=True, stdout=subprocess.DEVNULL)

        def stop():
            p.terminate()
            p.wait(60)
            log.close()
            shutil.rmtree(data, ignore_errors=True)
        return self.started(Broker("kappa", address, p.pid, 0, stop))

    def close(self):
        for broker in list(self.running):
            try:
                self.stop(broker)
            except (SystemExit, subprocess.SubprocessError) as e:
                say("stop of %s: %s" % (broker.name, e))
        shutil.rmtree(self.dir, ignore_errors=True)


def thread_ticks(pid):
    """CPU of each thread; none when the process is gone."""
    found = {}
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, task)) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            found[task] = int(fields[11]) + int(fields[12])
    except OSError:
        pass
    return found


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- the table -----------------------------------------------------------------------------------


def number(text):
    try:
        return float(str(text).rstrip("*"))
    except ValueError:
        return float("nan")


def median(rounds, key, field):
    values = [number(r["rows"][key][field]) for r in rounds if key in r["rows"]]
    return statistics.median(values) if values else float("nan")


def disturbed(rounds, key):
    return any("*" in r["rows"][key]["other"] for r in rounds if key in r["rows"])


class Table:
    def __init__(self):
        self.met = self.short = 0
        say("\n%-46s %10s %10s %7s %12s  %s" % ("figure", "kappa", "Kafka", "ratio", "asked", ""))

    def row(self, name, kappa, kafka, asked, good, note=""):
        ratio = "%.2f" % (kappa / kafka) if kafka and kafka == kafka and kafka > 0 else "-"
        beside = "%.2f" % kafka if kafka is not None and kafka == kafka else "-"
        self.met += good
        self.short += not good
        say("%-46s %10.2f %10s %7s %12s  %s%s" % (name, kappa, beside, ratio, asked, "met" if good else "SHORT", note))


def print_table(kappa, kafka, extra):
    t = Table()
    for key in sorted(kappa[0]["rows"], key=lambda k: (k[1], k[3], k[0], k[2], k[4])):
        op, size, acks, codec, parts = key
        if (op, size, codec) not in ASKED:
            continue
        tput, cpu = ASKED[(op, size, codec)]
        name = "%s %s B, %s%s, %s partition%s" % (op, size, codec, ", acks=" + acks if op == "produce" else "", parts, "s" if parts != "1" else "")
        mark = " *" if disturbed(kappa, key) or disturbed(kafka, key) else ""
        ours, theirs = median(kappa, key, "mb"), median(kafka, key, "mb")
        bound = extra.get("client", {}).get((size, codec)) if op == "produce" else None
        note = " (%.0f %% of the client's bound)" % (100 * ours / bound) if bound and ours < tput * theirs else ""
        # three times Kafka's may be more than a client can send
        good = ours >= tput * theirs or bool(bound and size == "1024" and codec == "none" and ours >= 0.95 * bound)
        t.row(name + ": MB/s", ours, theirs, ">= %.2f x" % tput, good, note + mark)
        if cpu is not None:
            ours, theirs = median(kappa, key, "cpu"), median(kafka, key, "cpu")
            t.row(name + ": CPU-s/GB", ours, theirs, "<= %.2f x" % cpu, ours <= cpu * theirs + 0.005, mark)
        lost = sum(number(r["rows"][key]["lost"]) for r in kappa if key in r["rows"])
        if lost:
            t.row(name + ": records lost", lost, None, "0", False)
    for key in kappa[0]["rows"]:
        if key[0] == "e2e-lat":
            for field, most in LATENCY.items():
                ours, theirs = median(kappa, key, field), median(kafka, key, field)
                name = "end to end at 1,000/s, %s: ms" % field[:-3].replace("p999", "p99.9")
                t.row(name, ours, theirs, "<= %.1f" % most, ours <= most, " *" if disturbed(kappa, key) or disturbed(kafka, key) else "")
    ready = statistics.median(r["ready_ms"] for r in kappa)
    t.row("ready on an empty directory: ms", ready, statistics.median(r["ready_ms"] for r in kafka) if kafka else None, "<= 100", ready <= 100)
    idle = statistics.median(r["start_mib"] for r in kappa)
    t.row("memory, idle: MiB", idle, statistics.median(r["start_mib"] for r in kafka) if kafka else None, "<= 32", idle <= 32)
    if "peak_MiB" in kappa[0]["memory"]:
        peak = max(number(r["memory"]["peak_MiB"]) for r in kappa)
        t.row("memory, most in these loads: MiB", peak, max([number(r["memory"].get("peak_MiB")) for r in kafka] or [0]) or None, "<= 128", peak <= 128)
    if "connections" in extra:
        line, mib = extra["connections"]
        t.row("memory, 10,000 connections (%s): MiB" % line, mib, None, "<= 128", mib <= 128 and line == "open 10000")
    if "flood" in extra:
        f = extra["flood"]
        t.row("p99 in a flood, against without it: ms", f["during"][1], None, "<= %.2f" % (2 * f["before"][1]), f["during"][1] <= 2 * f["before"][1])
        say("# flood: %s; %s, %s at its end; p50/p99/p99.9 %s ms before, %s during; memory at most %.0f MiB" % (
            ", ".join("%d %s" % (n, k) for k, n in FLOOD.items()), f["stands"], f["held"], "/".join("%.2f" % v for v in f["before"]),
            "/".join("%.2f" % v for v in f["during"]), f["peak_mib"]))
    if extra.get("client"):
        say("# the client's bound (a broker that keeps nothing): " + ", ".join("%s B %s %.0f MB/s" % (*k, v) for k, v in extra["client"].items()))
    if extra.get("threads"):
        say("# the client's busiest thread while it produces to kappa: " + ", ".join("%s B %.0f %% of a core" % x for x in extra["threads"].items()))
    if extra.get("disk"):
        say("# the disk (fio, 1 MiB, O_DIRECT): " + ", ".join("%s %.0f MB/s" % x for x in extra["disk"].items()))
    say("# %d met, %d short" % (t.met, t.short))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kappa")
    p.add_argument("--peers", default=os.path.join(HERE, "../../../shared/peers"))
    p.add_argument("--dir", default="/var/tmp", help="where the data goes: the disk that is measured")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--only", default="", metavar="PART,...", help="of " + ", ".join(LOADS + EXTRAS))
    args = p.parse_args()
    args.only = [x for x in args.only.split(",") if x]
    if set(args.only) - set(LOADS + EXTRAS):
        p.error("--only: parts are " + ", ".join(LOADS + EXTRAS))
    missing = [s for s in ("bench_broker.sh", "kafka.sh", "rdkafka.sh") if not os.access(os.path.join(args.peers, s), os.X_OK)]
    if missing:
        raise SystemExit("bench-broker: no %s in %s: the brokers to compare with are absent, nothing was measured (PEERS=DIR names their folder)" % (
            ", ".join(missing), os.path.abspath(args.peers)))
    extras = [x for x in EXTRAS if not args.only or x in args.only]
    loads = not args.only or set(args.only) - set(EXTRAS)
    args.only = [x for x in args.only if x not in EXTRAS]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench-broker: told to stop"))
    b = Bench(args)
    try:
        for script in ("kafka.sh", "rdkafka.sh"):
            say("# " + b.peer(script, "install").strip())
        if not os.path.exists(os.path.join(b.home, "bin", "kprobe")):
            subprocess.run(["bash", "-c", ". %s/common.sh; kprobe offsets 127.0.0.1:1 x 1 2>/dev/null || true" % b.peers], env=b.env, check=True)
        say("# %s, %d cores, Linux %s, %s; %s" % (time.strftime("%Y-%m-%d %H:%M"), os.cpu_count(), platform.release(), args.dir,
                                                subprocess.run([b.kappa, "version"], stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]))
        say("# fsync before the answer: kappa yes, Kafka no (its default)")
        kappa, kafka = [], []
        for _ in range(args.rounds if loads else 0):
            for start, into in ((b.start_kafka, kafka), (b.start_kappa, kappa)):
                broker = start()
                into.append(b.loads(broker))
                b.stop(broker)
        extra = {}
        if "bounds" in extras:
            extra["client"], extra["disk"], extra["threads"] = b.client_bound(), b.disk_bound(), b.client_threads()
        if "connections" in extras:
            extra["connections"] = b.connections()
        if "flood" in extras:
            extra["flood"] = b.flood()
        if not kappa:
            broker = b.start_kappa()
            kappa.append({"rows": {}, "memory": {}, "ready_ms": broker.ready_ms, "start_mib": broker.start_mib})
            b.stop(broker)
        print_table(kappa, kafka, extra)
    finally:
        b.close()


if __name__ == "__main__":
    main()
