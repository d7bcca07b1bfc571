#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Contact lists, groups, relations and searches between the real programs.

usage: contacts.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


def edit(client, command, done=True, **fields):
    """One change, or question; what it ended with."""
    since = client.mark()
    client.say(command, **fields)
    number = client.wait("accepted", since)["id"]
    end = client.wait("edited", since, id=number)
    equal(end["done"], done, f"{command} {fields}: {end['text']}")
    return end


def contacts_of(client):
    """The whole list as the client has it: groups, and who is in which."""
    since = client.mark()
    edit(client, "contacts")
    told = client.wait("contacts", since, whole=True)
    return told["groups"], {c["address"].split("@")[0]: (c["name"], sorted(c["groups"])) for c in told["contacts"]}


def edits_survive_the_server_being_killed(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)
        edit(ann, "add-group", group="Friends <3")
        edit(ann, "add-group", group="Work")
        edit(ann, "add-contact", address=f"bob@{domain.domain}", group="Work", name="Bob at work")
        edit(ann, "add-contact", address=f"cyd@{domain.domain}", group="Work")
        edit(ann, "move-contact", address=f"cyd@{domain.domain}", group="Work", to="Friends <3")
        edit(ann, "add-contact", address=f"dan@{domain.domain}")
        edit(ann, "remove-contact", address=f"dan@{domain.domain}")
        edit(ann, "rename-contact", address=f"cyd@{domain.domain}", name="Cyd")
        edit(ann, "rename-group", group="Work", to="Office")
        wanted = (["Friends <3", "Office"], {"bob": ("Bob at work", ["Office"]), "cyd": ("Cyd", ["Friends <3"])})
        equal(contacts_of(ann), wanted)
        since = ann.mark()
        domain.kill()
        ann.wait("state", since, state="reconnecting")
        equal(edit(ann, "add-group", done=False, group="Nowhere")["text"],
              "There is no connection to the server now. Nothing was changed.")
        domain.start()
        ann.wait("state", since, state="signed-in")
        equal(contacts_of(ann), wanted)
    with domain.client("ann", profile="ann-elsewhere") as ann:
        ann.sign_in(PASSWORD)
        equal(contacts_of(ann), wanted)
        edit(ann, "delete-group", group="Office")
        groups, people = contacts_of(ann)
        equal((groups, people["bob"]), (["Friends <3"], ("Bob at work", [])))
        edit(ann, "remove-contact", address=f"bob@{domain.domain}")
        edit(ann, "remove-contact", address=f"cyd@{domain.domain}")


def mistakes_are_told_and_change_nothing(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)
        before = contacts_of(ann)
        for command, fields, text in (
                ("move-contact", {"address": f"eve@{domain.domain}", "group": "No", "to": "Neither"}, "no group"),
                ("rename-contact", {"address": f"eve@{domain.domain}", "name": "E"}, "not on the contact list"),
                ("delete-group", {"group": "No"}, "no group"),
                ("acknowledge", {"address": f"eve@{domain.domain}"}, "did not put you")):
            told = edit(ann, command, done=False, **fields)["text"]
            assert text in told, told
        since = ann.mark()
        ann.say("add-contact", address="nobody")
        equal(ann.wait("error", since)["where"], "address; name, group")
        equal(contacts_of(ann), before)


def two_endpoints_of_a_person_see_each_others_edits(domain):
    with domain.client("bob") as desk, domain.client("bob", profile="bob-laptop") as laptop:
        desk.sign_in(PASSWORD)
        laptop.sign_in(PASSWORD)
        contacts_of(laptop)
        since = laptop.mark()
        edit(desk, "add-group", group="Both")
        laptop.wait("contacts", since, groups=lambda g: g and "Both" in g)
        edit(desk, "add-contact", address=f"ann@{domain.domain}", group="Both")
        laptop.wait("contacts", since, contacts=lambda c: [f"ann@{domain.domain}"] == [r["address"] for r in c])
        since = desk.mark()
        edit(laptop, "remove-contact", address=f"ann@{domain.domain}")
        desk.wait("contacts", since, gone=[f"ann@{domain.domain}"])
        edit(laptop, "delete-group", group="Both")
        equal(contacts_of(laptop), ([], {}))
        desk.wait("contacts", since, whole=True, groups=[])


def contacts_are_watched_from_the_list(domain):
    with domain.client("ann") as ann, domain.client("bob") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        since = ann.mark()
        edit(ann, "add-contact", address=bob.address)
        ann.wait("presence", since, address=bob.address, state="available")
        since = ann.mark()
        bob.say("status", state="busy")
        bob.say("note", text="in a <hurry>")
        ann.wait("presence", since, address=bob.address, state="busy", note="in a <hurry>")
        bob.say("machine", state="inactive")
        bob.say("status", state="none")
        ann.wait("presence", since, address=bob.address, state="available-inactive")
        bob.say("note", text="")
        ann.wait("presence", since, address=bob.address, state="available-inactive", note="")
        since = ann.mark()
        bob.kill()
        ann.wait("presence", since, address=bob.address, state="offline")
        since = ann.mark()
        domain.kill()
        ann.wait("presence", since, address=bob.address, state="unknown")
        domain.start()
        ann.wait("presence", since, address=bob.address, state="offline")
        edit(ann, "remove-contact", address=bob.address)


def a_status_set_on_one_endpoint_is_not_undone_by_another(domain):
    with domain.client("bob") as desk, domain.client("bob", profile="bob-laptop") as laptop:
        desk.sign_in(PASSWORD)
        laptop.sign_in(PASSWORD)
        since = laptop.mark()
        for client, state in ((desk, "dnd"), (laptop, "brb"), (desk, "busy")):
            client.say("status", state=state)
            laptop.wait("presence", since, own=True, state=state)
            desk.wait("presence", own=True, state=state)
        since = desk.mark()
        laptop.say("machine", state="away")
        laptop.say("note", text="still here")
        desk.wait("presence", since, own=True, state="busy", note="still here")
        desk.say("status", state="none")
        desk.say("note", text="")
        desk.wait("presence", since, own=True, state="available", note="")


def who_added_one_is_told_and_acknowledged(domain):
    with domain.client("cyd") as cyd, domain.client("dan") as dan:
        cyd.sign_in(PASSWORD)
        dan.sign_in(PASSWORD)
        contacts_of(cyd)
        since = cyd.mark()
        edit(dan, "add-contact", address=cyd.address)
        told = cyd.wait("followers", since, followers=lambda f: dan.address in [r["address"] for r in f])["followers"]
        equal([f["acknowledged"] for f in told if f["address"] == dan.address], [False])
        edit(cyd, "acknowledge", address=dan.address)
        since = cyd.mark()
        cyd.sign_out()
        cyd.sign_in()
        told = cyd.wait("followers", since)["followers"]
        equal([f for f in told if f["address"] == dan.address and not f["acknowledged"]], [])


def block_hides_and_unblock_shows(domain):
    with domain.client("ann") as ann, domain.client("cyd") as cyd:
        ann.sign_in(PASSWORD)
        cyd.sign_in(PASSWORD)
        since = cyd.mark()
        edit(cyd, "add-contact", address=ann.address)
        ann.say("note", text="for colleagues")
        cyd.wait("presence", since, address=ann.address, state="available", note="for colleagues")
        since = cyd.mark()
        mark = ann.mark()
        edit(ann, "block", address=cyd.address)
        cyd.wait("presence", since, address=ann.address, state="offline", note="")
        ann.wait("relations", mark, relations=lambda r: {"subject": cyd.address, "level": 32000} in r)
        equal(cyd.send(ann.address, "can you hear me?")["state"], "failed")
        since = cyd.mark()
        edit(ann, "unblock", address=cyd.address)
        cyd.wait("presence", since, address=ann.address, state="available", note="for colleagues")
        since = cyd.mark()
        edit(ann, "relation", address=cyd.address, level=100)
        cyd.wait("presence", since, address=ann.address, state="available", note="")
        mark = ann.mark()
        edit(ann, "relation", address=cyd.address, level=0)
        cyd.wait("presence", since, address=ann.address, note="for colleagues")
        ann.say("note", text="")


def a_script_edits_and_asks_with_one_command_each(domain):
    def run(*words, status=0):
        done = subprocess.run([domain.programs.cli, "--address", f"dan@{domain.domain}", "--profile",
                               str(domain.folder / "profiles" / "script"), "--ca", str(domain.ca), "--dns",
                               domain.dns_address, "--password-file", str(domain.folder / "password"), *words],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        equal(done.returncode, status, f"{words}: {done.stdout} {done.stderr}")
        return done.stdout
    (domain.folder / "password").write_text(PASSWORD + "\n")
    run("add-group", "Close friends")
    run("add", f"ann@{domain.domain}", "Close friends")
    run("rename", f"ann@{domain.domain}", "Ann S.")
    run("block", f"bob@{domain.domain}")
    run("move", f"ann@{domain.domain}", "No such group", "Close friends", status=1)
    run("relation", f"ann@{domain.domain}", "best-friend", status=2)
    out = run("contacts")
    assert "Close friends\n" in out and f"  ann@{domain.domain} (Ann S.)\n" in out, out
    out = run("relations")
    assert f"  blocked              bob@{domain.domain}\n" in out, out
    run("unblock", f"bob@{domain.domain}")
    assert "bob@" not in run("relations")
    assert f"cyd@{domain.domain}" in run("search", "cyd")
    equal(run("search", "nobody", "at", "all"), "  Nobody was found.\n")


def people_are_found_in_the_directory(domain):
    with domain.client("ann") as ann:
        ann.sign_in(PASSWORD)

        def found(text):
            since = ann.mark()
            edit(ann, "search", text=text)
            return sorted(p["address"].split("@")[0] for p in ann.wait("found", since)["people"])
        equal(found("cyd"), ["cyd"])
        equal(found(f"bob@{domain.domain}"), ["bob"])
        equal(found("Mac Lear"), ["dan"])
        equal(found("nobody at all"), [])
        ann.say("watch", address=f"dan@{domain.domain}")  # the name comes with the presence, too
        ann.wait("presence", address=f"dan@{domain.domain}", name="Dan Mac Lear")


CASES = [edits_survive_the_server_being_killed, mistakes_are_told_and_change_nothing,
         two_endpoints_of_a_person_see_each_others_edits, contacts_are_watched_from_the_list,
         a_status_set_on_one_endpoint_is_not_undone_by_another, who_added_one_is_told_and_acknowledged,
         block_hides_and_unblock_shows, a_script_edits_and_asks_with_one_command_each,
         people_are_found_in_the_directory]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd"):
            domain.add_user(name, PASSWORD)
        domain.add_user("dan", PASSWORD, name="Dan Mac Lear")
        with domain:
            domain.start()
            domain.start_dns()
            return tap.main(CASES, domain)


if __name__ == "__main__":
    sys.exit(main())
