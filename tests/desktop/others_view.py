#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What others see when somebody closes, signs out, ends Beckon, deletes the sign-in info or has it killed.

Each row of the table is looked at from a second client, by each way to it that a person has: menu, X, icon, keyboard. Real keys and clicks
under Xvfb, judged by the accessibility tree (hand.py). usage: others_view.py BUILD_FOLDER [CASE ...]
"""
import contextlib
import pathlib
import sys
import time

# This folder's contacts.py, not the scenario's.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from contacts import Page, People  # noqa: E402
from desk import Failed, wait_for  # noqa: E402
from signing_in import run  # noqa: E402
from tap import equal  # noqa: E402
from person import PASSWORD, Person  # noqa: E402

NOTE = "In the office"


class Ann:
    """Somebody new at a desk, on whose contact list Bob stands, with a note; and Bob at a terminal, who watches."""

    def __init__(self, place, person, bob):
        self.place, self.person, self.desk, self.bob = place, person, person.desk, bob
        self.address = person.address

    # ---- what she does

    def chooses(self, *entries):
        """In the menu of the main window."""
        self.desk.press("Menu", role="push button", within="Beckon")
        for entry in entries:
            try:
                self.desk.press(entry, role="menu item")
            except Failed as error:  # by Exit it ends before AT-SPI has its answer
                if not any(end in str(error) for end in ("no longer exists", "disconnected from message bus")):
                    raise

    def opens_bob(self):
        self.desk.ask("activate", "talk", self.bob.address)
        self.desk.wait(role="frame", within="Bob Marsh")
        self.desk.ask("focus", "Bob Marsh")

    def is_signed_out(self):
        self.desk.wait("Sign In", role="push button")

    def clicks_sign_in(self):
        self.desk.press("Sign In", role="push button")
        self.person.is_signed_in()

    # ---- what Bob sees

    def mark(self):
        return self.bob.mark()

    def seen(self, since):
        self.bob.mark()
        return [e["state"] for e in self.bob.events[since:] if e["event"] == "presence" and e["address"] == self.address]

    def is_seen(self, state, since=0, patience=30):
        return self.bob.wait("presence", since, patience, address=self.address, state=state)

    def nothing_changed(self, since):
        equal([s for s in self.seen(since) if s != "available"], [], "what Bob saw of her")

    def gets(self, text, state):
        equal(self.bob.send(self.address, text)["state"], state, f"what became of {text!r}")

    def end_of_session(self):
        """How the server saw the last ended session of this desk end."""
        rows = self.place.domain.ctl("user", "history", self.address, as_json=True)
        rows = rows if isinstance(rows, list) else next(iter(rows.values()))
        return next((row["end"] for row in rows if row["client"].startswith("beckon/") and row["transport"] == "tls" and row["ended"]), None)


class Place(People):
    @contextlib.contextmanager
    def ann_and_bob(self, **options):
        ann, bob = self.somebody("Ann Lee"), self.somebody("Bob Marsh")
        with self.domain.client(bob) as watcher, self.person(ann, **options) as person:
            watcher.sign_in(PASSWORD)
            person.start()
            person.signs_in()
            watcher.say("watch", address=person.address)
            watcher.wait("presence", address=person.address, state="available")
            one = Ann(self, person, watcher)
            watcher.name = bob
            person.desk.fill(NOTE, role="text", name="Your note")
            person.desk.key("Return")
            watcher.wait("presence", address=person.address, note=NOTE)
            yield one
            person.nothing_stood_still()

    @contextlib.contextmanager
    def other_computer(self, ann):
        with self.domain.client(ann.address, profile=f"other-{ann.address}") as client:
            client.sign_in(PASSWORD)
            yield client
            client.mark()
            equal([e for e in client.events if e["event"] == "state"][-1]["state"], "signed-in", "her other computer")


# ---- Close

def closed_by_any_way_she_is_there_for_others_as_before(place):
    with place.ann_and_bob() as ann:
        begin = ann.mark()
        ways = {"X": ann.person.closes, "menu": lambda: ann.chooses("Close"), "Ctrl+W": lambda: ann.desk.key("ctrl+w")}
        for way, closes in ways.items():
            closes()
            ann.desk.wait_gone(role="frame")
            since = len(ann.desk.ask("alerts"))
            ann.gets(f"closed by {way}", "sent")
            ann.desk.alert(since=since, body=f"closed by {way}")
            ann.desk.ask("tray_choose", "Open Beckon")
            ann.desk.wait(role="frame")
        ann.nothing_changed(begin)
        # Typing, note, away and back go out with the window closed, too.
        ann.person.closes()
        ann.bob.say("unwatch", address=ann.address)
        again = ann.mark()
        ann.bob.say("watch", address=ann.address)
        equal(ann.is_seen("available", again)["note"], NOTE, "note")
        ann.desk.ask("lock", True)
        ann.is_seen("away", again)
        ann.desk.ask("lock", False)
        ann.is_seen("available", ann.mark() - 1)


# ---- Sign Out

def signed_out_by_any_way_she_is_offline_and_what_comes_is_kept_for_her(place):
    with place.ann_and_bob() as ann:
        ways = {"menu": lambda: ann.chooses("Sign Out"), "icon": lambda: ann.desk.ask("tray_choose", "Sign Out"),
                "keys": lambda: signs_out_by_keys(ann)}
        for way, signs_out in ways.items():
            begin, alerts = ann.mark(), len(ann.desk.ask("alerts"))
            signs_out()
            ann.is_signed_out()
            ann.is_seen("offline", begin)
            equal(ann.end_of_session(), "signed out")
            ann.gets(f"signed out by {way}", "stored")
            equal(ann.desk.ask("alerts", alerts), [], "alerts while signed out")
            assert ann.desk.app.poll() is None
            begin = ann.mark()
            ann.clicks_sign_in()
            equal(ann.is_seen("available", begin)["note"], NOTE, "note")
            ann.desk.alert(since=alerts, body=f"signed out by {way}")


def signs_out_by_keys(ann):
    ann.desk.ask("focus", "Beckon")
    ann.desk.key("F10")
    ann.desk.wait("Sign Out", role="menu item")
    ann.desk.key("u")  # Sign O_ut


# ---- Exit

def ended_by_any_way_she_is_offline_and_the_next_start_brings_all_back(place):
    with place.ann_and_bob() as ann:
        ways = {"menu": lambda: ann.chooses("Exit"), "icon": lambda: ann.desk.ask("tray_choose", "Exit"),
                "Ctrl+Q": lambda: ann.desk.key("ctrl+q")}
        for way, exits in ways.items():
            begin = ann.mark()
            exits()
            equal(ann.desk.has_ended(), 0, f"exit status by {way}")
            ann.is_seen("offline", begin)
            equal(ann.end_of_session(), "signed out")
            ann.gets(f"ended by {way}", "stored")
            begin, alerts = ann.mark(), len(ann.desk.ask("alerts"))
            ann.person.start()
            ann.person.is_signed_in()
            equal(ann.is_seen("available", begin)["note"], NOTE, "note")
            ann.desk.alert(since=alerts, body=f"ended by {way}")


# ---- Delete my sign-in info

def deleted_she_is_offline_keeps_her_contacts_at_the_server_and_must_type_the_password(place):
    with place.ann_and_bob() as ann:
        page = Page(ann.person)
        page.adds(ann.bob.name, "Bob Marsh")
        # Which groups are closed is nothing to leave behind.
        ann.desk.point(pattern="^(Other )?Contacts, ", role="list item")
        ann.desk.key("Left")
        page.no_row("Bob Marsh, Available")
        for delete in (lambda: ann.chooses("Delete My Sign-In Info…"), lambda: ann.desk.press("Delete my sign-in info", role="push button")):
            begin = ann.mark()
            if ann.desk.sees("Sign In", role="push button"):
                ann.person.tries(PASSWORD)
                ann.person.is_signed_in()
                page.row("Bob Marsh, Available.*")
                ann.is_seen("available", begin)
                begin = ann.mark()
                ann.chooses("Sign Out")
                ann.is_signed_out()
            delete()
            ann.person.confirms_delete()
            ann.is_signed_out()
            ann.is_seen("offline", begin)
            equal(ann.end_of_session(), "signed out")
            ann.gets("after it was deleted", "stored")
            equal(ann.desk.sees(**Person.ADDRESS)["text"], "", "the address")
        ann.desk.ask("activate", "exit")
        ann.desk.has_ended()
        settings = ann.desk.home / ".config/beckon/desktop.conf"
        left = [line for line in settings.read_text().splitlines() if line.startswith(("tagged=", "contacts-closed="))]
        equal([line for line in left if not line.endswith("=")], [], "what the options still say of her")
        ann.person.start()
        begin = ann.mark()
        ann.person.signs_in()
        equal(ann.is_seen("available", begin)["note"], NOTE, "note")
        page.row("Bob Marsh, Available.*")
        ann.desk.alert(body="after it was deleted")


# ---- a crash

def killed_she_is_offline_within_a_minute_and_what_was_sent_meanwhile_comes_once(place):
    with place.ann_and_bob() as ann:
        ann.opens_bob()
        ann.desk.type("half a thought")
        wait_for("the draft to be on disk", lambda: any(b"half a thought" in f.read_bytes() for f in ann.desk.home.rglob("history.db*")))
        begin = ann.mark()
        start = time.monotonic()
        ann.desk.app.kill()
        ann.desk.app.wait()
        # Neither before nor after the server noticed is anything swallowed.
        early = ann.bob.send(ann.address, "into the void", patience=70)["state"]
        ann.is_seen("offline", begin, 65)
        print(f"# offline after {time.monotonic() - start:.1f} s; sent at once: {early}")
        ann.gets("after the crash", "stored")
        assert ann.end_of_session() in ("lost", "expired"), ann.end_of_session()
        begin, alerts = ann.mark(), len(ann.desk.ask("alerts"))
        ann.person.start()
        ann.person.is_signed_in()
        equal(ann.is_seen("available", begin)["note"], NOTE, "note")
        ann.desk.alert(since=alerts, body="after the crash")
        ann.opens_bob()
        ann.desk.wait(text="half a thought")
        for text in ("into the void", "after the crash"):
            which = {"role": "list item", "pattern": rf"^Bob Marsh, [^:]+:\d\d[^:]*: {text}"}
            ann.desk.wait(**which)
            equal(ann.desk.sees(**which, index=1), None, f"{text!r} twice")


# ---- her other computer

def her_other_computer_stays_and_gets_what_comes(place):
    with place.ann_and_bob() as ann, place.other_computer(ann) as other:
        def signs_out():
            ann.chooses("Sign Out")
            ann.is_signed_out()

        def exits():
            ann.person.exits()

        def deletes():
            ann.chooses("Delete My Sign-In Info…")
            ann.person.confirms_delete()
            ann.is_signed_out()

        def crashes():
            ann.desk.app.kill()
            ann.desk.app.wait()

        begin = ann.mark()
        for leaves in (signs_out, exits, deletes, crashes):
            mark = other.mark()
            leaves()
            text = f"while the other {leaves.__name__}"
            ann.gets(text, "sent")
            other.wait("message", mark, text=text)
            if ann.desk.app.poll() is not None:
                ann.person.start()
            if leaves is signs_out:
                ann.clicks_sign_in()
            elif leaves is deletes:
                ann.person.signs_in()
            else:
                ann.person.is_signed_in()
        equal([s for s in ann.seen(begin) if s == "offline"], [], "Bob saw her offline")


CASES = [
    closed_by_any_way_she_is_there_for_others_as_before,
    signed_out_by_any_way_she_is_offline_and_what_comes_is_kept_for_her,
    ended_by_any_way_she_is_offline_and_the_next_start_brings_all_back,
    deleted_she_is_offline_keeps_her_contacts_at_the_server_and_must_type_the_password,
    killed_she_is_offline_within_a_minute_and_what_was_sent_meanwhile_comes_once,
    her_other_computer_stays_and_gets_what_comes,
]


if __name__ == "__main__":
    sys.exit(run(CASES, Place, people=()))
