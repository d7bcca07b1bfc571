# SPDX-License-Identifier: Apache-2.0
"""Somebody who stands where the server should: passes each request on to it, changes it, or answers it himself."""
import contextlib
import re
import socket
import ssl
import threading


def response(request, status, reason, *lines):
    """The answer to a SIP request that concerns nobody else."""
    same = re.findall(rb"(?im)^(?:via|from|to|call-id|cseq)\s*:.*?\r\n", request)
    return b"SIP/2.0 %d %s\r\n" % (status, reason.encode()) + b"".join(same) + \
        b"".join(line.encode() + b"\r\n" for line in lines) + b"Content-Length: 0\r\n\r\n"


def with_body(message, body):
    """The same message around another body."""
    head = message.partition(b"\r\n\r\n")[0]
    return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


class StandIn:
    """TLS under the server's own name on a free port; SIP and HTTP. Without client certificates, so: until somebody is signed in.

    answers(request): what to answer it with; None: the server is asked. on_way(request): what it is asked instead. back(answer)."""

    def __init__(self, domain):
        self.domain = domain
        self.answers = lambda request: None
        self.on_way = self.back = lambda message: message
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(domain.folder / "server.crt", domain.folder / "server.key")
        self.trust = ssl.create_default_context(cafile=str(domain.ca))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"{domain.host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with contextlib.suppress(OSError), contextlib.ExitStack() as open_:
            near = open_.enter_context(self.context.wrap_socket(near, server_side=True))
            far = None
            while request := self._read(near):
                answer = self.answers(request)
                if answer is None:
                    if far is None:
                        far = socket.create_connection(("127.0.0.1", self.domain.tls_port), 30)
                        far = open_.enter_context(self.trust.wrap_socket(far, server_hostname=self.domain.host))
                    far.sendall(self.on_way(request))
                    # What the server names of itself leads here again.
                    answer = self._read(far).replace(b":%d/" % self.domain.tls_port, b":%d/" % self.port)
                    answer = self.back(answer)
                near.sendall(answer)

    @staticmethod
    def _read(connection):
        """One whole message; b"": there is none any more."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data = (data + more).lstrip(b"\r\n")
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length\s*:\s*(\d+)", head)
        while length and len(body) < int(length[1]):
            more = connection.recv(65536)
            if not more:
                return b""
            body += more
        return head + b"\r\n\r\n" + body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
