#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of the log engine beside what the disk gives fio, in one run on one directory: `make bench-log`.

Each row is measured by build/<config>/test/log/log_bench in a process of its own; right before it, fio (or, without
fio, our own write + fdatasync loop) writes to the same directory. Absolute figures drift on virtual machines: the ratio
is what counts, and it is that of the two runs that stand next to each other. Prints and judges nothing.
"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

MIB = 1 << 20


class Bench:
    def __init__(self, program, parent, seconds):
        self.program, self.seconds = os.path.abspath(program), seconds
        self.dir = tempfile.mkdtemp(prefix="kappa-bench-log-", dir=parent)
        self.fio = shutil.which("fio")
        self.count = 0

    def ours(self, *args):
        self.count += 1
        place = os.path.join(self.dir, f"log{self.count}")
        args = [str(place if a is DIR else a) for a in args]
        try:
            out = subprocess.run([self.program, *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 text=True, timeout=600).stdout
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return number_pairs(out)

    def disk(self, mode, block, sync=True, overwrite=False):
        """Writes to a file of its own, blocks that it never had (overwrite: that it has): MB/s and the latency of
        write + fdatasync (ms)."""
        if not self.fio:
            return number_pairs(subprocess.run([self.program, "plain", self.dir, mode, str(block), str(self.seconds)],
                                               check=True, stdout=subprocess.PIPE, text=True).stdout)
        path = os.path.join(self.dir, "fio")
        # appending: larger than can be written in the time, else fio begins again at the start of the file and overwrites
        size = 1 << 30 if overwrite else 16 << 30 if block >= MIB else 512 << 20
        args = ["fio", "--name=x", f"--filename={path}", "--rw=write", f"--bs={block}", f"--size={size}", "--ioengine=psync",
                f"--direct={int(mode == 'direct')}", "--output-format=json", f"--runtime={self.seconds}", "--time_based=1",
                "--overwrite=1" if overwrite else "--fallocate=none"]
        if sync:
            args.append("--fdatasync=1")
        job = json.loads(subprocess.run(args, check=True, stdout=subprocess.PIPE).stdout)["jobs"][0]
        os.unlink(path)
        at = {p: job["write"]["clat_ns"]["percentile"][p] / 1e6 for p in ("50.000000", "99.000000")}
        if sync:
            sync_at = job["sync"]["lat_ns"]["percentile"]
            at = {p: at[p] + sync_at[p] / 1e6 for p in at}
        return {"mb_s": job["write"]["bw_bytes"] / 1e6, "p50_ms": at["50.000000"], "p99_ms": at["99.000000"]}

    def best_durable(self, block, overwrite=False):
        """The better of buffered and direct."""
        both = {m: self.disk(m, block, overwrite=overwrite) for m in ("direct", "buffered")}
        mode = max(both, key=lambda m: both[m]["mb_s"])
        return mode, both[mode], both

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


DIR = object()


def number_pairs(text):
    out = {}
    for pair in text.split():
        key, _, value = pair.partition("=")
        try:
            out[key] = float(value)
        except ValueError:
            out[key] = value
    return out


def row(name, value, beside="", ratio="", aim=""):
    print(f"{name:<46} {value:<46} {beside:<44} {ratio:<8} {aim}", flush=True)


def row_large(b):
    for name, partitions, writers, aim in (("durable append 1 MiB, 1 partition, 1 writer", 1, 1, ">= 0.85"),
                                           ("durable append 1 MiB, 1 partition, 4 writers", 1, 4, ">= 0.85"),
                                           ("durable append 1 MiB, 64 partitions", 64, 64, ">= 0.70")):
        mode, disk, both = b.best_durable(MIB)
        r = b.ours("append", DIR, partitions, writers, MIB, MIB, "fsync", b.seconds)
        over = b.disk("direct", MIB, overwrite=True)
        row(name, f"{r['mb_s']:.0f} MB/s, p50 {r['p50_ms']:.2f} p99 {r['p99_ms']:.2f} ms",
            f"fio appends {disk['mb_s']:.0f} ({mode}; one in flight)", f"{r['mb_s'] / disk['mb_s']:.2f}", aim)
        row("  beside blocks that are there already", "", f"fio overwrites {over['mb_s']:.0f} (direct)",
            f"{r['mb_s'] / over['mb_s']:.2f}", "")
        row("  its CPU per GB, whole process", f"{r['cpu_s_gb']:.2f} s", "", "", "<= 0.35 (1 partition)")
        row("  its p99 over p50", f"{r['p99_ms'] / r['p50_ms']:.1f}", "", "", "<= 3 (1 writer)")
        row("  loop thread, per MiB", f"user {r['loop_user_us_mib']:.0f} us, system {r['loop_sys_us_mib']:.0f} us",
            f"turn p99 {r['stall_p99_ms']:.2f} max {r['stall_max_ms']:.2f} ms (of it running {min(r['stall_max_ms'], r['stall_max_cpu_ms']):.2f})", "", "no turn over 1 ms")
        row("  peak memory less the writers' batches", f"{r['peak_mib'] - r['writers_mib']:.0f} MiB", "", "", "<= 64")
    c = b.ours("cost", MIB)
    row("of that user time, per MiB", f"checksum {c['checksum_us_mib']:.0f} us, copy {c['copy_us_mib']:.0f} us", "each alone, cache warm")


def row_middle(b):
    for size in (100, 4096, 65536, 262144):
        r = b.ours("append", DIR, 1, 16, size, 100 if size > 100 else size, "fsync", b.seconds)
        row(f"durable append {size} B batches, 16 writers", f"{r['mb_s']:.0f} MB/s, p50 {r['p50_ms']:.2f} p99 {r['p99_ms']:.2f} ms",
            f"CPU {r['cpu_s_gb']:.2f} s/GB, {r['rounds_s']:.0f} rounds/s")


def row_none(b):
    disk = b.disk("buffered", MIB, sync=False)
    r = b.ours("append", DIR, 1, 8, MIB, MIB, "none", b.seconds)
    row("durability none, 1 MiB, 1 partition, 8 writers", f"{r['mb_s']:.0f} MB/s, p50 {r['p50_ms']:.2f} p99 {r['p99_ms']:.2f} ms",
        f"fio buffered, no flush {disk['mb_s']:.0f}", f"{r['mb_s'] / disk['mb_s']:.2f}", ">= 0.85")


def row_small(b):
    _, disk, both = b.best_durable(4096)
    single = b.ours("append", DIR, 1, 1, 100, 100, "fsync", b.seconds)
    row("1-record durable, 1 writer", f"{single['batches_s']:.0f}/s, p50 {single['p50_ms']:.3f} p99 {single['p99_ms']:.3f} ms",
        f"fio 4 KiB p50 {disk['p50_ms']:.3f}, direct {both['direct']['p50_ms']:.3f} ms", f"{single['p50_ms'] / disk['p50_ms']:.2f}")
    for partitions in (1, 64):
        r = b.ours("append", DIR, partitions, 64, 100, 100, "fsync", b.seconds)
        row(f"1-record durable, 64 writers, {partitions} partition(s)",
            f"{r['batches_s']:.0f}/s, p50 {r['p50_ms']:.3f} p99 {r['p99_ms']:.3f} ms",
            f"{r['batches_s'] / single['batches_s']:.1f}x one writer", "", ">= 20x")
        row("  its p99 over one fdatasync of 4 KiB", f"{r['p99_ms'] / disk['p50_ms']:.1f}", "", "", "<= 4")
    r = b.ours("append", DIR, 512, 512, 100, 100, "fsync", b.seconds)
    row("512 partitions dirty per round", f"p50 {r['p50_ms']:.2f} p99 {r['p99_ms']:.2f} ms, {r['batches_s']:.0f}/s", "", "", "p50 <= 3 ms")


def row_fair(b):
    for large in (1, 16):
        r = b.ours("fair", DIR, large, b.seconds)
        row(f"100 B writer beside {large} of 1 MiB, its own partition",
            f"p50 {r['beside_p50_ms']:.2f} p99 {r['beside_p99_ms']:.2f} ms",
            f"alone p50 {r['alone_p50_ms']:.2f} p99 {r['alone_p99_ms']:.2f}; the large ones {r['large_mb_s']:.0f} MB/s", "",
            "two rounds of 4 MiB")


def row_cpu(b):
    r = b.ours("admit", DIR)
    row("log_append of 1,000 x 100 B, before the disk", f"{r['append_records_s'] / 1e6:.0f} M records/s",
        f"the produce check alone {r['check_records_s'] / 1e6:.0f} M records/s", "", ">= 15 M")
    r = b.ours("scan", DIR, 2000)
    row("scan, every checksum, from the page cache", f"{r['gb_s']:.2f} GB/s ({r['gb_cpu_s']:.2f} per CPU s)", "", "", ">= 4")


def row_lookup(b):
    r = b.ours("lookup", DIR, 10240)
    row("offset lookup + read of 16 KB, 10 GB, warm", f"p50 {r['read_p50_us']:.1f} p99 {r['read_p99_us']:.1f} us",
        f"by time: p50 {r['time_p50_us']:.1f} us", "", "<= 20 us")


def row_ready(b):
    place = os.path.join(b.dir, "ready")
    p = subprocess.Popen([b.program, "fill", place, "10240", "10000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdout.readline()
    p.kill()
    p.wait()
    segments = sum(f.endswith(".log") for _, _, files in os.walk(place) for f in files)
    for name in ("ready after kill -9", "ready after a clean stop"):
        out = subprocess.run([b.program, "open", place], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        r = number_pairs(out.stdout)
        row(f"{name}, 10 GB in {segments} segments", f"{r['ready_s']:.2f} s, memory {r['rss_mib']:.0f} MiB (peak {r['peak_mib']:.0f})",
            "", "", "<= 1 s, <= 64 MiB")
    shutil.rmtree(place)


ROWS = {"large": row_large, "middle": row_middle, "none": row_none, "small": row_small, "fair": row_fair, "cpu": row_cpu, "lookup": row_lookup}


def conditions(b):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    mount = subprocess.run(["stat", "-f", "-c", "%T", b.dir], stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"conditions: {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.cpu_count()} x {cpu}, Linux {os.uname().release}, "
          f"{mount} at {os.path.dirname(b.dir)}, load {os.getloadavg()[0]:.2f}, {b.seconds} s per run, "
          f"baseline {'fio psync' if b.fio else 'own loop'}, backend {os.environ.get('KAPPA_BENCH_IO', 'auto')}", flush=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("program")
    a.add_argument("dir")
    a.add_argument("--rows", default=",".join(ROWS))
    a.add_argument("--ready", action="store_true", help="10 GB in 10,000 segments, killed and started again (20 GB of disk)")
    a.add_argument("--seconds", type=float, default=3)
    args = a.parse_args()
    bench = Bench(args.program, args.dir, args.seconds)
    try:
        conditions(bench)
        for name in args.rows.split(","):
            if name:
                ROWS[name](bench)
        if args.ready:
            row_ready(bench)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
