# SPDX-License-Identifier: Apache-2.0
# What generate.py asks.


def types():
    c = []
    for v in ["t", "true", "TRUE", " yes ", "y", "on", "1", "f", "false", "n", "no", "off", "of", "0", "o", "", "2", "truee"]:
        c.append(("boolean", v))
    for t, vs in [("smallint", ["32767", "-32768", "32768", "-32769"]), ("integer", ["2147483647", "-2147483648", "2147483648"]),
                  ("bigint", ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809"])]:
        for v in vs + ["0", "-0", " 42 ", "+7", "1.0", "", "-", "+", "1e3", "0x10", "12a", "\t5\n"]:
            c.append((t, v))
    floats = ["0", "-0", "1", "-1", "0.1", "1.5", "1e15", "1e14", "999999999999999", "1234567890123456", "123456.5", "1e-4", "1e-5",
              "0.0001234", "0.00001234", "1e100", "1e308", "1e309", "1e-307", "1e-400", "5e-324", "2.2250738585072014e-308", "NaN",
              "nan", "Infinity", "-inf", "+Infinity", "1e", "e5", "", " 1 ", "1 2", "3.4028235e38", "1e39", "1e-45", "1e-50", "1.17549435e-38", "9007199254740993",
              "1e23", "5.684341886080802e-14", "9.5367431640625e-07", "2.98023223876953125e-8", "100000", "1000000", "999999.5", "16777217",
              "0.3", "2.5e-5", "1.7976931348623157e308", "4.35", "0.5", "123456789", "8388608.5", "33554432", "1e22", "1e21", "72057594037927936",
              "1125899906842624.125", "4503599627370496.5", "2251799813685248.25", "6.02214076e23"]
    floats += [repr(2.0 ** e) for e in range(-1074, 1024, 37)] + [repr(random.uniform(-1, 1) * 10.0 ** random.randint(-300, 300)) for _ in range(200)]
    floats += [repr(random.getrandbits(53)) for _ in range(20)] + ["%.*g" % (random.randint(1, 17), random.random()) for _ in range(100)]
    for t in ["double precision", "real"]:
        for v in floats:
            c.append((t, v))
    numerics = ["0", "-0", "1", "1.0", "1.00", "-1.50", ".5", "5.", "1e3", "1.5e3", "1.5e-3", "1e-10", "+3", " 12.5 ", "", ".", "1..2", "abc",
                "12345678901234567890.123456789012345678", "99999999999999999999999999999999999999", "0.00000000000000000001", "1e37", "-99.995", "99.994",
                "99.995", "0.005", "0.0049999999999999999999999999999", "1e-40", "123456789.999", "1234567890.5", "--1", "1-", "1e+2", "1E2", "1e1.5"]
    for v in numerics:
        if v not in ("1e-40",):
            c.append(("numeric", v))
        c.append(("numeric(12,2)", v))
        c.append(("numeric(4,0)", v))
        c.append(("numeric(38,10)", v))
    for v in ["", "abc", "  x ", "héllo", "\\x41"]:
        c.append(("text", v))
        c.append(("varchar(3)", v))
        c.append(("bytea", v))
    for v in ["\\x", "\\x00ff10", "\\x0", "\\xzz", "\\\\", "a\\000b", "\\400", "\\x DE AD ", "\\xDEad"]:
        c.append(("bytea", v))
    dates = ["2025-03-01", "2025-3-1", "0001-01-01", "0044-03-15 BC", "4714-11-24 BC", "4714-11-23 BC", "5874897-12-31", "5874898-06-01", "20250301",
             "2025/03/01", "2025.03.01", "2025-02-29", "2024-02-29", "1900-02-29", "2000-02-29", "2025-13-01", "2025-00-10", "2025-01-32", "epoch", "infinity", "-infinity",
             "Infinity", "", "x", "0000-01-01", "2025-03-01T10:00:00Z", "2025-03-01 10:00:00+05", "1582-10-10", "2025-03", "2025-03-01x", "0001-01-01 BC", "10000-01-01", "99999-12-31"]
    for v in dates:
        c.append(("date", v))
    times = ["2025-03-01 12:00:00", "2025-03-01T12:00:00", "2025-03-01T12:00:00Z", "2025-03-01 12:00:00.5", "2025-03-01 12:00:00.123456789", "2025-03-01 12:00:00.9999999",
             "2025-03-01 23:59:59.9999995", "2025-03-01 24:00:00", "2025-03-01 24:00:01", "2025-03-01 23:59:60", "2025-03-01 23:60:00", "2025-03-01 12:00", "2025-03-01 1:2:3", "2025-03-01", "2025-03-01 12:00:00+02",
             "2025-03-01 12:00:00-08:30", "2025-03-01 12:00:00+0530", "2025-03-01 12:00:00 +05:30", "2025-03-01 12:00:00 UTC", "2025-03-01 12:00:00 GMT", "2025-03-01 12:00:00+05:30:15", "2025-03-01 12:00:00+16",
             "20250301T120000Z", "20250301T120000.25+01", "20250301 1200", "2025-03-01  12:00:00  ", " 2025-03-01 12:00:00", "0044-03-15 12:00:00 BC", "0044-03-15 12:00:00+00 BC", "infinity", "-infinity", "epoch",
             "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00+00", "4714-11-24 00:00:00 BC", "4713-01-01 00:00:00 BC", "2025-02-30 00:00:00", "2025-03-01T", "2025-03-01 12:00:00.", "2025-03-01 25:00:00", "garbage", "", "12:00:00",
             "294246-12-31 23:59:59.999999", "2025-03-01t12:00:00z", "2025-03-01 12:00:00.1234565", "2025-03-01 12:00:00.0000005"]
    times += [random_time() for _ in range(40)]
    for v in times:
        c.append(("timestamp", v))
        c.append(("timestamptz", v))
    ivs = ["1 day", "1 day 02:03:04", "-1 day", "1 year 2 mons 3 days 04:05:06.789", "-1 year -2 mons +3 days -04:05:06.789", "1 month", "13 months", "25 hours", "90 minutes", "1.5 days", "0.5 month", "1.5 months",
           "1.5 years", "1.25 year", "2 weeks", "1.5 weeks", "10", "10.5", "1-2", "-1-2", "3 4:05", "3 4:05:06.5", "04:05:06", "-04:05:06", "4:05", "4:05.5", "P1Y2M3DT4H5M6S", "P1W", "PT0.5S", "P-1DT2H", "PT36H", "P1.5D", "P",
           "PT", "P1H", "@ 1 minute", "@ 1 day ago", "1 day ago", "1 day -2 hours ago", "1 century", "1 decade", "1 millennium", "1 ms", "1 us", "1500 us", "1.5 ms", "0", "0 days", "", "abc", "1 foo", "1 day 1 day", "1 2", "1day 2h", "1h30m",
           "1 d 2 h 3 m 4 s", "5 min", "30 min", "2 s", "10 s", "1 minute", "2147483647 months", "2147483648 months", "9223372036854775807 us", "00:00:00.000001", "-00:00:00.5", "1 day -00:00:01", "-1 days +02:03:00", "1 mon -1 day", ".5 s", "-.5 s",
           "1 month ago", "100 years", "0.1 days", "0.333333 weeks", "1:60", "1:59:61", "23:59:59.9999999", "2 mons 1 year", "1 YEAR", "+1 day", "- 1 day", "1 quarter", "1.2 decades", "0.01 century", "1e3 s"]
    for v in ivs:
        c.append(("interval", v))
    for v in ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
              "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111", "", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]:
        c.append(("uuid", v))
    return c


# ---- functions ---------------------------------------------------------------------------------------

OPERATORS = set("= <> < <= > >= + - * / % & | # ~ << >> ^ @ |/ ||/ || ~~ !~~ ~~* !~~* !~ ~* !~* ^@ -> ->> #> #>> ?".split())


def expression(c):
    """The SQL of one case. Paths are text[] in PostgreSQL."""
    name, args = c
    a = ["%s::%s" % (lit(v), t) for t, v in args]
    if name.startswith("cast:"):
        return "cast(%s as %s)" % (a[0], name[5:])
    if name in ("#>", "#>>"):
        a[1] += "::text[]"
    if name == "extract":
        return "extract(%s from %s)" % (args[0][1], a[1])
    if name == "position":
        return "position(%s in %s)" % (a[1], a[0])
    if name in OPERATORS:
        return ("(%s) %s (%s)" % (a[0], name, a[1])) if len(a) == 2 else "%s (%s)" % (name, a[0])
    return "%s(%s)" % (name, ", ".join(a))


def functions():
    c = []

    def add(name, *args):
        c.append((name, [a if isinstance(a, tuple) else tuple(a.split(":", 1)) for a in args]))

    def each(name, type_, values):
        for v in values:
            add(name, (type_, v))

    def pairs(name, t1, v1, t2, v2):
        for x in v1:
            for y in v2:
                add(name, (t1, x), (t2, y))
    ints = {"smallint": ["0", "1", "-1", "7", "-7", "32767", "-32768"], "integer": ["0", "1", "-1", "7", "-7", "2147483647", "-2147483648"],
            "bigint": ["0", "1", "-1", "7", "-7", "9223372036854775807", "-9223372036854775808"]}
    for t, vs in ints.items():
        for op in ["+", "-", "*", "/", "%", "=", "<", ">=", "&", "|", "#", "mod"]:
            pairs(op, t, vs, t, vs)
        for op in ["-", "abs", "~"]:
            each(op, t, vs)
        for op in ["<<", ">>"]:
            pairs(op, t, vs, "integer", ["0", "1", "3", "15"])
        if t != "smallint":
            pairs("gcd", t, vs, t, vs)
            pairs("lcm", t, vs, t, vs)
    floats = ["0", "-0", "1", "-1.5", "0.1", "3e300", "1e-300", "NaN", "Infinity", "-Infinity", "2.5", "1e10"]
    for op in ["+", "-", "*", "/", "=", "<>", "<", "<=", ">", ">=", "power", "atan2"]:
        pairs(op, "double precision", floats, "double precision", floats)
        if op in "+-*/":
            pairs(op, "real", ["0", "1.1", "-2.25", "3e38", "1e-38", "16777217", "NaN"], "real", ["0", "1.1", "3e38", "1e-38", "7"])
    for f in ["ceil", "floor", "round", "trunc", "sign", "sqrt", "cbrt", "exp", "ln", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "degrees", "radians", "-", "abs"]:
        each(f, "double precision", floats + ["-2.5", "0.5", "1.5", "-0.5", "1234.567", "-1"])
    nums = ["0", "0.00", "1", "-1", "1.0", "2.50", "-2.5", "0.5", "-0.5", "0.005", "100", "3", "7", "12345678901234567890.12", "0.000000000001", "99999999999999999999", "1e-20", "123.456", "9.99", "-0.0001"]
    for op in ["+", "-", "*", "/", "%", "=", "<", ">", "div"]:
        pairs(op, "numeric", nums, "numeric", nums)
    for _ in range(600):
        add(random.choice(["+", "-", "*", "/", "/", "/", "%", "<", "div"]), ("numeric", random_numeric()), ("numeric", random_numeric()))
    for f in ["ceil", "floor", "round", "trunc", "sign", "sqrt", "exp", "ln", "log", "-", "abs", "scale", "trim_scale"]:
        each(f, "numeric", ["0", "1", "2", "-1", "0.5", "1.5", "2.5", "-2.5", "1.05", "0.95", "10", "100.00", "1234.5678", "0.0001", "12345678901234567890", "1e-15", "30", "-7.25", "0.999999", "1.000001", "50.123456789"])
    for n in ["2", "1.05", "0.5", "10", "-2", "0", "1.5", "12.345", "0.001", "99"]:
        for e in ["0", "1", "2", "3", "-1", "-2", "10", "0.5", "1.5", "-0.5", "2.0", "7", "0.333"]:
            add("power", ("numeric", n), ("numeric", e))
    for n in ["2", "10", "0.5", "1.5", "1"]:
        for e in ["8", "100", "0.001", "3", "1"]:
            add("log", ("numeric", n), ("numeric", e))
    for v in ["123.456", "-123.456", "0.5", "1.005", "99999.99995", "5", "-0.0005", "1e10"]:
        for s in ["0", "1", "2", "5", "-1", "-2", "-5", "-12", "20"]:
            add("round", ("numeric", v), ("integer", s))
            add("trunc", ("numeric", v), ("integer", s))
    texts = ["", "a", "abc", "Hello World", "héllo wörld", "日本語テキスト", "  pad  ", "a,b,,c", "xxabcxx", "ABC def 123-foo", "%_\\"]
    for f in ["length", "octet_length", "bit_length", "lower", "upper", "initcap", "reverse", "btrim", "ltrim", "rtrim", "ascii", "md5"]:
        each(f, "text", texts + [None])
    for f in ["left", "right", "repeat", "substring", "lpad", "rpad", "substr"]:
        pairs(f, "text", texts, "integer", ["-100", "-2", "-1", "0", "1", "2", "3", "5", "8"])
    for t in texts:
        for a, b in [("1", "2"), ("0", "2"), ("-1", "3"), ("2", "0"), ("3", "100"), ("2", "-1"), ("2147483647", "2147483647"), ("-2147483648", "2147483647")]:
            add("substring", ("text", t), ("integer", a), ("integer", b))
        add("lpad", ("text", t), ("integer", "7"), ("text", "xy"))
        add("rpad", ("text", t), ("integer", "7"), ("text", "é"))
        add("lpad", ("text", t), ("integer", "7"), ("text", ""))
        add("replace", ("text", t), ("text", "a"), ("text", "ZZ"))
        add("replace", ("text", t), ("text", ""), ("text", "ZZ"))
        add("translate", ("text", t), ("text", "abcé本"), ("text", "12é"))
        for n in ["1", "2", "3", "4", "5", "-1", "-2", "-4", "-5", "0"]:
            add("split_part", ("text", t), ("text", ","), ("integer", n))
        add("split_part", ("text", t), ("text", ""), ("integer", "1"))
        add("split_part", ("text", t), ("text", ""), ("integer", "2"))
        for w in ["", "b", "World", "ö", "本", "zz"]:
            add("strpos", ("text", t), ("text", w))
            add("position", ("text", t), ("text", w))
            add("starts_with", ("text", t), ("text", w))
            add("||", ("text", t), ("text", w))
        for s in ["x", " a", "lo", ""]:
            for f in ["btrim", "ltrim", "rtrim"]:
                add(f, ("text", t), ("text", s))
        for a in [["1"], ["2", "1"], ["3", "0"], ["100"], ["0"], ["2", "-1"]]:
            add("overlay", ("text", t), ("text", "++"), *[("integer", x) for x in a])
    each("chr", "integer", ["65", "233", "8364", "128512", "0", "-1", "55296", "1114112"])
    each("to_hex", "integer", ["0", "255", "-1", "2147483647"])
    each("to_hex", "bigint", ["0", "255", "-1", "9223372036854775807"])
    for t, v in [("boolean", "true"), ("integer", "5"), ("numeric", "1.50"), ("date", "2025-03-01"), ("double precision", "1e20"), ("interval", "1 day")]:
        add("||", ("text", "x"), (t, v))
        add("||", (t, v), ("text", "x"))
        add("concat", ("text", "a"), (t, v), ("text", None), ("integer", "1"))
        add("concat_ws", ("text", "-"), (t, v), ("text", None), ("integer", "1"))
    add("concat_ws", ("text", None), ("text", "a"), ("text", "b"))
    for v in ["", "\\x00ff", "\\x616263", "\\x" + "41" * 60, "\\xdeadbeef", "\\x5c"]:
        for f in ["sha224", "sha256", "sha384", "sha512", "md5", "length", "octet_length"]:
            add(f, ("bytea", v))
        for e in ["hex", "base64", "escape", "foo"]:
            add("encode", ("bytea", v), ("text", e))
        add("substring", ("bytea", v), ("integer", "2"), ("integer", "2"))
        add("convert_from", ("bytea", v), ("text", "UTF8"))
        add("||", ("bytea", v), ("bytea", "\\x01"))
    for v, e in [("6869", "hex"), ("686", "hex"), ("zz", "hex"), ("aGVsbG8=", "base64"), ("aGVsbG8", "base64"), ("aGVs\nbG8=", "base64"), ("a=b=", "base64"), ("====", "base64"), ("a\\\\b\\001", "escape"), ("a", "foo"), ("aGk=", "BASE64")]:
        add("decode", ("text", v), ("text", e))
    pats = ["", "%", "_", "abc", "a%", "%c", "%b%", "a_c", "_b_", "%a%b%c%", "h_llo%", "%ö%", "日%ト", "__本%", "Hello\\ World", "%\\%%", "%\\_%", "\\", "abc\\", "HELLO%", "%%", "%_", "_%_%", "ABC%foo"]
    for op in ["~~", "!~~", "~~*"]:
        pairs(op, "text", texts, "text", pats)
    for p, e in [("a#%b", "#"), ("a\\b", "#"), ("a##b", "#"), ("abc", ""), ("a%b\\", ""), ("ab", "xy"), ("é%a", "é")]:
        add("like_escape", ("text", p), ("text", e))
    regs = ["b", "^a", "c$", "[a-z]+", "(l+)o", "a.c", "^$", "\\d+", "\\w+ \\w+", "x*", "(a)|(b)", "[^a-z]", "o|x", "h.llo", "本", "(?i)abc", "a{2,}", "(", "\\s", "^.{3}$", "(foo|def)"]
    for op in ["~", "!~", "~*", "!~*"]:
        pairs(op, "text", texts, "text", regs)
    pairs("substring", "text", texts, "text", regs)
    pairs("regexp_count", "text", texts, "text", regs)
    pairs("regexp_substr", "text", texts, "text", regs)
    for t in texts:
        for p in regs:
            add("regexp_replace", ("text", t), ("text", p), ("text", "<\\1\\&>"))
            add("regexp_replace", ("text", t), ("text", p), ("text", "-"), ("text", "g"))
        add("regexp_like", ("text", t), ("text", "B"), ("text", "i"))
    add("~", ("text", "a\nb"), ("text", "a.b"))
    add("~", ("text", "a\n"), ("text", "a$"))
    add("regexp_like", ("text", "a\nb"), ("text", "a.b"), ("text", "n"))
    add("regexp_like", ("text", "a\nb"), ("text", "^b"), ("text", "n"))
    dates = ["2025-03-01", "2024-02-29", "1969-12-31", "0001-01-01", "0044-03-15 BC", "2000-12-31", "2001-01-01", "1999-12-27", "infinity", "-infinity", "2021-01-03", "2020-12-28"]
    stamps = ["2025-03-01 12:34:56.789012", "2024-02-29 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "0044-03-15 12:00:00 BC", "2025-12-29 01:02:03", "infinity", "-infinity", "2020-01-31 10:00:00", "2100-06-15 18:30:00.5"]
    ivs = ["1 day", "-1 day", "1 month", "-1 month", "1 year", "02:30:00", "-00:00:00.000001", "1 mon -1 day 00:00:01", "13 months 40 days 25:00:00", "0", "100 years"]
    for d in dates:
        for n in ["0", "1", "-1", "365", "2147483647"]:
            add("+", ("date", d), ("integer", n))
            add("-", ("date", d), ("integer", n))
        for d2 in dates:
            add("-", ("date", d), ("date", d2))
            add("<", ("date", d), ("date", d2))
        for iv in ivs:
            add("+", ("date", d), ("interval", iv))
            add("-", ("date", d), ("interval", iv))
    fields = ["microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century", "millennium", "isoyear", "dow", "isodow", "doy", "epoch", "julian", "timezone", "bogus"]
    for t in ["timestamp", "timestamptz"]:
        for s in stamps:
            for iv in ivs:
                add("+", (t, s), ("interval", iv))
                add("-", (t, s), ("interval", iv))
            for s2 in stamps:
                add("-", (t, s), (t, s2))
                if "infinity" not in s + s2:
                    add("age", (t, s), (t, s2))
                add("<=", (t, s), (t, s2))
            for f in fields:
                add("extract", ("text", f), (t, s))
                add("date_trunc", ("text", f), (t, s))
                if f not in ("julian",):
                    add("date_part", ("text", f), (t, s))
            for st in ["15 minutes", "1 day", "7 days", "00:00:00.5", "1 month", "0", "-1 day", "36 hours"]:
                for o in ["2001-01-01", "2030-01-01 00:05:00", "infinity"]:
                    add("date_bin", ("interval", st), (t, s), (t, o))
            add("isfinite", (t, s))
    for _ in range(150):
        t = random.choice(["timestamp", "timestamptz"])
        add("age", (t, random_time()), (t, random_time()))
        add("-", (t, random_time()), (t, random_time()))
        add("date_trunc", ("text", random.choice(fields[:13])), (t, random_time()))
        add("extract", ("text", random.choice(fields[:19])), (t, random_time()))
        add("date_bin", ("interval", random.choice(["5 minutes", "1 day", "3 hours", "17 seconds"])), (t, random_time()), (t, random_time()))
    for d in dates:
        for f in fields:
            add("extract", ("text", f), ("date", d))
    for iv in ivs + ["1 year 2 mons 3 days 04:05:06.789", "-1 year -2 mons -3 days -04:05:06.789", "1.5 years", "90 days", "-35 days +40:00:00", "-1 mon +35 days"]:
        for f in fields:
            add("extract", ("text", f), ("interval", iv))
            add("date_trunc", ("text", f), ("interval", iv))
            add("date_part", ("text", f), ("interval", iv))
        for f in ["justify_hours", "justify_days", "justify_interval", "-"]:
            add(f, ("interval", iv))
        for m in ["2", "0.5", "-1.5", "0.333333333", "1e9", "0", "1e300", "NaN"]:
            add("*", ("interval", iv), ("double precision", m))
            add("*", ("double precision", m), ("interval", iv))
            add("/", ("interval", iv), ("double precision", m))
        for iv2 in ivs + ["30 days", "24:00:00"]:
            for op in ["+", "-", "=", "<", ">"]:
                add(op, ("interval", iv), ("interval", iv2))
    each("to_timestamp", "double precision", ["0", "1740787200", "1740787200.5", "1740787200.123456", "1740787200.1234565", "-1", "1e18", "Infinity", "NaN", "253402300799.999999", "-62135596800", "946684800.0000005", "1e10"])
    for _ in range(60):
        add("to_timestamp", ("double precision", repr(random.uniform(-1e9, 4e9))))
    for y, m, d in [("2025", "3", "1"), ("2025", "2", "29"), ("-44", "3", "15"), ("0", "1", "1"), ("2025", "13", "1"), ("5874898", "1", "1"), ("9999", "12", "31")]:
        add("make_date", ("integer", y), ("integer", m), ("integer", d))
        for h, mi, s in [("1", "2", "3.5"), ("24", "0", "0"), ("24", "0", "1"), ("23", "59", "60"), ("-1", "0", "0"), ("10", "60", "0")]:
            for f in ["make_timestamp", "make_timestamptz"]:
                add(f, ("integer", y), ("integer", m), ("integer", d), ("integer", h), ("integer", mi), ("double precision", s))
    docs = ['{"a": 1, "b": {"c": [10, 20, {"d": "x"}]}, "e": null, "f": "t\\u00e9xt\\n", "g": true, "": 5}', '[1, "two", null, [3], {"k": "v"}]', '"str"', "42", "null", "{}", "[]", '{"a": {"a": {"a": 7}}}']
    for d in docs:
        for k in ["a", "b", "e", "f", "g", "zz", "", "k", "two"]:
            for op in ["->", "->>", "?"]:
                add(op, ("jsonb", d), ("text", k))
        for i in ["0", "1", "2", "4", "5", "-1", "-5", "-6"]:
            for op in ["->", "->>"]:
                add(op, ("jsonb", d), ("integer", i))
        for p in ["{}", "{a}", "{b,c,2,d}", "{b,c,-1}", "{b,c,9}", "{a,a,a}", '{"b","c"}', "{0}", "{3,0}", "{4,k}", "{b, c ,1}", "{f}", "{e}", "x", "{a"]:
            for op in ["#>", "#>>"]:
                add(op, ("jsonb", d), ("text", p))
        add("jsonb_typeof", ("jsonb", d))
        add("jsonb_array_length", ("jsonb", d))
        add("jsonb_extract_path_text", ("jsonb", d), ("text", "b"), ("text", "c"), ("text", "1"))
        add("jsonb_extract_path", ("jsonb", d), ("text", "a"))
    casts = {"boolean": ["true", "false"], "smallint": ["0", "-5", "32767"], "integer": ["0", "-5", "32768", "2147483647"], "bigint": ["0", "-5", "2147483648", "9223372036854775807"],
             "real": ["0", "1.5", "2.5", "-2.5", "1e10", "3.4e38", "NaN", "0.1", "16777216"], "double precision": ["0", "1.5", "2.5", "-2.5", "0.1", "1e10", "1e300", "NaN", "Infinity", "9.2e18", "9.3e18", "123456789.123456789", "32767.5", "32767.4", "-32768.5"],
             "numeric": ["0", "1.5", "2.5", "-2.5", "1e10", "12345678901234567890", "0.1", "32767.5", "9223372036854775807.4", "9223372036854775807.5", "-9223372036854775808.5", "123456789012345678901234567890.12345678", "0.000000000000000000000000000000000001"],
             "text": ["", "abc", "12", " 12 ", "1.5", "true", "2025-03-01", "2025-03-01 10:00:00+02", "1 day", "\\x41", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "héllo wörld", "1e400"], "bytea": ["\\x41", "\\x00"],
             "date": dates, "timestamp": stamps, "timestamptz": stamps, "interval": ivs, "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "jsonb": ["1", "1.5", "true", '"x"', "null", '"12"', "[1]"]}
    targets = ["boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "numeric(6,2)", "numeric(20,0)", "text", "varchar(4)", "bytea", "date", "timestamp", "timestamptz", "interval", "uuid"]
    for t, vs in casts.items():
        for target in targets:
            for v in vs + [None]:
                if (t, target) not in [("interval", "time")]:
                    add("cast:" + target, (t, v))
    for t in ["text", "bytea", "uuid", "boolean"]:
        vs = {"text": texts, "bytea": ["\\x", "\\x00", "\\xff", "\\x00ff"], "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"], "boolean": ["true", "false"]}[t]
        for op in ["=", "<>", "<", "<=", ">", ">="]:
            pairs(op, t, vs, t, vs)
    own = random.Random(23)  # what comes before and behind stays as it is
    words = ("HH HH12 HH24 MI SS MS US FF1 FF2 FF3 FF4 FF5 FF6 SSSS SSSSS AM PM A.M. P.M. am pm a.m. p.m. AD BC A.D. B.C. ad bc a.d. b.c. "
             "Y,YYY YYYY YYY YY Y IYYY IYY IY I yyyy iw hh24 mi ss month mon day dy ddd dd d CC Q MONTH Month MON Mon MM RM rm DAY Day DY Dy "
             "DDD IDDD DD D ID W WW IW J TZ tz TZH TZM OF FX").split()
    templates = ["", " ", "YYYY-MM-DD HH24:MI:SS.US", "YYYY-MM-DD\"T\"HH24:MI:SSOF", "FMDay, FMDDth FMMonth YYYY", "DDTHH24", "Hh Dth DDTH ddth", "\"a \\\" b\" c",
                 "\\\"YYYY\\\"", "\\YYYY", "\"open YYYY", "héllo ✓ YYYY", "TMMonth|TMDay|TMDD|TMMON|tmday|TM x", "FM FMMM FMx fmdd", "MMSP x YYYYth YYTH Y,YYYth", "IYYY-\"W\"IW-ID", "Qth WWth CCth Jth SSSSth MSth USTH", "DAYth MonthTH AMth"]
    templates += words + ["FM" + w for w in words] + [w + "th" for w in words]
    moments = ["2025-03-01 12:34:56.789012", "2024-12-30 00:00:00", "0044-03-15 23:59:59.999999 BC", "infinity", "-infinity", "12345-01-01 01:02:03.5"]
    for template in templates:
        for moment in moments:
            add("to_char", (own.choice(["timestamp", "timestamptz"]), moment), ("text", template))
    for _ in range(600):
        template = "".join(own.choice(["", "", "FM", "TM"]) + own.choice(words + ["-", " ", "/", ",", "x", "\"q\"", "é"]) + own.choice(["", "", "", "th", "TH"]) for _ in range(own.randint(1, 6)))
        add("to_char", (own.choice(["timestamp", "timestamptz"]), "%04d-%02d-%02d %02d:%02d:%02d.%06d" % (
            own.choice([1, 4, 99, 100, 101, 1000, 1969, 1970, 2000, 2004, 2020, 2026, 9999]), own.randint(1, 12), own.randint(1, 28), own.randint(0, 23),
            own.randint(0, 59), own.randint(0, 59), own.choice([0, 1, 120000, 999999]))), ("text", template))
    return c


# ---- whole queries over fixed rows ---------------------------------------------------------------------

ORDERS = "id bigint, product text, region text, amount numeric(12,2), units integer, price double precision, rate real, paid boolean, day date, ts timestamptz, span interval, ratio numeric, tag uuid"


def orders():
    """Rows of table orders, as text; None = NULL. Each is its own batch: _sequence counts from 1, _pos is 0."""
    r = random.Random(42)
    rows = []
    for i in range(400):
        def opt(v):
            return None if r.random() < 0.12 else v
        rows.append([str(r.randint(1, 60)), opt(r.choice(["pear", "apple", "fig", "Fig", "kiwi", "", "éclair"])), opt(r.choice(["north", "south"])),
                     opt("%.2f" % r.uniform(-50, 500)), opt(str(r.randint(-5, 20))), opt(repr(round(r.uniform(-1, 1) * 10 ** r.randint(0, 5), 4))), opt(repr(round(r.uniform(0, 10), 2))),
                     opt(r.choice(["t", "f"])), opt("2025-0%d-%02d" % (r.randint(1, 3), r.randint(1, 28))), opt("2025-03-01 %02d:%02d:%02d.%06d+00" % (r.randint(0, 3), r.randint(0, 59), r.randint(0, 59), r.randint(0, 999999))),
                     opt(r.choice(["1 day", "02:30:00", "1 mon", "30 days", "-00:00:01", "1 day 24:00:00", "2 days"])), opt(r.choice(["1", "1.0", "1.50", "2.25", "-3", "1.5", "0.000001"])),
                     opt("a0eebc99-9c0b-4ef8-bb6d-%012d" % r.randint(1, 5))])
    return rows


VIEWS = [
    "SELECT id, product, amount FROM orders WHERE amount > 100 AND paid",
    "SELECT id, upper(product) AS p, amount * units AS total, coalesce(region, 'none') AS r FROM orders WHERE product LIKE '%i%' OR units IN (1, 2, 3)",
    "SELECT id, CASE WHEN amount < 0 THEN 'neg' WHEN units <> 0 THEN (amount / units)::text ELSE 'none' END AS x FROM orders",
    "SELECT product, count(*) AS n, count(amount) AS c, sum(amount) AS s, avg(amount) AS a, min(amount) AS lo, max(amount) AS hi FROM orders GROUP BY product",
    "SELECT region, sum(units) AS s, avg(units) AS a, min(units) AS lo, max(units) AS hi, sum(id) AS ids, avg(id) AS aid FROM orders GROUP BY region",
    "SELECT product, sum(price) AS s, avg(price) AS a, min(price) AS lo, max(price) AS hi FROM orders GROUP BY product",
    "SELECT product, sum(rate) AS s, avg(rate) AS a, min(rate) AS lo, max(rate) AS hi FROM orders GROUP BY product",
    "SELECT region, bool_and(paid) AS a, bool_or(paid) AS o, count(*) FILTER (WHERE paid) AS n, sum(amount) FILTER (WHERE units > 5) AS s FROM orders GROUP BY region",
    "SELECT product, region, count(DISTINCT id) AS ids, sum(DISTINCT units) AS su, avg(DISTINCT units) AS au, count(DISTINCT amount) AS am FROM orders GROUP BY product, region",
    "SELECT count(*) AS n, sum(amount) AS s, max(ts) AS last, min(day) AS first FROM orders",
    "SELECT count(*) AS n, sum(amount) AS s, avg(price) AS a FROM orders WHERE id < 0",
    "SELECT product, count(*) AS n FROM orders WHERE id < 0 GROUP BY product",
    "SELECT sum(span) AS s, min(span) AS lo, max(span) AS hi, count(DISTINCT span) AS n FROM orders",
    "SELECT product, sum(ratio) AS s, avg(ratio) AS a, min(ratio) AS lo, count(DISTINCT ratio) AS n FROM orders GROUP BY product",
    "SELECT min(product) AS lo, max(product) AS hi, min(region) AS r FROM orders",
    "SELECT date_bin('15 minutes', ts, timestamptz '1970-01-01 00:00Z') AS w, product, sum(amount) AS revenue, count(*) AS orders FROM orders GROUP BY 1, 2",
    "SELECT date_trunc('month', day) AS m, extract(dow FROM day) AS d, count(*) AS n FROM orders GROUP BY 1, 2",
    "SELECT product, sum(amount) AS s FROM orders GROUP BY product HAVING sum(amount) > 5000 AND count(*) > 10",
    "SELECT tag, paid, count(*) AS n FROM orders GROUP BY tag, paid",
    "SELECT DISTINCT product, region FROM orders",
    "SELECT DISTINCT ON (id) id, product, amount, ts FROM orders ORDER BY id, _sequence, _pos",
    "SELECT DISTINCT ON (id) id, product, amount, ts FROM orders ORDER BY id, _sequence DESC, _pos DESC",
    "SELECT DISTINCT ON (product) product, amount, id FROM orders WHERE amount IS NOT NULL ORDER BY product, amount DESC, _sequence, _pos",
    "SELECT DISTINCT ON (region) region, amount, id FROM orders ORDER BY region, amount NULLS FIRST, _sequence, _pos",
    "SELECT DISTINCT ON (region) region, amount, id FROM orders ORDER BY region, amount DESC NULLS LAST, _sequence, _pos",
    "SELECT product, count(*) AS n, sum(amount) AS s, min(amount) AS lo, max(amount) AS hi, count(DISTINCT units) AS u, bool_or(paid) AS p FROM (SELECT DISTINCT ON (id) id, product, amount, units, paid FROM orders ORDER BY id, _sequence DESC, _pos DESC) AS latest GROUP BY product",
    "SELECT n, count(*) AS products, sum(s) AS total, min(p) AS one FROM (SELECT product AS p, count(*) / 10 AS n, sum(amount) AS s FROM orders GROUP BY product) AS t GROUP BY n",
    "SELECT max(s) AS top, min(n) AS low FROM (SELECT product, region, sum(amount) AS s, count(*) AS n FROM orders GROUP BY product, region) AS t",
    "SELECT id, product FROM orders WHERE units > 18 UNION ALL SELECT id, region FROM orders WHERE units < -3",
    "SELECT k, count(*) AS n FROM (SELECT product AS k FROM orders UNION ALL SELECT region FROM orders) AS u GROUP BY k",
    "SELECT DISTINCT n FROM (SELECT product, count(*) / 20 AS n FROM orders GROUP BY product) AS t",
    "SELECT DISTINCT ON (n) n, product, s FROM (SELECT product, count(*) / 20 AS n, sum(amount) AS s FROM orders GROUP BY product) AS t ORDER BY n, s DESC",
]

# Queries over the same rows as a view named orders_view; the order of the answer counts.
QUERIES = [
    "SELECT id, product, amount FROM orders_view ORDER BY amount DESC, id, product LIMIT 10",
    "SELECT id, product, amount FROM orders_view ORDER BY amount, id, product, units LIMIT 7 OFFSET 20",
    "SELECT product, count(*) AS n FROM orders_view GROUP BY product ORDER BY n DESC, product",
    "SELECT product, avg(amount) AS a FROM orders_view WHERE units > 3 GROUP BY product HAVING count(*) > 5 ORDER BY 2 DESC NULLS LAST",
    "SELECT count(*), min(ts), max(price) FROM orders_view",
    "SELECT count(*), sum(amount) FROM orders_view WHERE id > 1000",
    "SELECT DISTINCT region FROM orders_view ORDER BY region NULLS FIRST",
    "SELECT DISTINCT ON (region) region, amount, id FROM orders_view ORDER BY region, amount DESC NULLS LAST, id",
    "SELECT id FROM orders_view WHERE product = 'fig' ORDER BY id DESC, amount LIMIT 3",
    "SELECT id FROM orders_view LIMIT 0",
    "SELECT 1 + 1 AS two, 'x' || 'y' AS t",
    "SELECT n, count(*) FROM (SELECT product, count(*) / 10 AS n FROM orders_view GROUP BY product) AS t GROUP BY n ORDER BY n",
    "SELECT id, product FROM orders_view WHERE units = 20 UNION ALL SELECT units, region FROM orders_view WHERE id = 7 ORDER BY 1, 2",
    "SELECT product, region, sum(units) AS s FROM orders_view GROUP BY product, region ORDER BY region DESC NULLS LAST, s, product LIMIT 5",
]
