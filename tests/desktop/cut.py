#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program with windows on a computer whose cable is pulled: it says so, loses nothing, and is back when the cable is.

Server and desk are network namespaces of their own (tests/scenario/network.py). Needs root; is skipped without. usage: cut.py BUILD_FOLDER [CASE ...]
"""
import pathlib
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import desk as desks  # noqa: E402
from desk import Desk  # noqa: E402
import beckon  # noqa: E402
import network as net  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402
from person import PASSWORD, Person  # noqa: E402

GONE_S = 60  # so long at most somebody seems to be there who is not
BACK_S = 5  # a cable that is back, or a server that listens again, is used within that


class Place:
    def __init__(self, network, domain, names, program):
        self.network, self.domain, self.names, self.program = network, domain, names, program
        self.n = 0

    def desk(self):
        self.n += 1
        return Desk(self.domain.folder / f"desk{self.n}", self.program, "ann", prefix=self.network.inside("c1"))

    def ann(self, desk):
        """With nothing but the address, the authority's certificate and the resolver of her computer."""
        person = Person(self, desk, f"ann@{net.DOMAIN}", server=False)
        person.start()
        person.signs_in()
        return person


def writes(desk, text):
    desk.ask("focus", "bob")
    desk.type(text)
    desk.key("Return")


def seconds(start, what):
    took = time.monotonic() - start
    print(f"# {what} after {took:.1f} s", flush=True)
    return took


def a_pulled_cable_is_said_nobody_seems_offline_and_what_is_written_goes_out_once(place):
    with place.names.whole_zone(), place.names.client("bob", "c2") as bob, place.desk() as desk:
        bob.sign_in(PASSWORD)
        ann = place.ann(desk)
        desk.ask("activate", "talk", bob.address)
        desk.wait(role="frame", within="bob")
        desk.wait(has="Available", within="bob")
        writes(desk, "before")
        bob.wait("message", text="before")
        mark = bob.mark()
        place.network.unplug("c1")
        start = time.monotonic()
        try:
            desk.wait("Try Now", role="push button", patience=15)
            seconds(start, "the banner")
            desk.wait(has="Unknown", within="bob")
            equal(desk.sees(pattern="^Offline", within="bob"), None, "he seems offline")
            writes(desk, "while it is out")
        finally:
            place.network.plug("c1")
        start = time.monotonic()
        bob.wait("message", mark, 60, text="while it is out")
        took = seconds(start, "it went out")
        assert took < 2 * BACK_S, "the cable was not noticed"
        desk.wait_gone("Try Now", role="push button")
        desk.wait(has="Available", within="bob")
        desk.wait(role="list item", pattern="while it is out.*, (Sent|Delivered)")
        bob.mark()
        equal([e["text"] for e in bob.events if e["event"] == "message"], ["before", "while it is out"])
        ann.nothing_stood_still()


def a_server_that_starts_again_has_her_back_within_seconds(place):
    with place.names.whole_zone(), place.desk() as desk:
        ann = place.ann(desk)
        place.domain.kill()
        desk.wait("Try Now", role="push button", patience=15)
        place.domain.start()
        start = time.monotonic()
        desk.press("Try Now", role="push button")
        desk.wait_gone("Try Now", role="push button")
        assert seconds(start, "back") < BACK_S
        ann.nothing_stood_still()


def a_computer_without_power_is_offline_for_others_within_a_minute_and_nothing_is_swallowed(place):
    with place.names.whole_zone(), place.names.client("bob", "c2") as bob, place.desk() as desk:
        bob.sign_in(PASSWORD)
        ann = place.ann(desk)
        bob.say("watch", address=ann.address)
        bob.wait("presence", address=ann.address, state="available")
        mark = bob.mark()
        place.network.unplug("c1")  # so that nothing tells the server
        start = time.monotonic()
        try:
            desk.app.kill()
            desk.app.wait()
            bob.say("send", to=ann.address, text="into the void")
            bob.wait("presence", mark, GONE_S, address=ann.address, state="offline")
            seconds(start, "offline")
            equal(bob.send(ann.address, "after it")["state"], "stored")
        finally:
            place.network.plug("c1")
        ann.start()
        ann.is_signed_in()
        desk.ask("activate", "talk", bob.address)
        for text in ("into the void", "after it"):
            came = {"role": "list item", "pattern": rf"^bob, .*: {text}"}
            desk.wait(**came)
            equal(desk.sees(**came, index=1), None, f"{text!r} a second time")


CASES = [a_computer_without_power_is_offline_for_others_within_a_minute_and_nothing_is_swallowed,
         a_pulled_cable_is_said_nobody_seems_offline_and_what_is_written_goes_out_once, a_server_that_starts_again_has_her_back_within_seconds]


def main():
    build = sys.argv[1]
    missing = net.why_not() or desks.missing()
    if missing:
        print(f"1..0 # SKIP {missing}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    programs = beckon.Programs(build)
    with tempfile.TemporaryDirectory(prefix="beckon-desk-") as folder, net.Network(["c1", "c2"]) as network:
        domain = beckon.Domain(folder, programs, domain=net.DOMAIN, listen=net.SERVER, tls_port=5061, https_port=443,
                               ctl_prefix=network.inside("srv"))
        domain.init()
        for name in ("ann", "bob"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            return tap.main(CASES, Place(network, domain, net.Place(network, domain), programs.desktop))


if __name__ == "__main__":
    sys.exit(main())
