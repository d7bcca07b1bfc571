#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Before somebody is away: what is asked, what is explained, and what stays on this computer.

Real keys and clicks under Xvfb, judged by the accessibility tree (hand.py). usage: leaving.py BUILD_FOLDER [CASE ...]
"""
import pathlib
import signal
import subprocess
import sys

# This folder's contacts.py, not the scenario's.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from others_view import Place  # noqa: E402
from person import PASSWORD, Person  # noqa: E402
from signing_in import run  # noqa: E402
from talking import line, says  # noqa: E402
from tap import equal  # noqa: E402


def without_a_notification_area_the_first_close_explains_and_a_second_start_finds_it(place):
    with place.ann_and_bob(panel=False) as ann:
        begin = ann.mark()
        ann.desk.ask("close", "Beckon")
        ann.desk.wait(has="Beckon Keeps Running")
        ann.desk.press("Close Window", role="push button")
        ann.desk.wait_gone(role="frame")
        ann.gets("with no icon", "sent")
        ann.desk.alert(body="with no icon")
        subprocess.run(ann.person.command(), env=ann.desk.env, timeout=20, check=True)
        ann.desk.wait(role="frame")
        # Once is enough.
        ann.desk.ask("close", "Beckon")
        ann.desk.wait_gone(role="frame")
        ann.nothing_changed(begin)
        subprocess.run(ann.person.command(), env=ann.desk.env, timeout=20, check=True)
        ann.desk.wait(role="frame")


def started_while_it_ends_it_starts_again(place):
    with place.ann_and_bob() as ann:
        begin = ann.mark()
        # The server does not answer: ending takes its time.
        place.domain.server.send_signal(signal.SIGSTOP)
        try:
            ann.desk.key("ctrl+q")
            ann.desk.wait_gone(role="frame")
            subprocess.run(ann.person.command(), env=ann.desk.env, timeout=20, check=True)
        finally:
            place.domain.server.send_signal(signal.SIGCONT)
        ann.is_seen("offline", begin)
        ann.person.is_signed_in()
        ann.is_seen("available", begin)
        assert ann.desk.app.poll() is None


def with_unsent_text_every_way_out_asks_and_staying_is_seen_by_nobody(place):
    with place.ann_and_bob() as ann:
        ann.opens_bob()
        says(ann, "hello")
        ann.bob.wait("message", text="hello")
        ann.desk.type("half a thought")
        ann.bob.wait("typing", **{"from": ann.address, "typing": True})
        begin = ann.mark()
        ways = {
            "Sign Out with Unsent Messages?": [lambda: ann.chooses("Sign Out"), lambda: ann.desk.ask("tray_choose", "Sign Out")],
            "Exit with Unsent Messages?": [lambda: ann.chooses("Exit"), lambda: ann.desk.ask("tray_choose", "Exit"), lambda: ann.desk.key("ctrl+q")],
            "Delete Sign-in Info?": [lambda: ann.chooses("Delete My Sign-In Info…")],
        }
        for question, doors in ways.items():
            for leaves in doors:
                ann.desk.ask("focus", "Beckon")
                leaves()
                ann.desk.wait(has=question)
                ann.desk.key("Escape")
                ann.desk.wait_gone(has=question)
        ann.nothing_changed(begin)
        ann.gets("still there", "sent")
        # He is not left with somebody who seems to type for ever.
        begin = ann.mark()
        ann.desk.ask("focus", "Beckon")
        ann.desk.key("ctrl+q")
        ann.desk.press("Exit", role="push button")
        equal(ann.desk.has_ended(), 0)
        ann.is_seen("offline", begin)
        ann.bob.mark()
        equal([e for e in ann.bob.events if e["event"] == "typing"][-1]["typing"], False, "Bob sees her type")
        equal([e["text"] for e in ann.bob.events if e["event"] == "message"], ["hello"], "what she sent")
        ann.person.start()
        ann.person.is_signed_in()
        ann.opens_bob()
        ann.desk.wait(text="half a thought")


# ---- where nothing is to be kept

def keeps_nothing_from_now_on(ann):
    settings = ann.desk.home / ".config/beckon/desktop.conf"
    settings.write_text(settings.read_text() + "save-sign-in=false\n" if settings.exists() else "[desktop]\nsave-sign-in=false\n")


def where_nothing_is_kept_the_address_goes_and_what_was_never_sent_is_asked_about(place):
    with place.ann_and_bob() as ann:
        ann.opens_bob()
        place.domain.kill()
        try:
            ann.desk.wait(pattern="connection is away")
            says(ann, "for whenever it can be sent")
            ann.desk.wait(**line("You", "for whenever it can be sent", ", Sending"))
            ann.desk.app.kill()
            ann.desk.app.wait()
            keeps_nothing_from_now_on(ann)
        finally:
            place.domain.start()
        outgoing = next(ann.desk.home.rglob("outgoing"))
        ann.person.start()
        ann.person.signs_in()
        ann.desk.key("ctrl+q")
        ann.desk.wait(has="Nothing is kept on this computer, so it will be lost.")
        ann.desk.key("Escape")
        ann.desk.wait_gone(has="Exit with Unsent Messages?")
        # At the end of the desktop's session nobody can be asked.
        ann.desk.app.terminate()
        equal(ann.desk.has_ended(), 0)
        assert outgoing.exists(), "a message was lost without a word"
        ann.person.start()
        ann.person.signs_in()
        ann.desk.key("ctrl+q")
        ann.desk.press("Exit", role="push button")
        equal(ann.desk.has_ended(), 0)
        equal(outgoing.exists(), False, "what was given up")
        accounts = ann.desk.home / ".config/beckon/accounts"
        equal(accounts.read_text() if accounts.exists() else "", "", "the addresses used here")
        equal(ann.person.secrets_in_the_clear([PASSWORD, "PRIVATE KEY", "BEGIN CERTIFICATE"]), [], "files with a secret")
        ann.person.start()
        equal(ann.desk.wait(**Person.ADDRESS)["text"], "", "the address is still offered")


def what_the_organisation_fixes_meanwhile_counts_at_once_and_says_so(place):
    policy = place.folder / "policy.conf"
    with place.ann_and_bob(environment={"BECKON_POLICY_FILE": str(policy)}) as ann:
        ann.desk.key("ctrl+comma")
        ann.desk.wait("Options", role="frame")
        equal(ann.desk.sees(has="Set by your organisation"), None, "before")
        policy.write_text("[desktop]\nsave-sign-in=false\nsounds=false\n")
        ann.desk.wait(has="Set by your organisation")
        ann.desk.key("Escape")
        ann.desk.wait_gone("Options", role="frame")
        ann.chooses("Sign Out")
        ann.desk.wait(has="Sign-in Info Deleted")  # that was kept before
        ann.desk.press("Done", role="push button")
        ann.desk.wait("Keep me signed in", role="check box")
        ann.desk.wait(has="Set by your organisation")
        equal([f for f in ann.desk.home.rglob("identity.pem")], [], "what is kept")
        policy.unlink()
        ann.desk.wait_gone(has="Set by your organisation")


def once_nothing_may_be_kept_exit_takes_back_the_certificate_and_leaves_no_address(place):
    policy = place.folder / "policy-of-exit.conf"
    with place.ann_and_bob(environment={"BECKON_POLICY_FILE": str(policy)}) as ann:
        accounts = ann.desk.home / ".config/beckon/accounts"
        equal([bool(row["revoked"]) for row in place.certificates(ann.address.partition("@")[0])], [False], "revoked before")
        assert ann.address in accounts.read_text()
        ann.desk.key("ctrl+comma")
        ann.desk.wait("Options", role="frame")
        policy.write_text("[desktop]\nsave-sign-in=false\n")
        ann.desk.wait(has="Set by your organisation")
        ann.desk.key("Escape")
        ann.desk.wait_gone("Options", role="frame")
        ann.desk.key("ctrl+q")
        equal(ann.desk.has_ended(), 0)
        equal([bool(row["revoked"]) for row in place.certificates(ann.address.partition("@")[0])], [True], "revoked")
        equal(ann.address in accounts.read_text() if accounts.exists() else False, False, "the address is still there")
        equal([f for f in ann.desk.home.rglob("identity.pem")], [], "what is kept")
        policy.unlink()


CASES = [
    without_a_notification_area_the_first_close_explains_and_a_second_start_finds_it,
    started_while_it_ends_it_starts_again,
    with_unsent_text_every_way_out_asks_and_staying_is_seen_by_nobody,
    where_nothing_is_kept_the_address_goes_and_what_was_never_sent_is_asked_about,
    what_the_organisation_fixes_meanwhile_counts_at_once_and_says_so,
    once_nothing_may_be_kept_exit_takes_back_the_certificate_and_leaves_no_address,
]


if __name__ == "__main__":
    sys.exit(run(CASES, Place, people=()))
