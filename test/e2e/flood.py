#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that take room and do nothing for it, all in one process that hardly uses the processor:

  idle           connections that have said ApiVersions once, or nothing
  slow readers   ask for 16 MiB of the topic's records and take 100 bytes a second of the answer
  slow writers   announce a request and send a byte of it a second
  half-open      begin a TLS handshake: a part of a ClientHello, and then a byte a second

    flood.py HOST:PORT TOPIC [--tls HOST:PORT] [--idle N] [--slow-readers N] [--slow-writers N] [--half-open N]

prints `ready OPEN` when all stand, goes on until standard input ends, then prints `held OPEN` with how many the server had not
closed by then. What the server closes stays closed."""
import argparse
import resource
import select
import socket
import struct
import sys
import time

TURNS = 100  # a second
HELLO = struct.pack(">ihhih", 10, 18, 0, 7, -1)  # ApiVersions 0
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(100)  # says 200 bytes, has 106 of them


def fetch(topic):
    name = topic.encode()
    body = struct.pack(">hhih", 1, 4, 9, -1) + struct.pack(">iiiibi", -1, 0, 1, 16 << 20, 0, 1)
    body += struct.pack(">h", len(name)) + name + struct.pack(">i", 4) + struct.pack(">iqi", 0, 0, 4 << 20) * 4
    return struct.pack(">i", len(body)) + body


class Flood:
    def __init__(self):
        self.open = {}  # by descriptor
        self.slow = []  # readers and writers, each looked at once a second
        self.drips = {}  # what writers still have to say, a byte at a time
        self.ends = select.epoll()
        self.turn = 0

    def connect(self, address, first, small=False):
        host, port = address.rsplit(":", 1)
        for attempt in range(50):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            if small:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                s.settimeout(60)
                s.connect((host, int(port)))
                if first:
                    s.sendall(first)
                s.setblocking(False)
                self.open[s.fileno()] = s
                self.ends.register(s, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLET)
                return s
            except OSError:
                s.close()
                time.sleep(0.02)
        return None

    def close(self, s):
        if s.fileno() in self.open:
            del self.open[s.fileno()]
            self.drips.pop(s, None)
            s.close()

    def go_on(self, s):
        if s.fileno() < 0:
            return
        try:
            if s in self.drips:
                s.send(self.drips[s][:1])
                self.drips[s] = self.drips[s][1:] or b"\0"
            elif not s.recv(100):
                self.close(s)
        except BlockingIOError:
            pass
        except OSError:
            self.close(s)

    def tick(self):
        """A part of those that are slow, and who was closed; all work is spread out, so as not to disturb what is measured."""
        for s in self.slow[self.turn::TURNS]:
            self.go_on(s)
        self.turn = (self.turn + 1) % TURNS
        for fd, _ in self.ends.poll(0, 100):
            if fd in self.open:
                self.close(self.open[fd])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("address")
    p.add_argument("topic")
    p.add_argument("--tls")
    for kind in ("idle", "slow-readers", "slow-writers", "half-open"):
        p.add_argument("--" + kind, type=int, default=0)
    a = p.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flood = Flood()
    for i in range(a.idle):
        flood.connect(a.address, HELLO if i % 4 else b"")
    for _ in range(a.slow_readers):
        s = flood.connect(a.address, fetch(a.topic), small=True)
        if s:
            flood.slow.append(s)
    for _ in range(a.slow_writers):
        s = flood.connect(a.address, struct.pack(">i", 60000))
        if s:
            flood.drips[s] = b"\0\0\0\x09" + bytes(60000)
            flood.slow.append(s)
    for _ in range(a.half_open if a.tls else 0):
        s = flood.connect(a.tls, CLIENT_HELLO)
        if s:
            flood.drips[s] = bytes(94)
            flood.slow.append(s)
    print("ready %d" % len(flood.open), flush=True)
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        due += 1 / TURNS
        flood.tick()
    time.sleep(0.1)
    for _ in range(TURNS):
        flood.tick()
    print("held %d" % len(flood.open), flush=True)


if __name__ == "__main__":
    main()
