#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs stock SIP clients of Debian 12 against a server and prints TAP.

Exit status: 0 when no case failed (those that could not run are named as skipped), 1 when one
failed, 2 for a wrong command line.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import re
import signal
import socket
import sys
import tempfile
import time
import traceback

from beckond import Beckond
from clients import STOCK, Account, Baresip, BeckonCli, Linphonec, Server, Sipp
from program import Timeout
import pki
import standin


class Skip(Exception):
    """A case that cannot run here; the text names what is missing."""


CASES = []


def case(name, ours=False):
    """ours: what a server of another make need not do."""
    def add(function):
        CASES.append((name, function, ours))
        return function
    return add


class Bench:
    """The server, the accounts, and the clients a case has running."""

    def __init__(self, server, accounts, person, keep):
        self.server = server
        self.accounts = accounts
        self.person = person
        self.keep = keep
        self.running = []
        self.renew = None  # a stand-in is replaced by a fresh one before a case about presence

    def account(self, kind):
        """Each kind of client has an account of its own, the same for the whole run."""
        if kind is BeckonCli:
            if not self.person:
                raise Skip("no person for beckon-cli: --person name:password")
            return self.person
        taken = []
        for other in STOCK:
            fit = [a for algorithm in other.algorithms for a in self.accounts
                   if a.algorithm == algorithm and a not in taken]
            if not fit:
                if other is kind:
                    raise Skip(f"no account left for {kind.program}: --user "
                               f"name:password:{' or '.join(kind.algorithms)}")
                continue
            if other is kind:
                return fit[0]
            taken.append(fit[0])
        raise AssertionError(kind)

    def make(self, kind, account=None, server=None, **more):
        if what := kind.missing():
            raise Skip(f"{what} is missing")
        client = kind(server or self.server, account or self.account(kind), **more)
        self.running.append(client)
        return client

    def signed_in(self, kind, **more):
        client = self.make(kind, **more)
        client.start()
        client.wait_registered()
        return client

    def clear(self, failed=False):
        for client in self.running:
            with contextlib.suppress(Exception):
                client.stop(keep=self.keep and failed)
        self.running = []


def refused(bench, kind):
    right = bench.account(kind)
    client = bench.make(kind, dataclasses.replace(right, password="not" + right.password))
    client.start()
    client.wait_refused()


def pair(bench, a, b):
    """Two signed-in clients that can write to each other, and their names."""
    names = {kind: bench.account(kind).name for kind in (a, b)}

    def more(kind, other):
        return {"write_to": [names[other]]} if kind is Baresip else {}

    # SIPp signs in anew for each thing it starts.
    one = (bench.make if a is Sipp else bench.signed_in)(a, **more(a, b))
    return one, bench.signed_in(b, **more(b, a)), names[a], names[b]


def message(bench, a, b):
    one, two, name_a, name_b = pair(bench, a, b)
    for text in (f"hello {name_b}, this is {a.program}", "grüß dich: 100 % <ok> & “done”"):
        one.send_message(name_b, text)
        two.wait_message(name_a, text)


def presence(bench, watcher, other):
    """The watcher sees the other one come and go."""
    if bench.renew:
        bench.server = bench.renew()
    name = bench.account(other).name
    one = bench.signed_in(watcher, watch=[name])
    two = bench.signed_in(other, **({"watch": [bench.account(watcher).name]}
                                    if other is Sipp else {}))
    one.wait_presence(name, "open")
    if other is Baresip:  # the only stock client with a command for it
        two.publish_status("closed")
        one.wait_presence(name, "closed")
        two.publish_status("open")
        one.wait_presence(name, "open")
    if other is BeckonCli:
        if watcher is not Sipp:  # which looks at open and closed only
            two.publish_status("busy")
            one.wait_presence(name, "busy")
        two.publish_status("offline")
        one.wait_presence(name, "closed")
        two.publish_status("none")
        one.wait_presence(name, "open")
    if other is not Sipp:  # SIPp ends without a word, the stand-in would not notice
        two.stop()
        one.wait_presence(name, "closed", 15)


def call(bench, a, b):
    """a calls b, each hears the other; SIPp sends back what it hears."""
    one, two, name_a, name_b = pair(bench, a, b)
    one.call(name_b)
    if a is Sipp:  # a run of its own, which signs in again
        one.wait_registered()
    two.wait_ringing(name_a)
    two.answer()
    one.wait_call_established()
    two.wait_call_established()
    if b is not Sipp:
        two.audio_arrived(one.tone_hz or two.tone_hz)
    if a is not Sipp:
        one.audio_arrived(two.tone_hz or one.tone_hz)
    (two if a is Sipp else one).hangup()
    one.wait_call_ended()
    two.wait_call_ended()


for kind_a in STOCK:
    case(f"{kind_a.program}: signs in over TLS")(lambda bench, k=kind_a: bench.signed_in(k))
    case(f"{kind_a.program}: a wrong password is refused")(
        lambda bench, k=kind_a: refused(bench, k))

case("beckon-cli: signs in over TLS")(lambda bench: bench.signed_in(BeckonCli))

for kind_a in (*STOCK, BeckonCli):
    for kind_b in (*STOCK, BeckonCli):
        if kind_a is not kind_b:
            both = f"{kind_a.program} to {kind_b.program}"
            case(f"message: {both}")(lambda bench, a=kind_a, b=kind_b: message(bench, a, b))
            if BeckonCli not in (kind_a, kind_b):
                case(f"call: {both}, audio arrives both ways")(
                    lambda bench, a=kind_a, b=kind_b: call(bench, a, b))
            case(f"presence: {kind_a.program} sees {kind_b.program} come"
                 + ("" if kind_b is Sipp else " and go"))(
                     lambda bench, a=kind_a, b=kind_b: presence(bench, a, b))


def stored(bench, kind):
    """A message for somebody who is away is there after sign-in, once, in order."""
    name, sender = bench.account(kind).name, bench.account(Sipp)
    texts = ["first, while you were away", "second, while you were away"]
    for text in texts:
        one = bench.make(Sipp)
        if (outcome := one.send_message(name, text)) != "stored":
            raise Timeout(f"the message was {outcome}, not stored")
        one.stop()
    two = bench.make(kind)
    two.start()
    two.wait_registered()
    two.wait_messages(sender.name, texts)


def cut_off(bench, watcher, other):
    """A client that dies without a word is shown as gone."""
    name = bench.account(other).name
    one = bench.signed_in(watcher, watch=[name])
    two = bench.signed_in(other)
    one.wait_presence(name, "open")
    two.kill()
    one.wait_presence(name, "closed", 15)


def nobody_there(bench, kind):
    """A call to somebody who is not signed in ends at once, with an answer."""
    other = bench.account(Baresip if kind is Linphonec else Linphonec).name
    one = bench.signed_in(kind, **({"write_to": [other]} if kind is Baresip else {}))
    one.call(other)
    one.wait_call_refused()


for kind_a in (Linphonec, Baresip):
    case(f"stored: {kind_a.program} gets what came while it was away", ours=True)(
        lambda bench, k=kind_a: stored(bench, k))
    case(f"call: {kind_a.program} is told at once that nobody is there")(
        lambda bench, k=kind_a: nobody_there(bench, k))
    case(f"presence: {kind_a.program} was killed, and is seen gone", ours=True)(
        lambda bench, k=kind_a: cut_off(bench, Baresip if k is Linphonec else Linphonec, k))


@case("certificate: linphonec turns away from an unknown authority")
def unknown_authority(bench, kind=Linphonec):
    with tempfile.TemporaryDirectory() as folder:
        other = dataclasses.replace(bench.server, ca=str(pki.make_authority(folder)))
        client = bench.make(kind, server=other)
        client.start()
        client.wait_certificate_refused()


def parse_account(text):
    parts = text.split(":")
    if len(parts) != 3 or not parts[0] or parts[2] not in ("MD5", "SHA-256"):
        raise argparse.ArgumentTypeError(f"{text!r} is not name:password:MD5 or "
                                         "name:password:SHA-256")
    return Account(*parts)


def parse_person(text):
    name, colon, password = text.partition(":")
    if not name or not password:
        raise argparse.ArgumentTypeError(f"{text!r} is not name:password")
    return Account(name, password)


def parse_server(text, domain, ca):
    host, _, port = text.rpartition(":")
    address = socket.gethostbyname(host)
    # linphonec reads DNS names only from a certificate, never an address.
    return Server("localhost" if address.startswith("127.") else host, address, int(port), domain,
                  ca)


def run(cases, bench, server=None):
    """server: one that was started here; that it lives and stops well is a case too."""
    print(f"1..{len(cases) + (server is not None)}", flush=True)
    failed = 0
    for number, (name, function, ours) in enumerate(cases, 1):
        start = time.monotonic()
        outcome, notes = "ok", []
        try:
            if ours and bench.renew:
                raise Skip("the stand-in does not do this")
            function(bench)
        except Skip as why:
            name += f" # SKIP {why}"
        except Exception as error:  # whatever it is, the other cases still run
            outcome = "not ok"
            failed += 1
            text = str(error) if isinstance(error, Timeout) else traceback.format_exc()
            notes = [text, *(client.last_words() for client in bench.running)]
            if bench.keep:
                notes += [f"kept: {client.home.path}" for client in bench.running]
        finally:
            bench.clear(outcome == "not ok")
        print(f"{outcome} {number} - {name}")
        if outcome == "ok" and "# SKIP" not in name:
            notes = [f"{time.monotonic() - start:.1f} s"]
        for note in notes:
            print("\n".join("# " + line for line in note.splitlines()))
        sys.stdout.flush()
    if server:
        fault = server.stop()
        failed += bool(fault)
        print(f"{'not ok' if fault else 'ok'} {len(cases) + 1} - the server lived, and stops in order")
        print("".join(f"# {line}\n" for line in fault.splitlines()), end="", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", metavar="HOST:PORT", help="its SIP listener for TLS")
    parser.add_argument("--domain", default="beckon.test")
    parser.add_argument("--ca", metavar="FILE", help="authority of the server's certificate")
    parser.add_argument("--user", action="append", type=parse_account, default=[],
                        metavar="NAME:PASSWORD:ALGORITHM",
                        help="three: SHA-256 or MD5 for linphonec, MD5 for baresip and SIPp")
    parser.add_argument("--only", metavar="REGEX", help="cases whose name matches")
    parser.add_argument("--list", action="store_true", help="print the cases' names and end")
    parser.add_argument("--keep", action="store_true", help="keep the homes of failed cases")
    parser.add_argument("--beckond", metavar="PROGRAM",
                        help="start this beckond with a throw-away domain; needs --beckonctl")
    parser.add_argument("--beckonctl", metavar="PROGRAM")
    parser.add_argument("--beckon-cli", metavar="PROGRAM", help="our own client, against the others")
    parser.add_argument("--person", type=parse_person, metavar="NAME:PASSWORD",
                        help="who signs in with beckon-cli")
    parser.add_argument("--shards", type=int, default=1, help="of the beckond that is started")
    parser.add_argument("--stand-in", choices=["kamailio"],
                        help="start this instead of a server of ours (development only)")
    args = parser.parse_args()
    cases = [c for c in CASES if not args.only or re.search(args.only, c[0])]
    if args.list:
        print("\n".join(name for name, *_ in cases))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        if args.stand_in:
            if standin.missing():
                parser.error(f"{standin.missing()} is missing")
            # Kamailio has one algorithm for everybody, and baresip knows only MD5.
            args.user = [Account("alice", "secret-a"), Account("bob", "secret-b"),
                         Account("carol", "secret-c")]
            passwords = {a.name: a.password for a in args.user}
            running = []

            def fresh():
                """Kamailio keeps what was published on connections that are gone."""
                for old in running:
                    old.stop()
                running[:] = [standin.Kamailio(passwords, args.domain)]
                running[0].wait_ready()
                return parse_server(f"127.0.0.1:{running[0].tls_port}", args.domain,
                                    str(running[0].ca))

            stack.callback(lambda: [old.stop() for old in running])
            server, args.ca = fresh(), str(running[0].ca)
            args.server = f"127.0.0.1:{server.port}"
        server = None
        if args.beckond:
            if not args.beckonctl:
                parser.error("--beckond needs --beckonctl")
            args.person = args.person or Account("dave", "Four horses, one cart")
            args.user = args.user or [Account("alice", "secret-a", "SHA-256"),
                                      Account("bob", "secret-b"), Account("carol", "secret-c")]
            server = Beckond(args.beckond, args.beckonctl, args.user, [args.person], args.domain,
                             args.shards)
            stack.callback(server.stop)
            args.server, args.ca = f"127.0.0.1:{server.tls_port}", str(server.ca)
        if not args.server or not args.ca:
            parser.error("--server and --ca are needed")
        if not pathlib.Path(args.ca).is_file():
            parser.error(f"no such file: {args.ca}")
        BeckonCli.path = args.beckon_cli
        bench = Bench(parse_server(args.server, args.domain, args.ca), args.user, args.person,
                      args.keep)
        bench.renew = fresh if args.stand_in else None
        stack.callback(bench.clear)
        failed = run(cases, bench, server)
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
