# SPDX-License-Identifier: Apache-2.0
"""Another time for one program: libfaketime (Debian's faketime), loaded into it alone."""
import contextlib
import glob
import pathlib
import re
import subprocess


def library():
    """None: it is not installed."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib/faketime/libfaketime.so.1")
    return found[0] if found else None


def preload(program=None):
    """What to load into it. A sanitizer's library wants to be the first."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True).stdout if program else ""
    sanitizer = re.search(r"libasan\S* => (\S+)", linked)
    return " ".join(([sanitizer.group(1)] if sanitizer else []) + [library()])


class Clock:
    """A clock that can be set forward and back while the program runs; FAKETIME_DONT_FAKE_MONOTONIC="1" leaves its deadlines as they are."""

    def __init__(self, folder, program=None, **more):
        self.file = pathlib.Path(folder) / "clock"  # what libfaketime looks into each time
        self.ahead_s = 0
        self.forward(0)
        self.environment = {"LD_PRELOAD": preload(program), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1", **more}

    @contextlib.contextmanager
    def ahead(self, seconds):
        self.forward(seconds)
        try:
            yield
        finally:
            self.forward(-seconds)

    def forward(self, seconds):
        self.ahead_s += seconds
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.ahead_s:+d}\n")
        new.rename(self.file)
