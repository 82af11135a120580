# SPDX-License-Identifier: Apache-2.0
"""kappa topic: create, list, describe, alter, delete."""
import json
import uuid

import harness


def described(s, topic):
    d = json.loads(s.ok("topic", "describe", topic))
    return d, d["configs"]


def test_a_topic_is_listed_with_its_whole_id_and_size(t):
    s = t.server()
    s.ok("topic", "create", "b", "-p", "2")
    s.ok("topic", "create", "a")
    s.ok("produce", "a", input="one\ntwo\n")
    a, b = s.rows("topic", "list")
    assert list(a) == ["name", "id", "partitions", "records", "bytes"]
    assert (a["name"], a["partitions"], a["records"]) == ("a", 1, 2) and a["bytes"] > 0
    assert (b["name"], b["partitions"], b["records"]) == ("b", 2, 0)
    assert str(uuid.UUID(a["id"])) == a["id"] == described(s, "a")[0]["id"]
    csv = s.ok("topic", "list", "--csv").splitlines()
    assert csv == ["name,id,partitions,records,bytes", "a,%s,1,2,%d" % (a["id"], a["bytes"]), "b,%s,2,0,%d" % (b["id"], b["bytes"])]


def test_alter_adds_partitions_and_keeps_the_keys_it_does_not_name(t):
    s = t.server()
    s.ok("topic", "create", "a", "-c", "segment.ms=60000", "-c", "retention.ms=5000000")
    plan = s.rows("topic", "alter", "a", "-p", "3", "-c", "max.message.bytes=2000000")
    assert plan == [{"topic": "a", "key": "partitions", "from": "1", "to": "3", "loses_data": False},
                    {"topic": "a", "key": "max.message.bytes", "from": "1048588", "to": "2000000", "loses_data": False}]
    d, conf = described(s, "a")
    assert len(d["partitions"]) == 3
    assert (conf["segment.ms"], conf["retention.ms"], conf["max.message.bytes"]) == ("60000", "5000000", "2000000")
    s.ok("topic", "alter", "a", "--default", "segment.ms")
    s.stop()
    s.start()
    d, conf = described(s, "a")
    assert len(d["partitions"]) == 3
    assert (conf["segment.ms"], conf["retention.ms"], conf["max.message.bytes"]) == ("604800000", "5000000", "2000000")


def test_alter_that_can_lose_records_is_a_plan_until_execute(t):
    s = t.server()
    s.ok("topic", "create", "a", "-c", "retention.ms=-1")
    for args in (["-c", "retention.ms=1000"], ["-c", "retention.bytes=1000", "-p", "2"], ["--default", "retention.ms"]):
        p = s.run("topic", "alter", "a", *args)
        assert p.returncode == 4 and "may delete" in p.stdout and "--execute" in p.stderr, (args, p.stdout, p.stderr)
    d, conf = described(s, "a")
    assert len(d["partitions"]) == 1 and (conf["retention.ms"], conf["retention.bytes"]) == ("-1", "-1")
    s.ok("topic", "alter", "a", "-c", "retention.ms=1000", "--execute")
    assert described(s, "a")[1]["retention.ms"] == "1000"
    s.ok("topic", "alter", "a", "-c", "retention.ms=2000")


def test_alter_refuses_what_it_must(t):
    s = t.server()
    s.ok("topic", "create", "a", "-p", "2")
    for args, code in ((["a"], 2), (["a", "-p", "0"], 2), (["a", "-p", "2"], 4), (["a", "-p", "1"], 4), (["nope", "-p", "3"], 3),
                       (["a", "-c", "no.such=1"], 2), (["a", "-c", "retention.ms"], 2), (["a", "-c", "max.message.bytes=x"], 1),
                       (["a", "-c", "segment.ms=1000000", "-c", "segment.ms=2000000"], 2), (["__kappa_views", "-p", "3"], 1)):
        p = s.run("topic", "alter", *args)
        assert p.returncode == code and p.stderr, (args, p.returncode, p.stderr)
    assert len(described(s, "a")[0]["partitions"]) == 2


def test_a_group_member_ends_at_the_end_and_commits_what_it_printed(t):
    s = t.server()
    s.ok("topic", "create", "a", "-p", "3")
    s.ok("produce", "a", input="".join("%d\n" % i for i in range(10)))
    some = s.ok("consume", "a", "-G", "team", "-n", "4", "-f", "%v\\n").split()
    assert len(some) == 4
    rest = s.ok("consume", "a", "-G", "team", "-f", "%v\\n").split()
    assert sorted(some + rest, key=int) == [str(i) for i in range(10)], (some, rest)
    assert s.ok("consume", "a", "-G", "team") == ""
    s.ok("produce", "a", input="more\n")
    assert s.ok("consume", "a", "-G", "team") == "more\n"


harness.main(globals())
