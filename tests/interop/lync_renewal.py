#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a stock Lync-compatible client (sipe/README.md) does when its eight hours, its certificate or its account come to an end.

Its hours are made short by libfaketime (Debian's faketime), which is loaded into the client alone, or into the server alone.

usage: lync_renewal.py BUILD_FOLDER SIPE_DRIVE [SHARDS] [CASE ...]
"""
import contextlib
import pathlib
import re
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "scenario", HERE.parents[1] / "tools"):
    sys.path.insert(0, str(folder))
import beckon  # noqa: E402
import faketime  # noqa: E402
import sipe_client  # noqa: E402
import tap  # noqa: E402
from lync_signin import PASSWORD, Bench, registered  # noqa: E402
from tap import equal  # noqa: E402


EIGHT_HOURS = 8 * 3600
BEFORE_THE_END = 5 * 60  # the client starts that long before


@contextlib.contextmanager
def with_clock(bench, name, **more):
    """That person's client, signed in, and its clock."""
    with tempfile.TemporaryDirectory() as folder:
        clock = faketime.Clock(folder, **more)
        with bench.sipe(name, environment=clock.environment, options=("--stay",)) as client:
            client.signed_in()
            try:
                yield client, clock
            except Exception:
                for m in client.trace()[-24:]:
                    print("#", round(m.when % 100000, 3), m, m.get("cseq"), m.get("ms-diagnostics"), m.get("authorization")[:20])
                print("#", client.last_words(), client.process.poll())
                raise


def watches(watcher, *people):
    """They are on its list and there."""
    beckon.wait_for("the contact list", lambda: [m for m in watcher.trace() if m.came and "contactList" in m.body])
    for client in people:
        watcher.say("add", client.address, "Friends")
        watcher.wait("presence", uri=client.uri, status="available", patience=10)


def forward(client, clock, seconds):
    """And it looks at its timers now, instead of when something comes."""
    clock.forward(seconds)
    client.say("list")


def forward_to_its_eight_hours(client, clock):
    """In two steps, as time has none of that length: the first brings a refresh, the second what is due five minutes before the end."""
    n = len(registered(client))
    forward(client, clock, EIGHT_HOURS - BEFORE_THE_END - 60)
    beckon.wait_for("a refresh", lambda: len(registered(client)) > n)
    forward(client, clock, 60)


def begun(client):
    """REGISTERs with nothing in hand: how often it began to prove itself."""
    return [m for m in client.trace() if not m.came and m.method == "REGISTER" and not m.get("authorization")]


def association(message):
    return re.search(r'opaque="([^"]*)"', message.get("authentication-info")).group(1)


def associations(client):
    """Each it had, in order."""
    return list(dict.fromkeys(association(m) for m in registered(client)))


class Talk:
    """Two people who write to each other all the time."""

    def __init__(self, bench, *names):
        self.clients, self.marks = names, [c.mark() for c in names]
        self.sent = [[] for _ in names]
        self.say(0)  # one of them begins (docs/compatibility.md, "When the stock client renews")
        names[1].wait("im-in", self.marks[1], text=self.sent[0][0])

    def say(self, i):
        text = f"from {i} number {len(self.sent[i])}"
        self.clients[i].send(self.clients[1 - i].address, text)
        self.sent[i].append(text)

    def until(self, what, condition, who=(0, 1), patience=30):
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise beckon.Failed(f"waited {patience} s for {what}")
            for i in who:
                self.say(i)
            time.sleep(0.2)  # the client loses what it is told to send faster (sipe/README.md)

    def all_came(self):
        for i in (0, 1):
            self.say(i)
            self.clients[1 - i].wait("im-in", self.marks[1 - i], text=self.sent[i][-1])
            came = [text for _, text in self.clients[1 - i].received(self.marks[1 - i])]
            assert came == self.sent[i], f"lost: {[t for t in self.sent[i] if t not in came]}; {len(came)} came of {len(self.sent[i])}"
        for client, mark in zip(self.clients, self.marks):
            equal(client.seen("conv-error", mark) + client.seen("disconnected", mark) + client.seen("error", mark), [])


def certificates(bench, name):
    """Serial numbers: those that live, those that do not."""
    rows = bench.domain.ctl("certificate", "list", bench.address(name), as_json=True)
    return [r["serial"] for r in rows if not r["revoked"]], [r["serial"] for r in rows if r["revoked"]]


# ---- eight hours

def eight_hours_end_and_nobody_notices(bench):
    """The server's association ends after a minute here, the client's eight hours when its clock says so."""
    bench.domain.ctl("policy", "set", "signature-minutes", "1")
    try:
        with bench.sipe("bob") as bob, with_clock(bench, "ann") as (ann, ann_clock), with_clock(bench, "cyd") as (cyd, cyd_clock):
            bob.signed_in()
            started = time.monotonic()
            watches(bob, ann, cyd)
            mark, since = bob.mark(), [s["since"] for s in bench.sessions("ann")]
            talk = Talk(bench, bob, ann)
            talk.until("a third of the minute", lambda: time.monotonic() - started > 20)
            forward_to_its_eight_hours(ann, ann_clock)
            talk.until("a new association", lambda: len(associations(ann)) == 2, who=(0,))
            talk.until("the end of the minute", lambda: time.monotonic() - started > 60.5, patience=90)
            # What ann has is younger; what cyd has is not good any more, as it finds out with its next refresh.
            n, m = len(begun(ann)), len(begun(cyd))
            equal((len(associations(ann)), len(associations(cyd))), (2, 1))
            forward(ann, ann_clock, 600)
            forward(cyd, cyd_clock, 600)
            talk.until("its refresh", lambda: len(associations(cyd)) == 2, who=(0,))
            talk.all_came()
            equal((len(begun(ann)) - n, len(associations(ann))), (0, 2))
            assert len(begun(cyd)) > m
            equal(cyd.seen("disconnected") + cyd.seen("error"), [])
            equal([e for e in bob.seen("presence", mark) if e["online"] == "0"], [])
            equal([s["since"] for s in bench.sessions("ann")], since)
            equal(len(certificates(bench, "ann")[0]), 1)
            bob.say("remove", ann.address)
            bob.say("remove", cyd.address)
    finally:
        bench.domain.ctl("policy", "unset", "signature-minutes")


# ---- certificates

@contextlib.contextmanager
def short_certificates(bench):
    bench.domain.ctl("policy", "set", "certificate-hours", "8")
    try:
        yield
    finally:
        bench.domain.ctl("policy", "unset", "certificate-hours")


def a_certificate_near_its_end_is_replaced_while_signed_in(bench):
    with short_certificates(bench), bench.sipe("bob") as bob, with_clock(bench, "ann") as (ann, clock):
        bob.signed_in()
        watches(bob, ann)
        (first,), _ = certificates(bench, "ann")
        mark = bob.mark()
        talk = Talk(bench, bob, ann)
        talk.until("some messages", lambda: len(talk.sent[1]) >= 3)
        with bench.clock.ahead(EIGHT_HOURS - BEFORE_THE_END):  # so that a new certificate is new to the client, too
            forward_to_its_eight_hours(ann, clock)
            talk.until("a new association", lambda: len(associations(ann)) == 2, who=(0,))
            talk.all_came()
        (second,), gone = certificates(bench, "ann")
        assert second != first and first in gone, (first, second, gone)
        equal([e for e in bob.seen("presence", mark) if e["online"] == "0"], [])
        equal(len(bench.sessions("ann")), 1)
        bob.say("remove", ann.address)


def a_certificate_that_ended_is_refused_with_its_case_and_the_password_brings_a_new_one(bench):
    """The client's clock is behind: it takes the certificate for good."""
    with short_certificates(bench), with_clock(bench, "ann") as (ann, clock):
        (first,), _ = certificates(bench, "ann")
        with bench.clock.ahead(EIGHT_HOURS + 3600):
            mark = ann.mark()
            forward(ann, clock, 600)  # its next refresh
            refused_with(bench, ann, mark, "SI-105a", 95105, "expired")
            is_in_again(bench, ann, first)


def refused_with(bench, client, mark, record, diagnostics, word):
    """The answer, the text, the history and the case say the same."""
    error = client.wait("error", mark, 10)
    answer = [m for m in client.trace() if m.came and m.method == "REGISTER" and m.status == 403][-1]
    line = answer.get("ms-diagnostics")
    assert line.startswith(f"{diagnostics};"), line
    code = re.search(r"\b([0-9A-Z]{4}-[0-9A-Z]{4})\b", error["text"]).group(1)
    assert word in error["text"] and code in line, (error["text"], line)
    row = beckon.wait_for(f"{record} in the history", lambda: next(
        (r for r in bench.history(client.address.split("@")[0]) if r["case"] == code), None), 10)
    equal(row["record"], record)
    assert word in bench.domain.ctl("case", code)


def is_in_again(bench, client, serial):
    """By the password that the client still knows, with another certificate."""
    client.wait("disconnected")
    mark = client.mark()
    client.say("connect")
    client.wait("connected", mark)
    living, _ = certificates(bench, client.address.split("@")[0])
    assert [s for s in living if s != serial], (living, serial)


def a_certificate_that_is_revoked_ends_the_session_with_its_reason_and_the_password_brings_a_new_one(bench):
    with with_clock(bench, "cyd") as (cyd, _):
        (first,), _ = certificates(bench, "cyd")
        mark = cyd.mark()
        bench.domain.ctl("certificate", "revoke", first)
        error = cyd.wait("error", mark, 5)
        assert "withdrawn" in error["text"], error["text"]
        is_in_again(bench, cyd, first)
        equal(certificates(bench, "cyd")[0].count(first), 0)


# ---- accounts and policy

def ends(bench, client, word, *command):
    """Within five seconds, and the person reads why."""
    name, mark = client.address.split("@")[0], client.mark()
    bench.domain.ctl(*command)
    error = client.wait("error", mark, 5)
    assert word in error["text"], error["text"]
    client.wait("disconnected", mark)
    beckon.wait_for("the end of the session", lambda: not bench.sessions(name), 5)


def a_change_of_the_account_ends_the_session_with_its_reason(bench):
    cyd = bench.address("cyd")
    for word, change, undo in (("disabled", ("user", "disable", cyd), ("user", "enable", cyd)),
                               ("licen", ("user", "licence", "take", cyd), ("user", "licence", "give", cyd))):
        with with_clock(bench, "cyd") as (client, _):
            try:
                ends(bench, client, word, *change)
            finally:
                bench.domain.ctl(*undo)
            is_in_again(bench, client, None)


def a_change_of_policy_ends_the_sessions_it_forbids(bench):
    bench.domain.ctl("policy", "set", "ntlm-signin", "on")
    bench.domain.add_user("eve", PASSWORD)
    with bench.sipe("eve", scheme="ntlm", options=("--stay",)) as eve, bench.sipe("cyd") as cyd:
        eve.signed_in()
        cyd.signed_in()
        ends(bench, eve, "the way of signing in", "policy", "set", "ntlm-signin", "off")
        equal(cyd.seen("disconnected") + cyd.seen("error"), [])


CASES = [eight_hours_end_and_nobody_notices, a_certificate_near_its_end_is_replaced_while_signed_in,
         a_certificate_that_ended_is_refused_with_its_case_and_the_password_brings_a_new_one,
         a_certificate_that_is_revoked_ends_the_session_with_its_reason_and_the_password_brings_a_new_one,
         a_change_of_the_account_ends_the_session_with_its_reason, a_change_of_policy_ends_the_sessions_it_forbids]


def main():
    build, program = sys.argv.pop(1), sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    missing = sipe_client.missing(program) or ("" if faketime.library() else "faketime is missing")
    if missing:
        print(f"1..0 # SKIP {missing}")
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        # The server's name is an address: the client asks its own resolver for the web services.
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", host="127.0.0.1",
                               settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd"):
            domain.add_user(name, PASSWORD)
        bench = Bench(domain, program)
        # The server's calendar can be set forward; its timers go on as they were.
        bench.clock = faketime.Clock(tmp, domain.programs.beckond, FAKETIME_DONT_FAKE_MONOTONIC="1")
        domain.prefix = ["env", *(f"{k}={v}" for k, v in bench.clock.environment.items())]
        with domain:
            domain.start()
            return tap.main(CASES, bench)


if __name__ == "__main__":
    sys.exit(main())
