# SPDX-License-Identifier: Apache-2.0
"""What a network, a name server and a peer can do wrong, each on a free port of loopback, as long as its `with` lasts."""
import contextlib
import ctypes
import datetime
import select
import socket
import ssl
import struct
import subprocess
import threading

from beckon import Failed, free_port

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "SRV": 33}
SILENT = None


# ---- names

def wire_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def wire_data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "CNAME":
        return wire_name(value)
    target, port = value
    return struct.pack("!3H", 0, 0, port) + wire_name(target)


class Names:
    """A name server (RFC 1035). rows: {(name, type): [values]}; what is not there does not exist. code: said to every question
    where it is not NOERROR; SILENT: nothing is."""

    def __init__(self):
        self.rows, self.code = {}, NOERROR
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def set(self, *rows, code=NOERROR):
        """Each row: name, type, value."""
        table = {}
        for name, kind, value in rows:
            table.setdefault((name.lower(), kind), []).append(value)
        self.rows, self.code = table, code

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _answer(self, question):
        at, parts = 12, []
        while question[at]:
            parts.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1:at + 3])[0]
        asked, name, answers, rows = question[12:at + 5], ".".join(parts).lower(), [], self.rows
        word = next((k for k, v in TYPES.items() if v == kind), "")
        code = self.code
        if code == NOERROR:
            for _ in range(8):  # a CNAME that leads to itself is told as it stands
                found = rows.get((name, word), [])
                answers += [(name, word, value) for value in found]
                alias = rows.get((name, "CNAME"))
                if found or not alias:
                    break
                answers.append((name, "CNAME", alias[0]))
                name = alias[0]
            if not answers and not any(n == name for n, _ in rows):
                code = NXDOMAIN
        body = b""
        for owner, kind, value in answers:
            data = wire_data(kind, value)
            body += wire_name(owner) + struct.pack("!2HIH", TYPES[kind], 1, 5, len(data)) + data
        return question[:2] + struct.pack("!5H", 0x8580 | code, 1, len(answers), 0, 0) + asked + body

    def _serve(self):
        while True:
            try:
                question, who = self.socket.recvfrom(4096)
                if self.code is not SILENT and len(question) > 16:
                    self.socket.sendto(self._answer(question), who)
            except (OSError, IndexError, UnicodeDecodeError):
                if self.socket.fileno() < 0:
                    return


# ---- peers

def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class Peer:
    """Takes connections; each is a thread's, that ends with handle(connection)."""

    def __init__(self, handle, port=0, host="127.0.0.1"):
        self.handle = handle
        self.socket = socket.socket(family_of(host))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.socket.listen(16)
        self.port = self.socket.getsockname()[1]
        self.open = []

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.reset()

    def reset(self):
        """Every connection ends with a reset."""
        for connection in self.open:
            reset(connection)
        self.open = []

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with contextlib.suppress(OSError, ValueError):
            connection.settimeout(30)
            self.handle(connection)
        with contextlib.suppress(OSError):
            connection.close()


def inside(namespace, make):
    """make(), with its sockets in that network namespace."""
    done = []

    def there():
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
        done.append(make())
    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if not done:
        raise Failed(f"no socket in {namespace}")
    return done[0]


def reset(connection):
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()


def mute(port=0, host="127.0.0.1"):
    """Takes what comes and says nothing, for as long as the other has patience. open: who came."""
    def handle(connection):
        while connection.recv(4096):
            pass
    return Peer(handle, port, host)


def says(text, port=0, host="127.0.0.1"):
    """A peer that speaks, but no TLS."""
    def handle(connection):
        connection.recv(4096)
        connection.sendall(text)
    return Peer(handle, port, host)


def tls_context(files, oldest=ssl.TLSVersion.TLSv1_2, newest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # what is weak is for the client to refuse
    context.minimum_version, context.maximum_version = oldest, newest
    context.load_cert_chain(*map(str, files))
    return context


def tls(context, then=lambda connection: connection.recv(4096), port=0, host="127.0.0.1"):
    """A peer with this certificate, and what it does once the connection stands."""
    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            then(secure)
    return Peer(handle, port, host)


def https(context, answer, port=0):
    """answer(path) is (status, lines, body)."""
    def then(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            if not more:
                return
            head += more
        status, lines, body = answer(head.split()[1].decode())
        body = body.encode()
        connection.sendall("\r\n".join([f"HTTP/1.1 {status} X", *lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body)
    return tls(context, then, port)


def pump(a, b, to_a=lambda data: data, to_b=lambda data: data):
    """Both ways until either ends."""
    ends = {a: (b, to_b), b: (a, to_a)}
    while True:
        ready = [s for s in ends if isinstance(s, ssl.SSLSocket) and s.pending()] or select.select(list(ends), [], [], 60)[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            to, change = ends[source]
            to.sendall(change(data))


class Wire(Peer):
    """Passes everything on to that port, until it is cut: what stood is reset, what comes is taken and hears nothing."""

    def __init__(self, upstream):
        self.is_cut = False

        def handle(connection):
            if self.is_cut:
                while connection.recv(4096):
                    pass
                return
            with socket.create_connection(("127.0.0.1", upstream), 30) as to:
                pump(connection, to)
        super().__init__(handle)

    def cut(self):
        self.is_cut = True
        self.reset()

    def mend(self):
        self.is_cut = False
        self.reset()


def between(context, upstream, ca, name, to_client=lambda data: data, to_server=lambda data: data):
    """Opens the connection to that server and reads along; the client sees this certificate."""
    def then(connection):
        trusting = ssl.create_default_context(cafile=str(ca))
        with socket.create_connection(("127.0.0.1", upstream), 30) as plain, trusting.wrap_socket(plain, server_hostname=name) as to:
            pump(connection, to, to_client, to_server)
    return tls(context, then)


@contextlib.contextmanager
def silent(port=0):
    """A port that answers no SYN, as behind a filter: its queue is full and nobody takes from it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def closed():
    """A port where nobody listens."""
    yield free_port()


# ---- certificates

def openssl(*args, folder):
    done = subprocess.run(["openssl", *map(str, args)], cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failed(f"openssl {args[0]}: {done.stderr.strip()[-300:]}")


class Authority:
    """A root, or what stands below `parent`; issues what a server should not have."""

    def __init__(self, folder, name, organisation, parent=None):
        self.folder, self.name, self.parent, self.n = folder / name.replace(" ", "-").lower(), name, parent, 0
        self.folder.mkdir(parents=True)
        (self.folder / "index.txt").write_text("")
        (self.folder / "openssl.cnf").write_text(
            "[ca]\ndefault_ca=x\n[x]\ndir=.\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            "copy_extensions=copy\nunique_subject=no\ncertificate=ca.crt\nprivate_key=ca.key\ndefault_days=30\n"
            "[p]\ncommonName=supplied\norganizationName=optional\n[req]\ndistinguished_name=d\n[d]\n")
        self.cert = self.folder / "ca.crt"
        of_ca = ["-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        subject = ["-subj", f"/O={organisation}/CN={name}", "-config", "openssl.cnf", *of_ca]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"]
        if not parent:
            openssl("req", "-x509", "-new", *key, "-days", 30, "-out", "ca.crt", *subject, folder=self.folder)
        else:
            openssl("req", "-new", *key, "-out", "ca.csr", *subject, folder=self.folder)
            parent.sign(self.folder / "ca.csr", self.cert)

    def sign(self, csr, to, *options):
        openssl("ca", "-batch", "-notext", "-config", "openssl.cnf", "-in", csr, "-out", to, *options, folder=self.folder)

    def issue(self, host, start=-1, end=30, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), digest="sha256", chain=True):
        """(certificate file, key file) for that host, from and until so many days from now. chain: with what stands between."""
        self.n += 1
        now, stem = datetime.datetime.now(datetime.timezone.utc), f"leaf{self.n}"
        files = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        openssl("req", "-new", "-newkey", *key, "-nodes", "-keyout", files[1], "-out", f"{stem}.csr", "-subj", f"/CN={host}",
                "-config", "openssl.cnf", "-addext", f"subjectAltName=DNS:{host}", folder=self.folder)
        dates = [(now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ") for d in (start, end)]
        self.sign(f"{stem}.csr", files[0], "-startdate", dates[0], "-enddate", dates[1], "-md", digest)
        above = self
        with open(files[0], "a") as to:
            while chain and above.parent:
                to.write(above.cert.read_text())
                above = above.parent
        return files

    def alone(self, host):
        """Signed by itself."""
        openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "alone.key", "-out",
                "alone.crt", "-days", 30, "-subj", f"/CN={host}", "-config", "openssl.cnf", "-addext", f"subjectAltName=DNS:{host}",
                folder=self.folder)
        return self.folder / "alone.crt", self.folder / "alone.key"
