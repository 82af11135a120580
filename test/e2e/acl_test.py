# SPDX-License-Identifier: Apache-2.0
"""kappa acl: list, add, remove; and what the entries do to real clients."""
import harness


ME = "User:ANONYMOUS"


def entry(**kw):
    e = {"resource": "topic", "name": "a", "pattern": "literal", "permission": "allow", "principal": ME, "operation": "read", "host": "*"}
    e.update(kw)
    return e


def test_entries_are_added_listed_and_removed(t):
    s = t.server()
    assert s.rows("acl", "list") == []
    assert s.rows("acl", "add", "--allow", ME, "--operation", "read", "--operation", "write", "--topic", "a") == \
        [entry(), entry(operation="write")]
    s.ok("acl", "add", "--deny", "User:bob", "--operation", "all", "--topic", "ab", "--prefixed", "--host", "10.0.0.1")
    s.ok("acl", "add", "--allow", ME, "--operation", "read", "--group", "g")
    s.ok("acl", "add", "--allow", ME, "--operation", "all", "--cluster")
    assert len(s.rows("acl", "list")) == 5
    bob = entry(name="ab", pattern="prefixed", permission="deny", principal="User:bob", operation="all", host="10.0.0.1")
    assert s.rows("acl", "list", "--principal", "User:bob") == [bob]
    assert s.rows("acl", "list", "--topic", "abc") == [bob]
    assert s.rows("acl", "list", "--cluster") == [entry(resource="cluster", name="kafka-cluster", operation="all")]
    s.stop()
    s.start()
    assert len(s.rows("acl", "list")) == 5
    assert s.rows("acl", "remove", "--topic", "a", "--operation", "write") == [entry(operation="write")]
    p = s.run("acl", "remove", "--topic", "a", "--operation", "write")
    assert p.returncode == 3, (p.returncode, p.stderr)
    assert s.rows("acl", "remove", "--principal", "User:bob") == [bob]
    assert len(s.rows("acl", "list")) == 3


def test_reading_over_http_needs_the_token_while_there_are_entries(t):
    """Nobody has to say who he is, but something is closed to those who do not: the HTTP door knows no users."""
    import urllib.error
    import urllib.request
    s = t.server()

    def get(path, token=None):
        r = urllib.request.Request("http://" + s.http + path, headers={"Authorization": "Bearer " + token} if token else {})
        try:
            with urllib.request.urlopen(r, timeout=harness.PATIENCE) as f:
                return f.status
        except urllib.error.HTTPError as e:
            return e.code
    s.ok("topic", "create", "a")
    assert get("/v1/topics/a/records") == 200
    s.ok("acl", "add", "--deny", ME, "--operation", "read", "--topic", "a")
    for _ in range(2):
        for path in ("/v1/topics", "/v1/topics/a/records", "/metrics"):
            assert get(path) == 401, path
            assert get(path, s.token) == 200, path
        assert get("/health") == 200 and get("/ready") == 200
        s.stop()
        s.start()
    s.ok("acl", "remove", "--topic", "a")
    assert get("/v1/topics/a/records") == 200


def test_a_host_has_one_spelling(t):
    s = t.server()
    assert s.rows("acl", "add", "--deny", ME, "--operation", "read", "--topic", "a", "--host", "0:0:0:0:0:0:0:1")
    assert s.rows("acl", "add", "--deny", ME, "--operation", "read", "--topic", "b", "--host", "::ffff:127.0.0.1")
    assert [r["host"] for r in s.rows("acl", "list")] == ["::1", "127.0.0.1"]
    for bad in ("....", "abc", "10.0.0.0/8"):
        p = s.run("acl", "add", "--deny", ME, "--operation", "read", "--topic", "a", "--host", bad)
        assert p.returncode != 0 and "a host is an address" in p.stderr, (bad, p.stderr)
    s.ok("topic", "create", "b")
    s.ok("acl", "add", "--allow", ME, "--operation", "all", "--topic", "b")
    s.ok("produce", "b", input="x\n")
    assert s.run("consume", "b").returncode != 0
    assert len(s.rows("acl", "remove", "--topic", "b", "--host", "::ffff:7f00:1")) == 1
    assert s.ok("consume", "b", "-f", "%v\n") == "x\n"


def test_flags_that_say_too_little_or_too_much_are_usage_errors(t):
    s = t.server()
    for args in (["add", "--allow", ME, "--topic", "a"], ["add", "--operation", "read", "--topic", "a"],
                 ["add", "--allow", ME, "--operation", "read"], ["add", "--allow", ME, "--operation", "fly", "--topic", "a"],
                 ["add", "--allow", ME, "--deny", ME, "--operation", "read", "--topic", "a"],
                 ["list", "--topic", "a", "--group", "b"], ["remove", "--operation", "read"]):
        p = s.run("acl", *args)
        assert p.returncode == 2, (args, p.returncode, p.stderr)
    p = s.run("acl", "add", "--allow", "alice", "--operation", "read", "--topic", "a")
    assert p.returncode != 0 and "User:NAME" in p.stderr, p.stderr


def test_a_topic_with_entries_is_closed_to_those_not_named(t):
    s = t.server()
    s.ok("topic", "create", "a")
    s.ok("topic", "create", "b")
    s.ok("acl", "add", "--allow", ME, "--operation", "write", "--topic", "a")
    s.ok("produce", "a", input="one\n")
    assert s.run("consume", "a").returncode != 0
    s.ok("produce", "b", input="two\n")
    assert s.ok("consume", "b", "-f", "%v\n") == "two\n"
    s.ok("acl", "add", "--allow", ME, "--operation", "read", "--topic", "a")
    assert s.ok("consume", "a", "-f", "%v\n") == "one\n"


def test_closed_by_configuration_only_super_users_may(t):
    s = t.server(args=["--set", "allow.everyone.if.no.acl.found=false", "--set", "super.users=" + ME])
    s.ok("topic", "create", "a")
    s.stop()
    s = t.server(args=["--set", "allow.everyone.if.no.acl.found=false"])
    assert s.rows("topic", "list") == []
    assert s.run("topic", "create", "b").returncode != 0
    p = s.run("acl", "list")
    assert p.stdout == "" and "none that you may see" in p.stderr
    assert s.run("acl", "add", "--allow", ME, "--operation", "all", "--topic", "a").returncode != 0


harness.main(globals())
