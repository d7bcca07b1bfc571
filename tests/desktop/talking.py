#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Conversations in windows against the real server: nothing that was said is lost or doubled, whatever ends in between.

Real keys and clicks under Xvfb, judged by the accessibility tree (hand.py). usage: talking.py BUILD_FOLDER [CASE ...]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from desk import wait_for  # noqa: E402
from tap import equal  # noqa: E402
from person import PASSWORD  # noqa: E402
from signing_in import run  # noqa: E402


def says(person, text):
    """Into the window that has the focus."""
    person.desk.type(text)
    person.desk.key("Return")


def line(who, text, state=""):
    """A line of a conversation as it is read out: "You, 14:05: hello, Sent"."""
    return {"role": "list item", "pattern": rf"^{who}, [^:]+:\d\d[^:]*: {text}{state}"}


def times_shown(person, who, text):
    n = 0
    while person.desk.sees(**line(who, text), index=n):
        n += 1
    return n


def has_read(client, text, since=0, patience=30):
    return client.wait("message", since, patience, text=text)


# ---- two people

def two_people_in_two_windows_talk_and_see_each_other_type(place):
    with place.person("ann") as ann, place.person("bob") as bob:
        for one in (ann, bob):
            one.start()
            one.signs_in()
        ann.opens_talk("bob")
        says(ann, "hello bob")
        ann.desk.wait(**line("You", "hello bob", ", Sent"))
        bob.opens_talk("ann")
        bob.desk.wait(**line("Ann Lee", "hello bob"))
        bob.desk.type("hello")
        ann.desk.wait("Bob Marsh is typing…")
        bob.desk.key("Return")
        ann.desk.wait(**line("Bob Marsh", "hello"))
        ann.desk.wait_gone("Bob Marsh is typing…")
        says(ann, "a <b>link</b> https://example.org/x?a=1&b=2")
        bob.desk.wait(**line("Ann Lee", r"a <b>link</b> https://example\.org/x\?a=1&b=2"))
        ann.nothing_stood_still()
        bob.nothing_stood_still()


def who_is_away_gets_it_when_back(place):
    with place.person("ann") as ann:
        ann.start()
        ann.signs_in()
        ann.opens_talk("cyd")
        ann.desk.wait(pattern="is offline and gets your message")
        says(ann, "for later")
        ann.desk.wait(**line("You", "for later", ", Will be delivered"))
        with place.domain.client("cyd", profile="cyd-later") as cyd:
            cyd.sign_in(PASSWORD)
            has_read(cyd, "for later")


def an_answer_in_an_alert_that_cannot_be_sent_stands_behind_what_was_being_written(place):
    with place.person("ann") as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        ann.desk.type("half a thought")
        ann.desk.ask("close", ann.title_of("bob"))
        equal(bob.send(ann.address, "a question")["state"], "sent")
        alert = ann.desk.alert(body="a question")
        ann.desk.ask("alert_reply", alert["id"], "an answer" * 2500)
        ann.desk.wait(pattern="^half a thought\nan answeran answer", role="text")
        # One that can be sent leaves the draft alone.
        ann.desk.ask("close", ann.title_of("bob"))
        since = len(ann.desk.ask("alerts"))
        equal(bob.send(ann.address, "another")["state"], "sent")
        ann.desk.ask("alert_reply", ann.desk.alert(since=since, body="another")["id"], "short")
        has_read(bob, "short")
        ann.opens_talk("bob")
        ann.desk.wait(pattern="^half a thought\nan answer", role="text")


# ---- what ends in between

def a_server_that_went_away_loses_nothing_and_doubles_nothing(place):
    with place.person("ann") as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        says(ann, "before")
        has_read(bob, "before")
        ann.desk.wait(**line("You", "before", ", Sent"))
        place.domain.kill()
        ann.desk.wait(pattern="connection is away")
        says(ann, "in between")
        ann.desk.wait(**line("You", "in between", ", Sending"))
        begin = bob.mark()
        place.domain.start()
        # Whoever is back first: bob takes it at once, or the server keeps it for him.
        ann.desk.wait(**line("You", "in between", ", (Sent|Will be delivered)"), patience=60)
        has_read(bob, "in between", begin, patience=60)
        equal(len([e for e in bob.events if e.get("event") == "message" and e.get("text") == "in between"]), 1, "times bob got it")
        ann.desk.wait_gone(pattern="connection is away")


def a_killed_program_shows_each_message_once_and_keeps_the_draft(place):
    with place.person("ann") as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        said = [f"number {i} of all" for i in range(6)]
        for text in said[:3]:
            equal(bob.send(ann.address, text)["state"], "sent", text)
        ann.desk.wait(**line("Bob Marsh", said[2]))
        ann.desk.type("half a thought")
        wait_for("the draft to be on disk", lambda: any(b"half a thought" in f.read_bytes() for f in ann.desk.home.rglob("history.db*")))
        ann.desk.app.kill()
        ann.desk.app.wait()
        for text in said[3:]:
            bob.send(ann.address, text)
        ann.start()
        ann.is_signed_in()
        ann.opens_talk("bob")
        ann.desk.wait(text="half a thought")
        for text in said:
            ann.desk.wait(**line("Bob Marsh", text))
            equal(times_shown(ann, "Bob Marsh", text), 1, f"lines that say {text!r}")
        # What came while she was away stands under a mark of its own.
        ann.desk.wait(pattern="^(Missed while you were away|New messages)$")


# ---- reading it again

def what_was_said_is_found_and_forgotten(place):
    with place.person("ann") as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        equal(bob.send(ann.address, "the password of the coffee machine is 4711")["state"], "sent", "said")
        ann.desk.wait(**line("Bob Marsh", "the password of the coffee"))
        ann.desk.key("ctrl+f")
        ann.desk.wait(role="frame", name="What Was Said")
        ann.desk.ask("focus", "What Was Said")
        ann.desk.type("COFFEE 471")
        ann.desk.wait(role="list item", pattern="^Bob Marsh, .*coffee machine", within="What Was Said")
        ann.desk.key("Escape")
        ann.desk.wait_gone(role="frame", name="What Was Said")
        ann.desk.ask("focus", ann.title_of("bob"))
        ann.desk.press("Menu", role="push button", within=ann.title_of("bob"))
        ann.desk.press(pattern="^Delete What Was Said", role="menu item")
        ann.desk.press("Delete", role="push button")
        ann.desk.wait_gone(**line("Bob Marsh", "the password of the coffee"))
        ann.exits()
        left = [f.name for f in ann.desk.home.rglob("history.db*") if b"coffee" in f.read_bytes()]
        equal(left, [], "files of the history with a forgotten line")


def a_damaged_history_is_said_and_a_new_one_begins(place):
    with place.person("ann") as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        says(ann, "before the damage")
        has_read(bob, "before the damage")
        ann.exits()
        file = next(ann.desk.home.rglob("history.db"))
        for log in file.parent.glob("history.db-*"):
            log.unlink()
        file.write_bytes(b"this is no database" * 500)
        ann.start()
        ann.is_signed_in()
        ann.desk.wait(has="It was put aside")
        assert (file.parent / "history.db.damaged").exists()
        ann.opens_talk("bob")
        says(ann, "after it")
        has_read(bob, "after it")
        ann.desk.wait(**line("You", "after it", ", Sent"))


CASES = [
    two_people_in_two_windows_talk_and_see_each_other_type,
    who_is_away_gets_it_when_back,
    an_answer_in_an_alert_that_cannot_be_sent_stands_behind_what_was_being_written,
    a_server_that_went_away_loses_nothing_and_doubles_nothing,
    a_killed_program_shows_each_message_once_and_keeps_the_draft,
    what_was_said_is_found_and_forgotten,
    a_damaged_history_is_said_and_a_new_one_begins,
]


if __name__ == "__main__":
    sys.exit(run(CASES))
