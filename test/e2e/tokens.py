# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens for tests: keys and signatures by the openssl command."""
import base64
import json
import os
import re
import subprocess
import time


def b64(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, input=None):
    return subprocess.run(["openssl"] + list(args), input=input, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60).stdout


def der_to_raw(der):
    """An ECDSA signature as two numbers of 32 bytes."""
    at, out = 2, b""
    for _ in range(2):
        n = der[at + 1]
        out += der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + n
    return out


class Key:
    def __init__(self, folder, kid, kind="RSA", bits=2048):
        self.kid, self.kind = kid, kind
        self.path, self.public = os.path.join(folder, kid + ".key"), os.path.join(folder, kid + ".pub")
        if kind == "RSA":
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:%d" % bits, "-out", self.path)
        else:
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.path)
        openssl("pkey", "-in", self.path, "-pubout", "-out", self.public)

    def jwk(self, **more):
        text = openssl("pkey", "-in", self.path, "-noout", "-text_pub").decode()
        hexes = bytes.fromhex(re.sub(r"[^0-9a-f]", "", re.search(r"(?:Modulus|pub):\s*((?:[0-9a-f]{2}:?\s*)+)", text).group(1)))
        if self.kind == "RSA":
            d = {"kty": "RSA", "n": b64(hexes.lstrip(b"\0")), "e": b64(b"\1\0\1")}
        else:
            d = {"kty": "EC", "crv": "P-256", "x": b64(hexes[1:33]), "y": b64(hexes[33:65])}
        return dict(d, kid=self.kid, use="sig", **more)

    def sign(self, text):
        sig = openssl("dgst", "-sha256", "-sign", self.path, input=text)
        return sig if self.kind == "RSA" else der_to_raw(sig)

    def token(self, claims=None, header=None, **more):
        now = int(time.time())
        c = {"iss": "https://issuer.example", "aud": "kappa", "sub": "alice", "iat": now, "exp": now + 3600, "scope": "read write"}
        c.update(more)
        if claims is not None:
            c = claims
        h = {"alg": "RS256" if self.kind == "RSA" else "ES256", "typ": "JWT", "kid": self.kid}
        h.update(header or {})
        h = {k: v for k, v in h.items() if v is not None}
        if isinstance(c, dict):
            c = {k: v for k, v in c.items() if v is not None}
        text = b64(h) + "." + b64(c)
        return text + "." + b64(self.sign(text.encode()))
