#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of every window and state, light and dark, English and German, to be looked at one by one.

usage: pictures.py BUILD_FOLDER TO_FOLDER [NAME ...]     (NAME: calm, talk, fail-password ...)
The engine of scripts plays what the windows show (tests/desktop/fake). Nothing here judges: people do.
"""
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from desk import Desk  # noqa: E402

LANGUAGES = {"en": "C.UTF-8", "de": "de_DE.UTF-8"}


def settle(desk, seconds=1.2):
    """Animations and scripts are over; a tooltip goes where the pointer is out of the way."""
    desk.ask("point_away")
    time.sleep(seconds)


def signs_in(desk):
    desk.ask("type", "ann@example.org")
    desk.key("Return")
    time.sleep(1)
    desk.ask("type", "secret")
    desk.key("Return")
    time.sleep(2.5)


def action(name, *parameter):
    return lambda desk: desk.ask("activate", name, *parameter)


def nothing(_desk):
    pass


def talk_and_write(desk):
    desk.ask("activate", "talk", "bjoern@example.org")
    time.sleep(1)
    desk.ask("type", "See you at noon, then.")
    desk.key("Return")
    time.sleep(3.2)


def deletes(desk):
    desk.ask("activate", "delete-sign-in-info")
    time.sleep(1)
    desk.ask("press", pattern="^(Delete|Löschen)$", role="push button")
    time.sleep(1.5)


def pictures():
    """name -> (script, what is done)"""
    rows = {path.stem: (path, signs_in if path.stem.startswith(("fail-", "slow", "trust", "user-name", "credential")) else nothing)
            for path in sorted((HERE / "fake").glob("*.json"))}
    calm = HERE / "fake" / "calm.json"
    rows |= {"main": (HERE / "fake" / "deleted.json", nothing), "deleted": (HERE / "fake" / "deleted.json", deletes)}
    rows |= {"first": (HERE / "fake" / "credential.json", nothing), "talk": (calm, talk_and_write), "options": (calm, action("options")),
             "configuration": (calm, action("configuration-information")), "about": (calm, action("about")),
             "shortcuts": (calm, action("shortcuts")), "delete": (calm, action("delete-sign-in-info")), "history": (calm, action("history"))}
    return rows


def take(program, build, to, name, script, act, language, dark):
    with tempfile.TemporaryDirectory(prefix="beckon-picture-") as folder:
        with Desk(folder, program, name, language=LANGUAGES[language], dark=dark, size="940x800", keyring="none",
                  environment={"BECKON_LOCALE_DIR": str(pathlib.Path(build) / "po")}) as desk:
            desk.run("--fake", script, wait=False)
            time.sleep(2)
            act(desk)
            settle(desk)
            raw = pathlib.Path(folder) / "raw.png"
            desk.shot(raw)
            subprocess.run(["convert", str(raw), "-bordercolor", "black", "-border", "1", "-trim", "+repage", str(to)], check=True)


def main():
    build, folder, wanted = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True, exist_ok=True)
    program = str(pathlib.Path(build) / "src" / "desktop" / "beckon")
    for name, (script, act) in pictures().items():
        if wanted and name not in wanted:
            continue
        for language in LANGUAGES:
            for dark in (False, True):
                to = folder / f"{name}-{language}-{'dark' if dark else 'light'}.png"
                take(program, build, to, name, script, act, language, dark)
                print(to, flush=True)


if __name__ == "__main__":
    main()
