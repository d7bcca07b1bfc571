#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main page against the real server: finding people, groups, favorites, blocking, who added whom, status and note, a lost connection.

Real keys and clicks under Xvfb, judged by the accessibility tree (hand.py). usage: contacts.py BUILD_FOLDER [CASE ...]
"""
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from desk import Failed, wait_for  # noqa: E402
from person import PASSWORD  # noqa: E402
from signing_in import Place, run  # noqa: E402

FIND = {"role": "entry", "name": "Find somebody by name or address"}


class Page:
    """The main page of somebody new, signed in."""

    def __init__(self, person):
        self.person, self.desk, self.address = person, person.desk, person.address

    def row(self, label, **which):
        return self.desk.wait(pattern=f"^{label}$", role="list item", **which)

    def no_row(self, label):
        self.desk.wait_gone(pattern=f"^{label}$", role="list item")

    def look_for(self, text):
        self.desk.fill(text, **FIND)

    def menu_of(self, label, *entries):
        """By the right button; each entry opens the next menu, the last acts."""
        def is_open():
            self.desk.point(pattern=f"^{label}$", role="list item", button=3)
            try:
                return self.desk.wait(entries[0], role="menu item", patience=3)
            except Failed:
                return None
        # GTK 4.8 loses a click after a menu's entry was pressed by AT-SPI instead of the pointer; a person would click again, too.
        wait_for(f"the menu of {label}", is_open)
        for entry in entries:
            self.desk.press(entry, role="menu item")

    def answer(self, text):
        """In the question that is open."""
        self.desk.key("ctrl+a")
        self.desk.type(text)
        self.desk.key("Return")

    def adds(self, name, title):
        self.look_for(name)
        self.row(f"{title}, (Available|Offline)")
        self.desk.press("Add to your contacts")
        self.desk.wait("Your Contacts, 1 person", role="list item")
        self.desk.key("Escape")
        self.desk.wait(pattern="^(Other )?Contacts, ", role="list item")


class People(Place):
    """Nobody of one case is known to another."""

    def __init__(self, folder, domain, program):
        super().__init__(folder, domain, program)
        self.count = 0

    def somebody(self, title):
        self.count += 1
        name = f"{title.split()[0].lower()}{self.count}"
        self.domain.add_user(name, PASSWORD, name=title)
        return name

    @contextlib.contextmanager
    def at_the_page(self, title="Ann Lee"):
        with self.person(self.somebody(title)) as person:
            person.start()
            person.signs_in()
            yield Page(person)
            person.nothing_stood_still()

    @contextlib.contextmanager
    def at_a_terminal(self, title="Bob Marsh"):
        name = self.somebody(title)
        with self.domain.client(name) as client:
            client.sign_in(PASSWORD)
            client.name = name
            yield client


def somebody_found_in_the_directory_is_added_and_seen(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.desk.wait("Nobody Here Yet")
        ann.look_for(bob.name)
        ann.row("Bob Marsh, Available")
        ann.desk.press("Add to your contacts")
        ann.desk.wait("Your Contacts, 1 person", role="list item")
        ann.desk.key("Escape")
        ann.desk.wait("Contacts, 1 person, 1 reachable", role="list item")
        bob.say("status", state="busy")
        bob.say("note", text="In a meeting until 15:00")
        ann.row("Bob Marsh, Busy, In a meeting until 15:00")
        bob.sign_out()
        ann.row("Bob Marsh, Offline")


def an_address_typed_whole_can_be_added(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.look_for(f"sip:{bob.address}")
        ann.row(".*, Available")
        ann.desk.press("Add to your contacts")
        ann.desk.wait("Your Contacts, 1 person", role="list item")


def own_status_and_note_are_seen_by_others(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        bob.say("watch", address=ann.address)
        bob.wait("presence", address=ann.address, state="available")
        ann.desk.press("Your status: Available", role="push button")
        ann.desk.wait("Available (automatic), chosen", role="list item")
        ann.desk.key("Down")
        ann.desk.key("Down")
        ann.desk.key("Return")
        ann.desk.wait("Your status: Do Not Disturb", role="push button")
        bob.wait("presence", address=ann.address, state="dnd")
        ann.desk.fill("Writing the report", role="text", name="Your note")
        ann.desk.key("Return")
        bob.wait("presence", address=ann.address, note="Writing the report")


def groups_are_made_filled_renamed_and_deleted(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.adds(bob.name, "Bob Marsh")
        ann.desk.press("Menu", role="push button")
        ann.desk.press("New Group…", role="menu item")
        ann.desk.wait("Name of the group")
        ann.answer("Design")
        ann.desk.wait("Design, 0 people, 0 reachable", role="list item")
        ann.menu_of("Bob Marsh, Available", "Copy to Group", "Design")
        ann.desk.wait("Design, 1 person, 1 reachable", role="list item")
        ann.menu_of("Design, 1 person, 1 reachable", "Rename Group…")
        ann.desk.wait("Name of the group")
        ann.answer("Drawing")
        ann.desk.wait("Drawing, 1 person, 1 reachable", role="list item")
        ann.menu_of("Drawing, 1 person, 1 reachable", "Delete Group…")
        ann.desk.press("Delete", role="push button")
        ann.no_row("Drawing, .*")
        ann.row("Bob Marsh, Available")


def favorites_stand_first_and_go_again(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.adds(bob.name, "Bob Marsh")
        ann.menu_of("Bob Marsh, Available", "Add to Favorites")
        ann.desk.wait("Favorites, 1 person, 1 reachable", role="list item")
        ann.menu_of("Bob Marsh, Available", "Remove from Favorites")
        ann.desk.wait("Favorites, 0 people, 0 reachable", role="list item")
        ann.row("Bob Marsh, Available")


def a_contact_is_renamed_and_removed(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.adds(bob.name, "Bob Marsh")
        ann.menu_of("Bob Marsh, Available", "Rename…")
        ann.desk.wait("Rename Contact")
        ann.answer("Bobby")
        ann.row("Bobby, Available")
        ann.menu_of("Bobby, Available", "Remove from Contacts")
        ann.desk.wait("Nobody Here Yet")


def who_is_blocked_sees_nothing_until_they_are_unblocked(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        bob.say("watch", address=ann.address)
        bob.wait("presence", address=ann.address, state="available")
        ann.adds(bob.name, "Bob Marsh")
        ann.menu_of("Bob Marsh, Available", "Block…")
        since = bob.mark()
        ann.desk.press("Block", role="push button")
        ann.desk.wait_gone(role="dialog")
        ann.row("Bob Marsh, Blocked")
        bob.wait("presence", since, address=ann.address, state="offline")
        since = bob.mark()
        ann.desk.key("shift+F10")  # the row has the focus again
        ann.desk.press("Unblock", role="menu item")
        ann.row("Bob Marsh, Available")
        bob.wait("presence", since, address=ann.address, state="available")


def who_added_the_user_waits_for_an_answer(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        bob.say("add-contact", address=ann.address)
        ann.desk.wait("Added You to Their List, 1 person", role="list item")
        ann.desk.press("Dismiss")
        ann.no_row("Added You to Their List, .*")


def who_is_added_back_had_an_answer(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        bob.say("add-contact", address=ann.address)
        ann.desk.wait("Added You to Their List, 1 person", role="list item")
        ann.desk.press("Add")
        ann.desk.wait("Contacts, 1 person, 1 reachable", role="list item")
        ann.no_row("Added You to Their List, .*")


def by_status_and_back_with_the_keyboard_alone(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.adds(bob.name, "Bob Marsh")
        ann.desk.press("How contacts are shown", role="push button")
        ann.desk.press("By Status")
        ann.desk.wait("Available, 1 person", role="list item")
        bob.say("status", state="away")
        ann.desk.wait("Away, 1 person", role="list item")
        ann.no_row("Available, 1 person")
        # Down from the search entry is on the first person, Up on the header; Left closes it, Right opens it.
        ann.desk.point(**FIND)
        ann.desk.key("Down", "Up", "Left")
        ann.no_row("Bob Marsh, Away")
        ann.desk.key("Right")
        ann.row("Bob Marsh, Away")
        ann.desk.key("Down", "shift+F10")
        ann.desk.wait("View Contact Card")
        ann.desk.key("Down", "Return")
        ann.desk.wait(role="dialog", name="Bob Marsh")
        ann.desk.key("Escape")
        ann.desk.wait_gone(role="dialog", name="Bob Marsh")


def a_lost_connection_is_told_and_contacts_are_unknown(place):
    with place.at_the_page() as ann, place.at_a_terminal() as bob:
        ann.adds(bob.name, "Bob Marsh")
        place.domain.stop_server()
        ann.desk.wait("Try Now", role="push button")
        ann.row("Bob Marsh, Unknown")
        ann.desk.wait("Your status: Not Connected", role="push button")
        place.domain.start()
        ann.desk.wait_gone("Try Now", role="push button")
        ann.desk.wait("Your status: Available", role="push button")
        ann.row("Bob Marsh, Available")


CASES = [
    somebody_found_in_the_directory_is_added_and_seen,
    an_address_typed_whole_can_be_added,
    own_status_and_note_are_seen_by_others,
    groups_are_made_filled_renamed_and_deleted,
    favorites_stand_first_and_go_again,
    a_contact_is_renamed_and_removed,
    who_is_blocked_sees_nothing_until_they_are_unblocked,
    who_added_the_user_waits_for_an_answer,
    who_is_added_back_had_an_answer,
    by_status_and_back_with_the_keyboard_alone,
    a_lost_connection_is_told_and_contacts_are_unknown,
]


if __name__ == "__main__":
    sys.exit(run(CASES, People, people=()))
