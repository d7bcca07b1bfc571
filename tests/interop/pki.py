# SPDX-License-Identifier: Apache-2.0
"""A throw-away certificate authority and server certificates, made with the openssl program.

Only the stand-in and the wire tap need it: a real server under test brings its own certificate,
and its authority is named with --ca.
"""

import pathlib
import subprocess


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def make_authority(folder, name="Interop test authority"):
    """Makes ca.pem and ca-key.pem in folder; answers the path of ca.pem."""
    folder = pathlib.Path(folder)
    ca = folder / "ca.pem"
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", folder / "ca-key.pem", "-out", ca, "-days", "2", "-subj", f"/CN={name}",
             "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return ca


def make_certificate(authority, folder, names, stem=""):
    """Makes <stem>key.pem and <stem>cert.pem in folder for DNS names and IP addresses."""
    authority, folder = pathlib.Path(authority), pathlib.Path(folder)
    key, csr, cert = (folder / f"{stem}{n}" for n in ("key.pem", "csr.pem", "cert.pem"))
    san = ",".join(("IP:" if n.replace(".", "").isdigit() or ":" in n else "DNS:") + n
                   for n in names)
    extensions = folder / f"{stem}ext.cnf"
    extensions.write_text("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                          f"extendedKeyUsage=serverAuth\nsubjectAltName={san}\n")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", key, "-out", csr, "-subj", f"/CN={names[0]}")
    _openssl("x509", "-req", "-in", csr, "-CA", authority / "ca.pem", "-CAkey",
             authority / "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", extensions,
             "-out", cert)
    return key, cert
