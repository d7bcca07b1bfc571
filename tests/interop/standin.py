#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kamailio as a stand-in for beckond: a development aid, never part of the test suite.

With it the drivers of this folder are tried without our own server, and a fault of a driver is
told from a fault of beckond. Run alone it serves until Ctrl-C:

    standin.py --user alice:secret --user bob:secret [--algorithm SHA-256] [--switch ACCEPT_202]
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pki

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
from beckon import free_port  # noqa: E402
DBTEXT = pathlib.Path("/usr/share/kamailio/dbtext/kamailio")


def missing():
    """What this machine lacks to run the stand-in, or an empty string."""
    if not shutil.which("kamailio"):
        return "kamailio"
    if not DBTEXT.is_dir():
        return "kamailio's dbtext tables"
    return ""


class Kamailio:
    def __init__(self, users, domain="beckon.test", algorithm="MD5", switches=()):
        """users: {name: password}. Kamailio knows one digest algorithm for all of them."""
        self.domain = domain
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-standin-"))
        self.ca = pki.make_authority(self.folder)
        pki.make_certificate(self.folder, self.folder, [domain, "localhost", "127.0.0.1"])
        shutil.copytree(DBTEXT, self.folder / "dbtext")
        self.sip_port, self.tls_port = free_port(), free_port()
        passwords = "".join(f'\t$sht(pw=>{name}) = "{password}";\n'
                            for name, password in users.items())
        config = (HERE / "standin" / "kamailio.cfg").read_text()
        for name, value in (("RUN", self.folder), ("SIP", self.sip_port), ("TLS", self.tls_port),
                            ("DOMAIN", domain), ("PASSWORDS", passwords),
                            ("ALGORITHM", "" if algorithm == "MD5" else algorithm)):
            config = config.replace(f"@{name}@", str(value))
        (self.folder / "kamailio.cfg").write_text(config)
        self.log = self.folder / "kamailio.log"
        self.process = subprocess.Popen(
            ["kamailio", "-DD", "-f", "kamailio.cfg", "-m", "128", "-M", "16", "-Y", ".",
             *(word for name in switches for word in ("-A", name))],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=open(self.log, "wb"),
            stderr=subprocess.STDOUT, start_new_session=True)

    def wait_ready(self, timeout=20):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), 1).close()
                return
            except OSError:
                time.sleep(0.05)  # polls a condition that has no event
        raise RuntimeError("kamailio did not start:\n" + self.log.read_text(errors="replace")[-2000:])

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--user", action="append", required=True, metavar="NAME:PASSWORD")
    parser.add_argument("--domain", default="beckon.test")
    parser.add_argument("--algorithm", default="MD5")
    parser.add_argument("--switch", action="append", default=[])
    args = parser.parse_args()
    if missing():
        sys.exit("missing: " + missing())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Kamailio(dict(u.split(":", 1) for u in args.user), args.domain, args.algorithm,
                      args.switch)
    try:
        server.wait_ready()
        print(f"TLS 127.0.0.1:{server.tls_port} TCP 127.0.0.1:{server.sip_port} "
              f"CA {server.ca} log {server.log}", flush=True)
        server.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


if __name__ == "__main__":
    main()
