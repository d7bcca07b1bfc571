# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that knows CONNECT alone (RFC 9110 9.3.6), finds every name on this computer, and misbehaves as told."""
import asyncio
import base64
import contextlib
import threading


class Proxy:
    """Listens on 127.0.0.1:port from start() to stop(); set the fields at any time.

    login: "name:password" it asks for. answer: whole answer in place of a tunnel, e.g. b"HTTP/1.1 403 Forbidden\\r\\n\\r\\n"; "": it
    is silent. known: hosts it can find, None: all. pieces: answers go out a byte at a time, behind a 1xx. idle_s: ends tunnels on
    which nothing went for so long.
    """

    def __init__(self, login=None, known=None, addresses=("127.0.0.1",)):
        self.addresses = addresses
        self.login = login
        self.known = known
        self.answer = None
        self.pieces = False
        self.idle_s = None
        self.asked = []  # (target, login or None) of each CONNECT
        self.tunnels = []  # those open now
        self.opened = 0
        self.bytes = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = None

    @property
    def name(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.name}/"

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def start(self):
        async def begin():
            self._server = await asyncio.start_server(self._serve, self.addresses[0], self.port)
            self.port = self._server.sockets[0].getsockname()[1]
            self._others = [await asyncio.start_server(self._serve, address, self.port) for address in self.addresses[1:]]
        self._do(begin())
        return self

    def stop(self):
        """Nobody listens any more, and all tunnels are cut."""
        async def end():
            if self._server:
                for server in (self._server, *self._others):
                    server.close()
                self._server = None
        self._do(end())
        self.cut()

    def cut(self):
        async def end():
            for writers in list(self.tunnels):
                for writer in writers:
                    writer.transport.abort()
        self._do(end())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    async def _say(self, writer, answer):
        if self.pieces:
            for byte in b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
        else:
            writer.write(answer)
            await writer.drain()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._one(reader, writer)
        writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, version = head.split("\r\n")[0].split(" ")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:] if line)}
        kind, _, secret = fields.get("proxy-authorization", "").partition(" ")
        login = base64.b64decode(secret).decode() if kind == "Basic" else None
        self.asked.append((target, login))
        assert (method, version, fields["host"]) == ("CONNECT", "HTTP/1.1", target), head
        if self.answer == "":
            await reader.read()
            return
        if self.answer is not None:
            await self._say(writer, self.answer)
            return
        if self.login and login != self.login:
            await self._say(writer, b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n"
                                    b"Proxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 5\r\n\r\nnope\n")
            return
        host, _, port = target.rpartition(":")
        try:
            if self.known is not None and host not in self.known:
                raise OSError
            far_reader, far = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            await self._say(writer, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        await self._say(writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._tunnel((reader, writer), (far_reader, far))

    async def _tunnel(self, near, far):
        ends = (near[1], far[1])
        last = self._loop.time()
        self.tunnels.append(ends)
        self.opened += 1

        async def pass_on(reader, writer):
            nonlocal last
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    self.bytes += len(data)
                    last = self._loop.time()
                    writer.write(data)
                    await writer.drain()
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

        async def watch():
            while True:
                await asyncio.sleep(0.1)
                if self.idle_s and self._loop.time() - last > self.idle_s:
                    for writer in ends:
                        writer.transport.abort()

        watcher = asyncio.ensure_future(watch())
        try:
            await asyncio.gather(pass_on(near[0], far[1]), pass_on(far[0], near[1]))
        finally:
            watcher.cancel()
            self.tunnels.remove(ends)
            far[1].close()
