# SPDX-License-Identifier: Apache-2.0
"""A stock Lync-compatible client: Debian's pidgin-sipe plugin, run by sipe/sipe_drive. Standard library only."""
import datetime
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time

PATIENCE = float(os.environ.get("BECKON_PATIENCE", "30"))


class NotSeen(Exception):
    """What was waited for did not come; the text holds what came instead."""


class Wired:
    """One message of the client's own trace: came (True: to the client), when (Unix time), start line, fields in order, body."""

    def __init__(self, came, text, when=0.0):
        self.came = came
        self.when = when
        head, _, self.body = text.partition("\n\n")
        self.start, *lines = head.split("\n")
        self.fields = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = self.get("cseq").split(" ")[-1] if self.status else self.start.split(" ")[0]

    def get(self, name):
        return next((v for n, v in self.fields if n == name), "")

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def __repr__(self):
        return f"{'<' if self.came else '>'} {self.start}"


def missing(program):
    """What a test cannot do without, as words for a skip; an empty string: all is there."""
    if not program or not pathlib.Path(program).exists():
        return "sipe_drive is not built: tools/packages test installs libpurple-dev, libxml2-dev and pidgin-sipe"
    return ""


class Sipe:
    """One run of the client. `events` is everything it said so far, as dictionaries (sipe/README.md lists them)."""

    def __init__(self, program, address, password, server=None, transport="tls", scheme="ntlm", home=None, patience=None,
                 options=(), prefix=(), environment=None):
        """server: "host:port", None: the client finds it (autodiscovery). prefix: what runs the program, "ip netns exec ..."."""
        self.address = address
        self.uri = f"sip:{address}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="beckon-sipe-"))
        self.trace_path = self.folder / "trace"
        self.events = []
        self.queue = queue.Queue()
        self.ended = False  # nothing more can come
        command = [*prefix, str(program), "-u", address, "-p", password, "-t", transport, "-a", scheme, "-d",
                   str(self.trace_path), "-H", str(home or self.folder / "home"), "-w", str(int(patience or PATIENCE)), *options]
        if server:
            command += ["-s", server]
        self.errors = open(self.folder / "stderr", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        bufsize=1, env={**os.environ, **(environment or {})})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))
        self.queue.put(None)

    def _more(self, patience):
        try:
            event = self.queue.get(timeout=max(patience, 0.001))
        except queue.Empty:
            return False
        if event is None:
            self.ended = True
            return False
        event["at"] = time.monotonic()
        self.events.append(event)
        return True

    def mark(self):
        """Where wait(since=) begins when only what is still to come counts."""
        while self._more(0.001):
            pass
        return len(self.events)

    def say(self, *words):
        """One command (sipe/README.md)."""
        try:
            self.process.stdin.write(" ".join(words) + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise NotSeen(f"the client of {self.address} is gone:\n{self.last_words()}") from None

    def wait(self, what, since=0, patience=None, **fields):
        """The first event of that kind from `since` on whose fields are these (a callable: a condition on the value)."""
        end = time.monotonic() + (patience or PATIENCE)
        at = since
        while True:
            while at < len(self.events):
                event = self.events[at]
                at += 1
                if event["ev"] == what and all(v(event.get(k)) if callable(v) else event.get(k) == v
                                               for k, v in fields.items()):
                    return event
            left = end - time.monotonic()
            if left <= 0 or self.ended:
                raise NotSeen(f"{self.address}: no event {what} {fields or ''}; it said:\n{self.last_words(since)}")
            self._more(left)

    def seen(self, what, since=0, **fields):
        """Such events so far, without waiting."""
        self.mark()
        return [e for e in self.events[since:] if e["ev"] == what and all(e.get(k) == v for k, v in fields.items())]

    def last_words(self, since=0):
        return "\n".join(json.dumps({k: v for k, v in e.items() if k != "at"}) for e in self.events[since:][-8:])

    # ---- what people do

    def signed_in(self, patience=None):
        self.wait("connected", patience=patience)
        return self

    def refused(self, patience=None):
        """The error that the person sees at sign-in."""
        return self.wait("error", patience=patience)

    def send(self, to, text):
        """text: as a person's window has it, HTML. When it is taken for sending."""
        since = self.mark()
        self.say("im", to, text)
        return self.wait("im-out", since)

    def received(self, since=0):
        """(who, text) of every instant message, in the order they came."""
        return [(e["from"].removeprefix("sip:"), e["text"]) for e in self.seen("im-in", since)]

    # ---- the wire

    def trace(self):
        """Every SIP message so far, in order."""
        text = self.trace_path.read_text(errors="replace") if self.trace_path.exists() else ""
        found = re.finditer(r"^MESSAGE START ([<>]{10}) SIP\([^)]*\) - ([^\n]*)Z\n(.*?)\nMESSAGE END \1 SIP", text, re.M | re.S)
        return [Wired(m.group(1)[0] == "<", m.group(3), datetime.datetime.fromisoformat(m.group(2) + "+00:00").timestamp())
                for m in found]

    # ---- ends

    def published(self, patience=None):
        """Waits until what it publishes at sign-in is answered: what it is told to publish before that would meet its own
        older version, and after that conflict it publishes its first state again."""
        end = time.monotonic() + (patience or PATIENCE)
        while True:
            trace = self.trace()
            asked = {(m.get("call-id"), m.get("cseq")) for m in trace
                     if not m.came and m.start.startswith("SERVICE") and "<publish " in m.body}
            answered = {(m.get("call-id"), m.get("cseq")) for m in trace if m.came and m.start.startswith("SIP/2.0")}
            states = [m for m in trace if not m.came and "userState" in m.body and "<publish " in m.body]
            if states and asked <= answered:
                return
            if time.monotonic() > end:
                raise NotSeen(f"{self.address}: what it published was not answered")
            time.sleep(0.05)

    def kill(self):
        """As a crash."""
        self.process.kill()
        self.process.wait()

    def quit(self):
        """In order; the exit status."""
        if self.process.poll() is None:
            try:
                self.say("quit")
                return self.process.wait(10)
            except (NotSeen, subprocess.TimeoutExpired):
                self.kill()
        return self.process.returncode

    def close(self):
        self.quit()
        try:
            self.process.stdin.close()  # it may have gone with a command still in the pipe
        except OSError:
            pass
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
