#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A relay in front of a TLS server, for two uses.

As a tunnel it takes plain TCP and speaks TLS to the server, whose certificate it checks: Debian
builds SIPp without TLS. As a wire tap it takes TLS on both sides and writes down what passes:
it shows what a stock client really sends. Run alone it is the tap:

    relay.py --server 127.0.0.1:5061 --out tap.txt

The client must trust the tap's authority (its file is printed), the tap does not judge the
server's certificate. Output: one block per chunk read, headed by the time, the connection and the
direction ("C>S" or "S>C").
"""

import argparse
import asyncio
import contextlib
import ssl
import sys
import tempfile
import threading
import time

import pki


class Relay:
    """inside, outside: ssl contexts towards the client (None: plain TCP) and the server."""

    def __init__(self, server, inside, outside, server_name=None, record=None):
        self.server = server
        self.inside = inside
        self.outside = outside
        self.server_name = server_name
        self.record = record
        self.start = time.monotonic()
        self.count = 0
        self.faults = []

    async def listen(self, port=0):
        """Answers the port."""
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self.inside)
        return self.listener.sockets[0].getsockname()[1]

    def note(self, number, what, data=b""):
        if self.record:
            head = f"---- {time.monotonic() - self.start:8.3f} #{number} {what}\n"
            self.record.write(head.encode() + data + (b"\n" if data else b""))
            self.record.flush()

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.CancelledError):
            await self._carry(reader, writer)

    async def _carry(self, reader, writer):
        self.count += 1
        number = self.count
        tls = writer.get_extra_info("ssl_object")
        self.note(number, f"connected {tls.version()} {tls.cipher()[0]}" if tls else "connected")
        try:
            far_reader, far_writer = await asyncio.open_connection(
                *self.server, ssl=self.outside, server_hostname=self.server_name)
        except OSError as error:  # SSLError too: a certificate that does not hold
            self.faults.append(str(error))
            self.note(number, f"server: {error}")
            writer.close()
            return
        await asyncio.gather(self._pump(reader, far_writer, number, "C>S"),
                             self._pump(far_reader, writer, number, "S>C"))

    async def _pump(self, reader, writer, number, what):
        try:
            while data := await reader.read(65536):
                self.note(number, what, data)
                writer.write(data)
                await writer.drain()
            self.note(number, what + " closed")
        except OSError as error:
            self.note(number, f"{what} ended: {error}")
        writer.close()


def server_context(names):
    """A context with a fresh certificate for names, and the folder that holds ca.pem."""
    folder = tempfile.TemporaryDirectory(prefix="beckon-relay-")
    pki.make_authority(folder.name)
    key, cert = pki.make_certificate(folder.name, folder.name, list(names))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, folder


def unchecked_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Tunnel:
    """Plain TCP on self.port, TLS to the server, in a thread of its own until stop()."""

    def __init__(self, server, server_name, ca):
        self.loop = asyncio.new_event_loop()
        self.relay = Relay(server, None, ssl.create_default_context(cafile=str(ca)), server_name)
        self.port = self.loop.run_until_complete(self.relay.listen())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self):
        async def end():
            self.relay.listener.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


async def tap(args):
    host, port = args.server.rsplit(":", 1)
    inside, folder = server_context(args.name or ("localhost", "127.0.0.1", "beckon.test"))
    record = open(args.out, "wb") if args.out else sys.stdout.buffer
    relay = Relay((host, int(port)), inside, unchecked_context(), record=record)
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, what: relay.note(0, f"{what.get('message')}: {what.get('exception')}"))
    print(f"tap on 127.0.0.1:{await relay.listen(args.port)}, authority {folder.name}/ca.pem",
          file=sys.stderr, flush=True)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0, help="where to listen; default a free port")
    parser.add_argument("--name", action="append", help="DNS name in the tap's certificate")
    parser.add_argument("--out", help="file to write to; default standard output")
    try:
        asyncio.run(tap(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
