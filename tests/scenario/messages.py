#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages and presence between the real programs.

usage: messages.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from signin import Terminal  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


def online_both_ways(domain):
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        for sender, receiver in ((ann, bob), (bob, ann)):
            since = receiver.mark()
            equal(sender.send(receiver.address, "héllo ☃")["state"], "sent")
            equal(receiver.wait("message", since)["text"], "héllo ☃")


def kept_while_away_and_handed_over_in_order(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)
        for i in range(20):
            equal(ann.send(f"bob@{domain.domain}", f"number {i}")["state"], "stored")
        with domain.client("bob") as bob:
            since = bob.mark()
            bob.sign_in()
            for i in range(20):
                bob.wait("message", since, text=f"number {i}")
            texts = [e["text"] for e in bob.events if e["event"] == "message"]
            equal(texts, [f"number {i}" for i in range(20)])
            bob.sign_out()
            since = bob.mark()
            bob.sign_in()
            equal(ann.send(bob.address, "and now")["state"], "sent")
            bob.wait("message", since, text="and now")
            equal([e["text"] for e in bob.events[since:] if e["event"] == "message"], ["and now"])


def sessions(client):
    """The numbers of the sessions that this program (with --debug) had open so far, in order."""
    text = (client.profile.parent / f"{client.profile.name}.log").read_text(errors="replace")
    return re.findall(r"session.*state=open.*call=([0-9a-f]+)", text)


def what_is_said_both_ways_is_one_session(domain):
    with domain.client("ann", profile="ann-traced", options=("--debug",)) as ann, \
            domain.client("bob", profile="bob-traced", options=("--debug",)) as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        for i in range(3):
            for sender, receiver in ((ann, bob), (bob, ann)):
                since = receiver.mark()
                equal(sender.send(receiver.address, f"number {i}")["state"], "sent")
                receiver.wait("message", since, text=f"number {i}")
        equal(len(sessions(ann)), 1, "sessions")
        equal(sessions(ann), sessions(bob), "the session")
        domain.stop_server()
        domain.start()
        for client in (ann, bob):
            client.say("retry")
        beckon.wait_for("both to be back", lambda: all(
            c.mark() and [e["state"] for e in c.events if e["event"] == "state"][-1] == "signed-in" for c in (ann, bob)))
        equal(ann.send(bob.address, "after it")["state"], "sent")
        bob.wait("message", text="after it")
        equal((len(sessions(ann)), sessions(ann)), (2, sessions(bob)), "sessions after the server was restarted")


def typing_is_seen_and_ends_with_the_message(domain):
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        equal(ann.send(bob.address, "hello")["state"], "sent")
        bob.wait("message", text="hello")
        for typist, other in ((ann, bob), (bob, ann)):  # also in the session that the other one opened
            since = other.mark()
            typist.say("typing", to=other.address)
            equal(other.wait("typing", since)["typing"], True)
            typist.say("typing", to=other.address, typing=False)
            other.wait("typing", since, typing=False)
            since = other.mark()
            typist.say("typing", to=other.address)
            other.wait("typing", since, typing=True)
            equal(typist.send(other.address, "said")["state"], "sent")
            other.wait("message", since, text="said")
            equal([e["typing"] for e in other.events[since:] if e["event"] == "typing"], [True, False])
        # A conversation that was closed begins anew with the next word, from either side.
        ann.say("close", address=bob.address)
        for sender, receiver in ((bob, ann), (ann, bob)):
            since = receiver.mark()
            equal(sender.send(receiver.address, "and again")["state"], "sent")
            receiver.wait("message", since, text="and again")


def somebody_at_a_terminal_sees_typing_and_is_seen(domain):
    with domain.client("bob") as bob, Terminal(domain, "ann", profile="ann-terminal") as terminal:
        bob.sign_in(PASSWORD)
        terminal.answer("Password of ann@", PASSWORD)
        terminal.expect("signed in as ann@")
        equal(bob.send(f"ann@{domain.domain}", "hello")["state"], "sent")
        terminal.expect("hello")
        bob.say("typing", to=f"ann@{domain.domain}")
        terminal.expect(f"{bob.address} is typing")
        since = bob.mark()
        os.write(terminal.fd, b"hello your")
        bob.wait("typing", since, typing=True)
        os.write(terminal.fd, b"self\r")
        bob.wait("message", since, text="hello yourself")
        since = bob.mark()
        terminal.answer("> ", "/who")  # commands are nobody's business
        terminal.expect(bob.address)
        terminal.answer("> ", "/close")
        terminal.answer("> ", "/quit")
        equal(terminal.status(), 0)
        equal([e for e in bob.events[since:bob.mark()] if e["event"] == "typing" and e["typing"]], [])


def typing_is_seen_at_every_endpoint_of_a_person(domain):
    with domain.client("ann") as ann, domain.client("bob", profile="bob-desk") as desk, \
            domain.client("bob", profile="bob-laptop") as laptop:
        for client in (ann, desk, laptop):
            client.sign_in(PASSWORD)
        equal(ann.send(desk.address, "hello")["state"], "sent")
        marks = desk.mark(), laptop.mark()
        ann.say("typing", to=desk.address)
        for client, mark in zip((desk, laptop), marks):
            client.wait("typing", mark, typing=True)


def who_goes_to_another_computer_is_answered_there(domain):
    """A conversation goes on while endpoints come and go: nothing is lost, and nothing is shown twice."""
    with domain.client("ann") as ann, domain.client("bob", profile="bob-desk") as desk, \
            domain.client("bob", profile="bob-laptop") as laptop:
        ann.sign_in(PASSWORD)
        desk.sign_in(PASSWORD)
        said = []

        def say(text):
            said.append(text)
            equal(ann.send(desk.address, text)["state"], "sent")

        say("at the desk")
        desk.wait("message", text="at the desk")
        laptop.sign_in(PASSWORD)
        say("at both")
        for client in (desk, laptop):
            client.wait("message", text="at both")
        since = ann.mark()
        equal(laptop.send(ann.address, "here")["state"], "sent")
        ann.wait("message", since, text="here")
        say("at both still")
        for client in (desk, laptop):
            client.wait("message", text="at both still")
        laptop.kill()
        say("the laptop is gone")
        desk.wait("message", text="the laptop is gone")
        desk.kill()
        ann.say("watch", address=desk.address)
        ann.wait("presence", address=desk.address, state="offline")
        equal(ann.send(desk.address, "nobody there")["state"], "stored")
        with domain.client("bob", profile="bob-desk") as back:
            back.sign_in(PASSWORD)
            equal(back.wait("message")["text"], "nobody there")
            since = back.mark()
            equal(ann.send(desk.address, "welcome back")["state"], "sent")
            back.wait("message", since, text="welcome back")
            texts = [e["text"] for c in (desk, back) for e in c.events if e["event"] == "message"]
            equal(texts, said + ["nobody there", "welcome back"])


def a_hung_program_holds_nobody(domain):
    with domain.client("ann") as ann, domain.client("bob", profile="bob-hung") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        equal(ann.send(bob.address, "are you well?")["state"], "sent")
        bob.process.send_signal(signal.SIGSTOP)
        equal(ann.send(bob.address, "and now?")["state"], "stored")
        since = bob.mark()
        bob.process.send_signal(signal.SIGCONT)
        bob.wait("message", since, text="and now?")
        equal(ann.send(bob.address, "good")["state"], "sent")
        bob.wait("message", since, text="good")
        equal([e["text"] for e in bob.events[since:] if e["event"] == "message"], ["and now?", "good"])


def many_both_ways_at_once_in_order_each_once(domain):
    n = 200
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        marks = ann.mark(), bob.mark()
        for i in range(n):  # both open a session at the same moment, too
            ann.say("send", to=bob.address, text=f"number {i}")
            bob.say("send", to=ann.address, text=f"number {i}")
        for client, mark in zip((ann, bob), marks):
            client.wait("message", mark, text=f"number {n - 1}")
            beckon.wait_for("the answers", lambda c=client, m=mark: c.mark() and sum(
                e.get("state") == "sent" for e in c.events[m:]) == n)
            equal([e["text"] for e in client.events[mark:] if e["event"] == "message"], [f"number {i}" for i in range(n)])


def the_sender_is_killed_before_it_was_said(domain):
    """What was written goes out with the next start, once."""
    with domain.client("bob") as bob:
        bob.sign_in(PASSWORD)
        with domain.client("ann", profile="ann-killed") as ann:
            ann.sign_in(PASSWORD)
            equal(ann.send(bob.address, "before")["state"], "sent")
            bob.process.send_signal(signal.SIGSTOP)
            since = ann.mark()
            ann.say("send", to=bob.address, text="in the session")
            ann.say("send", to=bob.address, text="behind it")
            for _ in range(2):
                since = ann.events.index(ann.wait("message-state", since, state="sending")) + 1
            ann.kill()
        bob.process.send_signal(signal.SIGCONT)
        since = bob.mark()
        with domain.client("ann", profile="ann-killed") as ann:
            ann.sign_in()
            for text in ("in the session", "behind it"):
                assert ann.wait("message-state", message=text, state=lambda s: s != "sending")["state"] in ("sent", "stored")
            equal(ann.send(bob.address, "after")["state"], "sent")
            bob.wait("message", text="after")
            texts = [e["text"] for e in bob.events if e["event"] == "message"]
            equal(sorted(texts), sorted(["before", "in the session", "behind it", "after"]))


def a_sender_killed_again_and_again_loses_and_doubles_nothing(domain):
    dice, written, n = random.Random(3), [], 0
    with domain.client("bob") as bob:
        bob.sign_in(PASSWORD)
        for _ in range(12):
            with domain.client("ann", profile="ann-often-killed") as ann:
                ann.sign_in(PASSWORD)
                since = ann.mark()
                for _ in range(8):
                    ann.say("send", to=bob.address, text=f"number {n}", tag=f"number {n}")
                    n += 1
                # Somewhere between the first line on disk and the last answer.
                ann.wait("message-state", since, state=dice.choice(["sending", "sent"]))
                time.sleep(dice.uniform(0, 0.03))
                ann.kill()
                while ann._more(1):  # what it still said
                    pass
                tags = {e["id"]: e["tag"] for e in ann.events if e["event"] == "accepted"}
                written += [tags[e["id"]] for e in ann.events
                            if e["event"] == "message-state" and e["state"] == "sending" and not e.get("message")]
        with domain.client("ann", profile="ann-often-killed") as ann:
            ann.sign_in(PASSWORD)
            equal(ann.send(bob.address, "the last one")["state"], "sent")

        def shown():
            bob.mark()
            return [e["text"] for e in bob.events if e["event"] == "message"]

        beckon.wait_for("every message that was written", lambda: not set(written) - set(shown()))
        texts = shown()
        equal({t for t in texts if texts.count(t) > 1}, set(), "shown twice")
        assert len(written) > 40, "too few were written for this to mean anything"


def the_server_is_killed_in_the_middle_of_a_conversation(domain):
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        marks = ann.mark(), bob.mark()
        for i in range(30):
            ann.say("send", to=bob.address, text=f"number {i}")
            if i == 10:
                domain.kill()
        domain.start()
        for client in (ann, bob):
            client.say("retry")
        bob.wait("message", marks[1], text="number 29")
        beckon.wait_for("the answers", lambda: ann.mark() and sum(
            e.get("state") in ("sent", "stored") for e in ann.events[marks[0]:] if e["event"] == "message-state") == 30)
        texts = [e["text"] for e in bob.events[marks[1]:] if e["event"] == "message"]
        equal(sorted(texts), sorted(f"number {i}" for i in range(30)))
        since = ann.mark()
        equal(bob.send(ann.address, "and back")["state"], "sent")
        ann.wait("message", since, text="and back")


def every_endpoint_of_a_person_gets_it(domain):
    with domain.client("ann") as ann, domain.client("bob", profile="bob-desk") as desk, \
            domain.client("bob", profile="bob-laptop") as laptop:
        ann.sign_in(PASSWORD)
        desk.sign_in(PASSWORD)
        laptop.sign_in(PASSWORD)
        marks = desk.mark(), laptop.mark()
        equal(ann.send(desk.address, "to both")["state"], "sent")
        desk.wait("message", marks[0], text="to both")
        laptop.wait("message", marks[1], text="to both")


def one_of_two_endpoints_killed_without_a_word(domain):
    with domain.client("ann") as ann, domain.client("bob", profile="bob-desk") as desk, \
            domain.client("bob", profile="bob-laptop") as laptop:
        ann.sign_in(PASSWORD)
        desk.sign_in(PASSWORD)
        laptop.sign_in(PASSWORD)
        since = ann.mark()
        ann.say("watch", address=desk.address)
        ann.wait("presence", since, address=desk.address, state="available")
        laptop.kill()
        mark = desk.mark()
        equal(ann.send(desk.address, "still there?")["state"], "sent")
        desk.wait("message", mark, text="still there?")
        assert not [e for e in ann.events[since:] if e.get("state") == "offline" and e.get("address") == desk.address]
        desk.kill()
        ann.wait("presence", since, address=desk.address, state="offline")


def who_is_blocked_sees_offline_and_is_not_heard(domain):
    with domain.client("ann") as ann, domain.client("cyd") as cyd:
        cyd.sign_in(PASSWORD)
        ann.sign_in(PASSWORD)
        since = cyd.mark()
        cyd.say("watch", address=ann.address)
        cyd.wait("presence", since, address=ann.address, state="available")
        since = cyd.mark()
        domain.ctl("relation", "block", ann.address, cyd.address)
        try:
            cyd.wait("presence", since, address=ann.address, state="offline")
            mark = ann.mark()
            blocked = cyd.send(ann.address, "can you hear me?")
            equal(blocked["state"], "failed")
            unknown = cyd.send(f"nobody@{domain.domain}", "can you hear me?")
            equal(unknown["state"], "failed")
            equal((blocked["record"], blocked["text"]), (unknown["record"], unknown["text"]), "what the blocked one is told")
            equal([e for e in ann.events[mark:] if e["event"] == "message"], [])
        finally:
            since = cyd.mark()
            domain.ctl("relation", "unblock", ann.address, cyd.address)
        cyd.wait("presence", since, address=ann.address, state="available")
        equal(cyd.send(ann.address, "and now?")["state"], "sent")


def nobody_of_that_name_and_too_large_are_refused_at_once(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)
        failure = ann.send(f"nobody@{domain.domain}", "hello")
        equal(failure["state"], "failed")
        equal(failure["record"], "SI-501")
        since = ann.mark()
        ann.say("send", to=f"bob@{domain.domain}", text="x" * 30000)
        equal(ann.wait("error", since)["text"], "Message too long")
        failure = ann.send("somebody@elsewhere.test", "hello")
        equal(failure["state"], "failed")


def a_full_box_is_said_to_be_full(domain):
    domain.ctl("policy", "set", "offline-messages-max", "3")
    try:
        with domain.client("ann") as ann:
            ann.sign_in(PASSWORD)
            for _ in range(3):
                equal(ann.send(f"dan@{domain.domain}", "hello")["state"], "stored")
            failure = ann.send(f"dan@{domain.domain}", "hello")
            equal((failure["state"], failure["record"]), ("failed", "SI-502"))
    finally:
        domain.ctl("policy", "unset", "offline-messages-max")


def a_status_and_a_note_are_seen_and_outlive_the_program(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)
        since = ann.mark()
        ann.say("watch", address=f"bob@{domain.domain}")
        with domain.client("bob", profile="bob-status") as bob:
            bob.sign_in(PASSWORD)
            bob.say("status", state="dnd")
            bob.say("note", text="writing")
            ann.wait("presence", since, address=bob.address, state="dnd", note="writing")
            bob.kill()
        ann.wait("presence", since, address=f"bob@{domain.domain}", state="offline")
        since = ann.mark()
        with domain.client("bob", profile="bob-status2") as bob:
            bob.sign_in(PASSWORD)
            ann.wait("presence", since, address=bob.address, state="dnd", note="writing")
            bob.say("status", state="none")
            bob.say("note", text="")
            ann.wait("presence", since, address=bob.address, state="available")


def the_server_stops_in_order_and_people_come_back(domain):
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in()
        marks = ann.mark(), bob.mark()
        domain.stop_server()
        ann.wait("state", marks[0], state="reconnecting")
        domain.start()
        ann.wait("state", marks[0], state="signed-in")
        bob.wait("state", marks[1], state="signed-in")
        equal(ann.send(bob.address, "back again")["state"], "sent")


CASES = [online_both_ways, kept_while_away_and_handed_over_in_order, what_is_said_both_ways_is_one_session,
         typing_is_seen_and_ends_with_the_message, somebody_at_a_terminal_sees_typing_and_is_seen,
         typing_is_seen_at_every_endpoint_of_a_person, who_goes_to_another_computer_is_answered_there,
         a_hung_program_holds_nobody, many_both_ways_at_once_in_order_each_once, the_sender_is_killed_before_it_was_said,
         a_sender_killed_again_and_again_loses_and_doubles_nothing, the_server_is_killed_in_the_middle_of_a_conversation,
         every_endpoint_of_a_person_gets_it, one_of_two_endpoints_killed_without_a_word,
         who_is_blocked_sees_offline_and_is_not_heard, nobody_of_that_name_and_too_large_are_refused_at_once,
         a_full_box_is_said_to_be_full, a_status_and_a_note_are_seen_and_outlive_the_program,
         the_server_stops_in_order_and_people_come_back]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd", "dan"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            # A restart must find its port again: the store's clients were told this one.
            text = domain.config.read_text()
            domain.start_dns()
            assert f":{domain.tls_port}" in text, "the configuration names the port"
            return tap.main(CASES, domain)


if __name__ == "__main__":
    sys.exit(main())
