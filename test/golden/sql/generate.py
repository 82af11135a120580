#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a real PostgreSQL 15 what values and functions mean and writes the answers down:
     generate.py types|functions|rows|views|queries <psql arguments...>  > types.tsv, ...
   Run against a server with encoding UTF8, lc_collate C and TimeZone UTC. Tab-separated; \\t, \\n and \\\\ escaped;
     types.tsv      type, input, output or ERROR
     rows.tsv       the columns of table orders (cases.py), ~ = NULL
     views.tsv      query over it, its rows sorted
     queries.tsv    query over a view of it, its rows in order
     functions.tsv  name, result type, result or ERROR or NULL, then for each argument: type, text (or NULL)
   In functions.tsv a name "cast:TYPE" is CAST(argument AS TYPE)."""
import decimal
import random
import subprocess
import sys

random.seed(15)
decimal.getcontext().prec = 2000


def esc(s):
    return s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def lit(s):
    return "NULL" if s is None else "'" + s.replace("'", "''") + "'"


class Server:
    """One psql; each question is a DO-free SELECT whose error is caught by ON_ERROR_STOP=0 and a marker."""

    def __init__(self, args):
        self.args = ["psql", "-X", "-q", "-A", "-t", "-v", "VERBOSITY=sqlstate", *args]

    def ask(self, questions):
        sql = ["set standard_conforming_strings = on;",
               """create or replace function pg_temp.ask(q text) returns text[] language plpgsql as $$
               declare r text[]; begin execute q into r; return r;
               exception when others then return array['ERROR', sqlstate]; end $$;"""]
        tag = "$q$"
        for q in questions:
            sql.append("select array_to_json(pg_temp.ask(%s%s%s));" % (tag, q, tag))
        out = subprocess.run(self.args, input="\n".join(sql), capture_output=True, text=True, check=True).stdout
        import json
        return [json.loads(line) for line in out.splitlines()]


def within_limits(name, answer):
    """numeric here has 38 digits, 38 of them after the point, and neither NaN nor infinity."""
    if answer[0] != "numeric" or answer[1] is None:
        return answer
    if answer[1] in ("NaN", "Infinity", "-Infinity"):
        return ["ERROR", "22003"]
    d = decimal.Decimal(answer[1])
    if -d.as_tuple().exponent > 38 and name != "*":
        d = d.quantize(decimal.Decimal(1).scaleb(-38), rounding=decimal.ROUND_HALF_UP)
    if len(d.as_tuple().digits) > 38 or -d.as_tuple().exponent > 38:
        return ["ERROR", "22003"]
    return ["numeric", format(d, "f")]


def random_numeric():
    digits = random.choice([1, 2, 3, 5, 9, 12, 16, 18])
    scale = random.choice([0, 0, 1, 2, 2, 3, 4, 6, 8])
    m = str(random.randrange(10 ** digits)).rjust(scale + 1, "0")
    return random.choice(["", "", "-"]) + (m[:-scale] + "." + m[-scale:] if scale else m)


def random_time():
    return "%04d-%02d-%02d %02d:%02d:%02d%s" % (
        random.choice([1, 44, 999, 1582, 1900, 1969, 1970, 1999, 2000, 2024, 2025, 9999, 12345]),
        random.randint(1, 12), random.randint(1, 28), random.randint(0, 23), random.randint(0, 59),
        random.randint(0, 59), random.choice(["", ".5", ".123456", ".000001", ".999999"]))


exec(open(__file__.replace("generate.py", "cases.py")).read())

if __name__ == "__main__":
    server = Server(sys.argv[2:])
    if sys.argv[1] == "rows":
        for r in orders():
            print("\t".join("~" if v is None else esc(v) for v in r))
    elif sys.argv[1] in ("views", "queries"):
        columns = [c.split()[0] for c in ORDERS.split(", ")]
        values = ", ".join("(%s)" % ", ".join([str(i + 1), "0"] + [lit(v) for v in r]) for i, r in enumerate(orders()))
        setup = "create temp table orders (_sequence bigint, _pos integer, %s); insert into orders values %s;" % (ORDERS, values)
        setup += "create temp view orders_view as select * from orders;"
        for q in VIEWS if sys.argv[1] == "views" else QUERIES:
            out = subprocess.run(server.args + ["-P", "null=~", "-F", "|"], input=setup + q + ";", capture_output=True, text=True)
            assert not out.stderr, (q, out.stderr)
            lines = out.stdout.splitlines()
            print(esc(q) + "\t" + esc("\n".join(sorted(lines) if sys.argv[1] == "views" else lines)))
    elif sys.argv[1] == "types":
        cases = types()
        # the input function itself: an explicit cast would cut a varchar(n) silently
        answers = server.ask(["select array[format('%%s', v)] from json_to_record(json_build_object('v', %s::text)) as x(v %s)"
                              % (lit(v), t) for t, v in cases])
        for (t, v), a in zip(cases, answers):
            print("\t".join([t, esc(v), esc(a[0])]))
    else:
        cases, refused = functions(), set()
        answers = server.ask(["select array[pg_typeof(x)::text, x::text] from (select %s) v(x)" % expression(c) for c in cases])
        for (name, args), a in zip(cases, answers):
            if a[0] == "ERROR" and a[1].startswith("42"):
                refused.add((name, *[t for t, v in args]))
                continue
            a = within_limits(name, a)
            if a[1] and args[0][0] == "jsonb" and (a[0] == "jsonb" or a[1][0] in "[{") and a[1].replace(" ", "") not in (args[0][1] or "").replace(" ", ""):
                continue  # PostgreSQL's spelling of the document; here it keeps its own
            row = [name, a[0], "NULL" if a[1] is None else a[1] if a[0] != "ERROR" else a[1]]
            for t, v in args:
                row += [t, "NULL" if v is None else v]
            print("\t".join(esc(c) for c in row))
        print("PostgreSQL has no such function (left out): %d signatures" % len(refused), file=sys.stderr)
