# SPDX-License-Identifier: Apache-2.0
"""kappa bench: every verb says what it did; how fast is for other machines to say."""
import csv
import io
import json
import os

import harness


def figures(text):
    out = [json.loads(line) for line in text.splitlines()]
    assert out and all(f["seconds"] >= 0 for f in out), text
    return out


def test_produce_and_consume_agree_with_every_codec(t):
    s = t.server()
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = "bench-" + codec
        p, = figures(s.ok("bench", "produce", "--topic", topic, "--partitions", "2", "-n", "2000", "--size", "50", "--batch", "1000", "-z", codec, "--json"))
        assert (p["codec"], p["batch_records"], p["records"], p["partitions"]) == (codec, 20, 2000, 2), p
        assert 0 < p["p50_ms"] <= p["p99_ms"] <= p["p999_ms"], p
        c, = figures(s.ok("bench", "consume", "--topic", topic, "--json"))
        assert (c["records"], c["partitions"]) == (2000, 2), c
        assert codec != "none" or c["bytes"] > 2000 * 50, c
        c, = figures(s.ok("bench", "consume", "--topic", topic, "-n", "1", "--json"))
        assert 1 <= c["records"] <= 2000, c
    for args, code in ((["produce", "--topic", "bench-none", "--partitions", "3"], 4), (["consume", "--topic", "nope"], 3),
                       (["consume", "--size", "1"], 2), (["produce", "--io", "uring"], 2), (["view", "--acks", "1"], 2)):
        assert s.run("bench", *args).returncode == code, args


def test_append_and_view_leave_nothing_behind(t):
    s = t.server(wait=True)
    for backend in ("auto", "threads"):
        a, = figures(s.ok("bench", "append", "--data", t.dir, "-n", "20", "--size", "1Ki", "--batch", "4Ki", "--partitions", "3", "--inflight", "2",
                          "--duration", "2s", "--io", backend, "--json"))
        assert (a["partitions"], a["writers"], a["batch_records"]) == (3, 6, 4) and a["batches"] >= 20, a
        assert a["buffered_p50_ms"] > 0 and a["plain_bytes"] % 4096 == 0 and a["plain_bytes"] >= a["batch"], a
    rows = list(csv.DictReader(io.StringIO(s.ok("bench", "view", "--data", t.dir, "-n", "3000", "-z", "lz4", "--csv"))))
    assert [(r["view"], r["events"], r["dead_letters"]) for r in rows] == [("felt_per_day", "3000", "0"), ("felt_once", "3000", "0")], rows
    assert not [x for x in os.listdir(t.dir) if x.startswith("kappa-bench")]


harness.main(globals())
