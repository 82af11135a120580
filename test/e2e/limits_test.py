# SPDX-License-Identifier: Apache-2.0
"""Limits of open files: more partitions than descriptors, and too few descriptors said at the start."""
import os
import resource
import subprocess

import confluent_kafka

import harness

PARTITIONS = 800 if harness.SMALL else 1500


def limited(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_few_descriptors_are_said(t):
    p = subprocess.run([harness.KAPPA, "serve", "--data", t.path("data"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE, preexec_fn=limited(400, 400))
    err = p.stderr.decode()
    assert p.returncode == 1 and "at most 400 open files" in err and "LimitNOFILE" in err, err


def open_logs(pid):
    count = 0
    for f in os.listdir("/proc/%d/fd" % pid):
        try:
            count += os.readlink("/proc/%d/fd/%s" % (pid, f)).endswith(".log")
        except FileNotFoundError:  # closed since
            pass
    return count


def test_more_partitions_than_descriptors(t):
    """All of them written at once; the engine keeps 512 segments open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))  # the server raises it again
    try:
        s = t.server("data")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    s.ok("topic", "create", "wide", "-p", str(PARTITIONS))
    p = confluent_kafka.Producer({"bootstrap.servers": s.kafka, "linger.ms": 5, "log_level": 0})
    failed = []
    for turn in range(3):
        for n in range(PARTITIONS):
            p.produce("wide", b"%d" % turn, partition=n, on_delivery=lambda e, m: failed.append(e) if e else None)
            p.poll(0)
        assert p.flush(harness.PATIENCE) == 0
    assert not failed, failed[0]
    files = open_logs(s.process.pid)
    assert files <= 520, "%d segments are open" % files
    s.kill()
    s.start()
    records = [r["records"] for r in s.rows("topic", "list") if r["name"] == "wide"]
    assert records == [3 * PARTITIONS], records


harness.main(globals())
