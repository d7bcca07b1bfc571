# SPDX-License-Identifier: Apache-2.0
"""beckond on a free port of the loopback, with a throw-away domain."""

import pathlib
import shutil
import signal
import subprocess
import tempfile

from program import wait_until

CONFIG = """[server]
name = localhost
shards = {shards}
admin-socket = {folder}/admin
[listen]
tls = 127.0.0.1:0
[tls]
certificate = {folder}/server.crt
key = {folder}/server.key
[store]
path = {folder}/beckon.db
"""


class Beckond:
    def __init__(self, beckond, make_domain, accounts, domain="beckon.test", shards=1):
        """accounts: anything with name, password and algorithm."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-interop-server-"))
        self.ca = self.folder / "ca.pem"
        self.log = self.folder / "log"
        subprocess.run([make_domain, str(self.folder), domain,
                        *(f"{a.name}:{a.password}:{a.algorithm}" for a in accounts)], check=True)
        config = self.folder / "beckond.conf"
        config.write_text(CONFIG.format(folder=self.folder, shards=shards))
        ports = self.folder / "ports"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [beckond, "--config", str(config), "--ports-file", str(ports)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: ports.exists() or self.process.poll() is not None, 20, "beckond's ports")
        if self.process.poll() is not None:
            raise RuntimeError("beckond did not start:\n" + self.last_words())
        kinds = dict(line.split() for line in ports.read_text().splitlines())
        self.tls_port = int(kinds["tls"])

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
