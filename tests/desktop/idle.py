#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether somebody is at the computer, as the X display knows it where no service of the desktop does.

Real keys under Xvfb, into a window that is not ours. usage: idle.py BUILD_FOLDER [CASE ...]
"""
import pathlib
import subprocess
import sys
import time

# This folder's contacts.py, not the scenario's.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from others_view import Place  # noqa: E402
from signing_in import run  # noqa: E402

INACTIVE_S = 60  # the least that can be chosen


def who_works_in_another_program_is_available_and_who_stops_is_inactive(place):
    with place.ann_and_bob() as ann:
        ann.person.closes()
        ann.person.exits()
        settings = ann.desk.home / ".config/beckon/desktop.conf"
        settings.write_text("[desktop]\ninactive-minutes=1\nshow-in-foreground=false\n")
        begin = ann.mark()
        ann.person.start("--background", wait=False)
        ann.is_seen("available", begin)
        # Nobody sees our windows being used: there is none. Keys reach whatever else is there.
        time.sleep(INACTIVE_S / 2)
        key = time.monotonic()
        subprocess.run(["xdotool", "key", "shift"], env=ann.desk.env, check=True, timeout=20)
        begin = ann.mark()
        state = ann.bob.wait("presence", begin, INACTIVE_S + 20, address=ann.address)["state"]
        assert state.startswith("available") and state != "available", state
        assert time.monotonic() - key > INACTIVE_S - 2, "the key did not count"
        begin = ann.mark()
        subprocess.run(["xdotool", "key", "shift"], env=ann.desk.env, check=True, timeout=20)
        ann.is_seen("available", begin, 15)


CASES = [who_works_in_another_program_is_available_and_who_stops_is_inactive]


if __name__ == "__main__":
    sys.exit(run(CASES, Place, people=()))
