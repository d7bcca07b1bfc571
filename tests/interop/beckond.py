# SPDX-License-Identifier: Apache-2.0
"""beckond on a free port of the loopback, with a throw-away domain made by beckonctl."""

import pathlib
import shutil
import signal
import subprocess
import tempfile

from program import wait_until


class Beckond:
    def __init__(self, beckond, beckonctl, accounts, people, domain="beckon.test", shards=1):
        """accounts sign in with a device password, people with their own at beckon-cli.

        Both are anything with name, password and algorithm.
        """
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-interop-server-"))
        self.ctl = beckonctl
        self.log = self.folder / "log"
        self.run("init", domain, "--dir", str(self.folder), "--tls", "127.0.0.1:0", "--set",
                 f"server.shards={shards}")
        self.ca = self.folder / "authority.crt"
        for account in accounts:
            address = f"{account.name}@{domain}"
            self.run("user", "add", address)
            md5 = ["--md5"] if account.algorithm == "MD5" else []
            self.run("user", "device-password", "add", address, "interop", "--stdin", *md5,
                     text=account.password + "\n")
        for account in people:
            self.run("user", "add", f"{account.name}@{domain}", "--password-stdin",
                     text=account.password + "\n")
        ports = self.folder / "ports"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [beckond, "--config", str(self.folder / "beckond.conf"), "--ports-file",
                 str(ports)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: ports.exists() or self.process.poll() is not None, 20, "beckond's ports")
        if self.process.poll() is not None:
            raise RuntimeError("beckond did not start:\n" + self.last_words())
        kinds = dict(line.split() for line in ports.read_text().splitlines())
        self.tls_port = int(kinds["tls"])

    def run(self, *words, text=""):
        """beckonctl with these words; answers what it printed."""
        config = [] if words[0] == "init" else ["--config", str(self.folder / "beckond.conf")]
        done = subprocess.run([self.ctl, *words, *config], input=text, capture_output=True,
                              text=True)
        if done.returncode:
            raise RuntimeError(f"beckonctl {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def last_words(self):
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self):
        """Ends it in order; answers what was wrong with it, an empty string if nothing was."""
        if not self.log.exists():
            return ""  # stopped before
        fault = ""
        if self.process.poll() is not None:
            fault = f"it had ended by itself with status {self.process.returncode}"
        else:
            self.process.send_signal(signal.SIGTERM)
            try:
                if self.process.wait(20) != 0:
                    fault = f"it ended with status {self.process.returncode}"
            except subprocess.TimeoutExpired:
                fault = "it did not stop within 20 s"
                self.process.kill()
                self.process.wait()
        log = self.log.read_text(errors="replace")
        if "Sanitizer" in log or "runtime error:" in log:
            fault = fault or "a sanitizer found a fault"
        if fault:
            fault += "\n" + log[-8000:]
        shutil.rmtree(self.folder, ignore_errors=True)
        return fault
