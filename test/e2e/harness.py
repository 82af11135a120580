# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the real program on free ports in a temp directory, and TAP on stdout.

A test file defines functions named test_...(t) and ends with harness.main(globals()); each is one TAP line. `t` is a
Case: t.server() starts a server that is ended (by its own pid) and removed when the case is over."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

KAPPA = os.environ.get("KAPPA", os.path.join(os.path.dirname(__file__), "../../build/release/kappa"))
SMALL = bool(os.environ.get("KAPPA_TEST_SMALL"))
PATIENCE = 180  # seconds: what must come is waited for as long as nobody waits in vain, on any machine
SEED = int(os.environ.get("KAPPA_TEST_SEED", "1"))


class Skip(Exception):
    """Raised by a case that cannot run here; the reason is printed."""


class Server:
    def __init__(self, data, args=(), env=None, wait=True, program=KAPPA):
        self.data = data
        self.program = program  # of the server; commands are always those of KAPPA
        self.args = list(args)
        self.env = dict(os.environ, XDG_STATE_HOME=os.path.join(os.path.dirname(data), "state"), **(env or {}))
        self.log = data + ".log"
        self.process = None
        self.listen = "127.0.0.1:0"  # a test that wants the same port at each start sets it to what `kafka` was
        self.start(wait)

    def start(self, wait=True):
        endpoints = os.path.join(self.data, "endpoints.json")
        if os.path.exists(endpoints):
            os.unlink(endpoints)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--data", self.data, "--listen", self.listen, "--http", "127.0.0.1:0"] + self.args,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=PATIENCE):
        endpoints = os.path.join(self.data, "endpoints.json")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError("server ended with %s:\n%s" % (self.process.returncode, self.tail()))
            if os.path.exists(endpoints) and "Successfully started kappa" in self.tail(200000):
                found = json.load(open(endpoints))
                if found["pid"] == self.process.pid:
                    self.kafka, self.http = found["kafka"], found["http"]
                    self.token = open(os.path.join(self.data, "http.token")).read().strip()
                    return
            time.sleep(0.005)
        raise AssertionError("server not ready after %s s:\n%s" % (timeout, self.tail()))

    def tail(self, n=3000):
        with open(self.log, "rb") as f:
            return f.read()[-n:].decode("utf-8", "replace")

    def kill(self):
        """kill -9: nothing is flushed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=PATIENCE):
        """SIGTERM: a clean stop. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError("server did not stop in %s s:\n%s" % (timeout, self.tail()))

    def client_env(self):
        return dict(self.env, KAPPA_BOOTSTRAP_SERVERS=self.kafka, KAPPA_HTTP="http://" + self.http, KAPPA_TOKEN=self.token)

    def run(self, *args, input=None, timeout=PATIENCE):
        """kappa ARGS against this server: a CompletedProcess with text output."""
        if isinstance(input, str):
            input = input.encode()
        p = subprocess.run([KAPPA] + list(args), input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=self.client_env(), timeout=timeout)
        p.stdout, p.stderr = p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")
        return p

    def ok(self, *args, **kw):
        """The same, which must succeed; returns its stdout."""
        p = self.run(*args, **kw)
        assert p.returncode == 0, "kappa %s: exit %d\n%s%s" % (" ".join(args), p.returncode, p.stdout, p.stderr)
        return p.stdout

    def rows(self, *args, **kw):
        """NDJSON output as a list of objects."""
        return [json.loads(line) for line in self.ok(*args, "--json", **kw).splitlines()]

    def sql(self, text):
        return self.ok("sql", "-f", "-", input=text)

    def query(self, sql):
        return self.rows("sql", sql)

    def wait_view(self, view, version=1, timeout="%ds" % PATIENCE):
        self.ok("view", "wait", view, str(version), "--lag", "0s", "--timeout", timeout, timeout=PATIENCE + 60)


class Case:
    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix="kappa-e2e-")
        self.random = random.Random("%s/%d" % (name, SEED))
        self.servers = []

    def server(self, name="data", args=(), env=None, **kw):
        s = Server(os.path.join(self.dir, name), args, env, **kw)
        self.servers.append(s)
        return s

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def close(self):
        for s in self.servers:
            s.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def main(names):
    failed, number = 0, 0
    only = os.environ.get("KAPPA_TEST_ONLY", "")
    print("# seed %d" % SEED)
    for name, fn in list(names.items()):
        if not name.startswith("test_") or only not in name:
            continue
        number += 1
        title = name[5:].replace("_", " ")
        case = Case(name)
        start = time.monotonic()
        try:
            fn(case)
            for s in case.servers:
                if s.process.poll() is None:
                    code = s.stop()
                    assert code == 0, "clean stop: exit %d\n%s" % (code, s.tail())
            print("ok %d - %s (%.1f s)" % (number, title, time.monotonic() - start), flush=True)
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, title, reason), flush=True)
        except BaseException:
            failed += 1
            print("not ok %d - %s" % (number, title), flush=True)
            traceback.print_exc(file=sys.stdout)
            for s in case.servers:
                print("# server log:\n%s" % "\n".join("#   " + l for l in s.tail(2000).splitlines()))
        finally:
            case.close()
    print("1..%d" % number)
    sys.exit(1 if failed else 0)
