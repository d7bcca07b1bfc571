#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""beckonctl against a server that runs, and against its store once it has stopped.

usage: running_test.py BECKOND BECKONCTL
"""
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

BECKOND, BECKONCTL = sys.argv[1:3]
DEADLINE_S = 60


class Running(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="beckonctl-running-")
        self.dir = pathlib.Path(self.folder.name) / "server"
        self.config = self.dir / "beckond.conf"
        self.ctl("init", "example.org", "--dir", str(self.dir), "--tls", "127.0.0.1:0")
        self.server = None

    def tearDown(self):
        self.stop()
        self.folder.cleanup()

    def ctl(self, *args, status=0, stdin=""):
        done = subprocess.run([BECKONCTL, "--config", str(self.config), *args], input=stdin, text=True,
                              capture_output=True, timeout=DEADLINE_S)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout if status == 0 else done.stderr

    def json(self, *args, **more):
        return json.loads(self.ctl(*args, "--json", **more))

    def start(self):
        ports = self.dir / "ports"
        ports.unlink(missing_ok=True)
        self.server = subprocess.Popen([BECKOND, "--config", str(self.config), "--ports-file", str(ports)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + DEADLINE_S
        while not ports.exists():
            self.assertIsNone(self.server.poll(), "the server ended")
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        return int(ports.read_text().split()[1])

    def stop(self, how=signal.SIGTERM):
        if self.server:
            self.server.send_signal(how)
            self.server.communicate(timeout=DEADLINE_S)
            self.server = None

    def test_the_same_commands_work_with_and_without_a_server(self):
        self.ctl("user", "add", "ann@example.org")
        self.assertFalse(self.json("status")["running"])
        port = self.start()
        status = self.json("status")
        self.assertTrue(status["running"])
        self.assertEqual(status["tls_port"], port)
        self.ctl("user", "add", "bob@example.org", "--password-stdin", stdin="correct horse\n")
        self.assertEqual([u["address"] for u in self.json("user", "list")],
                         ["ann@example.org", "bob@example.org"])
        self.stop()
        self.assertTrue(self.json("user", "show", "bob@example.org")["has_password"])

    def test_what_was_answered_survives_a_killed_server(self):
        self.start()
        self.ctl("user", "add", "ann@example.org")
        self.ctl("user", "licence", "take", "ann@example.org")
        self.stop(signal.SIGKILL)
        self.assertFalse(self.json("user", "show", "ann@example.org")["licensed"])
        self.start()  # its socket file was left behind
        self.assertFalse(self.json("user", "show", "ann@example.org")["licensed"])

    def test_many_at_once_wait_for_each_other(self):
        for runs in False, True:
            if runs:
                self.start()
            calls = [subprocess.Popen([BECKONCTL, "--config", str(self.config), "user", "add",
                                       f"{'x' if runs else 'y'}{i}@example.org"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for i in range(8)]
            for call in calls:
                _, err = call.communicate(timeout=DEADLINE_S)
                self.assertEqual(call.returncode, 0, err)
        self.assertEqual(len(self.json("user", "list")), 16)

    def test_a_server_that_is_just_starting_is_waited_for(self):
        ports = self.dir / "ports"
        self.server = subprocess.Popen([BECKOND, "--config", str(self.config), "--ports-file", str(ports)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.ctl("user", "list")

    def test_an_import_and_a_backup_while_it_runs(self):
        self.start()
        table = "address,display_name\n" + "".join(
            f"p{i}@example.org,\"{'x' * 200}, {i}\"\n" for i in range(1100)) + "p7@example.org,again\n"
        said = self.ctl("user", "import", "-", stdin=table, status=1)
        self.assertIn("line 1102, column address: \"p7@example.org\" is in line 9 already", said)
        self.assertEqual(len(self.json("user", "list")), 1100)
        backup = self.dir / "backup"
        self.ctl("backup", str(backup))
        self.assertGreater(backup.stat().st_size, 100000)
        self.assertIn("stop the server", self.ctl("restore", str(backup), "--force", status=1))

    def test_the_zone_lines_name_the_port_that_was_really_bound(self):
        port = self.start()
        self.assertIn(f"SRV   0 0 {port} sip.example.org.", self.ctl("dns"))

    def test_only_the_owner_may_enter(self):
        self.start()
        mode = (self.dir / "admin").stat().st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        if os.geteuid() == 0:
            self.dir.chmod(0o755)
            pathlib.Path(self.folder.name).chmod(0o755)
            (self.dir / "admin").chmod(0o666)  # even then: who calls is asked of the kernel
            self.config.chmod(0o644)
            done = subprocess.run([BECKONCTL, "--config", str(self.config), "status"], text=True, user="nobody",
                                  capture_output=True, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 4, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
