#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signing in and out with the real programs: each refusal with its own record on both sides.

usage: signin.py BUILD_FOLDER [CASE ...]
"""
import datetime
import http.client
import json
import os
import pathlib
import pty
import select
import signal
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"


def record_in_history(domain, address, record, case=None):
    """The newest row of that address says so; the store writes it in the background."""
    def there():
        rows = domain.ctl("user", "history", address, as_json=True, check=False) or []
        rows = rows if isinstance(rows, list) else rows.get("rows", [])
        return [r for r in rows if r["record"] == record and (case is None or r["case"] == case)]
    return beckon.wait_for(f"{record} in the history of {address}", there, 10)


def told(domain, name, record, password=PASSWORD, shown=None, **options):
    """That person is refused with that record, the client shows the same, both under one case code."""
    with domain.client(name, **options) as client:
        failure = client.refused(password)
        equal(failure["record"], shown or record, "what the client shows")
        assert failure["text"].strip(), "the refusal has no sentence"
        address = client.address
    if record:
        record_in_history(domain, address, record, failure["case"])
    return failure


def signs_in_by_address_alone_and_again_without_a_password(domain):
    with domain.client("ann", profile="first") as ann:
        ann.sign_in(PASSWORD)
        ann.sign_out()
    with domain.client("ann", profile="first") as ann:
        ann.sign_in()
    for path in (domain.folder / "profiles" / "first").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password stands in {path.name}"


def wrong_password(domain):
    told(domain, "ann", "SI-202", password="something else")


def unknown_address_is_a_wrong_password_to_a_stranger(domain):
    domain.ctl("policy", "set", "tell-unknown-address", "never")
    try:
        told(domain, "nobody", "SI-201a", shown="SI-202")
    finally:
        domain.ctl("policy", "unset", "tell-unknown-address")


def unknown_address_is_named_within_the_own_networks(domain):
    told(domain, "nobody2", "SI-201a", shown="SI-201a")


def unlicensed(domain):
    domain.ctl("user", "licence", "take", domain_address(domain, "bob"))
    told(domain, "bob", "SI-201b")
    domain.ctl("user", "licence", "give", domain_address(domain, "bob"))


def domain_address(domain, name):
    return f"{name}@{domain.domain}"


def disabled_while_signed_in_and_after(domain):
    with domain.client("bob", profile="disabled") as bob:
        bob.sign_in(PASSWORD)
        since = bob.mark()
        domain.ctl("user", "disable", domain_address(domain, "bob"))
        event = beckon.wait_for(
            "the end of the session",
            lambda: bob.mark() and [e for e in bob.events[since:] if e["event"] in ("ended", "failure")], 10)[0]
        equal(event["record"], "SI-208")
    told(domain, "bob", "SI-208", profile="disabled2")
    domain.ctl("user", "enable", domain_address(domain, "bob"))


def expired_subscription(domain):
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
    domain.ctl("tenant", "set", domain.domain, "--ends", yesterday, "--grace-days", "0")
    try:
        told(domain, "bob", "SI-402", profile="expired")
    finally:
        domain.ctl("tenant", "set", domain.domain, "--ends", "never")


def revoked_certificate(domain):
    with domain.client("ann", profile="revoked") as ann:
        ann.sign_in(PASSWORD)
        ann.sign_out()
    domain.ctl("certificate", "revoke", domain_address(domain, "ann"))
    with domain.client("ann", profile="revoked") as ann:
        since = ann.mark()
        ann.say("sign-in", address=ann.address)
        failure = beckon.wait_for(
            "a refusal",
            lambda: ann.mark() and [e for e in ann.events[since:] if e.get("record")])[0]
        equal(failure["record"], "SI-219")
    record_in_history(domain, domain_address(domain, "ann"), "SI-219")


def clock_six_minutes_off(domain):
    told(domain, "ann", "SI-104", options=["--clock-offset=360"], profile="clock")
    with domain.client("ann", profile="clock2", options=["--clock-offset=-200"]) as ann:
        ann.sign_in(PASSWORD)  # three minutes and a bit are no trouble


def unsupported_character(domain):
    with domain.client("o'hara") as client:
        failure = client.refused(PASSWORD)
        equal(failure["record"], "SI-111")
        assert "apostrophe" in failure["text"] or "'" in failure["text"], failure["text"]


def user_name_other_than_address(domain):
    domain.ctl("user", "set", domain_address(domain, "cyd"), "--username", "c.vale@corp.test")
    with domain.client("cyd", profile="name", options=["--user=c.vale@corp.test"]) as cyd:
        cyd.sign_in(PASSWORD)


NEW_PASSWORD = "staple battery horse"


def refused_change(client, old, new):
    since = client.mark()
    client.say("password", old=old, new=new)
    return client.wait("failure", since)


def a_password_that_must_be_changed_is_changed(domain):
    domain.add_user("dot", PASSWORD, must_change=True)
    failure = told(domain, "dot", "SI-206")
    equal(failure["next"], "stop")
    with domain.client("dot") as dot:
        failure = refused_change(dot, "not the present one", NEW_PASSWORD)
        equal(failure["record"], "SI-202")
        record_in_history(domain, dot.address, "SI-202", failure["case"])
        for refused, why in (("short", "too short"), (dot.address, "your name"), (PASSWORD, "present password")):
            failure = refused_change(dot, PASSWORD, refused)
            equal(failure["record"], "SI-224", refused)
            assert why in failure["text"], failure["text"]
            record_in_history(domain, dot.address, "SI-224", failure["case"])
        equal(dot.refused(PASSWORD)["record"], "SI-206")  # nothing of that changed anything
        since = dot.mark()
        dot.say("password", old=PASSWORD, new=NEW_PASSWORD)
        dot.wait("notice", since, text="The password was changed.")
        dot.wait("state", since, state="signed-out")
        equal(dot.refused(PASSWORD)["record"], "SI-202")
        dot.sign_in(NEW_PASSWORD)


class Terminal:
    """beckon-cli as a person meets it: on a terminal of its own."""

    def __init__(self, domain, name, *arguments, profile):
        command = [domain.programs.cli, "--address", f"{name}@{domain.domain}", "--profile",
                   str(domain.folder / "profiles" / profile), "--ca", str(domain.ca), "--dns", domain.dns_address, *arguments]
        self.process, self.fd = pty.fork()
        if self.process == 0:
            # libedit never gives back the names of functions added to it.
            os.environ.update(TERM="dumb", LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
            os.execv(command[0], command)
        self.text = ""
        self.at = 0

    def read(self, end):
        """What the program writes until `end`; False: it is gone, or says nothing."""
        ready = select.select([self.fd], [], [], max(end - time.monotonic(), 0))[0]
        try:
            more = os.read(self.fd, 4096) if ready else b""
        except OSError:
            more = b""
        self.text += more.decode(errors="replace")
        return bool(more)

    def expect(self, wanted):
        """Reads on to the end of `wanted`, from where the last one ended."""
        end = time.monotonic() + beckon.PATIENCE
        while wanted not in self.text[self.at:]:
            if not self.read(end):
                raise beckon.Failed(f"no {wanted!r} on the terminal:\n{self.text}")
        self.at = self.text.index(wanted, self.at) + len(wanted)

    def answer(self, question, line):
        self.expect(question)
        os.write(self.fd, line.encode() + b"\r")  # as the key Enter does

    def status(self):
        end = time.monotonic() + beckon.PATIENCE
        while self.read(end):
            pass
        number = os.waitpid(self.process, os.WNOHANG if time.monotonic() > end else 0)[1]
        self.process = 0
        return os.waitstatus_to_exitcode(number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)


def who_must_change_the_password_is_asked_for_it_and_signed_in(domain):
    domain.add_user("eve", PASSWORD, must_change=True)
    with Terminal(domain, "eve", profile="eve-terminal") as terminal:
        terminal.answer("Password of eve@", PASSWORD)
        terminal.expect("must be changed")
        terminal.answer("Present password: ", PASSWORD)
        terminal.answer("New password: ", "one thing")
        terminal.answer("once more: ", "another thing")
        terminal.expect("The two differ")
        terminal.answer("New password: ", "short")
        terminal.answer("once more: ", "short")
        terminal.expect("too short")
        terminal.answer("New password: ", NEW_PASSWORD)
        terminal.answer("once more: ", NEW_PASSWORD)
        terminal.expect("The password was changed.")
        terminal.expect("signed in as eve@")
        terminal.answer("> ", "/quit")
        equal(terminal.status(), 0)
        for secret in (PASSWORD, NEW_PASSWORD, "one thing"):
            assert secret not in terminal.text, "a password was shown"


def the_password_command_tells_what_was_wrong_by_its_status(domain):
    domain.add_user("fay", PASSWORD)
    for present, said, status in (("not this one", "password is wrong", 11), (PASSWORD, "was changed", 0)):
        with Terminal(domain, "fay", "password", profile="fay-terminal") as terminal:
            terminal.answer("Present password: ", present)
            terminal.answer("New password: ", NEW_PASSWORD)
            terminal.answer("once more: ", NEW_PASSWORD)
            terminal.expect(said)
            equal(terminal.status(), status)
    with domain.client("fay") as fay:
        fay.sign_in(NEW_PASSWORD)


def delete_my_sign_in_info_leaves_nothing(domain):
    with domain.client("ann", profile="deleted") as ann:
        ann.sign_in(PASSWORD)
        folder = domain.folder / "profiles" / "deleted"
        assert any("PRIVATE KEY" in p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file())
        since = ann.mark()
        ann.say("delete-sign-in-info")
        event = ann.wait("deleted", since)
        assert all(row["ok"] for row in event["rows"]), event
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert "PRIVATE KEY" not in text and "CERTIFICATE" not in text, f"{path.name} holds a secret still"
    rows = domain.ctl("certificate", "list", domain_address(domain, "ann"), as_json=True)
    newest = max(rows, key=lambda r: r["issued"])
    assert newest["revoked"], "the certificate was not revoked at the server"


def asked_in_clear(domain, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", domain.ports["http"], timeout=10)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    connection.close()
    return answer


def plain_http_tells_where_the_server_is(domain):
    host = {"Host": "lyncdiscoverinternal.example.test"}
    answer = asked_in_clear(domain, "GET", "/?sipuri=ann@example.test", host)
    equal(answer.status, 200)
    equal(answer.getheader("Content-Type").split(";")[0], "application/vnd.microsoft.rtc.autodiscover+xml")
    equal(answer.getheader("Connection"), "close", "a port that is asked once")
    services = json.loads(asked_in_clear(domain, "GET", "/", {**host, "Accept": "application/json"}).text)["services"]
    user = f'{services.removesuffix("/beckon/v1/")}/Autodiscover/AutodiscoverService.svc/root/user'
    assert f'<Link token="User" href="{user}"/>' in answer.text, answer.text
    document = json.loads(asked_in_clear(domain, "GET", "/", {**host, "Accept": "application/json"}).text)
    equal(document["sip"][0], {"host": domain.host, "port": domain.tls_port, "transport": "tls", "where": "internal"})
    equal(document["services"].split(":")[0], "https")
    refused = asked_in_clear(domain, "GET", "/?sipuri=ann@elsewhere.test", host)
    equal(json.loads(refused.text)["record"], "SI-220")


def plain_http_answers_nothing_else(domain):
    body = {"Content-Type": "application/json"}
    for method, path in (("POST", "sign-in"), ("POST", "password"), ("POST", "renew"), ("POST", "revoke"), ("POST", "report"),
                         ("GET", "")):
        answer = asked_in_clear(domain, method, f"/beckon/v1/{path}", body, "{}" if method == "POST" else None)
        equal(answer.status, 403, path)
    for path in ("/health", "/metrics"):
        equal(asked_in_clear(domain, "GET", path).status, 403, path)
    equal(asked_in_clear(domain, "GET", "/elsewhere").status, 404)
    equal(asked_in_clear(domain, "POST", "/").status, 405)
    visitor = asked_in_clear(domain, "GET", "/", {"Host": "www.example.com"})
    equal(visitor.status, 307)
    equal(visitor.getheader("Location")[:8], "https://")
    with socket.create_connection(("127.0.0.1", domain.ports["http"]), 10) as sip:
        sip.sendall(b"OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n"
                    b"From: <sip:a@example.test>;tag=1\r\nTo: <sip:example.test>\r\nCall-ID: 1\r\n"
                    b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        sip.settimeout(10)
        try:
            equal(sip.recv(100), b"", "SIP on the port for plain HTTP")
        except ConnectionResetError:
            pass  # closed with the request unread


def the_history_holds_no_secret(domain):
    for path in (domain.folder / "beckon.db", domain.folder / "beckon.db-wal", domain.log_path):
        if path.exists():
            data = path.read_bytes()
            for secret in (PASSWORD, "something else", NEW_PASSWORD):
                assert secret.encode() not in data, f"{path.name} holds a password"


CASES = [signs_in_by_address_alone_and_again_without_a_password, wrong_password,
         unknown_address_is_a_wrong_password_to_a_stranger, unknown_address_is_named_within_the_own_networks, unlicensed,
         disabled_while_signed_in_and_after, expired_subscription, revoked_certificate, clock_six_minutes_off,
         unsupported_character, user_name_other_than_address, a_password_that_must_be_changed_is_changed,
         who_must_change_the_password_is_asked_for_it_and_signed_in,
         the_password_command_tells_what_was_wrong_by_its_status, delete_my_sign_in_info_leaves_nothing,
         plain_http_tells_where_the_server_is, plain_http_answers_nothing_else,
         the_history_holds_no_secret]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test", settings=[f"server.shards={shards}", "listen.http=127.0.0.1:0"])
        domain.init()
        for name in ("ann", "bob", "cyd"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            domain.start_dns()
            return tap.main(CASES, domain)


if __name__ == "__main__":
    sys.exit(main())
