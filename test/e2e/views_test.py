# SPDX-License-Identifier: Apache-2.0
"""Views by the commands a user types: create, query, rebuild, diff, explain, promote, roll back, dead letters."""
import json

import harness

TABLE = """CREATE TABLE sales (id text NOT NULL, rev integer NOT NULL, at timestamptz OPTIONS (unit 'ms') NOT NULL,
  amount numeric(12,2) NOT NULL CHECK (amount >= 0), state text NOT NULL) WITH (topic = 'sales', format = json);"""
V1 = "CREATE MATERIALIZED VIEW per_day AS SELECT date_trunc('day', at) AS day, count(*) AS n, sum(amount) AS total FROM sales GROUP BY 1;"
V2 = """CREATE MATERIALIZED VIEW per_day WITH (version = 2) AS SELECT date_trunc('day', at) AS day, count(*) AS n, sum(amount) AS total
FROM (SELECT DISTINCT ON (id) id, at, amount, state FROM sales ORDER BY id, rev DESC, _sequence DESC, _pos DESC) AS last
WHERE state <> 'void' GROUP BY 1 WITH NO DATA;"""
DAY = 86400000
START = 1735689600000


def records(t, count, first=0):
    out = []
    for i in range(first, first + count):
        quake = i if t.random.random() < 0.6 or i == 0 else t.random.randrange(max(0, i - 50), i)
        out.append({"id": "s%d" % quake, "rev": i, "at": START + quake * 40 * 60000, "amount": "%d.%02d" % (quake % 90, i % 100),
                    "state": "void" if t.random.random() < 0.05 else "open"})
    return out


def produce(s, recs):
    s.ok("produce", "sales", "--ndjson", "--key", ".id", input="".join(json.dumps(r) + "\n" for r in recs))


def cents(text):
    return int(text.replace(".", ""))


def day_of(ms):
    import datetime
    return datetime.datetime.fromtimestamp(ms // DAY * 86400, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def expect(recs, latest):
    if latest:
        by_id = {}
        for r in recs:
            if r["id"] not in by_id or r["rev"] >= by_id[r["id"]]["rev"]:
                by_id[r["id"]] = r
        recs = [r for r in by_id.values() if r["state"] != "void"]
    days = {}
    for r in recs:
        d = days.setdefault(day_of(r["at"]), [0, 0])
        d[0] += 1
        d[1] += cents(r["amount"])
    return days


def rows(s, version=None):
    args = ["view", "query", "per_day"] + (["--version", str(version)] if version else [])
    return {r["day"]: [r["n"], cents(r["total"])] for r in s.rows(*args)}


def prepared(t, count=3000):
    s = t.server()
    s.ok("topic", "create", "sales")
    s.sql(TABLE + V1)
    recs = records(t, count)
    produce(s, recs)
    s.wait_view("per_day")
    return s, recs


def test_rebuild_compare_promote_and_roll_back(t):
    s, recs = prepared(t)
    assert rows(s) == expect(recs, False)
    path = t.file("v2.sql", V2)
    s.ok("view", "rebuild", "per_day", "-f", path)
    more = records(t, 500, len(recs))
    produce(s, more)
    recs += more
    s.wait_view("per_day", 2)
    s.wait_view("per_day", 1)
    assert rows(s, 1) == expect(recs, False) and rows(s, 2) == expect(recs, True)
    assert rows(s) == expect(recs, False), "version 1 is still the active one"
    one, two = expect(recs, False), expect(recs, True)
    p = s.run("view", "diff", "per_day", "1", "2", "--json", "--exit-code")
    assert p.returncode == 8
    diff = [json.loads(x) for x in p.stdout.splitlines()]
    changed = {d for d in one if d in two and one[d] != two[d]}
    assert {d["day"] for d in diff if d["change"] == "changed"} == changed
    assert {d["day"] for d in diff if d["change"] == "removed"} == set(one) - set(two)
    for d in diff:
        if d["change"] == "changed":
            assert [d["n_v1"], cents(d["total_v1"]), d["n_v2"], cents(d["total_v2"])] == one[d["day"]] + two[d["day"]]
    last = p.stderr.strip().splitlines()[-1]
    assert last.startswith("diff per_day 1 2 at sequence ") and last.endswith(
        "0 added, %d removed, %d changed, %d same" % (len(set(one) - set(two)), len(changed), len([d for d in one if one[d] == two.get(d)]))), last
    s.ok("view", "promote", "per_day", "2")
    assert rows(s) == two
    s.ok("view", "rollback", "per_day")
    assert rows(s) == one
    assert s.run("view", "rollback", "per_day").returncode == 4
    s.ok("view", "promote", "per_day", "2")
    s.stop()
    s.start()
    s.wait_view("per_day", 2)
    assert rows(s) == two, "the promote is durable"
    listed = {(v["view"], v["version"]): v["active"] for v in s.rows("view", "list")}
    assert listed == {("per_day", 1): False, ("per_day", 2): True}


def test_a_row_is_explained_by_its_records(t):
    s, recs = prepared(t)
    day = sorted(expect(recs, False))[2]
    e = json.loads(s.ok("view", "explain-row", "per_day", "--key", "day=" + day, "--limit", "1000"))
    mine = [i for i, r in enumerate(recs) if day_of(r["at"]) == day]
    assert e["view"] == "per_day" and e["version"] == 1 and e["complete"] and e["total"] == len(mine)
    assert [x["offset"] for x in e["inputs"]] == mine and all(x["effect"] == 1 and x["topic"] == "sales" for x in e["inputs"])
    assert e["row"]["n"] == len(mine)
    s.ok("view", "rebuild", "per_day", "-f", t.file("v2.sql", V2))
    s.wait_view("per_day", 2)
    e = json.loads(s.ok("view", "explain-row", "per_day", "--version", "2", "--key", day, "--limit", "1000"))
    assert sum(x["effect"] for x in e["inputs"]) == e["row"]["n"] == expect(recs, True)[day][0]
    p = s.run("view", "explain-row", "per_day", "--key", "1999-01-01 00:00:00+00")
    assert p.returncode == 3, (p.returncode, p.stderr)
    assert json.loads(s.ok("view", "explain-row", "per_day", "--key", day, "--limit", "2"))["complete"] is False


def test_every_bad_record_is_a_dead_letter(t):
    s, recs = prepared(t, 50)
    bad = ['not json', '{"id":"x"}', '{"id":"x","rev":1,"at":1,"amount":"-5","state":"open"}', '{"id":"x","rev":"a","at":1,"amount":"1","state":"o"}',
           '[1]', '{"id":null,"rev":1,"at":1,"amount":"1","state":"o"}', '{"id":"x","rev":1,"at":1,"amount":"99999999999.99","state":"o"}']
    s.ok("produce", "sales", input="".join(b + "\n" for b in bad))
    produce(s, records(t, 10, 50))
    s.wait_view("per_day")
    letters = s.rows("dlq", "list", "per_day")
    assert [x["offset"] for x in letters] == list(range(50, 50 + len(bad)))
    reasons = [x["reason"] for x in letters]
    assert reasons == ["BAD_JSON", "NULL_VALUE", "CHECK_FAILED", "BAD_VALUE", "BAD_JSON", "NULL_VALUE", "NUMERIC_OVERFLOW"], reasons
    import base64
    assert base64.b64decode(letters[0]["value_base64"]) == b"not json"
    one = s.rows("dlq", "show", "per_day", "sales/0/52")
    assert len(one) == 1 and one[0]["id"] == "sales/0/52" and one[0]["message"]
    assert s.run("dlq", "show", "per_day", "sales/0/1").returncode == 3
    status = json.loads(s.ok("view", "describe", "per_day"))
    assert status["dead_letters"] == len(bad) and status["records"] == 60


def test_verbs_refuse_what_they_must(t):
    s, recs = prepared(t, 20)
    assert s.run("view", "query", "nothing").returncode == 3
    assert s.run("view", "query", "per_day", "--version", "9").returncode == 3
    assert s.run("view", "promote", "per_day", "7").returncode == 3
    assert s.run("view", "rollback", "per_day").returncode == 4
    assert s.run("view", "drop", "per_day").returncode == 4
    assert s.run("topic", "delete", "sales").returncode == 4
    assert s.run("topic", "delete", "nope", "--execute").returncode == 3
    assert s.run("topic", "create", "sales").returncode == 4
    assert s.run("view", "rebuild", "per_day", "-f", "/nonexistent").returncode != 0
    assert s.run("consume", "sales", "-o", "2025-01-01T00:00:00").returncode == 2
    assert "zone" in s.run("consume", "sales", "-o", "@2025-01-01T00:00:00").stderr
    assert s.run("consume", "nope").returncode == 3
    p = s.run("sql", "SELECT nope\nFROM per_day")
    assert p.returncode == 1 and "1:8" in p.stderr, p.stderr
    p = s.run("sql", "SELECT n FROM per_dya")
    assert "per_day" in p.stderr, p.stderr
    assert s.run("replay", "start", "sales").returncode == 1
    p = s.run("sql", "CREATE TABLE d (id text) WITH (topic = 'sales', format = json, dlq = 'sales.dlq')")
    assert p.returncode == 1 and "NOT_YET" in p.stderr, p.stderr
    v1_again = t.file("v1.sql", V1.replace("per_day AS", "per_day WITH (version = 1) AS"))
    assert s.run("view", "rebuild", "per_day", "-f", v1_again).returncode == 4
    s.ok("view", "drop", "per_day", "--execute")
    assert s.rows("view", "list") == []


def test_output_forms(t):
    s = t.server()
    s.ok("topic", "create", "f")
    s.sql("""CREATE TABLE f (id integer NOT NULL, t text, n numeric(20,4), d double precision, b boolean, ts timestamptz, day date) WITH (topic = 'f', format = json);
             CREATE MATERIALIZED VIEW v AS SELECT id, t, n, d, b, ts, day FROM f;""")
    s.ok("produce", "f", "--ndjson", input='{"id":1,"t":"a,\\"b\\"","n":"12.5","d":0.1,"b":true,"ts":"2025-03-01T12:00:00+02:00","day":"2025-03-01"}\n'
                                         '{"id":2,"t":"","n":null,"d":null,"b":false,"ts":null,"day":null}\n{"id":3}\n')
    s.wait_view("v")
    assert s.ok("sql", "SELECT * FROM v ORDER BY id", "--csv").splitlines() == [
        "id,t,n,d,b,ts,day", '1,"a,""b""",12.5000,0.1,true,2025-03-01T10:00:00.000000Z,2025-03-01', '2,"",,,false,,', "3,,,,,,"]
    assert s.query("SELECT * FROM v ORDER BY id") == [
        {"id": 1, "t": 'a,"b"', "n": "12.5000", "d": 0.1, "b": True, "ts": "2025-03-01T10:00:00.000000Z", "day": "2025-03-01"},
        {"id": 2, "t": "", "n": None, "d": None, "b": False, "ts": None, "day": None},
        {"id": 3, "t": None, "n": None, "d": None, "b": None, "ts": None, "day": None}]


harness.main(globals())
