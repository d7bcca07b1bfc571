#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of every window and state to be looked at one by one.

usage: pictures.py [--as LOOK,...] BUILD_FOLDER TO_FOLDER [NAME ...]     (NAME: calm, talk, fail-password ...; "talk*" works too)

A LOOK is a language and what is special about it: en-light, en-dark, de-light, de-dark (these four where nothing is said), and
-large (text at one and a half), -contrast, -narrow (360 pixels) of both languages.
The engine of scripts plays what the windows show (tests/desktop/fake). Nothing here judges: people do.
"""
import argparse
import fnmatch
import gettext
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from desk import Desk, wait_for  # noqa: E402

LANGUAGES = {"en": "C.UTF-8", "de": "de_DE.UTF-8"}
USUAL = "en-light,en-dark,de-light,de-dark"
NARROW = 360
BJOERN, GIORGOS, JULIA, SAKURA, ZOE = (f"{name}@example.org" for name in ("bjoern", "giorgos", "julia", "sakura", "zoe"))

# A caret that blinks and what slides in would make every picture another one; the font is what GNOME has.
SETTINGS = "[Settings]\ngtk-enable-animations=false\ngtk-cursor-blink=false\ngtk-font-name=Cantarell 11\n"


class Look:
    """One desk in one language and one dress, and what a person does there."""

    def __init__(self, desk, build, folder, name):
        self.desk, self.folder, self.name = desk, folder, name
        self.language, self.dress = name.split("-")
        self.spoken = gettext.translation("beckon", pathlib.Path(build) / "po", [self.language], fallback=True)

    def word(self, text, context=None):
        """As it stands in the window, without its mnemonic."""
        said = self.spoken.pgettext(context, text) if context else self.spoken.gettext(text)
        return said.replace("_", "")

    def press(self, text, context=None, role="push button", **which):
        self.desk.press(self.word(text, context), role=role, **which)

    def chooses(self, *items):
        """In the menu that is open, one submenu after the other."""
        for item in items:
            self.press(item, role="menu item")

    def menu_of(self, pattern, role="list item", **which):
        self.desk.point(role=role, pattern=pattern, button=3, **which)
        self.desk.wait(role="menu item")

    def sees(self, text, **which):
        """A template's blanks may be anything."""
        self.desk.wait(pattern=self.word(text).replace("%s", ".*"), **which)

    def opens(self, address, name):
        self.desk.ask("activate", "talk", address)
        self.desk.wait(role="frame", name=name)
        self.desk.ask("focus", name)

    def says(self, address, text, state=""):
        """Without a keyboard that has the letters."""
        self.desk.ask("reply", address, text)
        self.desk.wait(role="list item", pattern="(?s)" + self.word("You") + ".*" + text.split("\n", maxsplit=1)[0].strip() + ".*" + state)

    def searches(self, text):
        self.desk.ask("activate", "search")
        self.desk.type(text)

    def starts(self, program, script, policy=False):
        home = self.folder / f"home-{time.monotonic_ns()}"
        settings = home / ".config" / "gtk-4.0" / "settings.ini"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)
        self.desk.env |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_DATA_HOME": str(home / ".local/share"),
                          "XDG_CACHE_HOME": str(home / ".cache"), "XDG_STATE_HOME": str(home / ".local/state")}
        self.desk.env["BECKON_POLICY_FILE"] = str(HERE / "fake" / "managed.conf") if policy else "/dev/null"
        self.desk.program = str(program)
        self.desk.ask("panel_appear")
        self.first_alert = len(self.desk.ask("alerts"))
        self.desk.run("--fake", script)

    def ends(self):
        self.desk.app.kill()
        self.desk.app.wait()
        wait_for("the windows to go", lambda: not self.desk.ask("windows"))

    def makes_narrow(self):
        for title in self.desk.ask("windows"):
            self.desk.ask("size", title, NARROW, 640)

    def settles(self, quiet=0.7):
        """Until nothing on the screen changed for so long; what counts down goes on and is taken as it is."""
        self.desk.ask("point_away")
        raw, last, since, end = self.folder / "raw.ppm", None, time.monotonic(), time.monotonic() + 6
        while time.monotonic() < end:
            self.desk.shot(raw)
            seen = raw.read_bytes()
            if seen != last:
                last, since = seen, time.monotonic()
            elif time.monotonic() - since >= quiet:
                break
            time.sleep(0.1)
        return raw


# ---- what is done before a picture is taken

def nothing(_look):
    pass


def action(*what):
    def act(look):
        look.settles(0.3)
        look.desk.ask("activate", *what)
    return act


def signs_in(look):
    look.desk.type("ann@example.org")
    look.desk.key("Return")
    look.settles(1)
    look.desk.type("secret")
    look.desk.key("Return")
    look.settles(2)


def talk_and_write(look):
    look.opens(BJOERN, "Björn Ångström")
    look.desk.type("See you at noon, then.")
    look.desk.key("Return")
    look.desk.wait(role="list item", pattern="Good, thank you")


def talk_alone(look):
    """Without the main window behind it."""
    look.desk.wait(role="list item", pattern="Björn.*2 ")
    look.opens(BJOERN, "Björn Ångström")
    look.desk.ask("close", "Beckon")
    look.desk.type("Nine is fine, in the small room.")
    look.desk.key("Return")
    look.sees("%s is typing…", role="label")


def types_back(look):
    look.opens(BJOERN, "Björn Ångström")
    look.says(BJOERN, "Did you sleep well?")
    look.sees("%s is typing…", role="label")


def message_states(look):
    look.opens(JULIA, "Юлия Соколова")
    look.desk.wait(role="frame", name="Юлия Соколова")
    look.says(JULIA, "The report is in the usual place.", look.word("Not sent"))
    look.opens(GIORGOS, "Γιώργος Παπαδόπουλος")
    look.says(GIORGOS, "Are you still there?")
    look.opens(SAKURA, "田中 さくら")
    look.says(SAKURA, "Good night! I will call tomorrow at nine, your time.", look.word("Will be delivered when they are back"))


def own_words(look):
    look.opens(BJOERN, "Björn Ångström")
    look.says(BJOERN, "Nine is fine.")
    look.says(BJOERN, "I read all of it, and asked José María: the steel is on its way, and the ship left Santander on Tuesday. "
                      "It is expected in Rotterdam on Friday, and from there it takes two more days on the Rhine.")
    look.says(BJOERN, "תודה רבה! 🙏")


def long_draft(look):
    look.opens(ZOE, "Zoë Lefèvre")
    for line in ("Dear Zoë,", "", "this is a draft of many lines.", "One more.", "And one more.", "Nearly done.", "Still not.",
                 "Now this is the last line, with the caret at its end"):
        if line:
            look.desk.type(line)
        look.desk.key("shift+Return")
    look.desk.type("bye")
    home = pathlib.Path(look.desk.env["HOME"])
    wait_for("the draft to be on disk", lambda: any(b"bye" in file.read_bytes() for file in home.rglob("history.db*")))
    look.ends()
    look.desk.run("--fake", HERE / "fake" / "deleted.json")
    look.opens(ZOE, "Zoë Lefèvre")


def several_talks(look):
    talk_and_write(look)
    look.opens(ZOE, "Zoë Lefèvre")


def by_status(look):
    look.press("How contacts are shown")
    look.press("By _Status", role="menu item")
    look.desk.wait_gone(role="menu item")


def collapsed(look):
    for group in ("Favorites", "Engineering"):
        look.desk.point(role="list item", pattern="^" + look.word(group) + ", ")
    look.settles(0.3)


def opens_menu(name):
    return lambda look: look.press(name)


def status_menu(look):
    look.press("Your status: %s".replace("%s", "Available")) if look.language == "en" else look.desk.press(pattern="^Ihr Status|^Dein Status", role="push button")


def types_note(text):
    def act(look):
        look.desk.point(role="text", name=look.word("Your note"))
        look.desk.key("ctrl+a")
        look.desk.type(text)
    return act


def finds(text, hint=None):
    def act(look):
        look.searches(text)
        if hint:
            look.sees(hint)
    return act


def menu(pattern, *items):
    def act(look):
        look.menu_of(pattern)
        look.chooses(*items)
    return act


def group_menu(*items):
    return lambda look: menu("^Engineering, ", *items)(look)


def card(pattern, search=None):
    """search: brings them on the screen."""
    def act(look):
        if search:
            look.searches(search)
        look.menu_of(pattern)
        look.chooses("_View Contact Card")
        look.desk.wait(role="dialog")
    return act


def blocked(look):
    menu("^Zoë", "_Block…")(look)
    look.press("_Block", within=look.word("Block %s?").split("%")[0])
    look.desk.wait(role="list item", pattern="^Zoë.*" + look.word("Blocked", "person"))
    look.settles(0.3)  # the question is gone


def card_of_blocked(look):
    blocked(look)
    card("^Zoë")(look)


def talk_with_blocked(look):
    blocked(look)
    look.opens(ZOE, "Zoë Lefèvre")


def talk_menu(look):
    look.opens(BJOERN, "Björn Ångström")
    look.press("Menu", within="Björn")


def forgets(look):
    talk_menu(look)
    look.chooses("_Delete What Was Said…")


def history(text):
    def act(look):
        look.settles(0.7)
        look.desk.ask("activate", "history")
        look.desk.wait(role="frame", name=look.word("What Was Said"))
        look.desk.ask("focus", look.word("What Was Said"))
        if text:
            look.desk.type(text)
    return act


def history_of_one(look):
    look.opens(BJOERN, "Björn Ångström")
    look.desk.key("ctrl+f")
    look.desk.wait(role="frame", name=look.word("What Was Said"))
    look.desk.ask("focus", look.word("What Was Said"))
    look.desk.type("nine")


def damaged_history(look):
    look.opens(BJOERN, "Björn Ångström")
    look.says(BJOERN, "Nine is fine.")
    look.ends()
    file = next(pathlib.Path(look.desk.env["HOME"]).rglob("history.db"))
    for log in file.parent.glob("history.db-*"):
        log.unlink()
    file.write_bytes(b"this is no database" * 500)
    look.desk.run("--fake", HERE / "fake" / "calm.json")
    look.desk.wait(pattern=look.word("What was said on this computer could not be read. It was put aside, and a new history begins."))


def reconnecting_talk(look):
    look.opens(BJOERN, "Björn Ångström")
    look.says(BJOERN, "Are you there?")


def opens_missed(look):
    look.settles(0.7)
    look.opens(BJOERN, "Björn Ångström")


def texts(look):
    """No picture: what the icon, its menu and the alerts say."""
    look.settles(1)
    lines = [f"{key}: {value}" for key, value in look.desk.ask("tray").items()]

    def add(rows, depth):
        for row in rows:
            mark = {1: "(*) ", 0: "( ) "}.get(row["toggled"], "")
            lines.append("  " * depth + ("-" * 8 if row["type"] == "separator" else mark + row["label"] + ("" if row["enabled"] else "   (disabled)")))
            add(row["children"], depth + 1)
    add(look.desk.ask("tray_menu"), 1)
    for alert in look.desk.ask("alerts", look.first_alert):
        lines.append(f"{alert['title']} | {alert['body']} | {alert['actions']} | {alert['hints']}")
    (look.to / f"texts-{look.name}.txt").write_text("\n".join(lines) + "\n")


def deletes(look):
    look.desk.ask("activate", "delete-sign-in-info")
    look.desk.press(pattern="^(Delete|Löschen)$", role="push button")


def types(text, *keys):
    def act(look):
        look.desk.type(text)
        for key in keys:
            look.desk.key(key)
    return act


def in_turn(*acts):
    def act(look):
        for one in acts:
            one(look)
            look.settles(0.4)
    return act


def pressed(text):
    return lambda look: look.press(text)


def waits(state):
    """Its first letter may be a big one."""
    return lambda look: look.desk.wait(has=look.word(state)[1:], role="label")


def options(page):
    def act(look):
        look.desk.ask("activate", "options")
        look.desk.wait(role="frame", name=look.word("Options"))
        look.desk.ask("focus", look.word("Options"))
        look.press(page, role="page tab")
    return act


def to_the_end(look):
    look.desk.ask("activate", "configuration-information")
    look.desk.wait(role="frame", name=look.word("Configuration Information"))
    look.desk.ask("focus", look.word("Configuration Information"))
    look.desk.ask("scroll", 60)


def unsent_and(name):
    """Something is written and not sent when this is chosen."""
    def act(look):
        look.opens(BJOERN, "Björn Ångström")
        look.desk.type("I will be there at")
        look.desk.ask("activate", name)
        look.desk.wait(role="dialog")
    return act


def changes_password(look):
    signs_in(look)
    look.desk.wait(role="text", name=look.word("New Password"))
    look.desk.type("new")
    look.desk.key("Tab", "Tab")
    look.desk.type("other")
    look.desk.key("Return")


def sign_in_side(script):
    """What is seen of Beckon without being signed in, and on the way out. What begins with "managed" has an organisation's file."""
    first, calm, still = script("credential"), script("calm"), script("deleted")
    slow, still_waiting = script("slow"), waits("still waiting for a connection")
    rows = {"first": (first, nothing), "typed": (first, types("ann@example.org")), "typed-incomplete": (first, types("ann", "Tab")),
            "typed-wrong": (first, types("ann lee@example.org")), "password-missing": (first, types("ann@example.org", "Return", "Return")),
            "user-differs": (first, in_turn(types("ann@example.org"), pressed("My user name differs from my address"))),
            "signed-out": (still, action("sign-out")), "slow-connection": (slow, in_turn(signs_in, still_waiting)),
            "fail-details": (script("fail-no-server"), in_turn(signs_in, lambda look: look.desk.press(look.word("Details")))),
            "change-differs": (script("fail-must-change"), changes_password), "trust": (script("trust"), signs_in)}
    rows |= {f"options-{page.lower()}": (still, options(page)) for page in ("Personal", "Alerts", "Connection", "Appearance")}
    rows |= {f"managed-{page.lower()}": (still, options(page)) for page in ("Personal", "Alerts", "Connection")}
    rows |= {"options-first": (first, options("Personal")), "managed-first": (first, nothing),
             "configuration": (still, action("configuration-information")), "configuration-more": (still, to_the_end),
             "about": (still, action("about")), "shortcuts": (still, action("shortcuts")), "delete": (still, action("delete-sign-in-info")),
             "delete-unsent": (still, unsent_and("delete-sign-in-info")), "deleted": (still, deletes), "deleted-all": (calm, deletes),
             "sign-out-unsent": (still, unsent_and("sign-out")), "exit-unsent": (still, unsent_and("exit")),
             "close-first": (still, in_turn(lambda look: look.desk.ask("panel_vanish"), action("close")))}
    return rows


def pictures():
    """name -> (script, what is done)"""
    def script(name):
        return HERE / "fake" / f"{name}.json"
    rows = {path.stem: (path, signs_in if path.stem.startswith(("fail-", "slow", "trust", "user-name", "credential")) else nothing)
            for path in sorted((HERE / "fake").glob("*.json"))}
    calm, still, long, new, words = script("calm"), script("deleted"), script("long-names"), script("new-here"), script("words")
    rows |= {"main": (still, nothing)}
    rows |= sign_in_side(script)
    rows |= {  # the main window
        "by-status": (still, by_status), "crowd-by-status": (script("crowd"), by_status), "collapsed": (still, collapsed),
        "status-menu": (still, status_menu), "main-menu": (still, opens_menu("Menu")), "view-menu": (still, opens_menu("How contacts are shown")),
        "note": (still, types_note("Back on Monday")),
        "search": (calm, finds("no", "There are more. Type more of the name to see them.")),
        "search-contact": (still, finds("bj")), "search-new": (new, finds("no", "There are more. Type more of the name to see them.")),
        "search-nobody": (script("limited"), finds("qqq", "Nobody found. Try another spelling, or type the whole address.")),
        "search-address": (still, finds("somebody@partner.example")), "search-no-lists": (script("no-lists"), finds("som")),
        "blocked": (still, blocked)}
    rows |= {  # people
        "contact-menu": (still, menu("^José")), "contact-menu-groups": (still, menu("^José", "_Copy to Group")),
        "contact-menu-privacy": (still, menu("^José", "_Privacy Relationship")), "group-menu": (still, group_menu()),
        "card": (still, card("^Björn")), "card-offline": (still, card("^田中", "sakura")), "card-stranger": (calm, card("^Noémi", "no")),
        "card-blocked": (still, card_of_blocked), "card-long": (long, card("^Hubert")), "card-no-name": (long, card("^no.name", "no.name")),
        "ask-add": (still, lambda look: look.press("Add a contact")), "ask-group": (still, group_menu("_New Group…")),
        "ask-rename": (still, menu("^José", "_Rename…")), "ask-rename-group": (still, group_menu("_Rename Group…")),
        "ask-delete-group": (still, group_menu("_Delete Group…")), "ask-block": (still, menu("^José", "_Block…"))}
    rows |= {  # conversations
        "talk": (calm, talk_and_write), "talk-typing": (script("unread"), types_back), "talk-alone": (script("unread"), talk_alone), "talk-states": (calm, message_states),
        "talk-words": (words, own_words), "talk-missed": (calm, opens_missed), "talk-draft": (still, long_draft),
        "talk-nothing": (still, lambda look: look.opens(ZOE, "Zoë Lefèvre")), "talk-several": (calm, several_talks),
        "talk-reconnecting": (script("reconnecting"), reconnecting_talk), "talk-blocked": (still, talk_with_blocked),
        "talk-long-names": (long, lambda look: look.opens("no.name@example.org", "no.name")),
        "talk-menu": (calm, talk_menu), "talk-forget": (calm, forgets)}
    rows |= {"history": (words, history("")), "history-found": (words, history("the")), "history-nothing": (words, history("xyzzy")),
             "history-one": (words, history_of_one), "history-damaged": (still, damaged_history), "texts": (calm, texts)}
    return rows


# ---- looks

def german(folder):
    """The words of dates come from the locale, and a machine that is not German has none."""
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")], capture_output=True, check=False)
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.UTF-8"} if made.returncode <= 1 and (folder / "de_DE.UTF-8").is_dir() else {}


def environment_of(look, build, folder):
    language = look.split("-")[0]
    extra = {"BECKON_LOCALE_DIR": str(pathlib.Path(build) / "po")}
    if language == "de":
        extra |= german(folder)
    return extra


def takes(name, build, to, rows):
    """All the pictures of one look; how many could not be taken."""
    language, dress = name.split("-")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="beckon-picture-") as temporary:
        folder = pathlib.Path(temporary)
        with Desk(folder, "", name, language=LANGUAGES[language], dark=dress == "dark", contrast=dress == "contrast", size="940x800",
                  keyring="none", compositor=True, environment=environment_of(name, build, folder)) as desk:
            if dress == "large":
                subprocess.run(["xprop", "-root", "-f", "RESOURCE_MANAGER", "8s", "-set", "RESOURCE_MANAGER", "Xft.dpi:\t144\n"], env=desk.env,
                               check=True)
            look = Look(desk, build, folder, name)
            look.to = to
            for row, (script, act) in rows.items():
                look.starts(pathlib.Path(build) / "src" / "desktop" / "beckon", script, policy=row.startswith("managed"))
                try:
                    look.settles(0.4)
                    act(look)
                    if dress == "narrow":
                        look.makes_narrow()
                    raw = look.settles()
                except Exception as error:  # the next one may do
                    print(f"{row}-{name}: {error}", file=sys.stderr)
                    failed += 1
                    raw = look.settles()
                file = to / f"{row}-{name}.png"
                # What lies around the windows becomes transparent; it is grey where a compositor paints it.
                ground = "#808080" if desk.compositor else "black"
                subprocess.run(["convert", str(raw), "-bordercolor", ground, "-border", "1", "-trim", "+repage", "-bordercolor", ground, "-border", "1",
                                "-alpha", "set", "-fuzz", "6%", "-fill", "none", "-floodfill", "+0+0", ground, "-shave", "1x1", str(file)], check=True)
                print(file, flush=True)
                look.ends()
    return failed


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--as", dest="looks", default=USUAL)
    parser.add_argument("build")
    parser.add_argument("to", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    wanted = {name: row for name, row in pictures().items() if not given.names or any(fnmatch.fnmatch(name, n) for n in given.names)}
    return 1 if sum(takes(look, os.path.abspath(given.build), given.to, wanted) for look in given.looks.split(",")) else 0


if __name__ == "__main__":
    sys.exit(main())
