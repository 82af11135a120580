# SPDX-License-Identifier: Apache-2.0
"""kappa.journal.dir: the journal in a directory of its own, through kill -9, and every offline command that must find it there."""
import json
import os
import shutil
import subprocess

import harness

SMALL_JOURNAL = ["--set", "kappa.journal.bytes=8388608"]


def serve(t, journal, data="data"):
    return t.server(data, args=SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + journal])


def produce(s, values):
    s.ok("produce", "t", input="".join(v + "\n" for v in values))


def values(s):
    return s.ok("consume", "t", "-f", "%v\\n").split()


def kappa(*args, env=None):
    p = subprocess.run([harness.KAPPA] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, env=env)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def refused(s, code, *words, args=None):
    """The server does not start; its exit code and the words it says."""
    if args is not None:
        s.args = args
    s.start(wait=False)
    assert s.process.wait(harness.PATIENCE) == code, "exit %d\n%s" % (s.process.returncode, s.tail())
    for word in words:
        assert word in s.tail(1500), "no %r in %s" % (word, s.tail(1500))


def files(s):
    return sorted(set(os.listdir(s.data)) - {"endpoints.json"})


def filled(t):
    journal = t.path("elsewhere/journal")
    s = serve(t, journal)
    s.ok("topic", "create", "t")
    produce(s, ["a", "b"])
    return s, journal


def test_kill_fsck_and_reopen(t):
    s, journal = filled(t)
    assert not os.path.exists(os.path.join(s.data, "journal")), "the data directory has a journal too"
    produce(s, ["c%d" % i for i in range(200)])
    s.kill()
    code, out, err = kappa("fsck", "--data", s.data)
    assert code == 0 and "verdict=DISTRUST" in out, out + err
    shutil.copytree(s.data, t.path("copy"), ignore=shutil.ignore_patterns("*.ipc"))  # sockets
    # what only the journal has: the segment is cut
    segment = os.path.join(s.data, "topics/t-0/00000000000000000000.log")
    os.truncate(segment, 4096 + 10)
    code, out, err = kappa("fsck", "--data", s.data)
    assert code == 0 and "verdict=REPAIRED" in out, out + err
    code, out, err = kappa("fsck", "--data", s.data, "--salvage", t.path("out"))
    assert code == 0 and "holes=0" in out, out + err
    s.start()
    assert values(s) == ["a", "b"] + ["c%d" % i for i in range(200)]
    assert s.stop() == 0
    out_server = t.server("out", args=SMALL_JOURNAL)
    assert values(out_server) == ["a", "b"] + ["c%d" % i for i in range(200)]
    code, out, err = kappa("dump", os.path.join(journal, "journal-0"))
    assert code == 0 and "entry" in out, out + err


def test_it_is_found_without_the_configuration(t):
    s, journal = filled(t)
    s.args = SMALL_JOURNAL
    s.kill()
    s.start()
    assert values(s) == ["a", "b"]
    assert s.stop() == 0
    assert not os.path.exists(os.path.join(s.data, "journal"))


def test_a_directory_that_is_not_there_is_refused_and_not_made(t):
    s, journal = filled(t)
    s.kill()
    os.rename(journal, journal + ".away")
    before = files(s)
    refused(s, 6, "NO_JOURNAL", "is that disk mounted?", journal)
    assert not os.path.exists(journal), "it was made"
    os.mkdir(journal)  # the mount point alone
    refused(s, 6, "NO_JOURNAL")
    assert os.listdir(journal) == []
    code, out, err = kappa("fsck", "--data", s.data)
    assert code == 6 and "verdict=NO_JOURNAL what=directory" in out and journal in out, out + err
    assert files(s) == before
    os.rmdir(journal)
    os.rename(journal + ".away", journal)
    s.start()
    assert values(s) == ["a", "b"]


def test_the_journal_of_another_log_is_refused(t):
    s, journal = filled(t)
    assert s.stop() == 0
    other = serve(t, t.path("other-journal"), "other")
    assert other.stop() == 0
    with_other = SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + t.path("other-journal")]
    refused(s, 4, "REFUSED", "another log", journal, args=with_other)
    # what stands where ours was is looked at, and not believed
    os.rename(journal, journal + ".away")
    shutil.copytree(t.path("other-journal"), journal)
    refused(s, 4, "another log", args=SMALL_JOURNAL)
    code, out, err = kappa("fsck", "--data", s.data)
    assert code == 6 and "another log" in out, out + err
    before = sorted(os.listdir(journal))
    code, out, err = kappa("fsck", "--data", s.data, "--rebuild-journal")
    assert code == 4, out + err
    assert sorted(os.listdir(journal)) == before
    # a new server does not take it either
    refused(t.server("new", args=SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + t.path("other-journal")], wait=False), 4, "another log")
    other.start()


def test_one_directory_serves_one_server(t):
    s, journal = filled(t)
    shutil.copytree(s.data, t.path("copy"), ignore=shutil.ignore_patterns("lock", "endpoints.json", "*.ipc", "*.tmp"))
    copy = t.server("copy", args=SMALL_JOURNAL, wait=False)
    assert copy.process.wait(harness.PATIENCE) == 4, copy.tail()
    assert "held by another server" in copy.tail()
    produce(s, ["c"])
    assert values(s) == ["a", "b", "c"]


def test_it_may_be_moved(t):
    s, journal = filled(t)
    assert s.stop() == 0
    os.rename(journal, t.path("moved"))
    s.args = SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + t.path("moved")]
    s.start()
    produce(s, ["c"])
    s.kill()
    os.rename(t.path("moved"), os.path.join(s.data, "journal"))
    s.args = SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + os.path.join(s.data, "journal")]
    s.start()
    assert values(s) == ["a", "b", "c"]
    assert not os.path.exists(os.path.join(s.data, "journal.location"))
    assert s.stop() == 0
    # from inside to outside: only with its files
    outside = SMALL_JOURNAL + ["--set", "kappa.journal.dir=" + t.path("outside")]
    refused(s, 6, "move its files", args=outside)
    os.rename(os.path.join(s.data, "journal"), t.path("outside"))
    s.start()
    assert values(s) == ["a", "b", "c"]
    assert s.stop() == 0
    code, out, err = kappa("fsck", "--data", s.data)
    assert code == 0 and "findings=0" in out, out + err


def test_a_removed_lock_file_lets_nobody_in(t):
    s, journal = filled(t)
    os.unlink(os.path.join(s.data, "lock"))
    os.unlink(os.path.join(journal, "lock"))
    # ... not by the data directory, nor by a copy of it that names the same journal
    shutil.copytree(s.data, t.path("copy"), ignore=shutil.ignore_patterns("lock", "endpoints.json", "*.ipc", "*.tmp"))
    second = harness.Server(s.data, SMALL_JOURNAL, wait=False)
    t.servers.append(second)
    assert second.process.wait(harness.PATIENCE) == 4, second.tail()
    assert "held by another server" in second.tail()
    for data in (s.data, t.path("copy")):
        for more in ([], ["--rebuild-journal"], ["--salvage", t.path("out")]):
            code, out, err = kappa("fsck", "--data", data, *more)
            assert code == 4 and "LOCKED" in err, (code, out, err)
    assert not os.path.exists(t.path("out"))
    produce(s, ["c"])
    assert values(s) == ["a", "b", "c"]
    s.stop()
    s.start()
    assert values(s) == ["a", "b", "c"]


def test_a_lost_journal_is_rebuilt_where_it_was(t):
    s, journal = filled(t)
    s.kill()
    for name in os.listdir(journal):
        if name.startswith("journal-"):
            with open(os.path.join(journal, name), "r+b") as f:
                f.write(b"\xff" * 4096)
    refused(s, 6, "NO_JOURNAL")
    code, out, err = kappa("fsck", "--data", s.data, "--rebuild-journal")
    assert code == 0 and "action=rebuilt what=journal" in out, out + err
    kept = os.listdir(os.path.join(s.data, "quarantine"))
    assert len([n for n in kept if n.startswith("journal-")]) >= 5, kept
    assert not os.path.exists(os.path.join(s.data, "journal"))
    s.start()
    assert values(s) == ["a", "b"]
    assert s.stop() == 0
    shutil.rmtree(journal)
    code, out, err = kappa("fsck", "--data", s.data, "--rebuild-journal")
    assert code == 0, out + err
    s.start()
    assert values(s) == ["a", "b"]


def test_adopt_import_and_export_find_it(t):
    s, journal = filled(t)
    assert s.stop() == 0
    code, out, err = kappa("export", "t", "--format", "kafka-segments", "--out", t.path("kafka"), "--data", s.data)
    assert code == 0, out + err
    code, out, err = kappa("import", t.path("kafka"), "--as", "again", "--data", s.data)
    assert code == 0, out + err
    shutil.rmtree(os.path.join(s.data, "topics/__kappa_catalog-0"))
    code, out, err = kappa("fsck", "--data", s.data, "--json")
    assert code == 6, out + err
    orphans = sorted(f["directory"] for f in map(json.loads, out.splitlines()) if f["verdict"] == "ORPHAN")
    assert "t-0" in orphans and "again-0" in orphans, out
    adopt = [word for o in orphans for word in ("--adopt", o)]
    code, out, err = kappa("fsck", "--data", s.data, "--json", *adopt)
    assert code == 0, out + err
    assert sum(json.loads(line).get("action") == "adopted" for line in out.splitlines()) == len(orphans), out
    assert not os.path.exists(os.path.join(s.data, "journal"))
    s.start()
    assert values(s) == ["a", "b"]
    assert s.ok("consume", "again", "-f", "%v\\n").split() == ["a", "b"]


harness.main(globals())
