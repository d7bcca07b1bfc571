#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stock Lync-compatible client (sipe/README.md says what "stock" means) against beckond, linphonec and beckon-cli.

usage: lync.py BUILD_FOLDER SIPE_DRIVE [SHARDS] [CASE ...]
"""
import contextlib
import os
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "scenario", HERE.parents[1] / "tools"):
    sys.path.insert(0, str(folder))
import beckon  # noqa: E402
import clients  # noqa: E402
import sipe_client  # noqa: E402
import tap  # noqa: E402
from sipe_client import Sipe  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"
DEVICE_PASSWORD = "device secret"


class Bench:
    def __init__(self, domain, program):
        self.domain, self.program = domain, program

    def address(self, name):
        return f"{name}@{self.domain.domain}"

    def sipe(self, name, password=PASSWORD, **options):
        if missing := sipe_client.missing(self.program):
            raise tap.Skip(missing)
        port = self.domain.ports["tcp" if options.get("transport") == "tcp" else "tls"]
        options.setdefault("server", f"localhost:{port}")
        return Sipe(self.program, self.address(name), password, **options)

    @contextlib.contextmanager
    def here(self, *names, **options):
        """These people, signed in, each with one client."""
        with contextlib.ExitStack() as stack:
            people = [stack.enter_context(self.sipe(name, **options)) for name in names]
            for person in people:
                person.signed_in()
            for person in people:  # what is edited before the list is there is lost in the client
                beckon.wait_for("the contact list", lambda p=person: [m for m in p.trace() if m.came and "contactList" in m.body])
            yield people

    def cli(self, name):
        return self.domain.client(name, by_address=False)

    def other_computer(self):
        """What runs a program as on another computer: the endpoint's name is made of the host's."""
        if os.geteuid() != 0:
            raise tap.Skip("root, for a second host name")
        return ["unshare", "--uts", "sh", "-c", 'hostname other-computer && exec "$@"', "sh"]

    @contextlib.contextmanager
    def linphonec(self, watch=()):
        if missing := clients.Linphonec.missing():
            raise tap.Skip(f"{missing} is missing")
        server = clients.Server("localhost", "127.0.0.1", self.domain.tls_port, self.domain.domain, str(self.domain.ca))
        client = clients.Linphonec(server, clients.Account("lin", DEVICE_PASSWORD), watch=watch)
        try:
            client.start()
            client.wait_registered()
            yield client
        finally:
            client.stop()


def history(bench, name, record):
    """The rows of that person's sign-in history with this record; they are written in the background."""
    def there():
        rows = bench.domain.ctl("user", "history", bench.address(name), as_json=True, check=False) or []
        rows = rows if isinstance(rows, list) else rows.get("rows", [])
        return [r for r in rows if r["record"] == record]
    return beckon.wait_for(f"{record} in the history of {name}", there, 10)


def answered(client, part):
    """How many of its requests that hold this were answered with 200."""
    trace = client.trace()
    asked = {(m.get("call-id"), m.get("cseq")) for m in trace if not m.came and not m.status and part in m.body}
    return sum(m.came and m.status == 200 and (m.get("call-id"), m.get("cseq")) in asked for m in trace)


def signed(client):
    """The schemes of the requests that it signed."""
    return {m.get("authorization").split(" ")[0] for m in client.trace() if not m.came and m.get("authorization")}


# ---- 1: signing in

def a_refused_connection_is_told_to_the_person(bench):
    with bench.sipe("ann", server=f"127.0.0.1:{beckon.free_port()}") as ann:
        error = ann.refused()
        equal((error["name"], error["text"]), ("network_error", "SSL Connection Failed"))
        equal(ann.quit(), 2, "the driver's exit status")
        equal(ann.trace(), [], "what went over the wire")


def signs_in(bench, scheme, transport, wanted):
    with bench.sipe("ann", scheme=scheme, transport=transport) as ann:
        ann.signed_in()
        equal(signed(ann), {wanted}, "what it signed with")
        equal([m for m in ann.trace() if m.came and m.status == 200 and m.method != "REGISTER" and
               not m.get("authentication-info")], [], "answers that were not signed")
        # It read the contact list: the dialect's documents came, were signed, and were believed.
        beckon.wait_for("the contact list", lambda: [m for m in ann.trace() if m.came and "contactList" in m.body])
        equal(ann.quit(), 0)


def signs_in_by_ntlm_over_tls(bench):
    signs_in(bench, "ntlm", "tls", "NTLM")


def signs_in_by_ntlm_over_tcp(bench):
    signs_in(bench, "ntlm", "tcp", "NTLM")


def signs_in_by_tls_dsk_over_tls(bench):
    signs_in(bench, "tls-dsk", "tls", "TLS-DSK")


def signs_in_by_tls_dsk_over_tcp(bench):
    signs_in(bench, "tls-dsk", "tcp", "TLS-DSK")


def chooses_tls_dsk_by_itself(bench):
    signs_in(bench, "auto", "tls", "TLS-DSK")


def a_wrong_password_is_said_and_kept(bench):
    with bench.sipe("cyd", password="not this one") as cyd:
        error = cyd.refused()
        assert "password" in error["text"], error
        history(bench, "cyd", "SI-202")


def a_wrong_password_for_a_certificate_is_said_and_kept(bench):
    with bench.sipe("dan", password="not this one", scheme="tls-dsk") as dan:
        error = dan.refused()
        assert error["text"], error
        history(bench, "dan", "SI-202")


def a_disabled_person_is_told_so(bench):
    domain = bench.domain
    domain.ctl("user", "disable", bench.address("dan"))
    try:
        with bench.sipe("dan") as dan:
            error = dan.refused()
            assert "isabled" in error["text"] or "administrator" in error["text"], error
            history(bench, "dan", "SI-208")
    finally:
        domain.ctl("user", "enable", bench.address("dan"))


def a_person_without_a_licence_is_told_so(bench):
    domain = bench.domain
    domain.ctl("user", "licence", "take", bench.address("dan"))
    try:
        with bench.sipe("dan") as dan:
            error = dan.refused()
            assert error["text"], error
            history(bench, "dan", "SI-201b")
    finally:
        domain.ctl("user", "licence", "give", bench.address("dan"))


def who_is_disabled_while_signed_in_is_signed_out_with_the_reason(bench):
    domain = bench.domain
    with bench.here("dan") as (dan,):
        since = dan.mark()
        domain.ctl("user", "disable", bench.address("dan"))
        try:
            error = dan.wait("error", since, 10)
            assert error["text"], error
        finally:
            domain.ctl("user", "enable", bench.address("dan"))


# ---- 2: contact lists

def listed(client):
    """{address: group} as the client shows it now."""
    return {e["uri"].removeprefix("sip:"): e["group"] for e in client.seen("buddy")}


def contacts_are_there_again_also_after_kill_9(bench):
    bob, cyd = bench.address("bob"), bench.address("cyd")
    with bench.here("eve") as (eve,):
        eve.say("add", bob, "Friends")
        eve.say("add", cyd, "Work")
        beckon.wait_for("the answers", lambda: answered(eve, "setContact") >= 2)
        eve.say("alias", bob, "Bobby")
        beckon.wait_for("the answer", lambda: answered(eve, "Bobby"))
        eve.quit()
    with bench.here("eve") as (eve,):
        eve.wait("buddy", uri=f"sip:{bob}", group="Friends")
        eve.wait("buddy", uri=f"sip:{cyd}", group="Work")
        eve.wait("buddy-alias", uri=f"sip:{bob}", alias="Bobby")
        eve.say("group-rename", "Work", "Office")
        eve.say("remove", cyd)
        beckon.wait_for("the answers", lambda: answered(eve, "deleteContact") and answered(eve, "modifyGroup"))
        bench.domain.kill()
        eve.wait("disconnected")
    bench.domain.start()
    with bench.here("eve") as (eve,):
        eve.wait("buddy", uri=f"sip:{bob}", group="Friends")
        beckon.wait_for("the list", lambda: [m for m in eve.trace() if m.came and "contactList" in m.body])
        lists = [m.body for m in eve.trace() if m.came and "contactList" in m.body][0]
        assert cyd not in lists, lists
        assert "Office" in lists and '"Work"' not in lists, lists


def two_computers_of_one_person_see_each_others_edits(bench):
    prefix = bench.other_computer()
    with bench.here("cyd") as (desk,), bench.here("cyd", prefix=prefix) as (home,):
        desk.say("add", bench.address("bob"), "Friends")
        home.wait("buddy", uri=f"sip:{bench.address('bob')}", group="Friends", patience=10)
        home.say("remove", bench.address("bob"))
        desk.wait("buddy-removed", uri=f"sip:{bench.address('bob')}", patience=10)


# ---- 3: presence

def published_at(client):
    """When it told the server of its newest status: it gathers changes for a second before."""
    return [m.when for m in client.trace() if m.method == "SERVICE" and not m.came and "<publish" in m.body][-1]


def within_a_second(since_when, what):
    taken = time.time() - since_when
    assert taken < 1, f"{what} took {taken:.2f} s"


def two_of_them_see_each_others_status_and_note(bench):
    with bench.here("ann", "bob") as (ann, bob):
        uri = f"sip:{bob.address}"
        ann.say("add", bob.address, "Friends")
        ann.wait("presence", uri=uri, status="available", patience=10)
        for status in ("busy", "do-not-disturb", "be-right-back", "away", "available"):
            since = ann.mark()
            bob.say("status", status)
            ann.wait("presence", since, uri=uri, status=status)
            within_a_second(published_at(bob), status)
        since = ann.mark()
        bob.say("status", "busy", "in a review")
        ann.wait("presence", since, uri=uri, status="busy", text=lambda t: t and "in a review" in t)
        within_a_second(published_at(bob), "a note")
        since = ann.mark()
        bob.say("status", "available")
        ann.wait("presence", since, uri=uri, status="available", text=lambda t: not t or "in a review" not in t)
        since, gone = ann.mark(), time.time()
        bob.quit()
        ann.wait("presence", since, uri=uri, status="offline")
        within_a_second(gone, "going")
        ann.say("remove", bob.address)


def beckon_cli_and_they_see_each_other(bench):
    with bench.here("ann") as (ann,), bench.cli("bob") as bob:
        bob.sign_in(PASSWORD)
        uri = f"sip:{bob.address}"
        bob.say("status", state="none")
        ann.say("add", bob.address, "Friends")
        ann.wait("presence", uri=uri, status="available", patience=10)
        for said, shown in (("busy", "busy"), ("dnd", "do-not-disturb"), ("away", "away"), ("none", "available")):
            since, start = ann.mark(), time.time()
            bob.say("status", state=said)
            ann.wait("presence", since, uri=uri, status=shown)
            within_a_second(start, said)
        since = bob.mark()
        bob.say("watch", address=ann.address)
        bob.wait("presence", since, address=ann.address, state="available")
        for said, shown in (("busy", "busy"), ("do-not-disturb", "dnd"), ("away", "away"), ("available", "available")):
            since = bob.mark()
            ann.say("status", said)
            bob.wait("presence", since, address=ann.address, state=shown)
            within_a_second(published_at(ann), said)
        since = bob.mark()
        ann.quit()
        bob.wait("presence", since, address=bench.address("ann"), state="offline")
    with bench.here("ann") as (ann,):
        ann.say("remove", bench.address("bob"))


def a_note_from_beckon_cli_reaches_the_same_persons_other_client(bench):
    def notes():
        return [m.body for m in ann.trace() if m.came and 'name="note"' in m.body]

    with bench.here("ann") as (ann,), bench.cli("ann") as cli:
        ann.published()
        cli.sign_in(PASSWORD)
        cli.say("note", text="from the terminal")
        beckon.wait_for("the note", lambda: any(">from the terminal</body>" in n for n in notes()), 10)
        # It goes on from there without a conflict, and the terminal's note gives way.
        ann.say("status", "busy", "from the window")
        beckon.wait_for("its own note", lambda: notes() and ">from the window</body>" in notes()[-1], 10)
        equal([m for m in ann.trace() if m.came and m.status == 409], [])
        ann.say("status", "available")
        cli.say("note", text="")
        beckon.wait_for("no note", lambda: notes() and "from the" not in notes()[-1], 10)


def linphonec_and_they_see_each_other(bench):
    with bench.here("ann") as (ann,), bench.linphonec(watch=["ann"]) as lin:
        lin.wait_presence("ann", "open")
        ann.say("add", bench.address("lin"), "Friends")
        ann.wait("presence", uri=f"sip:{bench.address('lin')}", online="1", patience=10)
        ann.say("status", "busy")
        lin.wait_presence("ann", "busy")
        ann.say("status", "available")
        lin.wait_presence("ann", "open")
        since = ann.mark()
        lin.stop()
        ann.wait("presence", since, 10, uri=f"sip:{bench.address('lin')}", online="0")
        ann.say("remove", bench.address("lin"))


def idle_is_seen(bench):
    with bench.here("ann", "bob") as (ann, bob):
        uri = f"sip:{bob.address}"
        ann.say("add", bob.address, "Friends")
        ann.wait("presence", uri=uri, status="available", patience=10)
        bob.published()
        since = ann.mark()
        bob.say("idle", "on")
        ann.wait("presence", since, uri=uri, status="idle")
        since = ann.mark()
        bob.say("idle", "off")
        bob.say("status", "available")  # as the program around the plugin does
        ann.wait("presence", since, uri=uri, status="available")
        ann.say("remove", bob.address)


def who_appears_offline_is_seen_so_and_sees_the_others(bench):
    with bench.here("ann", "bob") as (ann, bob):
        uri = f"sip:{bob.address}"
        ann.say("add", bob.address, "Friends")
        bob.say("add", ann.address, "Friends")
        ann.wait("presence", uri=uri, status="available", patience=10)
        since = ann.mark()
        bob.say("status", "invisible")
        ann.wait("presence", since, uri=uri, online="0")
        since = bob.mark()
        ann.say("status", "busy")
        bob.wait("presence", since, uri=f"sip:{ann.address}", status="busy")
        since = ann.mark()
        bob.say("status", "available")
        ann.say("status", "available")
        ann.wait("presence", since, uri=uri, status="available")
        ann.say("remove", bob.address)
        bob.say("remove", ann.address)


def a_call_is_seen_by_who_watches(bench):
    with bench.here("ann", "bob", "cyd") as (ann, bob, cyd):
        uri = f"sip:{bob.address}"
        cyd.say("add", bob.address, "Friends")
        cyd.wait("presence", uri=uri, status="available", patience=10)
        since = cyd.mark()
        ann.say("call", bob.address)
        bob.wait("media-state", state="1")
        cyd.wait("presence", since, uri=uri, status="busy", text="In a call")
        since = cyd.mark()
        ann.say("hangup")
        cyd.wait("presence", since, uri=uri, status="available")
        cyd.say("remove", bob.address)


def a_level_shows_what_its_table_says(bench):
    """docs/behaviour.md, "Relations": the state at each level but one, the note from 200 on."""
    domain = bench.domain

    def shown(client, uri):
        since = client.mark()
        client.say("list")
        client.wait("list-end", since)
        event = client.seen("presence", since, uri=uri)[-1]
        return event["status"], "in a review" in (event["text"] or "")

    with bench.here("ann", "bob") as (ann, bob):
        uri = f"sip:{bob.address}"
        ann.say("add", bob.address, "Friends")
        bob.say("status", "busy", "in a review")
        ann.wait("presence", uri=uri, status="busy", text=lambda t: t and "in a review" in t)
        for level, note in (("100", False), ("200", True), ("300", True), ("100", False), ("400", True)):
            domain.ctl("relation", "set", bob.address, ann.address, level)
            beckon.wait_for(f"what level {level} shows", lambda n=note: shown(ann, uri) == ("busy", n), 10, every=0.2)
        since = ann.mark()
        domain.ctl("relation", "block", bob.address, ann.address)
        ann.wait("presence", since, uri=uri, online="0", text=lambda t: not t or "review" not in t)
        since = ann.mark()
        domain.ctl("relation", "unblock", bob.address, ann.address)
        ann.wait("presence", since, uri=uri, status="busy")
        bob.say("status", "available")
        ann.say("remove", bob.address)


def who_is_blocked_sees_nobody_there_and_is_not_heard(bench):
    with bench.here("ann", "bob") as (ann, bob):
        uri = f"sip:{ann.address}"
        bob.say("add", ann.address, "Friends")
        bob.wait("presence", uri=uri, status="available", patience=10)
        since = bob.mark()
        ann.say("block", bob.address)
        bob.wait("presence", since, 10, uri=uri, online="0")
        mark = ann.mark()
        bob.send(ann.address, "can you hear me")
        bob.wait("conv-error", since, 10)
        equal(ann.received(mark), [])
        since = bob.mark()
        ann.say("unblock", bob.address)
        bob.wait("presence", since, 10, uri=uri, online="1")
        bob.say("remove", ann.address)


# ---- 4: messages

def messages_arrive_in_order_each_once_both_ways(bench):
    n = 1000
    with bench.here("ann", "bob") as (ann, bob):
        for sender, receiver in ((ann, bob), (bob, ann)):
            since = receiver.mark()
            for i in range(n):
                sender.send(receiver.address, f"number {i}")
            receiver.wait("im-in", since, text=f"number {n - 1}")
            equal(receiver.received(since), [(sender.address, f"number {i}") for i in range(n)])
        equal(ann.seen("conv-error") + bob.seen("conv-error"), [])


def messages_for_somebody_who_signs_out_and_in_are_kept(bench):
    n = 100
    with bench.here("ann") as (ann,):
        got, sent = [], 0
        for _ in range(3):
            with bench.here("bob") as (bob,):
                for _ in range(n):
                    ann.send(bob.address, f"number {sent}")
                    sent += 1
                bob.wait("im-in", text=f"number {sent - 1}")
                bob.quit()
                got += [text for _, text in bob.received()]
            for _ in range(n):
                ann.send(bench.address("bob"), f"number {sent}")
                sent += 1
        with bench.here("bob") as (bob,):
            bob.wait("im-in", text=f"number {sent - 1}")
            got += [text for _, text in bob.received()]
            # And on from there, in whatever dialog they are by now.
            since = ann.mark()
            bob.send(ann.address, "back again")
            ann.wait("im-in", since, text="back again")
            since = bob.mark()
            ann.send(bob.address, "fine")
            bob.wait("im-in", since, text="fine")
        equal(got, [f"number {i}" for i in range(sent)])
        equal(ann.seen("conv-error"), [])


def typing_is_seen(bench):
    with bench.here("ann", "bob") as (ann, bob):
        ann.send(bob.address, "hello")
        bob.wait("im-in", text="hello")
        ann.say("typing", bob.address)
        bob.wait("typing", patience=5, state="typing")


def what_is_said_to_somebody_on_two_computers_comes_once_to_one(bench):
    prefix = bench.other_computer()
    with bench.here("ann") as (ann,), bench.here("cyd") as (desk,), bench.here("cyd", prefix=prefix) as (home,):
        ann.send(desk.address, "which of you")
        # A client that knows of another one of its person takes a conversation after ten seconds, or when somebody types.
        beckon.wait_for("the message", lambda: desk.received() + home.received(), 25)
        first, other = (desk, home) if desk.received() else (home, desk)
        since = ann.mark()
        first.send(ann.address, "this one")
        ann.wait("im-in", since, text="this one")
        ann.send(desk.address, "then go on")
        first.wait("im-in", text="then go on")
        equal((len(first.received()), other.received()), (2, []))
        equal(ann.seen("conv-error"), [])


def beckon_cli_and_they_write_to_each_other(bench):
    with bench.here("ann") as (ann,), bench.cli("bob") as bob:
        bob.sign_in(PASSWORD)
        for i in range(5):
            since, mark = ann.mark(), bob.mark()
            equal(bob.send(ann.address, f"from beckon-cli {i}, grüße & <b>")["state"], "sent")
            ann.wait("im-in", since, text=f"from beckon-cli {i}, grüße & <b>")
            ann.send(bob.address, f"<b>to</b> beckon-cli {i}, grüße &amp; &lt;b&gt;")
            bob.wait("message", mark, text=f"to beckon-cli {i}, grüße & <b>")
        bob.sign_out()
        ann.send(bench.address("bob"), "kept")
        since = bob.mark()
        bob.sign_in()
        bob.wait("message", since, text="kept")
        equal(ann.seen("conv-error"), [])


def said_inside(client):
    """The sessions that this client took part in, by Call-ID, each with how many messages went through it, either way."""
    found = {}
    for m in client.trace():
        if m.start.startswith("INVITE") and "m=message" in m.body and "ocschat" not in m.start:  # that asks for persistent chat
            found.setdefault(m.get("call-id"), 0)
        if m.start.startswith("MESSAGE"):
            found[m.get("call-id")] = found.get(m.get("call-id"), 0) + 1
    return list(found.values())


def beckon_cli_and_they_talk_in_one_session_whoever_begins(bench):
    for theirs_first in (False, True):
        with bench.here("ann") as (ann,), bench.cli("bob") as bob:
            bob.sign_in(PASSWORD)
            for i in range(5):
                for theirs in ((True, False) if theirs_first else (False, True)):
                    since, mark = ann.mark(), bob.mark()
                    if theirs:
                        ann.send(bob.address, f"number {i}")
                        bob.wait("message", mark, text=f"number {i}")
                    else:
                        equal(bob.send(ann.address, f"number {i}")["state"], "sent")
                        ann.wait("im-in", since, text=f"number {i}")
            equal(said_inside(ann), [10], "messages in each session")
            since, mark = ann.mark(), bob.mark()
            ann.say("typing", bob.address)
            bob.wait("typing", mark, **{"from": ann.address, "typing": True})
            bob.say("typing", to=ann.address)
            ann.wait("typing", since, state="typing")
            equal(said_inside(ann), [10], "messages in each session, after somebody typed")
            # Whoever closes the window ends it; the next word begins another.
            if theirs_first:
                ann.say("close", bob.address)
            else:
                bob.say("close", address=ann.address)
            beckon.wait_for("the end", lambda: [m for m in ann.trace() if m.status == 200 and m.method == "BYE"])
            since = ann.mark()
            equal(bob.send(ann.address, "one more thing")["state"], "sent")
            ann.wait("im-in", since, text="one more thing")
            mark = bob.mark()
            ann.send(bob.address, "what is it")
            bob.wait("message", mark, text="what is it")
            equal(said_inside(ann), [10, 2], "messages in each session")
            equal(ann.seen("conv-error"), [])


def beckon_cli_loses_its_server_and_goes_on_talking_with_them(bench):
    """Sessions outlive nothing on our side; on theirs they may, and what they say in one still arrives."""
    with bench.here("ann", options=("--stay",)) as (ann,), bench.cli("bob") as bob:
        bob.sign_in(PASSWORD)
        equal(bob.send(ann.address, "hello")["state"], "sent")
        ann.wait("im-in", text="hello")
        bob.kill()
        with bench.cli("bob") as back:
            back.sign_in()
            mark = back.mark()
            ann.send(back.address, "are you there")  # in the session that nobody has any more
            back.wait("message", mark, text="are you there")
            since = ann.mark()
            equal(back.send(ann.address, "again")["state"], "sent")
            ann.wait("im-in", since, text="again")
        equal(ann.seen("conv-error"), [])


def linphonec_and_they_write_to_each_other(bench):
    with bench.here("ann") as (ann,), bench.linphonec() as lin:
        lin.send_message("ann", "hello ann, this is linphonec")
        ann.wait("im-in", patience=10, text="hello ann, this is linphonec")
        ann.send(bench.address("lin"), "hello yourself")
        lin.wait_message("ann", "hello yourself")
        ann.send(bench.address("lin"), "and more in the same session")
        lin.wait_message("ann", "and more in the same session")
        equal(ann.seen("conv-error"), [])


def what_beckon_cli_wrote_to_somebody_away_comes_under_its_name(bench):
    with bench.cli("bob") as bob:
        bob.sign_in(PASSWORD)
        for i in range(5):
            equal(bob.send(bench.address("ann"), f"kept {i}")["state"], "stored")
    with bench.here("ann") as (ann,):
        ann.wait("im-in", patience=10, text="kept 4")
        equal(ann.received(), [(bench.address("bob"), f"kept {i}") for i in range(5)])


# ---- 5: calls

def twenty_calls_connect_are_heard_and_end(bench):
    with bench.here("ann", "bob") as (ann, bob):
        beckon.wait_for("provisioning", lambda: [m for m in ann.trace() if m.came and "provisionGroup" in m.body])
        for i in range(20):
            caller, callee = (ann, bob) if i % 2 == 0 else (bob, ann)
            marks = caller.mark(), callee.mark()
            caller.say("call", callee.address)
            for client, mark in zip((caller, callee), marks):
                client.wait("media-state", mark, state="1")
                client.wait("media-heard", mark)
            (ann if i % 3 else bob).say("hangup")
            for client, mark in zip((caller, callee), marks):
                client.wait("media-state", mark, state="2")
        equal(ann.seen("notify", level="error") + bob.seen("notify", level="error"), [])


# ---- 6: the server starts again

BACK_S = 30  # from the client's own reconnect until all is as it was


def subscribed(client, since=0.0):
    """The events of its subscriptions that were accepted since then."""
    trace = [m for m in client.trace() if m.when >= since]
    asked = {(m.get("call-id"), m.get("cseq")): m.get("event") for m in trace if not m.came and m.start.startswith("SUBSCRIBE")}
    return {asked[key] for m in trace if m.came and m.status == 200 and (key := (m.get("call-id"), m.get("cseq"))) in asked}


def after_a_restart_they_are_back_with_lists_and_presence(bench):
    def until(deadline):
        return max(deadline - time.time(), 0.1)

    with bench.here("ann", "bob", options=("--stay",)) as (ann, bob):
        for client, other, group in ((ann, bob, "Friends"), (bob, ann, "Work")):
            client.say("add", other.address, group)
            client.wait("presence", uri=f"sip:{other.address}", status="available", patience=10)
        ann.say("add", bench.address("cyd"), "Work")
        beckon.wait_for("the answers", lambda: answered(ann, "setContact") >= 2)
        before = {client: subscribed(client) for client in (ann, bob)}
        assert {"presence", "vnd-microsoft-roaming-contacts", "vnd-microsoft-roaming-self"} <= before[ann], before[ann]
        marks = ann.mark(), bob.mark()
        bench.domain.stop_server()
        for client, mark in zip((ann, bob), marks):
            client.wait("disconnected", mark)
        bench.domain.start()
        marks, back = (ann.mark(), bob.mark()), time.time()
        deadline = back + BACK_S
        for client in (ann, bob):
            client.say("connect")
        for client, other, mark in zip((ann, bob), (bob, ann), marks):
            client.wait("connected", mark, patience=until(deadline))
            client.wait("presence", mark, until(deadline), uri=f"sip:{other.address}", status="available")
            beckon.wait_for("the same subscriptions", lambda c=client: subscribed(c, back) >= before[c], until(deadline))
        lists = {client: [m.body for m in client.trace() if m.came and m.when >= back and "<contactList" in m.body][0]
                 for client in (ann, bob)}
        assert time.time() < deadline, f"{time.time() - back:.1f} s until all was back"
        for client, wanted in ((ann, (bob.address, bench.address("cyd"), "Friends", "Work")), (bob, (ann.address, "Work"))):
            assert all(part in lists[client] for part in wanted), lists[client]
        for client, other in ((ann, bob), (bob, ann)):
            since = client.mark()
            other.say("status", "busy")
            client.wait("presence", since, 10, uri=f"sip:{other.address}", status="busy")
        since = bob.mark()
        ann.send(bob.address, "after the restart")
        bob.wait("im-in", since, text="after the restart")
        for client in (ann, bob):
            client.say("status", "available")
        bob.say("remove", ann.address)
        ann.say("remove", bob.address)
        ann.say("remove", bench.address("cyd"))
        beckon.wait_for("the answers", lambda: answered(ann, "deleteContact") >= 2 and answered(bob, "deleteContact"))


CASES = [a_refused_connection_is_told_to_the_person, signs_in_by_ntlm_over_tls, signs_in_by_ntlm_over_tcp,
         signs_in_by_tls_dsk_over_tls, signs_in_by_tls_dsk_over_tcp, chooses_tls_dsk_by_itself,
         a_wrong_password_is_said_and_kept, a_wrong_password_for_a_certificate_is_said_and_kept, a_disabled_person_is_told_so,
         a_person_without_a_licence_is_told_so, who_is_disabled_while_signed_in_is_signed_out_with_the_reason,
         contacts_are_there_again_also_after_kill_9, two_computers_of_one_person_see_each_others_edits,
         two_of_them_see_each_others_status_and_note, beckon_cli_and_they_see_each_other,
         a_note_from_beckon_cli_reaches_the_same_persons_other_client, linphonec_and_they_see_each_other,
         idle_is_seen,
         who_appears_offline_is_seen_so_and_sees_the_others, a_call_is_seen_by_who_watches,
         a_level_shows_what_its_table_says,
         who_is_blocked_sees_nobody_there_and_is_not_heard, messages_arrive_in_order_each_once_both_ways,
         messages_for_somebody_who_signs_out_and_in_are_kept, typing_is_seen,
         what_is_said_to_somebody_on_two_computers_comes_once_to_one, beckon_cli_and_they_write_to_each_other,
         beckon_cli_and_they_talk_in_one_session_whoever_begins, beckon_cli_loses_its_server_and_goes_on_talking_with_them,
         linphonec_and_they_write_to_each_other, what_beckon_cli_wrote_to_somebody_away_comes_under_its_name,
         twenty_calls_connect_are_heard_and_end, after_a_restart_they_are_back_with_lists_and_presence]


def main():
    build, program = sys.argv.pop(1), sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        tcp = beckon.free_port()
        # By that name the certificate services are found without a name server, and linphonec believes the certificate.
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", host="localhost",
                               settings=[f"server.shards={shards}", f"listen.tcp=127.0.0.1:{tcp}"])
        domain.init()
        domain.ctl("policy", "set", "ntlm-signin", "on")
        domain.ctl("policy", "set", "cleartext-signin", "on")
        for name in ("ann", "bob", "cyd", "dan", "eve", "lin"):
            domain.add_user(name, PASSWORD)
        domain.ctl("user", "device-password", "add", f"lin@{domain.domain}", "interop", "--stdin", stdin=DEVICE_PASSWORD + "\n")
        with domain:
            domain.start()
            domain.start_dns()
            status = tap.main(CASES, Bench(domain, program))
            log = domain.log_path.read_text(errors="replace")
            if "Sanitizer" in log or "runtime error:" in log:
                print("# a sanitizer found a fault in the server:")
                print("".join(f"# {line}\n" for line in log.splitlines()[-60:]))
                return 1
            return status


if __name__ == "__main__":
    sys.exit(main())
