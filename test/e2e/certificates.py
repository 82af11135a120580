# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, by the openssl command."""
import os
import subprocess


def openssl(*args):
    subprocess.run(["openssl"] + list(args), check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


class Authority:
    """Signs certificates; files are in `folder`."""

    def __init__(self, folder, name="authority"):
        self.folder, self.name = folder, name
        self.key, self.path = self.file(name + ".key"), self.file(name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                "-keyout", self.key, "-out", self.path)

    def file(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, subject, days=2, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), multi=False):
        """-> (key file, certificate file, file with both)"""
        paths = [self.file("%s.%s" % (name, end)) for end in ("key", "pem", "both.pem")]
        request, extensions = self.file(name + ".csr"), self.file(name + ".ext")
        with open(extensions, "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-new", "-newkey", *key, "-nodes", "-utf8", "-subj", subject, "-keyout", paths[0], "-out", request,
                *(["-multivalue-rdn"] if multi else []))
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key, "-CAcreateserial", "-days", str(days), "-extfile",
                extensions, "-out", paths[1])
        with open(paths[2], "w") as out:
            out.write(open(paths[0]).read() + open(paths[1]).read())
        return paths
