#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two people in two windows: status both ways, blocking, and a server that is killed under both.

Real keys and clicks under Xvfb, judged by the accessibility tree (hand.py). usage: two_windows.py BUILD_FOLDER [CASE ...]
"""
import datetime
import pathlib
import sys
import time

# This folder's contacts.py, not the scenario's.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from contacts import People  # noqa: E402
from desk import wait_for  # noqa: E402
from signing_in import run  # noqa: E402
from talking import line, says  # noqa: E402
from tap import equal  # noqa: E402


BACK_S = 5  # a server that listens again is used within that


def in_two_windows_status_goes_both_ways_and_who_is_blocked_sees_and_reaches_nobody(place):
    with place.at_the_page("Ann Lee") as ann, place.at_the_page("Bob Marsh") as bob:
        ann.adds(bob.address.split("@")[0], "Bob Marsh")
        bob.adds(ann.address.split("@")[0], "Ann Lee")
        for one, other in ((ann, "Bob Marsh"), (bob, "Ann Lee")):
            one.row(f"{other}, Available")
        ann.desk.ask("tray_choose", "Status", "Busy")
        bob.row("Ann Lee, Busy")
        bob.desk.ask("tray_choose", "Status", "Be Right Back")
        ann.row("Bob Marsh, Be Right Back")
        for one in (ann, bob):
            one.desk.ask("tray_choose", "Status", "Available (automatic)")
        ann.row("Bob Marsh, Available")
        bob.row("Ann Lee, Available")

        bob.menu_of("Ann Lee, Available", "Block…")
        bob.desk.press("Block", role="push button")
        bob.row("Ann Lee, Blocked")
        ann.row("Bob Marsh, Offline")
        alerts = len(bob.desk.ask("alerts"))
        ann.desk.ask("activate", "talk", bob.address)
        ann.desk.wait(role="frame", within="Bob Marsh")
        ann.desk.ask("focus", "Bob Marsh")
        says(ann, "can you hear me")
        # As to somebody who does not exist: it says that it failed, not why.
        ann.desk.wait(**line("You", "can you hear me", ", (Not delivered|Not sent|Failed)"))
        equal(bob.desk.ask("alerts", alerts), [], "alerts of who is blocked")
        bob.desk.ask("focus", "Beckon")
        bob.menu_of("Ann Lee, Blocked", "Unblock")
        bob.row("Ann Lee, Available")
        ann.row("Bob Marsh, Available")
        ann.desk.ask("focus", "Bob Marsh")
        says(ann, "and now")
        ann.desk.wait(**line("You", "and now", ", Sent"))
        bob.desk.alert(since=alerts, body="and now")


def registered_at(place, address, since):
    """When the server first took a registration after that moment, as it says itself: no window is slow in it."""
    rows = place.domain.ctl("user", "history", address, as_json=True)
    at = [datetime.datetime.fromisoformat(row["at"]).timestamp() for row in rows if row["ok"] and row["transport"] == "tls"]
    return min((t for t in at if t >= int(since)), default=None)


def a_server_killed_under_two_windows_has_both_back_and_nothing_is_lost_or_doubled(place):
    with place.at_the_page("Ann Lee") as ann, place.at_the_page("Bob Marsh") as bob:
        pair = ((ann, bob, "Bob Marsh"), (bob, ann, "Ann Lee"))
        for one, other, title in pair:
            one.adds(other.address.split("@")[0], title)
            one.desk.ask("activate", "talk", other.address)
            one.desk.wait(role="frame", within=title)
        for one, _, title in pair:
            one.row(f"{title}, Available.*")
        killed = time.time()
        place.domain.kill()
        place.domain.start()
        start = time.time()
        away = start - killed  # tries become rarer the longer it is
        for one, _, title in pair:
            took = wait_for(f"{one.address} to be back", lambda: registered_at(place, one.address, start)) - start
            print(f"# {one.address} is back after {took:.0f} s, {away:.1f} s without a server")
            assert took <= max(BACK_S, 2 * away), "not back in time"
            one.row(f"{title}, Available.*")
        place.domain.kill()
        for one, _, title in pair:
            one.row(f"{title}, Unknown")
            one.desk.ask("focus", title)
            says(one, f"to {title} in between")
            one.desk.wait(**line("You", f"to {title} in between", ", Sending"))
        place.domain.start()
        for one, other, title in pair:
            one.row(f"{title}, Available.*")
            one.desk.wait(**line("You", f"to {title} in between", ", (Sent|Will be delivered)"))
            came = line("Bob Marsh" if title == "Ann Lee" else "Ann Lee", f"to {title} in between")
            other.desk.wait(**came)
            equal(other.desk.sees(**came, index=1), None, "a second time")


CASES = [
    in_two_windows_status_goes_both_ways_and_who_is_blocked_sees_and_reaches_nobody,
    a_server_killed_under_two_windows_has_both_back_and_nothing_is_lost_or_doubled,
]


if __name__ == "__main__":
    sys.exit(run(CASES, People, people=()))
