# SPDX-License-Identifier: Apache-2.0
"""A throw-away domain with the real programs: beckonctl, beckond, dnsmasq, beckon-cli. Standard library only."""
import json
import os
import pathlib
import queue
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

for _name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):  # of the computer that runs this; the domain is here
    os.environ.pop(_name, None)

PATIENCE = float(os.environ.get("BECKON_PATIENCE", "30"))


class Failed(Exception):
    """What was waited for did not come, or a program said no."""


def free_port(preferred=0, kind=socket.SOCK_STREAM, host="127.0.0.1"):
    """The preferred port when nobody has it, else one below those that the kernel lends out to whoever asks for any: a server
    that is started again finds it free."""
    for port in ([preferred] if preferred else []) + random.sample(range(16384, 32768), 20) + [0]:
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind((host, port))
                return s.getsockname()[1]
            except OSError:
                continue
    raise Failed("no free port")


def wait_for(what, condition, patience=PATIENCE, every=0.02):
    """Until condition() is true, asked again after `every` seconds; its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {patience:.0f} s for {what}")
        time.sleep(every)


class Programs:
    """Where the programs are: a build folder, or the system's PATH."""

    def __init__(self, build=None):
        def find(name, *places):
            for place in places:
                if build and (pathlib.Path(build) / place).exists():
                    return str(pathlib.Path(build) / place)
            found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
            if not found:
                raise Failed(f"{name} is neither built nor installed")
            return found

        self.beckond = find("beckond", "src/server/beckond")
        self.beckonctl = find("beckonctl", "src/ctl/beckonctl")
        self.cli = find("beckon-cli", "src/cli/beckon-cli")
        self._find = find

    @property
    def desktop(self):
        """The program with windows, which not every build has."""
        return self._find("beckon", "src/desktop/beckon")


class Domain:
    """A domain of its own under `folder`: store, authority, server, name server."""

    def __init__(self, folder, programs, domain="demo.test", host=None, settings=(), prefer_port=0, ctl_prefix=(),
                 listen="127.0.0.1", tls_port=None, https_port=None):
        """tls_port, https_port: exactly these, where nobody else can have them; else a free one, and no port for HTTPS alone."""
        self.folder = pathlib.Path(folder)
        self.programs = programs
        self.domain = domain
        self.host = host or f"srv.{domain}"
        self.listen = listen
        self.settings = list(settings)
        self.prefer_port = prefer_port
        self.server = self.dns = None
        self.tls_port, self.https_port = tls_port, https_port
        self.dns_port = None
        self.config = self.folder / "beckond.conf"
        self.log_path = self.folder / "beckond.log"
        self.prefix = list(ctl_prefix)
        self.ports = {}

    # ---- administration

    def ctl(self, *args, stdin=None, check=True, as_json=False):
        """beckonctl; its standard output, or the parsed JSON."""
        command = [self.programs.beckonctl, "--config", str(self.config)]
        if as_json:
            command.append("--json")
        done = subprocess.run(command + [str(a) for a in args], input=stdin, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise Failed(f"beckonctl {' '.join(map(str, args))}: {done.stderr.strip() or done.stdout.strip()}")
        if as_json:
            return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None
        return done.stdout if check else done

    def init(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.config.exists():
            return
        self.tls_port = self.tls_port or free_port(self.prefer_port)
        args = [self.programs.beckonctl, "init", self.domain, "--dir", str(self.folder), "--name", self.host, "--tls",
                f"{self.listen}:{self.tls_port}"]
        if self.https_port:
            args += ["--https", f"{self.listen}:{self.https_port}"]
        for setting in self.settings:
            args += ["--set", setting]
        done = subprocess.run(args, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"beckonctl init: {done.stderr.strip() or done.stdout.strip()}")

    @property
    def ca(self):
        return self.folder / "authority.crt"

    def add_user(self, who, password, **options):
        args = ["user", "add", f"{who}@{self.domain}", "--password-stdin"]
        for key, value in options.items():
            args += [f"--{key.replace('_', '-')}"] + ([] if value is True else [value])
        self.ctl(*args, stdin=password + "\n")

    # ---- the server

    def start(self, wait=True):
        ports = self.folder / "ports"
        ports.unlink(missing_ok=True)
        self.log = open(self.log_path, "a")
        self.server = subprocess.Popen(
            self.prefix + [self.programs.beckond, "--config", str(self.config), "--ports-file", str(ports)],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        if not wait:
            return
        wait_for("the server to start", lambda: ports.exists() or self.server.poll() is not None)
        if self.server.poll() is not None:
            raise Failed(f"beckond ended: {self.log_path.read_text()[-600:]}")
        self.ports = {k: int(v) for k, v in (line.split() for line in ports.read_text().splitlines())}
        self.tls_port = self.ports["tls"]

    def kill(self):
        """As a power cut would, but for the disk."""
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        self.server = None

    def stop_server(self):
        if self.server and self.server.poll() is None:
            self.server.terminate()
            try:
                status = self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
                raise Failed("beckond did not stop within 20 s") from None
            if status != 0:
                raise Failed(f"beckond ended with {status}: {self.log_path.read_text()[-2000:]}")
        self.server = None

    # ---- names

    def start_dns(self, records=None, address="127.0.0.1"):
        """The domain's names, answered on a free port by dnsmasq. records: further dnsmasq options."""
        dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin")
        if not dnsmasq:
            raise Failed("dnsmasq is not installed")
        for attempt in range(10):  # a port must be free for datagrams and streams alike
            self.dns_port = free_port(kind=socket.SOCK_DGRAM)
            chosen = records
            if chosen is None:
                chosen = [f"--host-record={self.host},{address}",
                          f"--srv-host=_sipinternaltls._tcp.{self.domain},{self.host},{self.tls_port}",
                          f"--srv-host=_sip._tls.{self.domain},{self.host},{self.tls_port}"]
            log = open(self.folder / "dnsmasq.log", "w")
            self.dns = subprocess.Popen(
                [dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll",
                 f"--port={self.dns_port}", f"--listen-address={self.listen}", "--bind-interfaces", "--pid-file",
                 f"--local=/{self.domain}/", "--user=" + ("root" if os.geteuid() == 0 else ""), *chosen],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            log.close()

            def listens():
                if self.dns.poll() is not None:
                    return "ended"
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                    return s.connect_ex((self.listen, self.dns_port)) == 0

            if wait_for("dnsmasq", listens) is True:
                return
        raise Failed(f"dnsmasq ended: {(self.folder / 'dnsmasq.log').read_text()}")

    @property
    def dns_address(self):
        return f"{self.listen}:{self.dns_port}"

    def client(self, name, **options):
        return Client(self, name, **options)

    def close(self):
        if self.dns:
            self.dns.terminate()
            self.dns.wait()
            self.dns = None
        self.stop_server()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.close()
        finally:
            if self.server:
                self.server.kill()


class Client:
    """beckon-cli --json of one person on one computer (profile).

    by_address: True: the server is found through the domain's own name server, where it has one; False: its name is given;
    None: neither, so that the program has nothing but the address and what the computer's resolver answers.
    """

    def __init__(self, domain, name, profile=None, options=(), by_address=True, prefix=()):
        self.domain = domain
        self.address = name if "@" in name else f"{name}@{domain.domain}"
        self.profile = domain.folder / "profiles" / (profile or name)
        self.events = []
        self.lines = queue.Queue()
        command = list(prefix) + [domain.programs.cli, "--json", "--address", self.address, "--profile",
                                  str(self.profile), "--ca", str(domain.ca)]
        if by_address and domain.dns_port:
            command += ["--dns", domain.dns_address]
        elif by_address is not None:
            command += ["--server", f"{domain.host}:{domain.tls_port}"]
        self.profile.mkdir(parents=True, exist_ok=True)
        self.errors = open(self.profile.parent / f"{self.profile.name}.log", "a")
        self.process = subprocess.Popen(command + list(options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, bufsize=1)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _more(self, patience):
        try:
            line = self.lines.get(timeout=patience)
        except queue.Empty:
            return False
        if line is None:
            self.lines.put(None)
            return False
        self.events.append(json.loads(line))
        return True

    def say(self, command, **fields):
        try:
            self.process.stdin.write(json.dumps({"command": command, **fields}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"beckon-cli of {self.address} is gone") from None

    def mark(self):
        while self._more(0.001):
            pass
        return len(self.events)

    def wait(self, what, since=0, patience=PATIENCE, **fields):
        """The first event from `since` on of that kind whose fields are these (a callable value: a condition)."""
        end = time.monotonic() + patience
        at = since
        while True:
            while at < len(self.events):
                event = self.events[at]
                at += 1
                if event.get("event") == what and all(
                        value(event.get(key)) if callable(value) else event.get(key) == value
                        for key, value in fields.items()):
                    return event
            left = end - time.monotonic()
            if left <= 0 or (not self._more(left) and self.process.poll() is not None and self.lines.qsize() <= 1):
                tail = "\n".join(json.dumps(e) for e in self.events[since:][-6:])
                raise Failed(f"{self.address}: no event {what} {fields if fields else ''}; it said:\n{tail}")

    # ---- what people do

    def sign_in(self, password=None, patience=PATIENCE):
        since = self.mark()
        fields = {"address": self.address}
        if password is not None:
            fields["password"] = password
        self.say("sign-in", **fields)
        return self.wait("state", since, patience, state="signed-in")

    def refused(self, password=None, patience=PATIENCE):
        """Signs in, expects to be refused; the failure."""
        since = self.mark()
        fields = {"address": self.address}
        if password is not None:
            fields["password"] = password
        self.say("sign-in", **fields)
        return self.wait("failure", since, patience)

    def send(self, to, text, until=("sent", "stored", "failed"), patience=PATIENCE):
        since = self.mark()
        self.say("send", to=to, text=text)
        number = self.wait("accepted", since, patience)["id"]
        return self.wait("message-state", since, patience, id=number, state=lambda s: s in until)

    def sign_out(self):
        since = self.mark()
        self.say("sign-out")
        return self.wait("state", since, state="signed-out")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            try:
                self.say("quit")
                self.process.stdin.close()
                self.process.wait(10)
            except (Failed, OSError, subprocess.TimeoutExpired):
                self.kill()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
