# SPDX-License-Identifier: Apache-2.0
"""What somebody does at a desk, in the words of a test. The names of buttons and entries stand here and nowhere else."""
import json
import pathlib
import re
import subprocess
import time

from desk import PATIENCE, Failed, wait_for

PASSWORD = "correct horse battery"
TABLE = pathlib.Path(__file__).resolve().parents[2] / "src" / "record" / "table.c"


SAY = r'BK_SAY\(((?:"(?:[^"\\]|\\.)*"\s*)+)\)'


def sentences(record, does=False):
    """The words of the record's sentence for users (does: of what they do about it) that stand between its placeholders, from the one table."""
    number, sub = re.fullmatch(r"SI-(\d+)([a-z]?)", record).groups()
    row = re.search(rf'ROW\({number}, {chr(39) + sub + chr(39) if sub else 0}, "[^"]+", [A-Z]+, \d+, \d+, \d+, [A-Z_ |0]+,\s*'
                    rf'(?:/\*.*?\*/)?\s*{SAY},\s*{SAY}', TABLE.read_text())
    if not row:
        raise Failed(f"{record} is not in the table")
    text = "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', row[2 if does else 1]))
    return [piece for piece in re.split(r"\{[a-z]+\}", text) if piece.strip()]


def record_of_case(domain, code):
    return domain.ctl("case", code, as_json=True)


class Person:
    ADDRESS = {"role": "text", "name": "Sign-in Address"}
    PASSWORD_ENTRY = {"role": "text", "name": "Password"}
    CODE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b")

    def __init__(self, place, desk, name, trust=True, server=True):
        self.place, self.desk = place, desk
        self.domain = place.domain
        self.address = name if "@" in name else f"{name}@{place.domain.domain}"
        self.options = ["--dns", place.domain.dns_address] if server else []
        if trust:
            self.options += ["--ca", str(place.domain.ca)]
        self.desk.env["BECKON_WATCHDOG_MS"] = "500"

    # ---- the program

    def command(self, *options):
        return [*self.desk.prefix, self.desk.program, *self.options, *options]

    def start(self, *options, wait=True):
        return self.desk.run(*self.options, *options, wait=wait)

    def exits(self):
        self.desk.ask("activate", "exit")
        status = self.desk.has_ended()
        if status != 0:
            raise Failed(f"beckon ended with {status}")

    def closes(self):
        """By the window's X."""
        for title in self.desk.ask("windows"):
            self.desk.ask("close", title)
        self.desk.wait_gone(role="frame")

    # ---- the sign-in page

    def enter_address(self, address=None):
        self.desk.fill(address or self.address, **self.ADDRESS)
        self.desk.key("Return")

    def enter_password(self, password):
        self.desk.fill(password, **self.PASSWORD_ENTRY)
        self.desk.key("Return")

    def tries(self, password):
        self.enter_address()
        self.enter_password(password)

    def signs_in(self, password=PASSWORD):
        self.tries(password)
        self.is_signed_in()

    def changes_password(self, old, new):
        """In the form of the sign-in page, which is there already or comes."""
        self.desk.wait("New Password", role="text")
        if not self.desk.sees(role="text", name="Current Password")["text"]:
            self.desk.fill(old, role="text", name="Current Password")
        self.desk.fill(new, role="text", name="New Password")
        self.desk.fill(new, role="text", name="New Password Again")
        self.desk.press("Change Password", role="push button")

    def is_signed_in(self, patience=PATIENCE):
        self.desk.wait(pattern="^Find ", patience=patience)

    def goes_on(self, password):
        """Whatever it asks for by now."""
        def asks_or_is_in():
            if self.desk.sees(pattern="^Find "):
                return "in"
            return "password" if self.desk.sees(**self.PASSWORD_ENTRY) else None
        if wait_for(f"{self.desk.name} to go on", asks_or_is_in) == "password":
            self.enter_password(password)
            self.is_signed_in()

    def is_told(self, record, code=True, patience=60, does=False):
        """The record's own sentence is shown, does: and what to do about it; its case code opens at the server."""
        wanted = sentences(record) + (sentences(record, does=True) if does else [])
        start = time.monotonic()
        for piece in wanted:
            self.desk.wait(has=piece.strip(), patience=patience)
        if not code:
            return None
        shown = self.desk.wait(pattern=self.CODE.pattern)
        found = self.CODE.search(shown["text"] or shown["name"])[0]
        case = wait_for(f"beckonctl case {found}", lambda: self.domain.ctl("case", found, as_json=True, check=False), 10)
        if record not in json.dumps(case):
            raise Failed(f"case {found} is not about {record}: {json.dumps(case)[:400]}")
        print(f"# {record} after {time.monotonic() - start:.1f} s, case {found}")
        return found

    def confirms_delete(self):
        self.desk.press("Delete", role="push button")
        self.desk.wait(has="Sign-in Info Deleted")
        rows = self.desk.ask("tree")
        self.desk.press("Done", role="push button")
        return rows

    def answers_alert_of(self, other, text="hello there"):
        """Presses the alert itself, as somebody who wants to see more."""
        since = len(self.desk.ask("alerts"))
        other.say("send", to=self.address, text=text)
        alert = self.desk.alert(since=since, body=text)
        self.desk.ask("alert_action", alert["id"], "default")
        return alert

    # ---- conversations

    def opens_talk(self, name):
        address = name if "@" in name else f"{name}@{self.domain.domain}"
        self.desk.ask("activate", "talk", address)
        self.desk.wait(role="frame", within=self.title_of(name))
        self.desk.ask("focus", self.title_of(name))

    def title_of(self, name):
        return {"ann": "Ann Lee", "bob": "Bob Marsh", "cyd": "Cyd Vale"}.get(name, name.partition("@")[0])

    # ---- what is left of somebody

    def secrets_in_the_clear(self, secrets):
        """Files under the home folder that hold one of these."""
        found = []
        for path in self.desk.home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                found += [f"{path.relative_to(self.desk.home)}: {s}" for s in secrets if s.encode() in data]
        return found

    def keyring_items(self):
        done = subprocess.run(["secret-tool", "search", "--all", "address", self.address], env=self.desk.env, capture_output=True, text=True, timeout=20)
        return [line for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith("attribute.") or line.startswith("secret")]

    def nothing_stood_still(self):
        """No line of the watchdog in what the program said."""
        for log in self.desk.folder.glob("beckon-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if line.startswith("watchdog:"):
                    raise Failed(line)
