#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists and presence of a stock Lync-compatible client (sipe/README.md), beside beckon-cli and linphonec.

usage: lync_presence.py BUILD_FOLDER SIPE_DRIVE [SHARDS] [CASE ...]
"""
import pathlib
import subprocess
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


class Bench:
    def __init__(self, domain, program):
        self.domain, self.program = domain, program

    def uri(self, name):
        return f"sip:{name}@{self.domain.domain}"

    def sipe(self, name, **options):
        if missing := sipe_client.missing(self.program):
            raise tap.Skip(missing)
        return Sipe(self.program, f"{name}@{self.domain.domain}", PASSWORD, server=f"127.0.0.1:{self.domain.tls_port}", **options)


def ready(*sipes):
    """Signed in, the list read, the first status published: before that the client takes its own buddies for stale."""
    for sipe in sipes:
        sipe.signed_in()
        acknowledged(sipe, "roamingData", "SERVICE")


def acknowledged(sipe, words, method="SERVICE", times=1):
    """The server's 200 to so many requests of that kind; the client says nothing of it, its trace does."""
    beckon.wait_for(f"{words} in an answer", lambda: sum(
        m.came and m.status == 200 and m.method == method and words in m.body for m in sipe.trace()) >= times)


def shows(bench, sipe, who, since=0, **fields):
    return sipe.wait("presence", since, uri=bench.uri(who), **fields)


def buddies_are_there_in_the_next_sign_in_whatever_happened_to_the_server(bench):
    domain = bench.domain
    with bench.sipe("ann") as ann:
        ready(ann)
        for n, (who, group) in enumerate((("bob", "Friends"), ("cyd", "Work"), ("dan", "Friends")), 1):
            ann.say("add", f"{who}@{domain.domain}", group)
            acknowledged(ann, "setContact", times=n)
        ann.say("alias", f"bob@{domain.domain}", "Bobby")
        acknowledged(ann, "setContact", times=4)
        ann.say("remove", f"dan@{domain.domain}")
        acknowledged(ann, "deleteContact")
        domain.kill()
        ann.kill()
    domain.start()
    with bench.sipe("ann") as ann:
        ready(ann)
        equal(ann.wait("buddy", uri=bench.uri("bob"))["group"], "Friends")
        equal(ann.wait("buddy", uri=bench.uri("cyd"))["group"], "Work")
        ann.wait("buddy-alias", uri=bench.uri("bob"), alias="Bobby")
        equal(ann.seen("buddy", uri=bench.uri("dan")), [], "who was removed")


def status_and_note_reach_the_other(bench):
    with bench.sipe("ann") as ann, bench.sipe("bob") as bob:
        ready(ann, bob)
        ann.say("add", bench.uri("bob")[4:])
        bob.say("add", bench.uri("ann")[4:])
        shows(bench, ann, "bob", status="available")
        shows(bench, bob, "ann", status="available")
        for status in ("busy", "do-not-disturb", "be-right-back", "away", "available"):
            since = ann.mark()
            bob.say("status", status, f"now {status}")
            acknowledged(bob, f"now {status}")  # when it leaves is the client's affair, from here on it is the server's
            taken = time.monotonic()
            event = shows(bench, ann, "bob", since, status=status, text=lambda t, s=status: t and f"now {s}" in t)
            if event["at"] - taken > 1:
                raise AssertionError(f"{status} took {event['at'] - taken:.2f} s to the watcher")
        since = ann.mark()
        bob.say("status", "invisible")
        shows(bench, ann, "bob", since, status="offline")
        since = ann.mark()
        bob.say("status", "available")
        shows(bench, ann, "bob", since, status="available")
        since = ann.mark()
        bob.quit()
        shows(bench, ann, "bob", since, status="offline")


def block_hides_and_unblock_shows(bench):
    with bench.sipe("ann") as ann, bench.sipe("bob") as bob:
        ready(ann, bob)
        ann.say("add", bench.uri("bob")[4:])
        bob.say("add", bench.uri("ann")[4:])
        shows(bench, ann, "bob", status="available")
        bob.wait("buddy", uri=bench.uri("ann"))
        since = ann.mark()
        bob.say("block", bench.uri("ann")[4:])
        shows(bench, ann, "bob", since, status="offline")
        since = ann.mark()
        bob.say("status", "busy", "secret")
        acknowledged(bob, "secret")
        bob.say("unblock", bench.uri("ann")[4:])
        shows(bench, ann, "bob", since, status="busy")
        # What came through before the unblocking would stand in front of it.
        equal(ann.seen("presence", since, uri=bench.uri("bob"))[0]["status"], "busy", "what came first")


def the_own_client_and_this_one_see_each_other(bench):
    with bench.sipe("fay") as fay, bench.domain.client("dan") as dan:
        ready(fay)
        dan.sign_in(PASSWORD)
        dan.say("watch", address=bench.uri("fay")[4:])
        dan.wait("presence", address=bench.uri("fay")[4:], state="available")
        fay.say("add", bench.uri("dan")[4:])
        shows(bench, fay, "dan", status="available")
        for own, theirs in (("busy", "busy"), ("dnd", "do-not-disturb"), ("brb", "be-right-back"), ("away", "away"), ("none", "available")):
            since = fay.mark()
            dan.say("status", state=own)
            shows(bench, fay, "dan", since, status=theirs)
        since = fay.mark()
        dan.say("note", text="from the terminal")
        shows(bench, fay, "dan", since, text=lambda t: t and "from the terminal" in t)
        for theirs, own in (("busy", "busy"), ("do-not-disturb", "dnd"), ("be-right-back", "brb"), ("away", "away"),
                            ("invisible", "offline"), ("available", "available")):
            since = dan.mark()
            fay.say("status", theirs)
            dan.wait("presence", since, address=bench.uri("fay")[4:], state=own)
        since = dan.mark()
        fay.say("status", "available", "from the window")
        dan.wait("presence", since, address=bench.uri("fay")[4:], note="from the window")


def a_plain_client_and_this_one_see_each_other(bench):
    domain = bench.domain
    if missing := clients.Linphonec.missing():
        raise tap.Skip(f"missing: {missing}")
    domain.ctl("user", "device-password", "add", f"cyd@{domain.domain}", "linphonec", "--stdin", stdin=PASSWORD.replace(" ", "-") + "\n")
    server = clients.Server("localhost", "127.0.0.1", domain.tls_port, domain.domain, str(domain.ca))
    with bench.sipe("ann") as ann:
        ready(ann)
        ann.say("add", bench.uri("cyd")[4:])
        shows(bench, ann, "cyd", status="offline")
        since = ann.mark()
        cyd = clients.Linphonec(server, clients.Account("cyd", PASSWORD.replace(" ", "-"), "SHA-256"), watch=["ann"])
        cyd.start()
        try:
            cyd.wait_registered()
            shows(bench, ann, "cyd", since, status="available")
            cyd.wait_presence("ann", "open")
            ann.say("status", "busy")
            cyd.wait_presence("ann", "busy")
            since = ann.mark()
        finally:
            cyd.stop()
        shows(bench, ann, "cyd", since, status="offline")


def two_endpoints_of_one_person_see_each_others_edits(bench):
    # One person on one computer is one endpoint to this client: the second one gets a name of its own.
    elsewhere = ("unshare", "--map-root-user", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "--")
    if subprocess.run([*elsewhere, "true"], capture_output=True).returncode:
        raise tap.Skip("no namespace for another host name")
    with bench.sipe("eve") as desk, bench.sipe("eve", prefix=elsewhere) as lap:
        ready(desk, lap)
        ends = {c.trace()[0].get("from").rpartition("epid=")[2] for c in (desk, lap)}
        equal(len(ends), 2, "endpoints")
        desk.say("add", bench.uri("bob")[4:], "Mates")
        equal(lap.wait("buddy", uri=bench.uri("bob"))["group"], "Mates")
        since = desk.mark()
        lap.say("remove", bench.uri("bob")[4:])
        desk.wait("buddy-removed", since, uri=bench.uri("bob"))
        since = lap.mark()
        desk.say("status", "do-not-disturb")
        lap.wait("self-status", since, status="do-not-disturb")


def who_is_put_on_a_list_learns_it_once_and_can_look_who_it_is(bench):
    with bench.sipe("gus") as gus:
        ready(gus)
        with bench.sipe("eve") as eve:
            ready(eve)
            eve.say("add", bench.uri("gus")[4:])
            shows(bench, eve, "gus", status="available")
            beckon.wait_for("the acknowledgement", lambda: any(
                not m.came and "setSubscribers" in m.body and "eve@" in m.body for m in gus.trace()))
        gus.say("info", bench.uri("eve")[4:])
        equal(gus.wait("userinfo", label="Display name")["value"], "eve")
        equal(gus.wait("userinfo", label="Email address")["value"], bench.uri("eve")[4:])
        with bench.sipe("eve") as eve:
            ready(eve)
            shows(bench, eve, "gus", status="available")
        equal(sum(not m.came and "setSubscribers" in m.body for m in gus.trace()), 1, "acknowledgements")


CASES = [buddies_are_there_in_the_next_sign_in_whatever_happened_to_the_server, status_and_note_reach_the_other,
         block_hides_and_unblock_shows, the_own_client_and_this_one_see_each_other, a_plain_client_and_this_one_see_each_other,
         two_endpoints_of_one_person_see_each_others_edits, who_is_put_on_a_list_learns_it_once_and_can_look_who_it_is]


def main():
    build, program = sys.argv.pop(1), sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", host="localhost",
                               settings=[f"server.shards={shards}"])
        domain.init()
        domain.ctl("policy", "set", "ntlm-signin", "on")
        for name in ("ann", "bob", "cyd", "dan", "eve", "fay", "gus"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            return tap.main(CASES, Bench(domain, program))


if __name__ == "__main__":
    sys.exit(main())
