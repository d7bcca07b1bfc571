# SPDX-License-Identifier: Apache-2.0
"""SIP as bytes: connections, answers and Digest from the standard library alone, so that a test can also say what is wrong."""
import hashlib
import itertools
import re
import select
import socket
import ssl
import time

PATIENCE = 20
_count = itertools.count(1)


class Gone(Exception):
    """The other side closed, or an answer did not come."""


def unique(what="x"):
    return f"{what}{next(_count)}.{time.monotonic_ns():x}"


class Message:
    """One message, its fields in order, names in long form and lower case."""
    COMPACT = {"v": "via", "i": "call-id", "f": "from", "t": "to", "m": "contact", "l": "content-length", "c": "content-type",
               "e": "content-encoding", "k": "supported", "s": "subject", "o": "event"}

    def __init__(self, data):
        self.data = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.start, *lines = head.decode("utf-8", "replace").split("\r\n")
        self.fields = []
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.fields.append((self.COMPACT.get(name, name), value.strip()))
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = "" if self.status else self.start.split()[0]

    def get(self, name):
        return next((v for n, v in self.fields if n == name), "")

    def all(self, name):
        return [v for n, v in self.fields if n == name]


def request(method, uri, sender, to=None, *, call=None, cseq=1, lines=(), body=b"", kind="TLS", branch=None, tag="t",
            to_tag="", content_type="text/plain", via=None, max_forwards=70):
    """A request as bytes."""
    to = to or uri
    head = [f"{method} {uri} SIP/2.0", via or f"Via: SIP/2.0/{kind} 127.0.0.1:9;rport;branch={branch or unique('z9hG4bK')}",
            f"Max-Forwards: {max_forwards}", f"From: <{sender}>;tag={tag}", f"To: <{to}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call or unique('call')}", f"CSeq: {cseq} {method}", *lines]
    if body:
        head.append(f"Content-Type: {content_type}")
    head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def response(to, status, reason="OK", lines=()):
    """Our answer to a request that came."""
    head = [f"SIP/2.0 {status} {reason}"]
    for name, value in to.fields:
        if name in ("via", "from", "call-id", "cseq", "record-route"):
            head.append(f"{name}: {value}")
        elif name == "to":
            head.append(f"to: {value}" + ("" if ";tag=" in value else ";tag=ours"))
    return ("\r\n".join([*head, *lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


class Wire:
    """One connection, or one UDP port."""

    def __init__(self, domain, kind, alpn=("sip",)):
        self.kind = kind
        self.buffer = b""
        self.closed = False
        self.sent = self.received = 0
        port = domain.ports[kind.lower()]
        if kind == "UDP":
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.connect(("127.0.0.1", port))
            return
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if kind == "TLS":
            context = ssl.create_default_context(cafile=str(domain.ca))
            context.set_alpn_protocols(list(alpn))
            self.socket = context.wrap_socket(self.socket, server_hostname=domain.host)

    def send(self, data):
        self.sent += len(data)
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(data)

    def trickle(self, data):
        """Byte by byte; False: the server closed meanwhile."""
        try:
            for i in range(len(data)):
                self.send(data[i:i + 1])
        except OSError:
            return False
        return True

    def _read(self, patience):
        if self.closed:
            return False
        if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            if not select.select([self.socket], [], [], max(patience, 0))[0]:
                return False
        self.socket.settimeout(PATIENCE)
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return False
        self.received += len(data)
        self.buffer += data
        return True

    def _cut(self):
        while self.kind != "UDP" and self.buffer.startswith(b"\r\n"):
            self.buffer = self.buffer[2:]
        head, end, _ = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        found = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
        size = len(head) + 4 + (int(found.group(1)) if found else 0)
        if len(self.buffer) < size:
            return None
        message, self.buffer = self.buffer[:size], self.buffer[size:]
        return Message(message)

    def next(self, patience=PATIENCE):
        """The next message; None: closed, or nothing within patience."""
        end = time.monotonic() + patience
        while True:
            message = self._cut()
            if message or self.closed:
                return message
            left = end - time.monotonic()
            if left <= 0 or not (self._read(left) or self.closed):
                if not self.closed:
                    return None

    def answer(self, call, final=True):
        """The answer with that Call-ID; what else comes is left out."""
        end = time.monotonic() + PATIENCE
        while True:
            message = self.next(end - time.monotonic())
            if not message:
                raise Gone(f"no answer over {self.kind}" + (": closed" if self.closed else ""))
            if message.status and message.get("call-id") == call and (message.status >= 200 or not final):
                return message

    def expect(self, method, patience=PATIENCE):
        """The next request of that method."""
        end = time.monotonic() + patience
        while True:
            message = self.next(end - time.monotonic())
            if not message:
                raise Gone(f"no {method} came over {self.kind}" + (": closed" if self.closed else ""))
            if message.method == method:
                return message

    def until_closed(self, patience=PATIENCE):
        """All messages until the server closes."""
        messages = []
        end = time.monotonic() + patience
        while True:
            message = self.next(end - time.monotonic())
            if message:
                messages.append(message)
            elif self.closed:
                return messages
            else:
                raise Gone(f"{self.kind} was not closed within {patience} s")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def alive(domain, kind):
    """A fresh connection has an OPTIONS answered."""
    with Wire(domain, kind) as wire:
        call = unique("alive")
        wire.send(request("OPTIONS", f"sip:{domain.domain}", f"sip:probe@{domain.domain}", call=call, kind=kind))
        status = wire.answer(call).status
        assert status in (200, 401, 407), f"OPTIONS over {kind} was answered {status}"


def stop(domain):
    """Stops the server in order; what sanitizers found while it ran is a failure (raised)."""
    domain.stop_server()
    log = domain.log_path.read_text(errors="replace")
    found = [line for line in log.splitlines() if "runtime error:" in line or "Sanitizer" in line]
    if found:
        raise AssertionError("\n".join(found[:20]))


class Digest:
    """Answers a challenge (RFC 7616); nc counts as long as the nonce is the same."""

    def __init__(self, user, password, challenge, proxy=False):
        self.user, self.password, self.proxy = user, password, proxy
        self.params = {k.lower(): v.strip('"') for k, v in re.findall(r'([\w-]+)=("[^"]*"|[^,\s]+)', challenge)}
        self.hash = hashlib.sha256 if self.params.get("algorithm", "").upper().startswith("SHA-256") else hashlib.md5
        self.nc = 0

    def line(self, method, uri, nc=None, qop=True, user=None):
        p, user = self.params, user or self.user

        def h(text):
            return self.hash(text.encode()).hexdigest()

        self.nc = nc if nc is not None else self.nc + 1
        ha1, ha2 = h(f"{user}:{p['realm']}:{self.password}"), h(f"{method}:{uri}")
        middle = f":{self.nc:08x}:c0ffee:auth" if qop else ""
        value = (f'Digest username="{user}", realm="{p["realm"]}", nonce="{p["nonce"]}", uri="{uri}", '
                 f'algorithm={p.get("algorithm", "MD5")}, response="{h(ha1 + ":" + p["nonce"] + middle + ":" + ha2)}"')
        if qop:
            value += f', qop=auth, nc={self.nc:08x}, cnonce="c0ffee"'
        return f"{'Proxy-Authorization' if self.proxy else 'Authorization'}: {value}"


class Person:
    """Somebody with a device password on one wire."""

    def __init__(self, domain, name, password, kind="TLS"):
        self.domain, self.name, self.password, self.kind = domain, name, password, kind
        self.uri = f"sip:{name}@{domain.domain}"
        self.contact = f"sip:{name}-{unique('at')}@127.0.0.1:9;transport={kind.lower()}"
        self.wire = Wire(domain, kind)
        self.call = unique("register")
        self.cseq = 0
        self.digest = None

    def ask(self, method, uri, *, call=None, **options):
        """One request as it is; the final answer."""
        call = call or unique("ask")
        options.setdefault("kind", self.kind)
        self.wire.send(request(method, uri, options.pop("sender", self.uri), call=call, **options))
        return self.wire.answer(call)

    def learn(self, answer):
        proxy = answer.status == 407
        self.digest = Digest(self.name, self.password, answer.get("proxy-authenticate" if proxy else "www-authenticate"), proxy)
        return self.digest

    def sign_in(self, contact=None, expires=600):
        registrar = f"sip:{self.domain.domain}"
        lines = [f"Contact: <{contact or self.contact}>;expires={expires}"]
        for _ in range(2):
            self.cseq += 1
            more = [self.digest.line("REGISTER", registrar)] if self.digest else []
            answer = self.ask("REGISTER", registrar, to=self.uri, call=self.call, cseq=self.cseq, lines=lines + more)
            if answer.status != 401:
                break
            self.learn(answer)
        if answer.status != 200:
            raise AssertionError(f"{self.name} was not signed in: {answer.start}")
        return answer

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
