#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""beckon-cli at a server that knows the Lync dialect's way in alone (sign-in.beckon = no): web ticket, certificate, TLS-DSK, and
everything after it signed.

usage: tlsdsk.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import hashlib
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


def rows_of(domain, address):
    rows = domain.ctl("user", "history", address, as_json=True, check=False) or []
    return rows if isinstance(rows, list) else rows.get("rows", [])


def in_history(domain, address, record, case):
    """The newest row of that address says so; the store writes it in the background."""
    return beckon.wait_for(f"{record} in the history of {address}",
                           lambda: [r for r in rows_of(domain, address) if r["record"] == record and r["case"] == case], 10)[0]


def sessions_of(domain, address):
    rows = domain.ctl("user", "sessions", address, as_json=True) or []
    return rows if isinstance(rows, list) else rows["sessions"]


def certificates_of(domain, address):
    rows = domain.ctl("certificate", "list", address, as_json=True) or []
    rows = rows if isinstance(rows, list) else rows["certificates"]
    return [r for r in rows if not r.get("revoked_at") and not r.get("revoked")]


def told(domain, client, record, password=None):
    """Refused with that record, the client shows the same, both under one case code."""
    failure = client.refused(password)
    equal(failure["record"], record, "what the client shows")
    assert failure["text"].strip(), "the refusal has no sentence"
    in_history(domain, client.address, record, failure["case"])
    return failure


def keys_kept(domain, profile):
    return [p for p in (domain.folder / "profiles" / profile).rglob("identity.pem")]


def signs_in_by_address_alone_and_again_without_a_password(domain):
    with domain.client("ann", profile="first") as ann:
        ann.sign_in(PASSWORD)
        session, = sessions_of(domain, ann.address)
        equal(session["road"], "tls-dsk")
        ann.sign_out()
        beckon.wait_for("the end of the session", lambda: not sessions_of(domain, ann.address), 10)
        before = len(rows_of(domain, ann.address))
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()
        equal([e for e in ann.events if e["event"] == "credential"], [])
        rows = beckon.wait_for("the history", lambda: rows_of(domain, ann.address)[:len(rows_of(domain, ann.address)) - before])
        equal({r["road"] for r in rows}, {"sip-tls-dsk"})
    roads = {r["road"] for r in rows_of(domain, ann.address)}
    equal(roads, {"https-webticket", "sip-tls-dsk"})
    assert keys_kept(domain, "first"), "no key was kept"
    for path in (domain.folder / "profiles" / "first").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password stands in {path.name}"


def names_for(domain, records=None):
    """Other answers for the names of the domain from now on."""
    domain.dns.terminate()
    domain.dns.wait()
    domain.start_dns(records)


def its_lync_document_leads_there(domain):
    """No SRV, no name of a server: the document of lyncdiscoverinternal, and the one that it links to."""
    names_for(domain, [f"--host-record={name}.{domain.domain},127.0.0.1" for name in ("srv", "lyncdiscoverinternal")])
    try:
        with domain.client("dan", profile="document", options=["--discover-port", str(domain.tls_port)]) as dan:
            dan.sign_in(PASSWORD)
            equal(sessions_of(domain, dan.address)[0]["road"], "tls-dsk")
    finally:
        names_for(domain)


def a_wrong_password_an_unknown_address_and_a_disabled_account_are_told_on_both_sides(domain):
    with domain.client("ann", profile="wrong") as ann:
        told(domain, ann, "SI-202", "something else")
        equal(keys_kept(domain, "wrong"), [])
    with domain.client("nobody") as nobody:
        told(domain, nobody, "SI-201a", PASSWORD)
    domain.ctl("user", "disable", f"dan@{domain.domain}")
    with domain.client("dan") as dan:
        told(domain, dan, "SI-208", PASSWORD)
        domain.ctl("user", "enable", dan.address)
        dan.sign_in(PASSWORD)


def a_clock_six_minutes_off_is_named_before_a_certificate_is_given(domain):
    with domain.client("ann", profile="clock", options=["--clock-offset=360"]) as ann:
        told(domain, ann, "SI-104", PASSWORD)
    equal(keys_kept(domain, "clock"), [])


def somebody_whose_user_name_is_another(domain):
    domain.ctl("user", "set", f"cyd@{domain.domain}", "--username", "c.vale@corp.test")
    with domain.client("cyd", profile="name", options=["--user=c.vale@corp.test"]) as cyd:
        cyd.sign_in(PASSWORD)
    domain.ctl("user", "set", f"cyd@{domain.domain}", "--username", "")


def talks(domain, one, other):
    """A message each way, and each sees the other's status change."""
    for sender, receiver, text in ((one, other, "there?"), (other, one, "here."), (one, other, "good")):
        since = receiver.mark()
        sender.send(receiver.address, text, until=("sent",))
        equal(receiver.wait("message", since, text=text)["from"], sender.address)
    for watcher, watched in ((one, other), (other, one)):
        watcher.say("watch", address=watched.address)
        watched.say("status", state="busy")
        watcher.wait("presence", address=watched.address, state="busy")
        since = watcher.mark()
        watched.say("status", state="none")
        watcher.wait("presence", since, address=watched.address, state="available")


def two_people_talk_and_see_each_other(domain):
    with domain.client("ann", profile="first") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        talks(domain, ann, bob)


def the_contact_list_is_edited_and_found_again(domain):
    def edit(client, command, **fields):
        since = client.mark()
        client.say(command, **fields)
        number = client.wait("accepted", since)["id"]
        end = client.wait("edited", since, id=number)
        assert end["done"], end

    with domain.client("cyd") as cyd:
        cyd.sign_in(PASSWORD)
        edit(cyd, "add-group", group="Work")
        edit(cyd, "add-contact", address=f"ann@{domain.domain}", group="Work")
        cyd.sign_out()
    with domain.client("cyd") as cyd:
        cyd.sign_in()
        since = cyd.mark()
        cyd.say("contacts")
        whole = cyd.wait("contacts", since, whole=True)
        equal((whole["groups"], [c["address"] for c in whole["contacts"]]), (["Work"], [f"ann@{domain.domain}"]))


def what_was_said_to_somebody_who_was_away_comes_at_sign_in(domain):
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()
        equal(ann.send(f"eve@{domain.domain}", "for later")["state"], "stored")
    with domain.client("eve") as eve:
        eve.sign_in(PASSWORD)
        eve.wait("message", text="for later")


def who_one_is_is_proved_anew_under_traffic(domain):
    options = ["--prove-again=4", "--debug"]  # what happens inside, on standard error
    log = domain.folder / "profiles" / "first.log"

    def proofs():
        return log.read_text().count("TLS-DSK")

    with domain.client("ann", profile="first", options=options) as ann, domain.client("bob") as bob:
        ann.sign_in()
        bob.sign_in()
        before, sent = proofs(), []

        def proved():
            """Messages go on meanwhile."""
            for sender, receiver in ((ann, bob), (bob, ann)):
                sent.append(f"message {len(sent)}")
                sender.say("send", to=receiver.address, text=sent[-1])
            return proofs() >= before + 3

        beckon.wait_for("three more proofs", proved, 40, every=0.1)
        for sender, receiver, texts in ((ann, bob, sent[::2]), (bob, ann, sent[1::2])):
            for text in texts:
                sender.wait("message-state", to=receiver.address, state="sent")
                receiver.wait("message", text=text)
            equal([e["text"] for e in receiver.events if e["event"] == "message"], texts, "once each, in order")
        equal([e for e in ann.events + bob.events if e["event"] in ("failure", "ended") or e.get("state") == "reconnecting"], [])
        equal(len(sessions_of(domain, ann.address)), 1)


def after_a_restart_everybody_is_back_without_a_password(domain):
    with domain.client("ann", profile="first") as ann, domain.client("bob") as bob:
        ann.sign_in()
        bob.sign_in()
        marks = ann.mark(), bob.mark()
        domain.kill()
        ann.wait("state", marks[0], state="reconnecting")
        bob.wait("state", marks[1], state="reconnecting")
        domain.start()
        ann.wait("state", marks[0], state="signed-in")
        bob.wait("state", marks[1], state="signed-in")
        talks(domain, bob, ann)


def a_withdrawn_certificate_is_told_and_replaced_for_the_password(domain):
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()
        ann.sign_out()
        domain.ctl("certificate", "revoke", ann.address)
        failure = ann.refused()
        equal((failure["record"], failure["next"]), ("SI-219", "ask"))
        in_history(domain, ann.address, "SI-219", failure["case"])
        ann.wait("credential", why="SI-219")
        equal(keys_kept(domain, "first"), [])
        since = ann.mark()
        ann.say("credential", password=PASSWORD)
        ann.wait("state", since, state="signed-in")
    equal(len(certificates_of(domain, ann.address)), 1)


def a_certificate_withdrawn_while_signed_in_ends_the_session(domain):
    with domain.client("bob") as bob:
        bob.sign_in()
        since = bob.mark()
        domain.ctl("certificate", "revoke", bob.address)
        event = beckon.wait_for("the end of the session", lambda: bob.mark() and
                                [e for e in bob.events[since:] if e["event"] in ("ended", "failure")], 10)[0]
        equal(event["record"], "SI-219")
    with domain.client("bob") as bob:
        bob.sign_in(PASSWORD)


def past_its_two_thirds_the_password_given_anew_brings_another_certificate(domain):
    state, = (domain.folder / "profiles" / "first").rglob("state.json")
    first, text = state.read_text().split("\n", 1)
    content = json.loads(text)
    content["renew_after"] = 1
    text = json.dumps(content, indent=1)
    state.write_text(" ".join(first.split()[:2] + [hashlib.sha256(text.encode()).hexdigest()]) + "\n" + text)
    old, = certificates_of(domain, f"ann@{domain.domain}")
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()  # still good, and nobody has the password
        ann.wait("notice", text=lambda t: "for the password alone" in t)
        ann.sign_out()
        ann.sign_in(PASSWORD)
    new, = certificates_of(domain, ann.address)  # the older one of the same computer was withdrawn
    assert new["serial"] != old["serial"], new


def deleting_leaves_nothing_here(domain):
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()
        since = ann.mark()
        ann.say("delete-sign-in-info")
        rows = ann.wait("deleted", since)["rows"]
        assert all(r["ok"] for r in rows), rows
    equal([p for p in (domain.folder / "profiles" / "first").rglob("*") if p.is_file()], [])
    with domain.client("ann", profile="first") as ann:
        since = ann.mark()
        ann.say("sign-in", address=ann.address)
        ann.wait("credential", since)


def a_server_that_learns_the_other_way_takes_people_in_by_both(domain):
    """Who is remembered goes on with TLS-DSK, who comes anew takes Beckon's own way, with the same certificate too; all talk."""
    with domain.client("ann", profile="both") as ann:
        ann.sign_in(PASSWORD)
    domain.stop_server()
    config = domain.config.read_text()
    assert "beckon = no" in config, config
    domain.config.write_text(config.replace("beckon = no", "beckon = yes"))
    domain.start()
    with domain.client("ann", profile="both") as ann, domain.client("bob", profile="own-way") as bob:
        ann.sign_in()
        bob.sign_in(PASSWORD)
        equal([sessions_of(domain, c.address)[0]["road"] for c in (ann, bob)], ["tls-dsk", "certificate"])
        talks(domain, ann, bob)
        talks(domain, bob, ann)
        marks = ann.mark(), bob.mark()
        domain.kill()
        for client, since in ((ann, marks[0]), (bob, marks[1])):
            client.wait("state", since, state="reconnecting")
        domain.start()
        for client, since in ((ann, marks[0]), (bob, marks[1])):
            client.wait("state", since, state="signed-in")
        talks(domain, ann, bob)


def a_server_that_loses_beckons_way_takes_its_people_in_by_the_other(domain):
    """With the certificates that they have."""
    with domain.client("bob", profile="own-way") as bob:
        bob.sign_in()
        equal(sessions_of(domain, bob.address)[0]["road"], "certificate")
        since = bob.mark()
        domain.stop_server()
        domain.config.write_text(domain.config.read_text().replace("beckon = yes", "beckon = no"))
        domain.start()
        bob.wait("state", since, state="signed-in")
        equal([e for e in bob.events[since:] if e["event"] == "credential"], [])
        equal(sessions_of(domain, bob.address)[0]["road"], "tls-dsk")


def passwords_are_not_changed_there_and_that_is_said(domain):
    with domain.client("bob", profile="own-way") as bob:
        since = bob.mark()
        bob.say("password", old=PASSWORD, new="staple battery horse")
        failure = bob.wait("failure", since)
        equal((failure["record"], failure["next"]), ("SI-224", "stop"))
        assert "your administrator does" in failure["text"], failure


def only_these_ways(domain, **ways):
    """The server from now on, started anew."""
    domain.stop_server()
    config = re.sub("(?m)^(beckon|tls-dsk) = .*\n", "", domain.config.read_text())
    assert "[sign-in]" in config, config
    lines = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in ways.items())
    domain.config.write_text(config.replace("[sign-in]\n", "[sign-in]\n" + lines))
    domain.start()


def a_server_without_either_way_is_named(domain):
    only_these_ways(domain, beckon="no", tls_dsk="no")
    with domain.client("eve", profile="no-way") as eve:
        failure = eve.refused(PASSWORD)
        equal((failure["record"], failure["next"]), ("SI-102", "stop"))
        assert "offered: Digest" in failure["detail"], failure


def ntlm_is_done_only_where_that_is_allowed_here_and_there(domain):
    only_these_ways(domain, beckon="no", tls_dsk="no")
    domain.ctl("policy", "set", "ntlm-signin", "on")
    domain.ctl("user", "password", f"dan@{domain.domain}", "--stdin", stdin=PASSWORD + "\n")
    with domain.client("dan", profile="ntlm") as dan:
        failure = dan.refused(PASSWORD)
        equal((failure["record"], failure["next"]), ("SI-102", "stop"))
        assert "offered: NTLM; this app: TLS-DSK" in failure["detail"], failure
    options = ["--allow-ntlm", "--prove-again=4", "--debug"]
    log = domain.folder / "profiles" / "ntlm.log"
    with domain.client("dan", profile="ntlm", options=options) as dan:
        told(domain, dan, "SI-202", "something else")
        dan.sign_in(PASSWORD)
        equal(sessions_of(domain, dan.address)[0]["road"], "ntlm")
        equal(dan.send(dan.address.replace("dan", "ann"), "signed by NTLM")["state"], "stored")
        beckon.wait_for("two more proofs", lambda: log.read_text().count("NTLM") >= 3, 30)
        equal([e for e in dan.events if e.get("state") == "reconnecting"], [])
    equal(keys_kept(domain, "ntlm"), [])
    with domain.client("dan", profile="ntlm", options=options) as dan:  # and nothing was kept to do it again with
        since = dan.mark()
        dan.say("sign-in", address=dan.address)
        dan.wait("credential", since)
        dan.say("credential", password=PASSWORD)
        dan.wait("state", since, state="signed-in")
    for path in (domain.folder / "profiles" / "ntlm").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password stands in {path.name}"


CASES = [signs_in_by_address_alone_and_again_without_a_password,
         its_lync_document_leads_there, a_wrong_password_an_unknown_address_and_a_disabled_account_are_told_on_both_sides,
         a_clock_six_minutes_off_is_named_before_a_certificate_is_given, somebody_whose_user_name_is_another,
         two_people_talk_and_see_each_other, the_contact_list_is_edited_and_found_again,
         what_was_said_to_somebody_who_was_away_comes_at_sign_in, who_one_is_is_proved_anew_under_traffic,
         after_a_restart_everybody_is_back_without_a_password, a_withdrawn_certificate_is_told_and_replaced_for_the_password,
         a_certificate_withdrawn_while_signed_in_ends_the_session,
         past_its_two_thirds_the_password_given_anew_brings_another_certificate, deleting_leaves_nothing_here,
         a_server_that_learns_the_other_way_takes_people_in_by_both,
         a_server_that_loses_beckons_way_takes_its_people_in_by_the_other, passwords_are_not_changed_there_and_that_is_said,
         a_server_without_either_way_is_named, ntlm_is_done_only_where_that_is_allowed_here_and_there]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test",
                               settings=[f"server.shards={shards}", "sign-in.beckon=no"])
        domain.init()
        for name in ("ann", "bob", "cyd", "dan", "eve"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            domain.start_dns()
            return tap.main(CASES, domain)


if __name__ == "__main__":
    sys.exit(main())
