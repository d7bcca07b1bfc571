#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stock Lync-compatible client (sipe/README.md) signs in by TLS-DSK at a server that it was given, and is refused.

usage: lync_signin.py BUILD_FOLDER SIPE_DRIVE [SHARDS] [CASE ...]
"""
import datetime
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "scenario", HERE.parents[1] / "tools"):
    sys.path.insert(0, str(folder))
import beckon  # noqa: E402
import sipe_client  # noqa: E402
import tap  # noqa: E402
from sipe_client import Sipe  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


class Bench:
    def __init__(self, domain, program):
        self.domain, self.program = domain, program

    def address(self, name):
        return f"{name}@{self.domain.domain}"

    def sipe(self, name, password=PASSWORD, transport="tls", scheme="tls-dsk", **options):
        if missing := sipe_client.missing(self.program):
            raise tap.Skip(missing)
        options.setdefault("server", f"127.0.0.1:{self.domain.ports[transport]}")
        return Sipe(self.program, self.address(name), password, transport=transport, scheme=scheme, **options)

    def history(self, name):
        rows = self.domain.ctl("user", "history", self.address(name), as_json=True, check=False) or []
        return rows if isinstance(rows, list) else rows["rows"]

    def sessions(self, name):
        rows = self.domain.ctl("user", "sessions", self.address(name), as_json=True) or []
        return rows if isinstance(rows, list) else rows["sessions"]


def schemes(client):
    """Of the requests that it signed."""
    return {m.get("authorization").split(" ")[0] for m in client.trace() if not m.came and m.get("authorization")}


def registered(client):
    """The answers 200 to its REGISTERs."""
    return [m for m in client.trace() if m.came and m.status == 200 and m.method == "REGISTER"]


def signs_in_over_tls_and_where_policy_allows_it_over_tcp(bench):
    with bench.sipe("ann", transport="tcp") as ann:
        assert "the way of signing in that your organisation requires" in ann.refused()["text"]
    bench.domain.ctl("policy", "set", "cleartext-signin", "on")
    for transport in ("tls", "tcp"):
        with bench.sipe("ann", transport=transport) as ann:
            ann.signed_in()
            equal(schemes(ann), {"TLS-DSK"}, transport)
            assert registered(ann)[0].get("authentication-info").startswith("TLS-DSK "), "the answer is not signed"
            equal(len(bench.sessions("ann")), 1)
            equal(ann.quit(), 0)
        beckon.wait_for("the end of the session", lambda: not bench.sessions("ann"), 10)


def the_automatic_choice_is_tls_dsk(bench):
    with bench.sipe("ann", scheme="auto") as ann:
        ann.signed_in()
        equal(schemes(ann), {"TLS-DSK"})


def somebody_whose_user_name_is_another(bench):
    bench.domain.ctl("user", "set", bench.address("cyd"), "--username", "c.vale@corp.test")
    with bench.sipe("cyd", options=["-l", "c.vale@corp.test"]) as cyd:
        cyd.signed_in()
    with bench.sipe("ann", options=["-l", "EXAMPLE\\ann"]) as ann:
        ann.signed_in()
    told(bench, "cyd", "SI-203")


def ten_people_at_once(bench):
    with tempfile.TemporaryDirectory() as _:
        clients = [bench.sipe(f"p{i}") for i in range(10)]
        try:
            for client in clients:
                client.signed_in()
            equal([len(bench.sessions(f"p{i}")) for i in range(10)], [1] * 10)
        finally:
            for client in clients:
                client.close()


def told(bench, name, record, password=PASSWORD, shown=None):
    """The person reads the record's sentence with the case code, the history has both."""
    with bench.sipe(name, password=password) as client:
        error = client.refused()
        equal(error["name"], "authentication_failed")
        match = re.search(r"\((.+) \(([0-9A-Z]{4}-[0-9A-Z]{4})\)\)", error["text"])
        assert match, error["text"]
        row = beckon.wait_for(f"{record} in the history", lambda: next(
            (r for r in bench.history(name) if r["case"] == match.group(2)), None), 10)
        equal(row["record"], record)
        page = bench.domain.ctl("case", match.group(2))
        assert match.group(1).split(":")[0] in " ".join(page.split()) or shown, page
        return match.group(1)


def a_wrong_password(bench):
    told(bench, "ann", "SI-202", password="something else")


def an_unknown_address(bench):
    told(bench, "nobody", "SI-201a", shown="another record")
    bench.domain.ctl("policy", "set", "tell-unknown-address", "never")
    try:
        sentence = told(bench, "nobody2", "SI-201a", shown="another record")
        equal(sentence, "The address or the password is wrong.")
    finally:
        bench.domain.ctl("policy", "unset", "tell-unknown-address")


def with_account(bench, refuse, undo, record):
    bench.domain.ctl(*refuse)
    try:
        told(bench, "bob", record)
    finally:
        bench.domain.ctl(*undo)
    with bench.sipe("bob") as bob:
        bob.signed_in()


def a_disabled_account(bench):
    bob = bench.address("bob")
    with_account(bench, ("user", "disable", bob), ("user", "enable", bob), "SI-208")


def an_account_without_a_licence(bench):
    bob = bench.address("bob")
    with_account(bench, ("user", "licence", "take", bob), ("user", "licence", "give", bob), "SI-201b")


def an_organisation_whose_time_is_over(bench):
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
    with_account(bench, ("tenant", "set", bench.domain.domain, "--ends", yesterday, "--grace-days", "0"),
                 ("tenant", "set", bench.domain.domain, "--ends", "never"), "SI-402")


def a_password_that_must_be_changed(bench):
    told(bench, "dot", "SI-206")


def who_is_disabled_while_signed_in_reads_why(bench):
    bob = bench.address("bob")
    with bench.sipe("bob") as client:
        client.signed_in()
        since = client.mark()
        bench.domain.ctl("user", "disable", bob)
        try:
            error = client.wait("error", since, 10)
            assert "This account is disabled." in error["text"], error["text"]
        finally:
            bench.domain.ctl("user", "enable", bob)


def a_server_that_was_killed_has_its_people_back(bench):
    """The client comes back by itself where its program lets it: here it is started again, as a person would."""
    with bench.sipe("ann") as ann:
        ann.signed_in()
        bench.domain.kill()
        ann.wait("disconnected")
    bench.domain.start()
    with bench.sipe("ann") as ann:
        ann.signed_in()


CASES = [signs_in_over_tls_and_where_policy_allows_it_over_tcp, the_automatic_choice_is_tls_dsk, somebody_whose_user_name_is_another, ten_people_at_once,
         a_wrong_password, an_unknown_address, a_disabled_account, an_account_without_a_licence, an_organisation_whose_time_is_over,
         a_password_that_must_be_changed, who_is_disabled_while_signed_in_reads_why, a_server_that_was_killed_has_its_people_back]


def main():
    build, program = sys.argv.pop(1), sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    if missing := sipe_client.missing(program):
        print(f"1..0 # SKIP {missing}")
        return 0
    with tempfile.TemporaryDirectory() as tmp:
        # The server's name is an address: the client asks its own resolver for the web services.
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", host="127.0.0.1",
                               settings=[f"server.shards={shards}", "listen.tcp=127.0.0.1:0"])
        domain.init()
        for name in ["ann", "bob", "cyd"] + [f"p{i}" for i in range(10)]:
            domain.add_user(name, PASSWORD)
        domain.add_user("dot", PASSWORD, must_change=True)
        with domain:
            domain.start()
            return tap.main(CASES, Bench(domain, program))


if __name__ == "__main__":
    sys.exit(main())
