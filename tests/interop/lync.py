#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stock Lync-compatible client (sipe/README.md) against beckond.

usage: lync.py BUILD_FOLDER SIPE_DRIVE [SHARDS] [CASE ...]
"""
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "scenario", HERE.parents[1] / "tools"):
    sys.path.insert(0, str(folder))
import beckon  # noqa: E402
import sipe_client  # noqa: E402
import tap  # noqa: E402
from sipe_client import Sipe  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


class Bench:
    def __init__(self, domain, program):
        self.domain, self.program = domain, program

    def sipe(self, name, password=PASSWORD, **options):
        if missing := sipe_client.missing(self.program):
            raise tap.Skip(missing)
        options.setdefault("server", f"127.0.0.1:{self.domain.tls_port}")
        return Sipe(self.program, f"{name}@{self.domain.domain}", password, **options)


def a_refused_connection_is_told_to_the_person(bench):
    with bench.sipe("ann", server=f"127.0.0.1:{beckon.free_port()}") as ann:
        error = ann.refused()
        equal((error["name"], error["text"]), ("network_error", "SSL Connection Failed"))
        equal(ann.quit(), 2, "the driver's exit status")
        equal(ann.trace(), [], "what went over the wire")


CASES = [a_refused_connection_is_told_to_the_person]


def main():
    build, program = sys.argv.pop(1), sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd", "dan"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            return tap.main(CASES, Bench(domain, program))


if __name__ == "__main__":
    sys.exit(main())
