#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages and presence between the real programs.

usage: messages.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
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


CASES = [online_both_ways, kept_while_away_and_handed_over_in_order, every_endpoint_of_a_person_gets_it,
         one_of_two_endpoints_killed_without_a_word, who_is_blocked_sees_offline_and_is_not_heard,
         nobody_of_that_name_and_too_large_are_refused_at_once, a_full_box_is_said_to_be_full,
         a_status_and_a_note_are_seen_and_outlive_the_program, the_server_stops_in_order_and_people_come_back]


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
