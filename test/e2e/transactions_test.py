# SPDX-License-Identifier: Apache-2.0
"""Transactions by unmodified clients (confluent_kafka, kcat), through kill -9 and restarts, and what views make of them."""
import json
import subprocess
import threading
import time

import confluent_kafka
import confluent_kafka.admin

import harness


def producer(server, name, **conf):
    p = confluent_kafka.Producer({"bootstrap.servers": server.kafka, "transactional.id": name, "linger.ms": 0, "log_level": 0, **conf})
    p.init_transactions(harness.PATIENCE)
    return p


def send(p, topic, values, partition=0):
    for v in values:
        p.produce(topic, value=v, key=v, partition=partition)
        p.poll(0)


def transaction(p, topic, values, commit=True, timeout=harness.PATIENCE):
    p.begin_transaction()
    send(p, topic, values)
    if commit:
        p.commit_transaction(timeout)
    else:
        assert p.flush(timeout) == 0 or timeout < 30
        p.abort_transaction(timeout)


def kcat(server, topic, isolation):
    p = subprocess.run(["kcat", "-b", server.kafka, "-C", "-e", "-q", "-o", "beginning", "-t", topic, "-X",
                        "isolation.level=" + isolation], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    assert p.returncode == 0, p.stderr.decode()
    return p.stdout.decode().split()


def expect_error(code, fn):
    try:
        fn()
    except confluent_kafka.KafkaException as e:
        assert e.args[0].code() in code, e
        return e.args[0]
    raise AssertionError("no error")


def test_readers_of_committed_data_see_committed_data(t):
    s = t.server()
    s.ok("topic", "create", "t")
    p = producer(s, "tx")
    transaction(p, "t", ["a1", "a2"])
    transaction(p, "t", ["b1", "b2"], commit=False)
    transaction(p, "t", ["c1"])
    p.begin_transaction()
    send(p, "t", ["d1"])
    assert p.flush(harness.PATIENCE) == 0
    assert kcat(s, "t", "read_committed") == ["a1", "a2", "c1"]
    assert kcat(s, "t", "read_uncommitted") == ["a1", "a2", "b1", "b2", "c1", "d1"]
    p.commit_transaction(harness.PATIENCE)
    assert kcat(s, "t", "read_committed") == ["a1", "a2", "c1", "d1"]
    for clean in (True, False):
        s.stop() if clean else s.kill()
        s.start()
        assert kcat(s, "t", "read_committed") == ["a1", "a2", "c1", "d1"]


def test_a_second_producer_fences_the_first(t):
    s = t.server()
    s.ok("topic", "create", "t")
    old = producer(s, "tx")
    old.begin_transaction()
    send(old, "t", ["old"])
    assert old.flush(harness.PATIENCE) == 0
    new = producer(s, "tx")  # aborts what is open
    new.begin_transaction()
    send(new, "t", ["new"])
    new.commit_transaction(harness.PATIENCE)
    e = expect_error({confluent_kafka.KafkaError._FENCED, confluent_kafka.KafkaError.INVALID_PRODUCER_EPOCH,
                      confluent_kafka.KafkaError.PRODUCER_FENCED}, lambda: old.commit_transaction(harness.PATIENCE))
    assert e.fatal(), e
    assert kcat(s, "t", "read_committed") == ["new"]


def test_a_transaction_that_takes_too_long_is_aborted(t):
    s = t.server()
    s.ok("topic", "create", "t")
    p = producer(s, "slow", **{"transaction.timeout.ms": 1500})
    p.begin_transaction()
    send(p, "t", ["late"])
    assert p.flush(harness.PATIENCE) == 0
    time.sleep(3)
    deadline = time.monotonic() + harness.PATIENCE
    while "kappa_open_transactions 0" not in metrics(s):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    try:
        p.commit_transaction(harness.PATIENCE)
        raise AssertionError("committed")
    except confluent_kafka.KafkaException:
        pass
    assert kcat(s, "t", "read_committed") == []
    producer(s, "slow")
    conf = {"bootstrap.servers": s.kafka, "transactional.id": "x", "transaction.timeout.ms": 900001}
    expect_error({confluent_kafka.KafkaError.INVALID_TRANSACTION_TIMEOUT},
                 lambda: confluent_kafka.Producer(conf).init_transactions(harness.PATIENCE))


def copy_all(s, count, stop, fail=None):
    """consume-transform-produce from `in` to `out`, exactly once, until `count` records are there or stop is set."""
    conf = {"bootstrap.servers": s.kafka, "group.id": "copy", "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "isolation.level": "read_committed"}
    c = confluent_kafka.Consumer(conf)
    c.subscribe(["in"])
    p = producer(s, "copier")
    copied, deadline = 0, time.monotonic() + harness.PATIENCE
    while copied < count and not stop.is_set() and time.monotonic() < deadline:
        batch = [m for m in c.consume(20, 0.5) if not m.error()]
        if not batch:
            continue
        p.begin_transaction()
        for m in batch:
            p.produce("out", value=m.value().upper(), partition=m.partition())
        p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), harness.PATIENCE)
        if fail and fail(copied):
            p.abort_transaction(harness.PATIENCE)
            c.close()
            return copied
        p.commit_transaction(harness.PATIENCE)
        copied += len(batch)
    c.close()
    return copied


def test_consume_transform_produce_exactly_once(t):
    s = t.server()
    for topic in ("in", "out"):
        s.ok("topic", "create", topic, "--partitions", "3")
    feed = producer(s, "feed")
    for i in range(20):
        feed.begin_transaction()
        for k in range(10):
            feed.produce("in", value="%s%d-%d" % ("x" if i % 4 else "gone", i, k), partition=k % 3)
        if i % 4:
            feed.commit_transaction(harness.PATIENCE)
        else:
            feed.flush(harness.PATIENCE)
            feed.abort_transaction(harness.PATIENCE)
    wanted = sorted("X%d-%d" % (i, k) for i in range(20) if i % 4 for k in range(10))
    stop = threading.Event()
    assert copy_all(s, 150, stop, fail=lambda n: n >= 40) < 150  # its last transaction aborts, offsets too
    done = len(kcat(s, "out", "read_committed"))
    copy_all(s, len(wanted) - done, stop)
    assert sorted(kcat(s, "out", "read_committed")) == wanted
    committed = confluent_kafka.Consumer({"bootstrap.servers": s.kafka, "group.id": "copy"}).committed(
        [confluent_kafka.TopicPartition("in", i) for i in range(3)], 10)
    assert all(c.offset > 0 for c in committed), committed


def test_kill_9_in_each_state(t):
    s = t.server()
    s.ok("topic", "create", "t")
    p = producer(s, "tx")
    transaction(p, "t", ["before"])
    p.begin_transaction()
    send(p, "t", ["open"])
    assert p.flush(harness.PATIENCE) == 0
    s.kill()
    s.start()
    assert kcat(s, "t", "read_committed") == ["before"]  # still open: nothing of it, nothing behind it
    q = confluent_kafka.Producer({"bootstrap.servers": s.kafka})
    q.produce("t", value="plain")
    assert q.flush(harness.PATIENCE) == 0
    assert kcat(s, "t", "read_committed") == ["before"]
    p = producer(s, "tx")  # a new life of the same: aborts
    assert kcat(s, "t", "read_committed") == ["before", "plain"]
    transaction(p, "t", ["after"])
    transaction(p, "t", ["gone"], commit=False)
    s.kill()
    s.start()
    assert kcat(s, "t", "read_committed") == ["before", "plain", "after"]
    p = producer(s, "tx")
    killer = threading.Timer(0.02 + 0.05 * t.random.random(), s.kill)
    for i in range(30):  # commits and aborts around a kill at any moment: whole or not at all
        try:
            if i == 10:
                killer.start()
            transaction(p, "t", ["%d-%d" % (i, k) for k in range(3)], commit=i % 3 != 0, timeout=5)
        except confluent_kafka.KafkaException:
            if i >= 10:
                killer.join()  # not the server of the next start
            s.kill()
            s.start()
            p = producer(s, "tx")
    killer.join()
    s.kill()
    s.start()
    producer(s, "tx")
    seen = kcat(s, "t", "read_committed")[3:]
    for i in range(30):
        mine = [v for v in seen if v.startswith("%d-" % i)]
        assert mine in ([], ["%d-%d" % (i, k) for k in range(3)]), (i, mine)
        assert i % 3 or not mine, (i, mine)


def metrics(s):
    return subprocess.run(["curl", "-s", "http://" + s.http + "/metrics", "-H", "Authorization: Bearer " + s.token],
                          stdout=subprocess.PIPE).stdout.decode()


def row(i, n):
    return json.dumps({"id": i, "n": n})


def test_aborted_data_is_in_no_view_live_or_rebuilt(t):
    s = t.server()
    s.ok("topic", "create", "sales")
    s.sql("CREATE TABLE sales (id integer NOT NULL, n integer NOT NULL) WITH (topic = 'sales', format = json);"
          "CREATE MATERIALIZED VIEW totals AS SELECT id, count(*) AS c, sum(n) AS n FROM sales GROUP BY id;")
    p, other = producer(s, "one"), producer(s, "two")
    want = {}
    for i in range(40):
        commit = i % 3 != 1
        transaction(p, "sales", [row(i % 5, i)], commit=commit)
        if commit:
            c, n = want.get(i % 5, (0, 0))
            want[i % 5] = (c + 1, n + i)
    s.wait_view("totals")
    rows = lambda v: {r["id"]: (r["c"], int(r["n"])) for r in s.rows("view", "query", "totals", "--version", str(v))}
    assert rows(1) == want, (rows(1), want)
    other.begin_transaction()  # open: what comes behind it waits
    send(other, "sales", [row(9, 1)])
    assert other.flush(harness.PATIENCE) == 0
    q = confluent_kafka.Producer({"bootstrap.servers": s.kafka})
    q.produce("sales", value=row(7, 7))
    assert q.flush(harness.PATIENCE) == 0
    time.sleep(1)
    assert rows(1) == want
    assert "kappa_open_transactions 1" in metrics(s), metrics(s)
    s.kill()
    s.start()
    deadline = time.monotonic() + harness.PATIENCE
    while rows(1) != want and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    assert rows(1) == want
    producer(s, "two")  # aborts it
    want[7] = (1, 7)
    s.wait_view("totals")
    deadline = time.monotonic() + harness.PATIENCE
    while rows(1) != want and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rows(1) == want, (rows(1), want)
    s.sql("CREATE MATERIALIZED VIEW totals WITH (version = 2) AS SELECT id, count(*) AS c, sum(n) AS n FROM sales GROUP BY id;")
    s.wait_view("totals", 2)
    assert rows(2) == want, (rows(2), want)


harness.main(globals())
