#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the drivers' own tools promise: a driver that cannot fail proves nothing."""

import array
import asyncio
import math
import pathlib
import random
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import unittest

import pki
from program import Program, Timeout, wait_until
from relay import Tunnel
from sipe_client import NotSeen, Sipe
import tone


class Tones(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name) / "a.wav"

    def tearDown(self):
        self.folder.cleanup()

    def write(self, samples):
        """Replaces the tone's samples, keeps the header."""
        head = self.file.read_bytes()[:44]
        self.file.write_bytes(head + array.array("h", map(int, samples)).tobytes())

    def test_a_tone_is_heard(self):
        tone.write(self.file, 440, 2)
        self.assertTrue(tone.heard(self.file, 440))

    def test_another_tone_is_not_it(self):
        tone.write(self.file, 1000, 2)
        self.assertFalse(tone.heard(self.file, 440))

    def test_silence_is_no_tone(self):
        tone.write(self.file, 440, 2)
        self.write([0] * 32000)
        self.assertFalse(tone.heard(self.file, 440))

    def test_noise_is_no_tone(self):
        tone.write(self.file, 440, 2)
        source = random.Random(1)
        self.write(source.randint(-8000, 8000) for _ in range(32000))
        self.assertFalse(tone.heard(self.file, 440))

    def test_two_tones_at_once_are_neither(self):
        tone.write(self.file, 440, 2)
        self.write(4000 * (math.sin(2 * math.pi * 440 * i / 16000)
                           + math.sin(2 * math.pi * 1000 * i / 16000)) for i in range(32000))
        self.assertFalse(tone.heard(self.file, 440))
        self.assertFalse(tone.heard(self.file, 1000))

    def test_half_a_second_is_too_short(self):
        tone.write(self.file, 440, 2)
        self.file.write_bytes(self.file.read_bytes()[:44 + 16000])
        self.assertFalse(tone.heard(self.file, 440))

    def test_a_header_not_written_yet_does_not_matter(self):
        tone.write(self.file, 440, 2)
        self.file.write_bytes(bytes(44) + self.file.read_bytes()[44:])
        self.assertTrue(tone.heard(self.file, 440))
        self.assertFalse(tone.heard(self.file, 1000))

    def test_no_file_and_half_a_header_are_no_tone(self):
        self.assertFalse(tone.heard(self.file, 440))
        self.file.write_bytes(b"RIFF")
        self.assertFalse(tone.heard(self.file, 440))


class Programs(unittest.TestCase):
    def run_shell(self, script):
        program = Program("sh", ["sh", "-c", script])
        self.addCleanup(program.stop)
        return program

    def test_what_is_printed_is_found_once(self):
        program = self.run_shell("printf 'one\\ntwo\\n'; read x")
        program.expect("one", 5)
        program.expect("two", 5)
        with self.assertRaises(Timeout):
            program.expect("one", 0.1)

    def test_what_never_comes_is_told_with_the_last_words(self):
        program = self.run_shell("echo goodbye; read x")
        program.expect("goodbye", 5)
        with self.assertRaisesRegex(Timeout, "goodbye"):
            program.expect("hello", 0.1)

    def test_the_end_of_a_program_ends_the_waiting(self):
        program = self.run_shell("exit 0")
        with self.assertRaisesRegex(Timeout, "ended"):
            program.expect("hello", 60)

    def test_a_program_that_ignores_sigterm_is_ended(self):
        program = self.run_shell("trap '' TERM; echo up; while :; do read x; done")
        program.expect("up", 5)
        program.stop(timeout=0.5)
        self.assertIsNotNone(program.process.poll())


@unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
class Tunnels(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.ca = pki.make_authority(self.folder.name)
        key, cert = pki.make_certificate(self.folder.name, self.folder.name, ["localhost"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, what: None)  # refused handshakes
        self.listener = self.loop.run_until_complete(
            asyncio.start_server(self.echo, "127.0.0.1", 0, ssl=context))
        self.port = self.listener.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.addCleanup(self.end)

    def end(self):
        self.loop.call_soon_threadsafe(self.listener.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @staticmethod
    async def echo(reader, writer):
        writer.write(await reader.read(100))
        writer.close()

    def ask(self, tunnel):
        self.addCleanup(tunnel.stop)
        with socket.create_connection(("127.0.0.1", tunnel.port)) as s:
            s.settimeout(10)
            s.sendall(b"hello")
            return s.recv(100)

    def test_bytes_pass_when_the_certificate_holds(self):
        self.assertEqual(self.ask(Tunnel(("127.0.0.1", self.port), "localhost", self.ca)), b"hello")

    def test_another_authority_is_refused(self):
        with tempfile.TemporaryDirectory() as other:
            tunnel = Tunnel(("127.0.0.1", self.port), "localhost", pki.make_authority(other))
            self.assertEqual(self.ask(tunnel), b"")
            wait_until(lambda: tunnel.relay.faults, 5, "a fault")

    def test_another_name_is_refused(self):
        tunnel = Tunnel(("127.0.0.1", self.port), "example.org", self.ca)
        self.assertEqual(self.ask(tunnel), b"")
        wait_until(lambda: tunnel.relay.faults, 5, "a fault")


class Traces(unittest.TestCase):
    STAND_IN = """#!/bin/sh
echo '{"t":0.1,"ev":"start"}'
cat >"${10}" <<X
sipe: noise
MESSAGE START >>>>>>>>>> SIP(0x1) - 2026-11-22T18:19:52.626314Z
MESSAGE sip:bob@example.com SIP/2.0
CSeq: 2 MESSAGE

MESSAGE START of a book
MESSAGE END >>>>>>>>>> SIP(0x1) - 2026-11-22T18:19:52.626314Z
MESSAGE START <<<<<<<<<< SIP(0x1) - 2026-11-22T18:19:52.627045Z
SIP/2.0 200 OK
CSeq: 2 MESSAGE


MESSAGE END <<<<<<<<<< SIP(0x1) - 2026-11-22T18:19:52.627045Z
X
read line; printf '{"t":1,"ev":"im-out","text":"%s"}' "$line"
"""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.program = pathlib.Path(self.folder.name) / "driver"
        self.program.write_text(self.STAND_IN)
        self.program.chmod(0o755)

    def test_events_and_messages_come_in_order_and_what_does_not_come_is_told(self):
        with Sipe(self.program, "ann@example.com", "x", patience=5) as ann:
            ann.wait("start")
            ann.say("hello")
            self.assertEqual(ann.wait("im-out", text="hello")["t"], 1)
            sent, got = ann.trace()
            self.assertEqual((sent.came, sent.method, sent.status), (False, "MESSAGE", 0))
            self.assertEqual(sent.body, "MESSAGE START of a book")
            self.assertEqual((got.came, got.method, got.status), (True, "MESSAGE", 200))
            with self.assertRaisesRegex(NotSeen, "no event im-in"):
                ann.wait("im-in", patience=0.2)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
