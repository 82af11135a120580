# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as the oracle: the same records, the same SELECT, the same rows; as a view kept up to date and as a query."""
import csv
import glob
import io
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile

import harness

TABLE = """CREATE TABLE ev (id bigint NOT NULL, k text, grp integer, qty integer, price numeric(12,2), big numeric(30,6), ratio double precision,
  ok boolean, at timestamptz, day date, note text)"""
COLUMNS = "id k grp qty price big ratio ok at day note".split()

# Each as a materialized view over the topic, compared with PostgreSQL's answer on the same records.
VIEWS = """
SELECT id, k, grp, qty, price, big, ratio, ok, at, day, note FROM ev
SELECT count(*) AS n FROM ev
SELECT count(*) AS n, count(k) AS nk, sum(qty) AS s, min(price) AS lo, max(price) AS hi FROM ev WHERE false
SELECT k, count(*) AS n FROM ev GROUP BY k
SELECT grp, sum(qty) AS s, avg(qty) AS a, min(qty) AS lo, max(qty) AS hi FROM ev GROUP BY grp
SELECT k, sum(price) AS s, avg(price) AS a FROM ev GROUP BY k
SELECT grp, sum(big) AS s, avg(big) AS a, max(big) AS m FROM ev GROUP BY grp
SELECT grp, count(DISTINCT k) AS d, count(DISTINCT qty) AS q, sum(DISTINCT qty) AS sq FROM ev GROUP BY grp
SELECT grp, k, count(*) FILTER (WHERE qty > 5) AS many, count(*) FILTER (WHERE ok) AS good, sum(price) FILTER (WHERE ok) AS paid FROM ev GROUP BY grp, k
SELECT grp, bool_and(ok) AS every, bool_or(ok) AS any FROM ev GROUP BY grp
SELECT date_trunc('hour', at) AS h, count(*) AS n, sum(price) AS s FROM ev WHERE at IS NOT NULL GROUP BY 1
SELECT day, min(at) AS first, max(at) AS last FROM ev GROUP BY day
SELECT DISTINCT ON (k) k, id, qty, price FROM ev ORDER BY k, id DESC
SELECT DISTINCT ON (k) k, id, qty FROM ev ORDER BY k, qty DESC NULLS LAST, id
SELECT DISTINCT grp, ok FROM ev
SELECT qty, count(*) AS n FROM (SELECT DISTINCT ON (k) k, qty FROM ev ORDER BY k, id DESC) AS last GROUP BY qty
SELECT ok, count(*) AS n, sum(price) AS s, avg(price) AS a, min(price) AS lo, max(price) AS hi, count(DISTINCT grp) AS g FROM (SELECT DISTINCT ON (k, grp) k, grp, ok, price FROM ev ORDER BY k, grp, id DESC) AS last GROUP BY ok
SELECT n, count(*) AS groups FROM (SELECT k, count(*) AS n FROM ev GROUP BY k) AS c GROUP BY n
SELECT max(s) AS best, min(s) AS worst, count(*) AS n FROM (SELECT k, sum(qty) AS s FROM ev GROUP BY k) AS c
SELECT grp, count(*) AS n FROM ev GROUP BY grp HAVING count(*) > 20
SELECT CASE WHEN qty IS NULL THEN 'none' WHEN qty < 4 THEN 'low' ELSE 'high' END AS class, count(*) AS n FROM ev GROUP BY 1
SELECT coalesce(k, '?') AS k, nullif(qty, 3) AS q, greatest(qty, grp) AS g, least(qty, grp, 2) AS l, id FROM ev
SELECT id, qty + grp AS a, qty - grp AS b, qty * 2 AS c, qty / 2 AS d, qty % 3 AS m, -qty AS neg, price * qty AS p, price / 3 AS third, big * price AS bp FROM ev
SELECT id, upper(k) AS u, lower(k) AS l, length(note) AS n, substring(note from 2 for 3) AS s, replace(note, 'a', 'b') AS r, position('e' in note) AS p, k || '-' || note AS c FROM ev
SELECT id, note LIKE '%a_e%' AS l, note ILIKE 'X%' AS i, note NOT LIKE 'n%' AS nl, k IN ('a', 'b', NULL) AS oneof, qty BETWEEN 2 AND 6 AS mid FROM ev
SELECT id, extract(hour FROM at) AS h, extract(epoch FROM at) AS e, at::date AS d, at + interval '1 day 2 hours' AS later, date_bin('15 minutes', at, timestamptz '1970-01-01 00:00:00Z') AS q FROM ev
SELECT id, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US TZ') AS t, to_char(at AT TIME ZONE 'UTC', 'FMDay DDth Mon HH12am') AS d, to_char(day, 'Qth IYYY-IW-ID') AS w FROM ev
SELECT id, round(price) AS r0, round(price, 1) AS r1, floor(price) AS f, ceil(price) AS c, abs(price - 50) AS a, price::integer AS i, qty::text AS t, price::text AS pt FROM ev
SELECT id, ratio * 2 AS a, ratio / 3 AS b, ratio > 0.5 AS c, ratio::numeric(30,4) AS d FROM ev
SELECT grp, max(ratio) AS hi, min(ratio) AS lo FROM ev GROUP BY grp
SELECT id, k IS NULL AS a, k IS NOT NULL AND qty > 3 AS b, NOT ok AS c, ok IS TRUE AS d, ok IS UNKNOWN AS e, (qty > 3) = ok AS f, k IS DISTINCT FROM 'a' AS g FROM ev
SELECT 'x' AS src, k FROM ev WHERE qty > 7 UNION ALL SELECT 'y', note FROM ev WHERE qty < 1
SELECT k, note, count(*) AS n FROM ev WHERE k = 'ünï' OR note LIKE '%✓%' GROUP BY k, note
SELECT sum(big * big) AS s FROM ev WHERE big < 1000
SELECT grp, sum(qty)::numeric / count(*) AS mean FROM ev WHERE qty IS NOT NULL GROUP BY grp
""".strip().splitlines()

# Over the first view's rows, as queries.
QUERIES = """
SELECT * FROM v0 ORDER BY id LIMIT 10
SELECT id, price FROM v0 ORDER BY price DESC NULLS LAST, id LIMIT 7 OFFSET 3
SELECT grp, count(*) AS n, sum(price) AS s FROM v0 GROUP BY grp ORDER BY grp
SELECT k, max(at) AS m FROM v0 WHERE ok GROUP BY k ORDER BY m DESC NULLS FIRST, k
SELECT count(*) AS n FROM v0 WHERE note IS NULL
SELECT DISTINCT k FROM v0 ORDER BY k
SELECT DISTINCT ON (grp) grp, id, qty FROM v0 ORDER BY grp, qty, id
SELECT avg(n) AS mean FROM (SELECT k, count(*) AS n FROM v0 GROUP BY k) AS x
WITH big AS (SELECT * FROM v0 WHERE qty > 5) SELECT grp, count(*) AS n FROM big GROUP BY grp ORDER BY n DESC, grp
SELECT 1 + 1 AS two, 'a' || 'b' AS ab, NULL::integer AS nothing
SELECT 7 / 2 AS i, 7 / 2.0 AS n, 1.10 + 2.205 AS s, 2 * 3.0 AS m, 10.0 / 3 AS d, 1e3::numeric AS e, -5 % 3 AS r
SELECT * FROM (VALUES (1, 'a'), (2, NULL), (3, 'c')) AS x (n, t) ORDER BY n DESC
""".strip().splitlines()


class Postgres:
    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            raise harness.Skip("PostgreSQL is not installed")
        self.bin = os.path.dirname(found[-1])
        self.dir = tempfile.mkdtemp(prefix="kappa-pg-")
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, -1)
        with socket.socket() as x:
            x.bind(("127.0.0.1", 0))
            self.port = str(x.getsockname()[1])
        self.call("initdb", "-D", self.dir + "/db", "-E", "UTF8", "--locale=C", "-A", "trust", "-U", "postgres", "--no-sync")
        self.call("pg_ctl", "-D", self.dir + "/db", "-w", "-l", self.dir + "/log", "-o",
                  "-c listen_addresses=127.0.0.1 -c port=%s -c unix_socket_directories='' -c fsync=off -c timezone=UTC" % self.port, "start")

    def call(self, program, *args):
        command = [self.bin + "/" + program] + list(args)
        if self.user:
            command = ["runuser", "-u", self.user, "--"] + command
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", timeout=120)
        assert p.returncode == 0, p.stdout.decode()

    def csv(self, sql):
        p = subprocess.run(["psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-f", "-"],
                           input=sql.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, PGTZ="UTC", PGOPTIONS="-c extra_float_digits=1"),
                           timeout=120)
        assert p.returncode == 0, p.stderr.decode() + sql
        return p.stdout.decode()

    def close(self):
        try:
            self.call("pg_ctl", "-D", self.dir + "/db", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)


def make(t, count):
    out = []
    for i in range(count):
        def maybe(x, p=0.1):
            return None if t.random.random() < p else x
        out.append({"id": i, "k": maybe(t.random.choice(["a", "b", "c", "ünï", "", "Ω"])), "grp": maybe(t.random.randrange(5)),
                    "qty": maybe(t.random.randrange(-2, 10)), "price": maybe("%d.%02d" % (t.random.randrange(100), t.random.randrange(100))),
                    "big": maybe("%d.%06d" % (t.random.randrange(10 ** 22), t.random.randrange(10 ** 6)) if t.random.random() < .5 else "0.000001"),
                    "ratio": maybe(t.random.choice([0.1, 0.5, 1e-7, 123456.789, 1e20, 3.0, -0.25])), "ok": maybe(t.random.random() < .5),
                    "at": maybe("2025-03-%02dT%02d:%02d:%02d.%03dZ" % (1 + i % 3, i % 24, i % 60, i % 59, i % 1000)), "day": maybe("2025-03-%02d" % (1 + i % 28)),
                    "note": maybe(t.random.choice(["name", "xale", "✓ done", "", "nope", "a%e_x"]))})
    return out


def normal(text):
    """Rows as sorted lists of text, with kappa's spelling of times and booleans."""
    rows = []
    for row in csv.reader(io.StringIO(text)):
        out = []
        for f in row or [""]:
            f = re.sub(r"^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?\+00$", lambda m: "%sT%s.%sZ" % (m[1], m[2], (m[3] or ".")[1:].ljust(6, "0")), f)
            out.append({"t": "true", "f": "false"}.get(f, f))
        rows.append(out)
    return rows


def compare(name, sql, kappa, postgres, ordered):
    k, p = normal(kappa), normal(postgres)
    k = [[{"t": "true", "f": "false"}.get(f, f) for f in row] for row in k]
    assert k[0] == p[0], "%s: columns %s, PostgreSQL %s" % (name, k[0], p[0])
    k, p = k[1:], p[1:]
    if not ordered:
        k.sort()
        p.sort()
    if k != p:
        wrong = [(a, b) for a, b in zip(k, p) if a != b][:3]
        return "%s: %s\n   rows %d / %d, first differences (kappa, PostgreSQL): %s" % (name, sql, len(k), len(p), wrong)
    return None


def test_views_and_queries_equal_PostgreSQL(t):
    pg = Postgres()
    try:
        run(t, pg)
    finally:
        pg.close()


def run(t, pg):
    s = t.server(args=["--set", "kappa.checkpoint.ms=20"])
    s.ok("topic", "create", "ev")
    s.sql(TABLE + " WITH (topic = 'ev', format = json);")
    wrong = []
    for i, sql in enumerate(VIEWS):
        p = s.run("sql", "CREATE MATERIALIZED VIEW v%d AS %s" % (i, sql))
        if p.returncode:
            wrong.append("v%d: %s\n   %s" % (i, sql, p.stderr.strip()))
    pg.csv(TABLE + ";")
    records = make(t, 400)
    for part in [records[:1], records[1:50], records[50:200], records[200:]]:
        s.ok("produce", "ev", "--ndjson", input="".join(json.dumps(r) + "\n" for r in part))
        values = ",".join("(" + ",".join("NULL" if r[c] is None else "'%s'" % str(r[c]).replace("'", "''") for c in COLUMNS) + ")" for r in part)
        pg.csv("INSERT INTO ev VALUES %s;" % values)
        for i, sql in enumerate(VIEWS):
            if any(w.startswith("v%d:" % i) for w in wrong):
                continue
            s.wait_view("v%d" % i)
            p = s.run("sql", "SELECT * FROM v%d" % i, "--csv")
            difference = p.stderr if p.returncode else compare("v%d" % i, sql, p.stdout, pg.csv(sql + ";"), False)
            if difference:
                wrong.append("v%d: %s" % (i, difference))
    pg.csv("CREATE VIEW v0 AS SELECT * FROM ev;")
    for i, sql in enumerate(QUERIES):
        p = s.run("sql", sql, "--csv")
        difference = p.stderr if p.returncode else compare("q%d" % i, sql, p.stdout, pg.csv(sql + ";"), "ORDER BY" in sql)
        if difference:
            wrong.append("q%d: %s: %s" % (i, sql, difference))
    print("# %d views and %d queries compared" % (len(VIEWS), len(QUERIES)))
    assert not wrong, "\n" + "\n".join(wrong)


harness.main(globals())
