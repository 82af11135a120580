#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A broker that keeps nothing: whatever is produced to any topic (one partition) is acknowledged as soon as its bytes are here.
What a client reaches against it is the client's own bound. Prints its address; ends when standard input does.

Speaks ApiVersions 0, Metadata 1 to 4 and Produce 3 to 7. It says that it serves Fetch 4 too, or librdkafka would not send record
batches, and answers whatever else it is asked with ApiVersions."""
import select
import socket
import struct
import sys

VERSIONS = [(0, 3, 7), (1, 4, 4), (3, 1, 4), (18, 0, 0)]
BUFFER = bytearray(1 << 20)


def string(text):
    return struct.pack(">h", len(text)) + text


def metadata(version, topics, host, port):
    out = struct.pack(">i", 0) if version >= 3 else b""
    out += struct.pack(">ii", 1, 1) + string(host) + struct.pack(">ih", port, -1)
    if version >= 2:
        out += string(b"null")
    out += struct.pack(">ii", 1, len(topics))
    for t in topics:
        out += struct.pack(">h", 0) + string(t) + b"\0" + struct.pack(">i", 1)
        out += struct.pack(">hiiiiii", 0, 0, 1, 1, 1, 1, 1)
    return out


class Connection:
    """Reads requests; of a Produce only the head is kept."""

    def __init__(self, sock, address):
        self.sock, self.address = sock, address
        self.offset = 0

    def exactly(self, n):
        got = b""
        while len(got) < n:
            part = self.sock.recv(n - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    def skip(self, n):
        while n > 0:
            got = self.sock.recv_into(BUFFER, min(n, len(BUFFER)))
            if not got:
                raise EOFError
            n -= got

    def serve_one(self):
        head = self.exactly(14)
        length, key, version, correlation, client = struct.unpack(">ihhih", head)
        client = self.exactly(max(client, 0))
        left = length - 10 - len(client)
        if key == 0:
            answer = self.produce(left)
        elif key == 3:
            body = self.exactly(left)
            answer = metadata(version, self.topics(body), *self.address)
        else:
            self.skip(left)
            answer = struct.pack(">hi", 0, len(VERSIONS)) + b"".join(struct.pack(">hhh", *v) for v in VERSIONS)
            if (key, version) != (18, 0):  # KIP-511: what is served, in version 0
                answer = struct.pack(">h", 35) + answer[2:]
        if answer is not None:
            answer = struct.pack(">i", correlation) + answer
            self.sock.sendall(struct.pack(">i", len(answer)) + answer)

    def topics(self, body):
        (count,) = struct.unpack_from(">i", body)
        found, at = [], 4
        for _ in range(max(count, 0)):
            (n,) = struct.unpack_from(">h", body, at)
            found.append(body[at + 2:at + 2 + n])
            at += 2 + n
        return found

    def produce(self, left):
        """One topic and one partition in a request, as a producer of one partition sends them."""
        (n,) = struct.unpack(">h", self.exactly(2))
        self.exactly(max(n, 0))
        acks, _, topics, n = struct.unpack(">hiih", self.exactly(12))
        topic = self.exactly(n)
        count, partition, size = struct.unpack(">iii", self.exactly(12))
        if topics != 1 or count != 1:
            raise ValueError("more than one partition in a request")
        # base offset, length, leader epoch, magic, crc, attributes, last offset delta
        (delta,) = struct.unpack_from(">i", self.exactly(27), 23)
        self.skip(size - 27)
        base, self.offset = self.offset, self.offset + delta + 1
        if acks == 0:
            return None
        return struct.pack(">i", 1) + string(topic) + struct.pack(">iihqqqi", 1, partition, 0, base, -1, 0, 0)


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    address = (b"127.0.0.1", listener.getsockname()[1])
    print("127.0.0.1:%d" % address[1], flush=True)
    open_now = {}
    while True:
        ready, _, _ = select.select([listener, sys.stdin] + list(open_now), [], [])
        if sys.stdin in ready:
            return
        for s in ready:
            if s is listener:
                c, _ = listener.accept()
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_now[c] = Connection(c, address)
                continue
            try:
                open_now[s].serve_one()
            except (EOFError, OSError):
                del open_now[s]
                s.close()


if __name__ == "__main__":
    main()
