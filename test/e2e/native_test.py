# SPDX-License-Identifier: Apache-2.0
"""The native door of the real program, through libkappa's example as a stranger builds it."""
import os
import re
import signal
import stat
import subprocess
import time
import json
import harness

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "../..")
BUILD = os.path.dirname(os.path.abspath(harness.KAPPA))


def build(t):
    """The line of the example's own comment, with the header and the library and nothing else of the tree."""
    source = open(os.path.join(TOP, "broker/libkappa/example.c")).read()
    line = re.search(r"\* +(cc example\.c .*)", source).group(1)
    out = os.path.join(t.dir, "example")
    for name in ("example.c", "kappa.h"):
        with open(os.path.join(t.dir, name), "w") as f:
            f.write(open(os.path.join(TOP, "broker/libkappa", name)).read())
    extra = ["-fsanitize=address,undefined"] if "asan" in BUILD else []
    args = line.replace("libkappa.a", os.path.join(BUILD, "libkappa.a")).split()
    subprocess.run(args + ["-Wall", "-Wextra", "-Werror"] + extra, cwd=t.dir, check=True)
    return out


def endpoints(s):
    return json.load(open(os.path.join(s.data, "endpoints.json")))


def tour(program, s):
    r = subprocess.run([program, endpoints(s)["ipc"]], capture_output=True, text=True, timeout=harness.PATIENCE)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def test_the_example_builds_and_appends_and_reads(t):
    program = build(t)
    s = t.server()
    assert tour(program, s) == "appended at 0, the log is [0, 2)\n0: de -> Hallo\n1: fr -> Bonjour\n"
    assert tour(program, s) == "appended at 2, the log is [0, 4)\n2: de -> Hallo\n3: fr -> Bonjour\n"
    # the Kafka door has the same records
    r = s.run("consume", "greetings", "-e", "-f", "%o %k %s\n")
    assert r.stdout.splitlines()[1] == "1 fr Bonjour", r.stdout + r.stderr


def test_the_library_shows_its_own_names_only(t):
    lib = os.path.join(BUILD, "libkappa.a")
    names = [l.split() for l in subprocess.check_output(["nm", "-g", "--defined-only", lib], text=True).splitlines()]
    shown = {n[2] for n in names if len(n) == 3}
    assert "kappa_open" in shown, shown
    assert all(n.startswith("kappa_") for n in shown if not n.startswith("__")), sorted(shown)[:20]


def test_the_door_is_its_user_s_and_survives_a_kill(t):
    program = build(t)
    s = t.server()
    path = endpoints(s)["ipc"][len("ipc://"):]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert endpoints(s)["feed"].endswith("/kappa-feed.ipc")
    tour(program, s)
    s.process.send_signal(signal.SIGKILL)
    s.process.wait()
    assert os.path.exists(path)
    s.start()
    assert tour(program, s).startswith("appended at 2")
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(timeout=harness.PATIENCE) == 0
    assert not os.path.exists(path), "a clean stop takes its sockets away"
    r = subprocess.run([program, "ipc://" + path], capture_output=True, text=True, timeout=harness.PATIENCE)
    assert r.returncode == 1 and "error -3" in r.stderr, r.stderr


def test_the_door_can_be_off_or_on_a_loopback_port(t):
    program = build(t)
    s = t.server(args=["--native", "off", "--set", "kappa.native.feed=off"])
    assert endpoints(s)["ipc"] is None and endpoints(s)["feed"] is None
    s = t.server("other", ["--native", "tcp://127.0.0.1:0"])
    assert endpoints(s)["ipc"].startswith("tcp://127.0.0.1:")
    assert tour(program, s).startswith("appended at 0")
    refused = subprocess.run([harness.KAPPA, "serve", "--data", os.path.join(t.dir, "x"), "--listen", "127.0.0.1:0",
                              "--http", "127.0.0.1:0", "--native", "tcp://0.0.0.0:0"], capture_output=True, text=True,
                             timeout=harness.PATIENCE)
    assert refused.returncode == 4 and "loopback" in refused.stderr, refused.stderr


def test_a_subscriber_hears_of_a_new_view(t):
    program = build(t)
    s = t.server()
    s.ok("topic", "create", "o")
    s.sql("CREATE TABLE o (id bigint NOT NULL) WITH (topic = 'o')")
    p = subprocess.Popen([program, endpoints(s)["ipc"], endpoints(s)["feed"], "events/"], stdout=subprocess.PIPE, text=True)
    try:
        while p.stdout.readline() != "subscribed\n":
            assert p.poll() is None
        time.sleep(2.5)  # what there was before it came is no event
        s.sql("CREATE MATERIALIZED VIEW v AS SELECT id, count(*) AS n FROM o GROUP BY id")
        topic, event = p.stdout.readline().split(" ", 1)
        event = json.loads(event)
        assert topic == "events/view" and event["view"] == "v" and event["version"] == 1, event
        assert p.wait(timeout=harness.PATIENCE) == 0
    finally:
        p.kill()
        p.wait()


def test_a_subscriber_follows_the_rows_of_a_view(t):
    program = build(t)
    s = t.server()
    s.ok("topic", "create", "o")
    s.sql("CREATE TABLE o (id bigint NOT NULL, who text NOT NULL) WITH (topic = 'o')")
    s.sql("CREATE MATERIALIZED VIEW v AS SELECT who, id % 2 AS odd, count(*) AS n FROM o GROUP BY who, 2")
    s.ok("produce", "o", input='{"id":1,"who":"a"}\n')
    s.wait_view("v")
    p = subprocess.Popen([program, endpoints(s)["ipc"], endpoints(s)["feed"], "view/v/"], stdout=subprocess.PIPE, text=True)
    try:
        while p.stdout.readline() != "subscribed\n":
            assert p.poll() is None
        s.ok("produce", "o", input='{"id":3,"who":"a"}\n{"id":5,"who":"a, \\"b\\""}\n')
        topic, change = p.stdout.readline().split(" {", 1)
        change = json.loads("{" + change)
        assert topic == "view/v/1/who=a,odd=1", topic
        assert change["op"] == "upsert" and change["row"] == {"who": "a", "odd": 1, "n": 2}, change
        assert change["previous"] < change["sequence"] and (change["index"], change["view"]) == (0, "v"), change
    finally:
        p.kill()
        p.wait()


harness.main(globals())
