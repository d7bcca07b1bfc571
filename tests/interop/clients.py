# SPDX-License-Identifier: Apache-2.0
"""Stock SIP clients of Debian 12, driven without a screen and without a sound card.

Each class starts the real program with a home of its own and waits for what the program prints,
logs or records. A method that waits raises program.Timeout with the program's last words. The
people are named by the part of their address before the @; all are of the server's domain.

    alice = Linphonec(server, Account("alice", "secret"))
    alice.start()
    alice.wait_registered()
    alice.send_message("bob", "hello")

What one client cannot do at all is said by `missing()` (the program is not there) or in the
docstring of the method.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from beckon import free_port  # noqa: E402
from program import ESCAPES, Home, Program, Timeout, wait_until  # noqa: E402
from relay import Tunnel  # noqa: E402
import tone  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Server:
    """host is a DNS name of the certificate, address what it resolves to."""

    host: str
    address: str
    port: int
    domain: str
    ca: str


@dataclasses.dataclass(frozen=True)
class Account:
    name: str
    password: str
    algorithm: str = "MD5"


def free_rtp_port():
    """An even UDP port whose neighbour is free too."""
    while True:
        port = free_port(kind=socket.SOCK_DGRAM) & ~1
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
                a.bind(("127.0.0.1", port))
                b.bind(("127.0.0.1", port + 1))
                return port
        except OSError:
            continue


class Client:
    """What is common. `tone_hz` is what this client plays into its calls."""

    program = ""
    algorithms = ("MD5",)
    tone_hz = 0
    checks_certificate = False

    def __init__(self, server, account, watch=()):
        """watch: the people whose presence is asked for from the start."""
        self.server = server
        self.account = account
        self.watch = tuple(watch)
        self.home = Home(self.program)
        self.process = None

    @classmethod
    def missing(cls):
        return "" if shutil.which(cls.program) else cls.program

    def address(self, name):
        return f"sip:{name}@{self.server.domain}"

    def audio_arrived(self, frequency_hz, timeout=20):
        """Waits until a second of this tone, and nothing else, was recorded from the call."""
        wait_until(lambda: any(tone.heard(path, frequency_hz) for path in self.recordings()),
                   timeout, f"{self.program}: a tone of {frequency_hz} Hz in what it recorded")

    def recordings(self):
        raise NotImplementedError

    def message_pattern(self, sender, text):
        """What the program prints when this message comes."""
        raise NotImplementedError

    def wait_message(self, sender, text, timeout=10):
        self.process.expect(self.message_pattern(sender, text), timeout, anywhere=True)

    def wait_messages(self, sender, texts, timeout=10):
        """These, in this order, each once."""
        for text in texts:
            self.wait_message(sender, text, timeout)
        places = []
        for text in texts:
            found = list(re.finditer(self.message_pattern(sender, text), self.process.seen))
            if len(found) != 1:
                raise Timeout(f"{self.program}: {text!r} came {len(found)} times")
            places.append(found[0].start())
        if places != sorted(places):
            raise Timeout(f"{self.program}: messages out of order")

    def kill(self):
        """Ends the program without a word to anybody."""
        self.process.kill()

    def last_words(self):
        return f"{self.program} ({self.account.name}):\n" + \
            (self.process.tail() if self.process else "    not started")

    def stop(self, keep=False):
        if self.process:
            self.process.stop()
        if not keep:
            self.home.remove()


class Linphonec(Client):
    """linphonec behind a terminal: commands go in as lines, events come as lines.

    The outcome of a registration is never printed, so it is asked for.
    """

    program = "linphonec"
    algorithms = ("SHA-256", "MD5")
    tone_hz = 1000
    checks_certificate = True

    @classmethod
    def missing(cls):
        # It asks no resolver of the system's, but reads this file; names alone are verified.
        try:
            hosts = pathlib.Path("/etc/hosts").read_text(encoding="utf-8")
        except OSError:
            hosts = ""
        known = any("localhost" in line.split("#")[0].split()[1:] for line in hosts.splitlines())
        return super().missing() or ("" if known else "localhost in /etc/hosts")

    CONFIG = """[sip]
root_ca={ca}
verify_server_certs=1
verify_server_cn=1
sip_port=0
sip_tcp_port=0
sip_tls_port=-1
default_proxy=0
guess_hostname=0
use_ipv6=0
[net]
dns_srv_enabled=0
[rtp]
audio_rtp_port=20000-29999
[video]
enabled=0
display=0
capture=0
[proxy_0]
reg_proxy=<sip:{host}:{port};transport=tls>
reg_route=<sip:{host}:{port};transport=tls>
reg_identity=sip:{user}@{domain}
reg_expires=600
reg_sendregister=1
publish=1
publish_expires=600
[auth_info_0]
username={user}
passwd={password}
realm={domain}
domain={domain}
"""

    def start(self):
        home = self.home.path
        for folder in (".local/share/linphone", ".config/linphone"):
            (home / folder).mkdir(parents=True)
        (home / "rc").write_text(self.CONFIG.format(
            ca=self.server.ca, host=self.server.host, port=self.server.port,
            domain=self.server.domain, user=self.account.name, password=self.account.password))
        tone.write(home / "play.wav", self.tone_hz)
        self.log = home / "log"
        self.process = Program("linphonec", ["linphonec", "-c", str(home / "rc"), "-d", "6", "-l",
                                             str(self.log)], self.home.environment())
        self.process.expect("linphonec> ")
        self.process.send("soundcard use files")
        self.process.expect("Using wav files")
        self.process.send(f"play {home}/play.wav")
        self.process.send(f"record {home}/record.wav")

    def _state(self):
        self.process.send("states proxies")
        return self.process.expect(r"sip:\S+ +\| LinphoneRegistration(\w+)").group(1)

    def wait_registered(self, timeout=20):
        def settled():
            state = self._state()
            if state == "Failed":
                raise Timeout("linphonec: registration failed\n" + self.process.tail())
            return state == "Ok"

        wait_until(settled, timeout, "linphonec: registered")
        for name in self.watch:
            self.subscribe(name)

    def wait_refused(self, timeout=20):
        wait_until(lambda: self._state() == "Failed", timeout, "linphonec: registration failed")
        if "SIP/2.0 401" not in (log := self.log.read_text(errors="replace")) and \
                "SIP/2.0 403" not in log:
            raise Timeout("linphonec failed to register, but nobody refused it")

    def wait_certificate_refused(self, timeout=20):
        wait_until(lambda: "SSL handshake failed" in self.log.read_text(errors="replace"), timeout,
                   "linphonec: a failed TLS handshake")

    def send_message(self, to, text, timeout=10):
        """Answers once the server took it (200 or 202)."""
        start = self.log.stat().st_size
        self.process.send(f"chat {self.address(to)} {text}")

        def sent():
            with open(self.log, "rb") as log:
                log.seek(start)
                seen = log.read()
            if re.search(rb"to state NotDelivered|moving from state \w+ to \w*NotDelivered", seen):
                raise Timeout("linphonec: message not delivered")
            return re.search(rb"Chat message.* to (LinphoneChatMessageState)?Delivered\b", seen)

        wait_until(sent, timeout, "linphonec: message delivered")

    def message_pattern(self, sender, text):
        return rf"Message received from \S*{re.escape(self.address(sender))}\S*: {re.escape(text)}"

    def subscribe(self, name):
        self.process.send(f'friend add "{name}" {self.address(name)}')

    def wait_presence(self, name, state, timeout=10):
        """state: "open", "closed" or "busy"."""
        word = {"closed": "Offline", "busy": "Busy"}.get(state, r"(?!Offline)\w.*")
        self.process.expect(rf"Friend .*{re.escape(self.address(name))}>? is {word}", timeout)

    def call(self, to):
        self.process.send(f"call {self.address(to)}")

    def wait_ringing(self, sender, timeout=10):
        self.process.expect(rf"incoming call from .*{re.escape(self.address(sender))}", timeout)

    def answer(self):
        self.process.send("answer")

    def wait_call_established(self, timeout=10):
        self.process.expect("Media streams established", timeout)

    def wait_call_refused(self, timeout=5):
        self.process.expect(r"Call \d+ with .* (error|ended)", timeout)

    def hangup(self):
        self.process.send("terminate")

    def wait_call_ended(self, timeout=10):
        self.process.expect(r"Call \d+ with .* ended", timeout)

    def recordings(self):
        return [self.home.path / "record.wav"]

    def stop(self, keep=False):
        if self.process:
            self.process.stop("quit")
        super().stop(keep)


class Control:
    """baresip's ctrl_tcp: commands out, answers and events in, JSON in netstrings."""

    def __init__(self, port):
        self.socket = wait_until(lambda: self._connect(port), 10, "baresip's control port")
        self.news = threading.Condition()
        self.events = []
        self.answers = []
        self.next_event = 0
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _connect(port):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            return None

    def _read(self):
        pending = b""
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            pending += data
            while b":" in pending:
                length, rest = pending.split(b":", 1)
                if len(rest) <= int(length):
                    break
                message = json.loads(rest[:int(length)])
                pending = rest[int(length) + 1:]
                with self.news:
                    (self.answers if message.get("response") else self.events).append(message)
                    self.news.notify_all()

    def _wait(self, found, timeout, what):
        end = time.monotonic() + timeout
        with self.news:
            while (answer := found()) is None:
                left = end - time.monotonic()
                if left <= 0:
                    raise Timeout(f"baresip: {what}: not within {timeout} s; events: "
                                  + ", ".join(e.get("type", "?") for e in self.events))
                self.news.wait(left)
            return answer

    def command(self, name, argument=None):
        message = {"command": name}
        if argument is not None:
            message["params"] = argument
        data = json.dumps(message, ensure_ascii=False).encode()
        known = len(self.answers)
        self.socket.sendall(b"%d:%s," % (len(data), data))
        return self._wait(lambda: self.answers[known] if len(self.answers) > known else None, 10,
                          "answer to " + name)

    def wait_event(self, kind, timeout):
        """The next event of this kind behind the last one awaited."""
        def find():
            for i in range(self.next_event, len(self.events)):
                if self.events[i].get("type") == kind:
                    self.next_event = i + 1
                    return self.events[i]
            return None
        return self._wait(find, timeout, kind)


class Baresip(Client):
    """baresip with ctrl_tcp. What it hears is written to a file by its sndfile module.

    Its message command knows only the "current contact", so everybody it writes to is in its
    contact list. It reads no /etc/hosts, hence is given the server's address; it checks no
    certificate whatever it is given.
    """

    program = "baresip"
    tone_hz = 440

    CONFIG = """sip_cafile {ca}
sip_listen 127.0.0.1:0
net_interface 127.0.0.1
audio_player aubridge,sink
audio_source ausine,{tone}
audio_alert aubridge,alert
ausrc_srate 48000
ausrc_channels 2
auplay_srate 48000
snd_path {home}
module_path /usr/lib/baresip/modules
statmode_default off
module stdio.so
module g711.so
module opus.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app menu.so
module_app presence.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{port}
rtp_ports 30000-39999
"""

    def __init__(self, server, account, watch=(), write_to=()):
        super().__init__(server, account, watch)
        self.people = [*self.watch, *(n for n in write_to if n not in self.watch)]
        self.current = 0

    def start(self):
        folder = self.home.path / ".baresip"
        folder.mkdir()
        port = free_port()
        s = self.server
        (folder / "config").write_text(self.CONFIG.format(
            ca=s.ca, tone=self.tone_hz, home=self.home.path, port=port))
        (folder / "accounts").write_text(
            f"<sip:{self.account.name}@{s.domain};transport=tls>"
            f";auth_user={self.account.name};auth_pass={self.account.password}"
            f";outbound=\"sip:{s.address}:{s.port};transport=tls\""
            ";regint=600;pubint=600;answermode=manual\n")
        (folder / "contacts").write_text("".join(
            f'"{name}" <{self.address(name)}>;presence={"p2p" if name in self.watch else "none"}\n'
            for name in self.people) or f'"nobody" <{self.address("nobody")}>\n')
        self.process = Program("baresip", ["baresip", "-v", "-s", "-f", str(folder)],
                               self.home.environment())
        self.process.expect("baresip is ready")
        self.control = Control(port)

    def wait_registered(self, timeout=20):
        name = re.escape(self.account.name)
        match = self.process.expect(rf"(?m)^{name}@\S+ .*200 OK|reg: sip:{name}@.*", timeout)
        if match.group().startswith("reg:"):
            raise Timeout(match.group())

    def wait_refused(self, timeout=20):
        self.process.expect(r"reg: sip:.*: 40[13] ", timeout)

    def send_message(self, to, text, timeout=10):
        """Answers once it has an answer below 300; it says nothing of that itself, but its trace
        of SIP messages does."""
        want = self.people.index(to)
        while self.current != want:
            step = 1 if want > self.current else -1
            self.control.command("contact_next" if step > 0 else "contact_prev")
            self.current += step
        start = len(self.process.seen)
        self.control.command("message", text)

        def answered():
            for part in self.process.seen[start:].split("\n#\n"):
                if re.search(r"(?m)^CSeq: \d+ MESSAGE$", part) and \
                        (status := re.search(r"(?m)^SIP/2.0 (\d+) .*", part)) and \
                        status.group(1) not in ("401", "407") and \
                        f"From: <{self.address(self.account.name)}>" in part:
                    return status
            return None

        status = wait_until(answered, timeout, "baresip: answer to its message")
        if int(status.group(1)) >= 300:
            raise Timeout(f"baresip's message to {to} was refused: {status.group()}")

    def message_pattern(self, sender, text):
        return rf'{re.escape(self.address(sender))}[^"\n]*: "{re.escape(text)}"'

    def subscribe(self, name):
        if name not in self.watch:
            raise NotImplementedError("baresip reads whom to watch when it starts")

    def wait_presence(self, name, state, timeout=10):
        """It says nothing of the first state it learns, hence its list is asked."""
        words = {"closed": ("Offline",), "busy": ("Busy",)}.get(state, ("Online", "Busy"))

        def shown():
            listed = ESCAPES.sub("", self.control.command("contacts")["data"])
            return any(f"{self.address(name)}>" in line and line.lstrip("> ").startswith(words)
                       for line in listed.splitlines())

        wait_until(shown, timeout, f"baresip: {name} shown {state}")

    def publish_status(self, state):
        self.control.command("presence_online" if state == "open" else "presence_offline")

    def call(self, to):
        self.control.command("dial", self.address(to))

    def wait_ringing(self, sender, timeout=10):
        event = self.control.wait_event("CALL_INCOMING", timeout)
        if self.address(sender) not in event.get("peeruri", ""):
            raise Timeout(f"baresip: call from {event.get('peeruri')}, not from {sender}")

    def answer(self):
        self.control.command("accept")

    def wait_call_established(self, timeout=10):
        self.control.wait_event("CALL_ESTABLISHED", timeout)

    def wait_call_refused(self, timeout=5):
        event = self.control.wait_event("CALL_CLOSED", timeout)
        if not re.match(r"[45]\d\d ", event.get("param", "")):
            raise Timeout(f"baresip: the call ended by {event.get('param')!r}, not by an answer")

    def hangup(self):
        self.control.command("hangup")

    def wait_call_ended(self, timeout=10):
        self.control.wait_event("CALL_CLOSED", timeout)

    def recordings(self):
        return sorted(self.home.path.glob("dump-*-dec.wav"))[-1:]

    def stop(self, keep=False):
        # "quit" takes off the registration; it then stays for the timers of its transactions.
        if self.process and self.process.process.poll() is None:
            try:
                self.control.command("quit")
                self.process.expect("sip-stack exit|main: unloading", 3)
            except (OSError, Timeout):
                pass
        super().stop(keep)


class Sipp(Client):
    """SIPp. It follows a scenario from start to end, so one run does one thing:

    start() signs in and stays for what comes in (start("presence") also publishes and watches one
    person); send_message() and call() are runs of their own. Debian builds it without TLS: a
    tunnel carries its TCP to the server and checks the certificate.
    """

    program = "sipp"
    checks_certificate = True
    folder = __file__.rsplit("/", 1)[0] + "/sipp"

    def __init__(self, server, account, watch=()):
        super().__init__(server, account, watch)
        self.tunnel = None
        self.runs = []
        self.messages = self.home.path / "messages"

    def _run(self, scenario, peer="", text=""):
        if not self.tunnel:
            self.tunnel = Tunnel((self.server.address, self.server.port), self.server.host,
                                 self.server.ca)
        home = pathlib.Path(tempfile.mkdtemp(prefix="run", dir=self.home.path))
        s = self.server
        self.log = home / "log"
        self.messages = home / "messages"
        self.errors = home / "errors"
        rtp = free_rtp_port()
        # A file, not -key: SIPp replaces [keywords] inside values again, and a text may hold any.
        scenario_text = open(f"{self.folder}/{scenario}.xml", encoding="utf-8").read()
        (home / "scenario.xml").write_text(scenario_text.replace("[text]", text))
        self.process = Program("sipp", [
            "sipp", f"127.0.0.1:{self.tunnel.port}", "-sf", str(home / "scenario.xml"),
            "-oocsf", f"{self.folder}/incoming.xml", "-t", "t1", "-i", "127.0.0.1",
            "-p", str(free_port()), "-mi", "127.0.0.1", "-mp", str(rtp), "-rtp_echo",
            "-key", "domain", s.domain, "-key", "user", self.account.name, "-key", "peer", peer,
            "-au", self.account.name, "-ap", self.account.password, "-auth_uri", s.domain,
            "-m", "1", "-nostdin", "-nd",
            "-trace_msg", "-message_file", str(self.messages),
            "-trace_err", "-error_file", str(self.errors),
            "-trace_logs", "-log_file", str(self.log)],
            self.home.environment(), terminal=False)
        self.runs.append(self.process)
        self.read = 0

    def _expect(self, pattern, timeout):
        """Waits for a line that the scenario logs, behind the last one awaited."""
        def found():
            text = self.log.read_text(errors="replace") if self.log.exists() else ""
            if match := re.compile(pattern).search(text, self.read):
                self.read = match.end()
                return match
            if self.process.process.poll() not in (None, 0) or self.tunnel.relay.faults:
                raise Timeout(f"sipp ended before {pattern!r}; " + self._why())
            return None
        try:
            return wait_until(found, timeout, f"sipp: {pattern!r}")
        except Timeout as error:
            raise Timeout(f"{error}\n{self._why()}") from None

    def _why(self):
        errors = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return " ".join(self.tunnel.relay.faults) + errors[-1500:]

    def last_words(self):
        text = self.messages.read_text(errors="replace") if self.messages.exists() else ""
        return f"sipp ({self.account.name}), its last messages:\n" + \
            "\n".join("    " + line for line in text.splitlines()[-40:])

    def start(self):
        self._run("presence" if self.watch else "register", *self.watch[:1])

    def wait_registered(self, timeout=20):
        if "registered" not in self._expect("interop: (registered|refused)", timeout).group():
            raise Timeout("sipp was refused")

    def wait_refused(self, timeout=20):
        if "refused" not in self._expect("interop: (registered|refused)", timeout).group():
            raise Timeout("sipp was let in")

    def wait_certificate_refused(self, timeout=20):
        wait_until(lambda: any("certificate verify failed" in f for f in self.tunnel.relay.faults),
                   timeout, "sipp's tunnel: a failed TLS handshake")

    def send_message(self, to, text, timeout=20):
        """A run of its own: signs in, sends, ends. Answers "delivered" or "stored"."""
        self._run("message", to, text)
        return self._expect("interop: (delivered|stored)", timeout).group(1)

    def wait_message(self, sender, text, timeout=10):
        self._expect(r"interop: message from [^\n]*" + re.escape(self.address(sender))
                     + r"[^\n]*\{" + re.escape(text) + r"\}", timeout)

    def wait_presence(self, name, state, timeout=10):
        """Of the one person it watches."""
        self._expect(rf"interop: presence <basic>{state}", timeout)

    def call(self, to):
        """A run of its own: signs in, calls, and ends when the other side hangs up."""
        self._run("call", to)

    def wait_ringing(self, sender, timeout=10):
        self._expect(r"interop: invite from [^\n]*" + re.escape(self.address(sender)), timeout)

    def answer(self):
        """The scenario has done it already."""

    def wait_call_established(self, timeout=10):
        self._expect("interop: established", timeout)

    def wait_call_ended(self, timeout=10):
        self._expect("interop: bye", timeout)

    def stop(self, keep=False):
        while self.runs:
            self.runs.pop().stop()
        if self.tunnel:
            self.tunnel.stop()
            self.tunnel = None
        self.process = None
        super().stop(keep)


STOCK = (Linphonec, Baresip, Sipp)


class BeckonCli(Client):
    """Our own beckon-cli, JSON lines in and out; signs in with a person's own password."""

    program = "beckon-cli"
    path = None  # set from the command line
    checks_certificate = True

    @classmethod
    def missing(cls):
        return "" if cls.path else "beckon-cli (--beckon-cli)"

    def start(self):
        password = self.home.path / "password"
        password.write_text(self.account.password + "\n")
        s = self.server
        self.process = Program("beckon-cli", [
            self.path, "--json", "--address", f"{self.account.name}@{s.domain}",
            "--password-file", str(password), "--profile", str(self.home.path / "profile"),
            "--ca", s.ca, "--only-ca", "--server", f"{s.host}:{s.port}"], self.home.environment())
        self._command("sign-in")

    def _command(self, name, **fields):
        self.process.send(json.dumps({"command": name, **fields}))

    def _event(self, kind, timeout, **fields):
        """Waits for an event whose fields are these; a text may be a tuple of those that will do."""
        def right(event):
            return event.get("event") == kind and all(
                event.get(k) in v if isinstance(v, tuple) else event.get(k) == v
                for k, v in fields.items())

        end = time.monotonic() + timeout
        while True:
            line = self.process.expect(r"(?m)^\{.*\}$", max(0.01, end - time.monotonic())).group()
            if right(event := json.loads(line)):
                return event

    def wait_registered(self, timeout=20):
        self._event("state", timeout, state="signed-in")
        for name in self.watch:
            self._command("watch", address=f"{name}@{self.server.domain}")

    def send_message(self, to, text, timeout=10):
        """Answers "sent" or "stored"."""
        self._command("send", to=f"{to}@{self.server.domain}", text=text)
        event = self._event("message-state", timeout, state=("sent", "stored", "failed"))
        if event["state"] == "failed":
            raise Timeout(f"beckon-cli: {event['text']}")
        return event["state"]

    def wait_message(self, sender, text, timeout=10):
        event = self._event("message", timeout)
        if (event["from"], event["text"]) != (f"{sender}@{self.server.domain}", text):
            raise Timeout(f"beckon-cli: another message came: {event}")

    STATES = {"open": ("available", "available-inactive", "busy", "in-call"),
              "closed": ("offline",)}

    def wait_presence(self, name, state, timeout=10):
        """state: "open", "closed", or one of beckon-cli's own words."""
        self._event("presence", timeout, address=f"{name}@{self.server.domain}",
                    state=self.STATES.get(state, (state,)))

    def publish_status(self, state):
        """none, busy, dnd, brb, away, offwork or offline."""
        self._command("status", state=state)

    def stop(self, keep=False):
        if self.process and self.process.process.poll() is None:
            self._command("quit")
            try:
                self.process.process.wait(5)
            except Exception:  # it is then ended with force
                pass
        super().stop(keep)
