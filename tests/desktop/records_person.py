#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each record about the app, about who somebody is, about the service and about reaching somebody, caused once: the window shows its
sentence and what to do, and its case code opens. Those about the network: records_network.py; those met on the way, and SI-111 as it is typed:
signing_in.py.

usage: records_person.py BUILD_FOLDER [CASE ...]
"""
import concurrent.futures
import contextlib
import copy
import hashlib
import http.client
import json
import pathlib
import re
import sqlite3
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
from desk import Failed, wait_for  # noqa: E402
import beckon  # noqa: E402
import faketime  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402
from person import PASSWORD, sentences  # noqa: E402
from signing_in import PEOPLE, Place, run  # noqa: E402
from stand_in import StandIn, response, with_body  # noqa: E402
from talking import line, says  # noqa: E402

USER_NAME = {"role": "text", "name": "User Name"}


def is_told(person, record, code=True):
    """The sentence, what to do about it, the record's number and a code that opens."""
    found = person.is_told(record, code, does=True)
    person.desk.wait(pattern=rf"\b{record}$")
    return found


def code_shown(person):
    shown = person.desk.wait(pattern=person.CODE.pattern)
    return person.CODE.search(shown["text"] or shown["name"])[0]


def opens(person, code, record):
    """The case's record, which may be truer than what was told."""
    case = wait_for(f"beckonctl case {code}", lambda: person.domain.ctl("case", code, as_json=True, check=False), 10)
    equal(case["record"]["id"], record, f"case {code}")


def eventually(condition, patience=2):
    try:
        return wait_for("it", condition, patience)
    except Failed:
        return None


def signs_out(person):
    person.desk.ask("activate", "sign-out")
    person.desk.wait("Sign In", role="push button")


# ---- what can be done to a server

@contextlib.contextmanager
def settings(place, *settings, clock=None):
    """Other settings, as section.key=value, as long as this lasts. clock: the server's."""
    domain = place.domain
    before = domain.config.read_text(), domain.prefix

    def starts_with(text, prefix):
        domain.stop_server()
        domain.config.write_text(text)
        domain.prefix = prefix
        domain.start()

    text = before[0]
    for setting in settings:
        section, key, value = re.fullmatch(r"([\w-]+)\.([\w-]+)=(.*)", setting).groups()
        begin = text.index(f"[{section}]")
        text = text[:begin] + re.sub(rf"(?m)^;?\s*{key}\s*=.*$", f"{key} = {value}", text[begin:], count=1)
    starts_with(text, ["env", *(f"{k}={v}" for k, v in clock.environment.items())] if clock else before[1])
    try:
        yield
    finally:
        starts_with(*before)


def store(domain):
    return contextlib.closing(sqlite3.connect(domain.folder / "beckon.db", timeout=20, isolation_level=None))


@contextlib.contextmanager
def unreadable(domain, table):
    """Every question about these rows fails."""
    with store(domain) as db:
        db.execute("PRAGMA legacy_alter_table = ON")
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
        try:
            yield
        finally:
            db.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


@contextlib.contextmanager
def read_only(domain):
    """Somebody else holds the store: it takes no writes."""
    with store(domain) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@contextlib.contextmanager
def names(domain, *records):
    """Another name server for the same domain."""
    other = copy.copy(domain)
    other.start_dns(records=records)
    try:
        yield other.dns_address
    finally:
        other.dns.terminate()
        other.dns.wait()


@contextlib.contextmanager
def policy(domain, name, value):
    domain.ctl("policy", "set", name, value)
    try:
        yield
    finally:
        domain.ctl("policy", "unset", name)


# ---- what the computer has kept

def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failed(f"openssl {args[0]}: {done.stderr.strip()[-300:]}")


class Forger:
    """Personal certificates that nobody issued like this; the domain's authority is the server's own."""

    def __init__(self, folder, domain):
        self.folder = folder
        folder.mkdir()
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / "key")
        openssl("req", "-x509", *ec, "-keyout", folder / "other.key", "-out", folder / "other.crt", "-subj", "/CN=Old Authority", "-addext",
                "keyUsage=critical,keyCertSign")
        with store(domain) as db:
            (folder / "own.key").write_bytes(db.execute("SELECT bytes FROM secrets WHERE name = 'authority.key'").fetchone()[0])
        (folder / "own.crt").write_bytes(domain.ca.read_bytes())
        (folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder}/index\nrand_serial=yes\nnew_certs_dir={folder}\ndefault_md=sha256\npolicy=p\n"
            "unique_subject=no\n[p]\ncommonName=supplied\n")
        (folder / "index").write_text("")

    def identity(self, address, begin="20240101", end="20400101", by="own", key=True):
        at = self.folder
        (at / "ext").write_text(f"subjectAltName=URI:sip:{address}\nextendedKeyUsage=clientAuth\n")
        openssl("req", "-new", "-key", at / "key", "-subj", f"/CN=sip:{address}", "-out", at / "csr")
        openssl("ca", "-batch", "-notext", "-config", at / "ca.conf", "-cert", at / f"{by}.crt", "-keyfile", at / f"{by}.key", "-in", at / "csr",
                "-out", at / "crt", "-startdate", f"{begin}000000Z", "-enddate", f"{end}000000Z", "-extfile", at / "ext")
        return ((at / "key").read_text() if key else "") + (at / "crt").read_text()

    def unreadable(self):
        return (self.folder / "key").read_text() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def kept(person, name):
    return next(person.desk.home.rglob(name))


def keep(person, name, content):
    """As the program itself writes it: a first line that names kind, version and sum."""
    file = kept(person, name)
    kind = file.read_text().partition(" ")[0]
    file.write_text(f"{kind} 1 {hashlib.sha256(content.encode()).hexdigest()}\n{content}")


# ---- 1xx: the app and its computer

def a_version_the_server_no_longer_takes_is_told_to_update(place):
    """SI-101"""
    domain = place.domain
    with StandIn(domain) as between, names(domain, f"--host-record={domain.host},127.0.0.1",
                                           f"--host-record=lyncdiscoverinternal.{domain.domain},127.0.0.1") as dns, place.person() as ann:
        between.back = lambda answer: re.sub(rb'"min_client":"\d', b'"min_client":"9', answer)
        ann.options = ["--ca", str(domain.ca), "--dns", dns, "--discover-port", str(between.port)]
        ann.start()
        ann.tries(PASSWORD)
        is_told(ann, "SI-101", code=False)  # nothing was asked of the server yet: there is no case


def a_server_with_no_way_in_that_the_app_knows_says_so(place):
    """SI-102"""
    with settings(place, "sign-in.beckon=no", "sign-in.tls-dsk=no"), place.person() as ann:
        ann.start()
        ann.tries(PASSWORD)
        is_told(ann, "SI-102", code=False)


def a_clock_that_is_off_is_named_and_once_it_is_right_it_goes_on_by_itself(place):
    """SI-104"""
    if not faketime.library():
        raise tap.Skip("faketime is missing")
    with place.person() as ann:
        clock = faketime.Clock(ann.desk.folder, place.program, FAKETIME_DONT_FAKE_MONOTONIC="1")
        ann.desk.env |= clock.environment
        # The first is judged by the request for a certificate, the next by REGISTER, the last by the server's own certificate.
        for off, told, code in ((301, True, True), (-301, True, True), (299, False, False), (-400 * 86400, True, False)):
            with clock.ahead(off):
                ann.start()
                if off == 301:
                    ann.tries(PASSWORD)
                if told:
                    is_told(ann, "SI-104", code)
            ann.is_signed_in(patience=60)
            ann.exits()


def a_saved_certificate_that_is_of_no_use_says_why_and_the_password_makes_another(place):
    """SI-105a SI-105b SI-105c SI-105d SI-105e SI-105f SI-105g"""
    forger = Forger(place.folder / "forger", place.domain)
    with place.person(keyring="none") as ann:
        ann.start()
        ann.signs_in()
        ann.exits()
        for sub, saved, code in (
                ("a", forger.identity(ann.address, end="20250101"), True),
                ("b", forger.identity(ann.address, begin="20390101"), True),
                ("c", forger.unreadable(), False),  # c, d and e are found before the server is asked
                ("d", forger.identity(f"bob@{place.domain.domain}"), False),
                ("e", forger.identity(ann.address, key=False), False),
                ("f", forger.identity(ann.address, by="other"), True),
                ("g", forger.identity(ann.address), True)):
            keep(ann, "identity.pem", saved)
            ann.start()
            is_told(ann, f"SI-105{sub}", code)
            ann.enter_password(PASSWORD)
            ann.is_signed_in()
            ann.exits()
        ann.start()
        ann.is_signed_in()  # without a password: the last one counts


def damaged_files_are_put_aside_and_that_is_said(place):
    """SI-107"""
    with place.person(keyring="none") as ann:
        ann.start()
        ann.signs_in()
        for name, asks in (("state.json", False), ("identity.pem", True)):
            ann.exits()
            file = kept(ann, name)
            file.write_bytes(file.read_bytes()[:-40])
            ann.start()
            ann.is_told("SI-107", code=False)
            if asks:
                ann.enter_password(PASSWORD)
            ann.is_signed_in()
            assert (file.parent / f"{name}.damaged").exists()


def a_locked_keyring_is_named_and_what_it_protects_stays(place):
    """SI-112"""
    with place.person() as ann:
        ann.start()
        ann.signs_in()
        ann.exits()
        ann.desk.lock_keyring()
        ann.start()
        is_told(ann, "SI-112", code=False)
        ann.enter_password(PASSWORD)
        ann.is_signed_in()
        ann.exits()
        ann.desk.unlock_keyring()
        ann.start()
        ann.is_signed_in()
        equal(ann.secrets_in_the_clear([PASSWORD, "BEGIN PRIVATE KEY"]), [], "files with a secret")


def a_policy_that_forbids_to_save_is_said_and_nothing_is_kept(place):
    """SI-113 as far as it can be met: no sentence of a failure, because nothing fails."""
    with place.person() as ann:
        file = ann.desk.folder / "policy.conf"
        file.write_text("[desktop]\nsave-sign-in=false\n")
        ann.desk.env["BECKON_POLICY_FILE"] = str(file)
        ann.start()
        ann.enter_address()
        ann.desk.wait("Set by your organisation", role="label")
        assert "sensitive" not in ann.desk.sees("Keep me signed in", role="check box")["states"]
        ann.enter_password(PASSWORD)
        ann.is_signed_in()
        equal(list(ann.desk.home.rglob("identity.pem")), [], "keys that were kept")


def a_server_of_another_domain_needs_a_word_and_each_answer_counts(place):
    """SI-114"""
    with beckon.Domain(place.folder / "abroad", place.domain.programs, domain="brand.test", host="srv.corp.test") as domain:
        domain.init()
        domain.add_user("ann", PASSWORD, name="Ann Lee")
        domain.start()
        domain.start_dns()
        there = Place(place.folder / "there", domain, place.program)
        there.folder.mkdir()
        with there.person(keyring="none") as ann:
            ann.start()
            ann.tries(PASSWORD)
            ann.desk.press("Do Not Trust It", role="push button")
            is_told(ann, "SI-114", code=False)
            ann.desk.press("Try Again", role="push button")
            ann.desk.press("Only This Time", role="push button")
            ann.is_signed_in()
            ann.exits()
            ann.start()
            ann.desk.wait(role="alert", has="srv.corp.test")
            ann.desk.press("Always Trust It", role="push button")
            ann.is_signed_in()
            ann.exits()
            ann.start()
            ann.is_signed_in()


# ---- 2xx: who it is

def an_address_with_another_user_name_asks_for_it(place):
    """SI-203 SI-214"""
    domain = place.domain
    domain.ctl("user", "set", f"dot@{domain.domain}", "--username", "d.reed@corp.test")
    with place.person("dot") as dot:
        dot.start()
        dot.desk.fill(f"ann@{domain.domain}", **dot.ADDRESS)
        dot.desk.press("My user name differs from my address", role="push button")
        dot.desk.fill("d.reed@corp.test", **USER_NAME)
        dot.enter_password(PASSWORD)
        is_told(dot, "SI-214")
        dot.desk.fill("", **USER_NAME)
        dot.tries(PASSWORD)
        is_told(dot, "SI-203")
        dot.desk.fill("d.reed@corp.test", **USER_NAME)
        dot.desk.key("Return")
        dot.is_signed_in()
        dot.exits()
        dot.start()
        dot.is_signed_in()


def one_device_too_many_names_the_others(place):
    """SI-215"""
    with place.person() as ann, policy(place.domain, "endpoints-max", "1"):
        with place.domain.client("ann", profile="elsewhere") as other:
            other.sign_in(PASSWORD)
            ann.start()
            ann.tries(PASSWORD)
            is_told(ann, "SI-215")
            ann.desk.press("Details", role="push button")
            ann.desk.wait(pattern=r"beckon-cli/\S+ since \d{4}-\d\d-\d\d")
            other.sign_out()
        ann.desk.press("Try Again", role="push button")
        ann.is_signed_in()


def a_domain_that_is_not_served_here_is_named(place):
    """SI-220"""
    with place.person("ann@demo.tst") as ann:
        ann.options += ["--server", f"{place.domain.host}:{place.domain.tls_port}"]
        ann.start()
        ann.tries(PASSWORD)
        is_told(ann, "SI-220")


def who_is_signed_out_by_somebody_or_by_a_stopping_server_reads_so(place):
    """SI-222 SI-408"""
    with place.person() as ann:
        ann.start()
        ann.signs_in()
        place.domain.ctl("user", "sign-out", ann.address)
        is_told(ann, "SI-222")
        ann.desk.press("Sign In", role="push button")
        ann.is_signed_in()
        # It stands there until the next try, up to a second later: one may be too soon to be seen.
        for _ in range(6):
            place.domain.server.terminate()
            seen = eventually(lambda: ann.desk.sees(has=sentences("SI-408")[0]))
            place.domain.stop_server()
            place.domain.start()
            ann.desk.wait_gone("Try Now", role="push button", patience=60)
            if seen:
                return
        raise Failed("a server that stops was not told")


def a_new_password_that_is_refused_says_why(place):
    """SI-224"""
    place.domain.ctl("user", "password", f"eve@{place.domain.domain}", "--must-change", "--stdin", stdin=PASSWORD + "\n")
    with place.person("eve") as eve:
        eve.start()
        eve.tries(PASSWORD)
        is_told(eve, "SI-206")
        for new, then in (("short", lambda: is_told(eve, "SI-224")), ("another horse battery", eve.is_signed_in)):
            eve.changes_password(PASSWORD, new)
            then()


def what_other_servers_and_meddlers_answer_is_told_apart(place):
    """SI-201 SI-218 SI-221"""
    small = place.folder / "small.csr"
    openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "/dev/null", "-out", small, "-subj", "/CN=x")

    def with_small_key(request):
        if b"/sign-in " not in request.partition(b"\r\n")[0]:
            return request
        asked = json.loads(request.partition(b"\r\n\r\n")[2])
        return with_body(request, json.dumps(asked | {"csr": small.read_text()}).encode())

    with StandIn(place.domain) as between, place.person() as ann:
        ann.options += ["--server", between.address]
        ann.start()
        between.answers = lambda request: response(request, 404, "Not Found")
        ann.tries(PASSWORD)
        is_told(ann, "SI-201", code=False)
        between.answers = lambda request: response(request, 302, "Moved", f"Contact: <sip:{between.address};transport=tls>")
        ann.desk.press("Sign In", role="push button")
        is_told(ann, "SI-221", code=False)
        between.answers = lambda request: None
        between.on_way = with_small_key
        ann.desk.press("Sign In", role="push button")
        is_told(ann, "SI-218")
        between.on_way = lambda request: request


def a_confirmation_that_ran_out_on_its_way_is_told(place):
    """SI-212"""
    if not faketime.library():
        raise tap.Skip("faketime is missing")
    clock = faketime.Clock(place.folder, place.domain.programs.beckond, FAKETIME_DONT_FAKE_MONOTONIC="1")

    def late(request):
        """A day passes between the confirmation and its use."""
        clock.forward((86400 if b"GetAndPublishCert" in request else 0) - clock.ahead_s)
        return request

    with settings(place, "sign-in.beckon=no", clock=clock), StandIn(place.domain) as between, place.person() as ann:
        between.on_way = late
        ann.options += ["--server", between.address]
        ann.start()
        ann.tries(PASSWORD)
        is_told(ann, "SI-212")


# ---- 4xx: the service

def a_store_that_fails_is_a_service_that_is_down_and_it_goes_on_by_itself(place):
    """SI-403 SI-401 SI-405"""
    domain = place.domain
    with place.person() as ann:
        ann.start()
        with unreadable(domain, "passwords"):
            ann.tries(PASSWORD)
            is_told(ann, "SI-403")
        ann.is_signed_in()
        signs_out(ann)
        with unreadable(domain, "certificates"):
            ann.desk.press("Sign In", role="push button")
            is_told(ann, "SI-401")
        ann.is_signed_in()
        ann.exits()
    with place.person("bob") as bob:
        bob.start()
        with read_only(domain):
            bob.tries(PASSWORD)
            bob.is_told("SI-405", code=False)
            code = code_shown(bob)
        # The case itself had to wait for the store, and does so for five seconds only.
        opens(bob, code, "SI-405")
        bob.is_signed_in()


def who_guesses_too_often_is_told_how_long_to_wait(place):
    """SI-404"""
    domain = place.domain

    def guess(_):
        asked = json.dumps({"address": f"fay@{domain.domain}", "password": "wrong", "csr": "none"})
        connection = http.client.HTTPSConnection("localhost", domain.tls_port, timeout=30, context=ssl.create_default_context(cafile=str(domain.ca)))
        with contextlib.closing(connection):
            connection.request("POST", "/beckon/v1/sign-in", asked, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())["record"]

    with concurrent.futures.ThreadPoolExecutor(14) as guessers:
        equal(set(guessers.map(guess, range(14))), {"SI-202", "SI-404"})
    with place.person("fay") as fay:
        fay.start()
        fay.tries(PASSWORD)
        is_told(fay, "SI-404")


# ---- 5xx: reaching somebody

def is_told_beside(person, name, text, record, told=None, before=None):
    """The message stands there as failed, with the sentence and a code that opens. told: what is said of it, where that is another.

    before: what has to end first for the case to open."""
    for piece in sentences(told or record):
        person.desk.wait(role="list item", pattern=rf"^You, [^:]+:\d\d[^:]*: {text}.*{re.escape(piece.strip())}")
    if before:
        before()
    shown, n = [], 0
    while found := person.desk.sees(pattern=person.CODE.pattern, within=person.title_of(name), index=n):
        shown.append(person.CODE.search(found["text"] or found["name"])[0])
        n += 1
    opens(person, shown[-1], record)
    for piece in sentences(told or record, does=True):
        assert person.desk.sees(has=piece.strip(), within=person.title_of(name)), f"{record} does not say what to do"


def a_message_that_did_not_arrive_says_why_beside_it(place):
    """SI-501 SI-508 SI-504 SI-502 SI-510 SI-505 SI-503"""
    domain, ctl = place.domain, place.domain.ctl
    with place.person() as ann:
        ann.start()
        ann.signs_in()

        def tries(name, record, told=None, before=None):
            ann.opens_talk(name)
            says(ann, f"about {record}")
            is_told_beside(ann, name, f"about {record}", record, told, before)

        tries("nobody", "SI-501")
        tries("zoe@elsewhere.example", "SI-508")
        ctl("relation", "block", f"bob@{domain.domain}", ann.address)
        tries("bob", "SI-504", told="SI-501")
        ctl("relation", "unblock", f"bob@{domain.domain}", ann.address)
        with policy(domain, "offline-messages-max", "1"):
            ann.opens_talk("cyd")
            says(ann, "the first")
            ann.desk.wait(**line("You", "the first", ", Will be delivered"))
            tries("cyd", "SI-502")
        with policy(domain, "offline-messages", "off"):
            tries("cyd", "SI-510")
        with contextlib.ExitStack() as held:
            held.enter_context(read_only(domain))
            tries("cyd", "SI-505", before=held.close)
        with settings(place, "limits.message-body=256"):
            ann.desk.wait_gone("Try Now", role="push button")
            ann.opens_talk("bob")
            says(ann, "long " * 60)
            is_told_beside(ann, "bob", "long long", "SI-503")


CASES = [
    a_version_the_server_no_longer_takes_is_told_to_update,
    a_server_with_no_way_in_that_the_app_knows_says_so,
    a_clock_that_is_off_is_named_and_once_it_is_right_it_goes_on_by_itself,
    a_saved_certificate_that_is_of_no_use_says_why_and_the_password_makes_another,
    damaged_files_are_put_aside_and_that_is_said,
    a_locked_keyring_is_named_and_what_it_protects_stays,
    a_policy_that_forbids_to_save_is_said_and_nothing_is_kept,
    a_server_of_another_domain_needs_a_word_and_each_answer_counts,
    an_address_with_another_user_name_asks_for_it,
    one_device_too_many_names_the_others,
    a_domain_that_is_not_served_here_is_named,
    who_is_signed_out_by_somebody_or_by_a_stopping_server_reads_so,
    a_new_password_that_is_refused_says_why,
    what_other_servers_and_meddlers_answer_is_told_apart,
    a_confirmation_that_ran_out_on_its_way_is_told,
    a_store_that_fails_is_a_service_that_is_down_and_it_goes_on_by_itself,
    who_guesses_too_often_is_told_how_long_to_wait,
    a_message_that_did_not_arrive_says_why_beside_it,
]


if __name__ == "__main__":
    sys.exit(run(CASES, people=(*PEOPLE, ("dot", "Dot Reed"), ("eve", "Eve Hall"), ("fay", "Fay Park"))))
