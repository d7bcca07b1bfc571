#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program with windows against the real server: signing in, Close, Sign Out, Exit, Delete; what each refusal says.

Real keys and clicks under Xvfb, judged by the accessibility tree (hand.py). usage: signing_in.py BUILD_FOLDER [CASE ...]
"""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import desk as desks  # noqa: E402
from desk import Desk, wait_for  # noqa: E402
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402
from person import PASSWORD, Person, record_of_case  # noqa: E402


class Place:
    def __init__(self, folder, domain, program):
        self.folder, self.domain, self.program = folder, domain, program
        self.n = 0

    @contextlib.contextmanager
    def person(self, name="ann", trust=True, server=True, **options):
        self.n += 1
        with Desk(self.folder / f"desk{self.n}", self.program, name, **options) as desk:
            yield Person(self, desk, name, trust, server)

    def certificates(self, name):
        rows = self.domain.ctl("certificate", "list", f"{name}@{self.domain.domain}", as_json=True) or []
        return rows if isinstance(rows, list) else rows["certificates"]

    @contextlib.contextmanager
    def watcher(self, name="bob", of="ann"):
        """Somebody at a terminal who sees what others see."""
        self.n += 1
        with self.domain.client(name, profile=f"watcher{self.n}") as client:
            client.sign_in(PASSWORD)
            client.say("watch", address=f"{of}@{self.domain.domain}")
            yield client


# ---- signing in

def first_sign_in_from_nothing_but_address_and_password(place):
    with place.person() as ann, place.watcher() as bob:
        ann.start()
        ann.desk.wait("Sign In", role="push button")
        assert "sensitive" not in ann.desk.sees("Sign In", role="push button")["states"], "Sign In without an address"
        ann.signs_in()
        bob.wait("presence", address=ann.address, state="available")
        equal(ann.secrets_in_the_clear([PASSWORD]), [], "files with the password")


def a_wrong_password_says_so_and_its_code_opens(place):
    with place.person() as ann:
        ann.start()
        ann.tries("something else")
        ann.is_told("SI-202")
        # The address stays; a right password then signs in.
        ann.enter_password(PASSWORD)
        ann.is_signed_in()


def an_unknown_address_is_told_as_helpdesk_sees_it(place):
    with place.person("nobody") as nobody:
        nobody.start()
        nobody.tries(PASSWORD)
        nobody.is_told("SI-201a")


def a_server_nobody_vouches_for_is_not_trusted(place):
    with place.person(trust=False) as ann:
        ann.start()
        ann.tries(PASSWORD)
        ann.is_told("SI-309e", code=False)


def no_server_is_said_and_it_goes_on_by_itself_once_there_is_one(place):
    place.domain.stop_server()
    with place.person() as ann:
        try:
            ann.start()
            ann.tries(PASSWORD)
            ann.is_told("SI-302", code=False)
        finally:
            place.domain.start()
        ann.goes_on(PASSWORD)


def the_next_start_signs_in_by_itself(place):
    with place.person() as ann:
        ann.start()
        ann.signs_in()
        ann.exits()
        ann.start()
        ann.is_signed_in()


def an_unsupported_character_is_named_before_anything_is_sent(place):
    with place.person() as ann:
        ann.start()
        ann.desk.fill("ann lee@demo.test", **ann.ADDRESS)
        ann.desk.wait(has="cannot contain a space")
        assert "sensitive" not in ann.desk.sees("Sign In", role="push button")["states"]


# ---- Close, Sign Out, Exit, Delete, and what others see

def close_keeps_her_there_and_icon_second_start_and_alert_bring_the_window_back(place):
    with place.person() as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        begin = bob.mark()
        for back in (lambda: ann.desk.ask("tray_click"), lambda: subprocess.run(ann.command(), env=ann.desk.env, timeout=20, check=True),
                     lambda: ann.answers_alert_of(bob)):
            ann.closes()
            equal(bob.send(ann.address, "are you there")["state"], "sent", "with the window closed")
            back()
            ann.desk.wait(role="frame")
        assert ann.desk.app.poll() is None
        equal([e for e in bob.events[begin:] if e["event"] == "presence" and e["state"] == "offline"], [], "others saw her offline")


def sign_out_makes_her_offline_and_one_click_brings_her_back(place):
    with place.person() as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        begin = bob.mark()
        ann.desk.ask("activate", "sign-out")
        ann.desk.wait("Sign In", role="push button")
        bob.wait("presence", begin, address=ann.address, state="offline")
        equal(bob.send(ann.address, "for later")["state"], "stored")
        begin = bob.mark()
        ann.desk.press("Sign In", role="push button")
        ann.is_signed_in()
        bob.wait("presence", begin, address=ann.address, state="available")
        ann.desk.alert(body="for later")


def exit_makes_her_offline_and_the_process_ends(place):
    with place.person() as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        begin = bob.mark()
        ann.exits()
        bob.wait("presence", begin, address=ann.address, state="offline")


def a_crash_is_seen_as_offline_within_a_minute_and_the_draft_is_there_again(place):
    with place.person() as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        ann.opens_talk("bob")
        ann.desk.type("half a thought")
        time.sleep(2)  # a draft is on disk a second after the last key
        begin = bob.mark()
        start = time.monotonic()
        ann.desk.app.kill()
        ann.desk.app.wait()
        bob.wait("presence", begin, 65, address=ann.address, state="offline")
        print(f"# offline after {time.monotonic() - start:.1f} s")
        ann.start()
        ann.is_signed_in()
        ann.opens_talk("bob")
        ann.desk.wait(text="half a thought")


def delete_leaves_nothing_and_the_old_certificate_is_refused(place):
    with place.person() as ann:
        ann.start()
        ann.signs_in()
        stolen = ann.desk.folder / "stolen"
        shutil.copytree(ann.desk.home, stolen)
        ann.desk.ask("activate", "delete-sign-in-info")
        ann.confirms_delete()
        ann.desk.wait("Sign In", role="push button")
        equal(ann.secrets_in_the_clear([PASSWORD, "PRIVATE KEY", "BEGIN CERTIFICATE"]), [], "files with a secret")
        equal(ann.keyring_items(), [], "what the keyring still has")
        # The certificate that was there is worth nothing any more, whoever copied it.
        newest = max(place.certificates("ann"), key=lambda row: row["issued"])
        assert newest["revoked"] and newest["why"] == "given back by its owner", newest
        ann.desk.ask("activate", "exit")
        ann.desk.has_ended()
        ann.start()
        ann.desk.wait(**ann.ADDRESS)
        equal(ann.desk.sees(**ann.ADDRESS)["text"], "", "the address is still offered")


# ---- the keyring

def without_a_keyring_it_says_where_the_key_is_kept(place):
    with place.person(keyring="none") as ann:
        ann.start()
        ann.signs_in()
        ann.exits()
        ann.start()
        ann.is_signed_in()


def a_locked_keyring_keeps_nobody_from_signing_in(place):
    with place.person(keyring="locked") as ann:
        ann.start()
        ann.signs_in()
        ann.nothing_stood_still()


# ---- refusals

def refused(place, record, before, after, name="bob"):
    before()
    try:
        with place.person(name) as who:
            who.start()
            who.tries(PASSWORD)
            who.is_told(record)
    finally:
        after()


def an_unlicensed_person_reads_why(place):
    address = f"bob@{place.domain.domain}"
    refused(place, "SI-201b", lambda: place.domain.ctl("user", "licence", "take", address),
            lambda: place.domain.ctl("user", "licence", "give", address))


def a_disabled_person_reads_why_at_sign_in_and_in_the_midst_of_it(place):
    address = f"bob@{place.domain.domain}"
    refused(place, "SI-208", lambda: place.domain.ctl("user", "disable", address), lambda: place.domain.ctl("user", "enable", address))
    with place.person("bob") as bob:
        bob.start()
        bob.signs_in()
        try:
            place.domain.ctl("user", "disable", address)
            bob.is_told("SI-208")
        finally:
            place.domain.ctl("user", "enable", address)


def an_expired_subscription_is_named(place):
    refused(place, "SI-402", lambda: place.domain.ctl("tenant", "set", place.domain.domain, "--ends", "2020-01-01", "--grace-days", "0"),
            lambda: place.domain.ctl("tenant", "set", place.domain.domain, "--ends", "never"))


def a_name_server_that_refuses_to_look_is_named(place):
    with place.person("ann@nowhere.test") as ann:
        ann.start()
        ann.tries(PASSWORD)
        ann.is_told("SI-303a", code=False)  # what dnsmasq says of domains that are not its own is REFUSED


def a_password_that_must_be_changed_is_changed_there_and_then(place):
    address, new = f"cyd@{place.domain.domain}", "another horse battery"
    place.domain.ctl("user", "password", address, "--must-change", "--stdin", stdin=PASSWORD + "\n")
    with place.person("cyd") as cyd:
        cyd.start()
        cyd.tries(PASSWORD)
        cyd.changes_password(PASSWORD, new)
        cyd.is_signed_in()
        equal(cyd.secrets_in_the_clear([PASSWORD, new]), [], "files with a password")


def a_revoked_certificate_asks_for_the_password_once(place):
    with place.person() as ann:
        ann.start()
        ann.signs_in()
        ann.exits()
        place.domain.ctl("certificate", "revoke", f"ann@{place.domain.domain}")
        ann.start()
        ann.is_told("SI-219", code=False)
        ann.enter_password(PASSWORD)
        ann.is_signed_in()


CASES = [
    first_sign_in_from_nothing_but_address_and_password,
    a_wrong_password_says_so_and_its_code_opens,
    an_unknown_address_is_told_as_helpdesk_sees_it,
    a_server_nobody_vouches_for_is_not_trusted,
    no_server_is_said_and_it_goes_on_by_itself_once_there_is_one,
    the_next_start_signs_in_by_itself,
    an_unsupported_character_is_named_before_anything_is_sent,
    close_keeps_her_there_and_icon_second_start_and_alert_bring_the_window_back,
    sign_out_makes_her_offline_and_one_click_brings_her_back,
    exit_makes_her_offline_and_the_process_ends,
    a_crash_is_seen_as_offline_within_a_minute_and_the_draft_is_there_again,
    delete_leaves_nothing_and_the_old_certificate_is_refused,
    without_a_keyring_it_says_where_the_key_is_kept,
    a_locked_keyring_keeps_nobody_from_signing_in,
    an_unlicensed_person_reads_why,
    a_disabled_person_reads_why_at_sign_in_and_in_the_midst_of_it,
    an_expired_subscription_is_named,
    a_revoked_certificate_asks_for_the_password_once,
    a_name_server_that_refuses_to_look_is_named,
    a_password_that_must_be_changed_is_changed_there_and_then,
]


PEOPLE = (("ann", "Ann Lee"), ("bob", "Bob Marsh"), ("cyd", "Cyd Vale"))


def run(cases, place=Place, people=PEOPLE):
    """The cases against a server of their own with these people; the exit status. Also for the other files of this folder."""
    missing = desks.missing()
    if missing:
        print(f"1..0 # SKIP not installed: {missing}")
        return 77
    programs = beckon.Programs(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="beckon-desk-") as folder:
        folder = pathlib.Path(folder)
        with beckon.Domain(folder / "srv", programs) as domain:
            domain.init()
            for name, display in people:
                domain.add_user(name, PASSWORD, name=display)
            domain.start()
            domain.start_dns()
            return tap.main(cases, place(folder, domain, programs.desktop))


if __name__ == "__main__":
    sys.exit(run(CASES))
