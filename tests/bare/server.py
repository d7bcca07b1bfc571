#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The way of an administrator from the installed packages on: init, serve, an account, somebody signs in, stop in order.

usage: server.py    (as root in the bare system; in a network namespace of its own it may use the usual ports)
"""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import beckon  # noqa: E402

PASSWORD = "correct-horse-battery-staple"


def ctl(*args, **kwargs):
    done = subprocess.run(["beckonctl", *args], capture_output=True, text=True, timeout=60, **kwargs)
    if done.returncode != 0:
        raise beckon.Failed(f"beckonctl {' '.join(args)}: {done.stderr or done.stdout}")
    return done.stdout


class Installed:
    """What beckon.Client must know of a domain; the server's is that of the packages."""
    domain, host, tls_port, dns_port = "example.org", "sip.example.org", 5061, None
    ca = "/etc/beckon/authority.crt"

    def __init__(self, folder):
        self.folder = folder
        self.programs = beckon.Programs()


def owned(path, user, mode):
    status = os.stat(path)
    found = (pwd.getpwuid(status.st_uid).pw_name, status.st_mode & 0o7777)
    assert found == (user, mode), f"{path}: {found[0]} {found[1]:o}, not {user} {mode:o}"


class Manager:
    """Where beckond says how far it is, as systemd listens."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = str(folder / "notify")
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.settimeout(beckon.PATIENCE)

    def expect(self, text):
        said = self.socket.recv(100).decode()
        assert said == text, f"{said}, not {text}"


def main():
    with open("/etc/hosts", "a") as hosts:
        hosts.write(f"127.0.0.1 {Installed.host}\n")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-bare."))
    folder.chmod(0o755)
    manager = Manager(folder)

    print(ctl("init", "example.org"))
    owned("/var/lib/beckon", "beckon", 0o700)
    owned("/var/lib/beckon/beckon.db", "beckon", 0o600)
    owned("/etc/beckon/server.key", "beckon", 0o600)
    again = subprocess.run(["beckonctl", "init", "example.org"], capture_output=True, text=True)
    assert again.returncode != 0, "a second init overwrote the first"

    server = subprocess.Popen(["beckond", "--config", "/etc/beckon/beckond.conf"],
                              env={**os.environ, "NOTIFY_SOCKET": manager.path})
    try:
        manager.expect("READY=1")
        uid = pathlib.Path(f"/proc/{server.pid}/status").read_text().split("Uid:")[1].split()[0]
        assert pwd.getpwuid(int(uid)).pw_name == "beckon", f"the server runs as user {uid}"
        ctl("user", "add", "ann@example.org", "--password-stdin", input=PASSWORD + "\n")
        with beckon.Client(Installed(folder), "ann") as ann:
            ann.sign_in(PASSWORD)
            assert "ann@example.org" in ctl("user", "sessions")
            ann.sign_out()
        print(ctl("status"))
        server.send_signal(signal.SIGTERM)
        manager.expect("STOPPING=1")
        assert server.wait(30) == 0, f"the server ended with {server.returncode}"
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        shutil.rmtree(folder)


main()
