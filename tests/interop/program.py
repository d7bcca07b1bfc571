# SPDX-License-Identifier: Apache-2.0
"""Runs a program behind a terminal of its own and waits for what it prints."""

import errno
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import termios
import threading
import time


class Timeout(Exception):
    """What was awaited did not come; the text holds the end of what came instead."""


# Escape sequences of terminals (colours, cursor) which would split the words awaited.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")


def wait_until(condition, timeout, what):
    """Calls condition() until it answers something true, and answers that.

    For what announces itself nowhere, such as a growing file; output is awaited with expect().
    """
    end = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {timeout} s")
        time.sleep(0.05)
    return answer


class Program:
    """One running program. `seen` is everything it printed so far, escapes taken out."""

    def __init__(self, name, argv, environment=None, terminal=True):
        self.name = name
        self.seen = ""
        self.mark = 0  # expect() looks behind this place
        self.news = threading.Condition()
        self.ended = False
        env = dict(os.environ, **(environment or {}))
        if terminal:
            self.fd, slave = pty.openpty()
            mode = termios.tcgetattr(slave)
            mode[3] &= ~termios.ECHO
            termios.tcsetattr(slave, termios.TCSANOW, mode)
            # Wide enough that no program wraps a line that is awaited.
            termios.tcsetwinsize(slave, (50, 4000)) if hasattr(termios, "tcsetwinsize") else \
                _set_size(slave)
            self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave,
                                            env=env, start_new_session=True)
            os.close(slave)
        else:
            self.fd, write = os.pipe()
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write,
                                            stderr=write, env=env, start_new_session=True)
            os.close(write)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError as error:  # EIO is how a terminal says that nobody has it open
                if error.errno == errno.EINTR:
                    continue
                data = b""
            with self.news:
                if not data:
                    self.ended = True
                    self.news.notify_all()
                    return
                self.seen += ESCAPES.sub("", data.decode("utf-8", "replace"))
                self.news.notify_all()

    def send(self, line):
        os.write(self.fd, (line + "\n").encode())

    def expect(self, pattern, timeout=15, anywhere=False):
        """Waits for a match behind the last one that was consumed, consumes and answers it.

        anywhere: in all it ever printed, and nothing is consumed.
        """
        compiled = re.compile(pattern)
        end = time.monotonic() + timeout
        with self.news:
            while True:
                if match := compiled.search(self.seen, 0 if anywhere else self.mark):
                    if not anywhere:
                        self.mark = match.end()
                    return match
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    why = "ended" if self.ended else f"said nothing of it for {timeout} s"
                    raise Timeout(f"{self.name} {why}: {pattern!r}; its last words:\n"
                                  + self.tail())
                self.news.wait(left)

    def has(self, pattern):
        with self.news:
            return re.search(pattern, self.seen) is not None

    def tail(self, lines=12):
        return "\n".join("    " + line for line in self.seen.splitlines()[-lines:])

    def kill(self):
        """Ends it as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, polite=None, timeout=5):
        """Ends it: by the line `polite` if given, then SIGTERM, then SIGKILL."""
        for step in (polite, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            if step is None:
                continue
            try:
                if isinstance(step, str):
                    self.send(step)
                else:
                    os.killpg(self.process.pid, step)
                self.process.wait(timeout)
            except (OSError, subprocess.TimeoutExpired):
                continue
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            # The reader sees the end by itself once the program is gone.
            wait_until(lambda: self.ended, timeout, f"{self.name}: end of output")
            os.close(fd)


def _set_size(fd):
    import fcntl
    import struct
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 4000, 0, 0))


class Home:
    """A throw-away home folder."""

    def __init__(self, name):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"beckon-interop-{name}-"))

    def environment(self):
        home = str(self.path)
        return {"HOME": home, "XDG_CONFIG_HOME": home + "/.config",
                "XDG_DATA_HOME": home + "/.local/share", "XDG_CACHE_HOME": home + "/.cache",
                "XDG_RUNTIME_DIR": home, "TERM": "dumb", "LC_ALL": "C.UTF-8"}

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
