#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each record of the network that the client can find is caused once, and the window says its sentence, its number and what was seen.

Names, peers, wires and certificates are those of faults.py; the server is the real one. usage: records_network.py BUILD_FOLDER [CASE ...]
"""
import contextlib
import json
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import desk as desks  # noqa: E402
from desk import Desk  # noqa: E402
import beckon  # noqa: E402
import faults  # noqa: E402
import network as net  # noqa: E402
import tap  # noqa: E402
from person import PASSWORD, Person  # noqa: E402
from beckon import Failed, free_port, wait_for  # noqa: E402

PAGE = "<html><body>It works!</body></html>"


class Network:
    """One desk, on which beckon starts anew for every fault, and the names of the domain, which each fault sets."""

    def __init__(self, folder, domain, program):
        self.folder, self.domain, self.program = folder, domain, program
        self.desk = self.sitter = None
        self.n = 0
        self.stack = contextlib.ExitStack()
        self.host, self.web = domain.host, f"lyncdiscover.{domain.domain}"
        self.sitting = self.stack.enter_context(contextlib.ExitStack())
        self.names = self.stack.enter_context(contextlib.closing(faults.Names()))
        self.web_port = free_port()
        self.root = faults.Authority(folder, "Test Root", "Beckon Tests")
        self.middle = faults.Authority(folder, "Test Intermediate", "Beckon Tests", self.root)
        self.stranger = faults.Authority(folder, "Other Root", "Somebody Else")
        self.trusted = folder / "trusted.pem"
        self.trusted.write_text(self.root.cert.read_text() + domain.ca.read_text())
        self.good = faults.tls_context(self.root.issue(self.host))
        self.good_web = faults.tls_context(self.root.issue(self.web))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    # ---- names

    def leads_to(self, port, *more, host=None, address="127.0.0.1"):
        """A service record, and what else is published."""
        host = host or self.host
        self.names.set((f"_sip._tls.{self.domain.domain}", "SRV", (host, port)), (host, "A", address), *more)

    def leads_to_web(self, *more):
        self.names.set((self.web, "A", "127.0.0.1"), (self.host, "A", "127.0.0.1"), *more)

    # ---- other roads, other places

    @contextlib.contextmanager
    def by_document(self, port):
        """The document of the domain leads to the real sign-in service, and what that answers to this port for SIP."""
        real = self.domain.tls_port
        said, wanted = (b'"port":%d' % p for p in (real, port))
        with faults.between(self.good, real, self.domain.ca, self.host, lambda data: data.replace(said, wanted)) as service:
            document = json.dumps({"v": 1, "domain": self.domain.domain, "services": f"https://{self.host}:{service.port}/beckon/v1/",
                                   "sip": [{"host": self.host, "port": port, "transport": "tls"}]})
            with faults.https(self.good_web, lambda path: (200, [JSON], document), self.web_port):
                self.leads_to_web()
                yield

    @contextlib.contextmanager
    def set_by_hand(self, server):
        """As the options keep it."""
        path = self.folder / "desk" / "home" / ".config" / "beckon" / "desktop.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[desktop]\nautomatic-server = false\ninternal-server = {server}\n")
        try:
            yield server
        finally:
            path.unlink()

    @contextlib.contextmanager
    def elsewhere(self):
        """A computer whose only cable leads to one with a name server."""
        why = net.why_not()
        if why:
            raise tap.Skip(why)
        self.n += 1
        domain = beckon.Domain(self.folder / f"elsewhere{self.n}", self.domain.programs, domain=net.DOMAIN, listen=net.SERVER)
        domain.folder.mkdir()
        with net.Network(["c1"]) as network:
            yield network, net.Place(network, domain)

    @contextlib.contextmanager
    def dialect(self):
        """A server that knows only the way in of the Lync dialect, where everything is signed."""
        with beckon.Domain(self.folder / "dialect", self.domain.programs, domain="dialect.test", settings=["sign-in.beckon=no"]) as domain:
            domain.init()
            domain.add_user("ann", PASSWORD)
            domain.start()
            with open(self.trusted, "a") as to:
                to.write(domain.ca.read_text())
            yield domain

    # ---- the person

    @contextlib.contextmanager
    def ann(self, *options, name="ann", dns=None, trust=True, profile=None, prefix=(), environment=()):
        """A program of her own at the desk of this file, with nothing left from before where it is no profile known already."""
        self.leaves()
        if not self.desk:
            self.desk = self.stack.enter_context(Desk(self.folder / "desk", self.program, "ann"))
        self.n += 1
        person = Person(self, self.desk, name, trust=False, server=False)
        person.options = ["--profile", str(self.folder / (profile or f"profile{self.n}")), *options]
        if not prefix:
            person.options += ["--dns", dns or self.names.address, "--discover-port", str(self.web_port)]
        if trust:
            person.options += ["--ca", str(self.trusted)]
        person.details = ""
        self.desk.prefix, before = list(prefix), dict(self.desk.env)
        self.desk.env.update(environment)
        person.start()
        self.desk.prefix, self.desk.env = [], before
        try:
            yield person
        except BaseException:
            self.desk.evidence()
            raise
        finally:
            if self.desk.app.poll() is None:
                self.desk.ask("activate", "exit")
                try:
                    self.desk.app.wait(5)
                except subprocess.TimeoutExpired:
                    self.desk.app.kill()
                    self.desk.app.wait()

    def leaves(self):
        """Whoever still sits there."""
        self.sitting.close()
        self.sitter = None

    def is_told_next(self, record, *words):
        """She stays at the desk from fault to fault, until one surprises."""
        if not self.sitter:
            self.sitter = self.sitting.enter_context(self.ann())
            self.sitter.enter_address()
        ann = self.sitter
        try:
            if ann.desk.sees("Try Again", role="push button"):
                ann.desk.press("Try Again", role="push button")
            else:
                ann.enter_password(PASSWORD)
            self.is_told(ann, record, *words)
            self.gives_up(ann)
        except BaseException:
            ann.desk.evidence()
            self.leaves()
            raise

    def gives_up(self, ann):
        """What goes on by itself must not meet the next fault."""
        if ann.desk.sees("Try Again", role="push button"):
            return

        def stands_still():
            try:
                if ann.desk.sees("Cancel", role="push button"):
                    ann.desk.ask("press", name="Cancel", role="push button")
            except Failed:
                pass  # the next try began or ended just then, and the page with it
            return ann.desk.sees("Sign In", role="push button")
        wait_for("it to be given up", stands_still)

    def told(self, record, *words, **options):
        """The same with a program of her own."""
        with self.ann(**options) as ann:
            ann.tries(PASSWORD)
            self.is_told(ann, record, *words)

    def is_told(self, ann, record, *words):
        """The record's sentence, its number and, behind Details, these words. No server was reached: there is no code."""
        before = ann.details

        def told_anew():
            row = ann.desk.sees(has="Record: ")
            text = row and (row["text"] or row["name"])
            if not row and ann.desk.sees("Details", role="push button"):
                ann.desk.press("Details", role="push button")
            return text if text and text != before else None
        ann.details = wait_for("to be told something new", told_anew, 40, 0.1)
        if f"Record: {record}\n" not in ann.details:
            raise Failed(f"told something else than {record}: {ann.details}")
        for word in words:
            if word not in ann.details:
                raise Failed(f"the details do not say {word!r}: {ann.details}")
        ann.is_told(record, code=False, patience=5)
        if not ann.desk.sees(pattern=rf"^Code {record}$"):
            raise Failed(f"its number is not {record}")


# ---- faults that end a sign-in before it reached the server: (record, what it is, how it is caused, what the details say)

def nothing_published(place):
    place.names.set()
    return contextlib.nullcontext()


def answers_code(code):
    def cause(place):
        place.names.set(code=code)
        return contextlib.nullcontext()
    return cause


def port_that(peer):
    @contextlib.contextmanager
    def cause(place):
        with peer() as there:
            place.leads_to(getattr(there, "port", there))
            yield
    return cause


def no_address(place):
    place.names.set((f"_sip._tls.{place.domain.domain}", "SRV", (f"gone.{place.domain.domain}", 5061)))
    return contextlib.nullcontext()


def circle(place):
    one, other = f"a.{place.domain.domain}", f"b.{place.domain.domain}"
    place.names.set((f"_sip._tls.{place.domain.domain}", "SRV", (one, 5061)), (one, "CNAME", other), (other, "CNAME", one))
    return contextlib.nullcontext()


def names_nobody(place):
    place.names.set((f"_sip._tls.{place.domain.domain}", "SRV", ("", 5061)))
    return contextlib.nullcontext()


def web_says(status, lines=(), body=""):
    def cause(place):
        place.leads_to_web()
        text = [line.format(port=place.web_port, web=place.web) for line in lines]
        return faults.https(place.good_web, lambda path: (status, text, body), place.web_port)
    return cause


def certificate(make):
    def cause(place):
        peer = faults.tls(faults.tls_context(make(place)))
        place.leads_to(peer.port)
        return peer
    return cause


def old_tls(place):
    old = faults.tls_context(place.root.issue(place.host), ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)
    peer = faults.tls(old)
    place.leads_to(peer.port)
    return peer


JSON = "Content-Type: application/json"
HTML = "Content-Type: text/html"

FAULTS = [
    ("SI-301", "nothing is published", nothing_published, ["1. https lyncdiscoverinternal.", "7. A sipexternal."]),
    ("SI-302", "the port is closed", port_that(faults.closed), ["connection refused, nothing listens there"]),
    ("SI-302", "the port is silent", port_that(faults.silent), ["no answer at all, as if filtered"]),
    ("SI-302", "the server closes at once", port_that(lambda: faults.Peer(faults.reset)), ["the connection was closed at once"]),
    ("SI-303", "the target has no address", no_address, ["gone.demo.test", "The DNS answer cannot be right"]),
    ("SI-303", "the target leads in a circle", circle, ["a.demo.test"]),
    ("SI-303", "the record names no server", names_nobody, ["names no server"]),
    ("SI-303", "the record has the wrong port", port_that(lambda: faults.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
     ["the other side does not speak TLS"]),
    ("SI-303a", "the name server fails", answers_code(faults.SERVFAIL), ["1. https lyncdiscoverinternal."]),
    ("SI-303a", "the name server refuses", answers_code(faults.REFUSED), ["1. https lyncdiscoverinternal."]),
    ("SI-305", "the discovery host says 403", web_says(403), ["HTTP status 403", "lyncdiscover.demo.test"]),
    ("SI-305", "the discovery host says 404", web_says(404), ["HTTP status 404"]),
    ("SI-305", "the discovery host says 500", web_says(500), ["HTTP status 500"]),
    ("SI-305", "a default page", web_says(200, [HTML], PAGE), ["not a discovery document, but some other page"]),
    ("SI-305", "a document that is none", web_says(200, [JSON], "[]"), ["the answer is not a JSON object"]),
    ("SI-305", "redirected in a circle", web_says(302, ["Location: https://{web}:{port}/again"]), ["redirected more than five times"]),
    ("SI-305", "redirected to plain http", web_says(301, ["Location: http://{web}/"]), ["redirected to something that is no https URL"]),
    ("SI-305", "the document of another domain", web_says(200, [JSON], '{"v":1,"domain":"other.test","services":"https://srv.other.test/beckon/v1/",'
     '"sip":[{"host":"srv.other.test","port":5061,"transport":"tls"}]}'), ["the document is for another domain"]),
    ("SI-309a", "an expired certificate", certificate(lambda p: p.root.issue(p.host, -30, -1)), ["certificate has expired", "not after"]),
    ("SI-309b", "a certificate of tomorrow", certificate(lambda p: p.root.issue(p.host, 1, 30)), ["certificate is not yet valid", "not before"]),
    ("SI-309c", "a certificate for another name", certificate(lambda p: p.root.issue("other.test")), ["valid for other.test"]),
    ("SI-309d", "an incomplete chain", certificate(lambda p: p.middle.issue(p.host, chain=False)), ["/CN=Test Intermediate", "unable to get local issuer"]),
    ("SI-309e", "an unknown authority", certificate(lambda p: p.stranger.issue(p.host)), ["Other Root"]),
    ("SI-309e", "a self-signed certificate", certificate(lambda p: p.root.alone(p.host)), ["self-signed"]),
    ("SI-309h", "a weak key", certificate(lambda p: p.root.issue(p.host, key=("rsa:1024",))), ["key too weak"]),
    ("SI-309h", "a weak signature", certificate(lambda p: p.root.issue(p.host, digest="sha1")), ["CA signature digest algorithm too weak"]),
    ("SI-310", "only TLS 1.0", old_tls, ["no TLS version or cipher in common"]),
]


def case_of(record, what, cause, words):
    def case(place):
        with cause(place):
            place.is_told_next(record, *words)
    case.__name__ = f"{record}_{what}".replace(" ", "_")
    return case


# ---- those that need more than a table

def SI_108_the_server_of_last_time_is_gone(place):
    for remembered in (False, True):
        with faults.Wire(place.domain.tls_port) as wire, place.by_document(wire.port), place.ann(profile="moved") as ann:
            if not remembered:
                ann.signs_in()
                continue
            ann.is_told("SI-108", code=False)
            ann.desk.wait(has=f"{place.host}:{wire.port}")
            ann.is_signed_in()


def SI_109_the_server_entered_by_hand_does_not_answer_and_automatic_settings_help(place):
    with place.set_by_hand(f"{place.host}:{free_port()}") as server, place.ann() as ann:
        place.leads_to(place.domain.tls_port)
        ann.tries(PASSWORD)
        place.is_told(ann, "SI-109", server, "connection refused, nothing listens there")
        ann.desk.press("Use Automatic Settings", role="push button")
        ann.is_signed_in()


def SI_110_a_computer_without_any_authority(place):
    nothing = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}
    with faults.tls(place.good) as peer:
        place.leads_to(peer.port)
        place.told("SI-110", "Test Root", trust=False, environment=nothing)


def SI_302_no_route_and_SI_312_no_cable(place):
    with place.elsewhere() as (network, names):
        with names.zone(net.host(f"gone.{net.DOMAIN}", "10.99.0.1"), net.srv("_sip._tls", f"gone.{net.DOMAIN}")):
            network.ip("c1", "route", "add", "unreachable", "10.99.0.1/32")
            with place.ann(name=f"ann@{net.DOMAIN}", prefix=network.inside("c1")) as ann:
                ann.tries(PASSWORD)
                place.is_told(ann, "SI-302", "no route to the host")
                place.gives_up(ann)
                network.unplug("c1")
                ann.enter_password(PASSWORD)
                place.is_told(ann, "SI-312", "7. A sipexternal.")


def SI_307_the_port_for_SIP_is_silent_while_another_works(place):
    with faults.silent() as port, place.by_document(port):
        place.is_told_next("SI-307", f"connect {place.host}:{port}: no answer at all, as if filtered", "HTTP status 200")


def SI_311_an_internal_answer_that_leads_nowhere_is_passed_over(place):
    inside = f"inside.{place.domain.domain}"
    with faults.mute() as dead, place.ann() as ann:
        place.leads_to(place.domain.tls_port, (f"_sipinternaltls._tcp.{place.domain.domain}", "SRV", (inside, dead.port)), (inside, "A", "127.0.0.1"))
        ann.signs_in()
        assert dead.open, "nobody tried the internal one"


def SI_312_nobody_answers_for_names(place):
    place.told("SI-312", "7. A sipexternal.", dns=f"127.0.0.1:{free_port(kind=socket.SOCK_DGRAM)}")


def SI_312_a_network_that_wants_its_own_sign_in_first(place):
    page = b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.test/\r\nContent-Length: 0\r\n\r\n"
    context = faults.tls_context(place.stranger.issue("login.hotel.test"))
    with place.elsewhere() as (network, names), names.zone(f"--address=/{net.DOMAIN}/{net.SERVER}"):
        with faults.inside(network.server, lambda: faults.says(page, 80, net.SERVER)), \
                faults.inside(network.server, lambda: faults.tls(context, port=443, host=net.SERVER)), \
                place.ann(name=f"ann@{net.DOMAIN}", prefix=network.inside("c1")) as ann:
            ann.tries(PASSWORD)
            place.is_told(ann, "SI-312", "plain HTTP is led to login.hotel.test")
            place.gives_up(ann)


def SI_313_a_family_that_leads_nowhere_is_passed_over(place):
    port = place.domain.tls_port
    try:
        peer = faults.mute(port, "::1")
    except OSError as error:
        raise tap.Skip(f"no IPv6 here: {error}") from None
    with peer as dead, place.ann() as ann:
        place.leads_to(port, (place.host, "AAAA", "::1"))
        ann.signs_in()
        assert dead.open, "nobody tried IPv6"


def SI_314_a_connection_that_is_reset_while_signed_in(place):
    with faults.Wire(place.domain.tls_port) as wire, place.by_document(wire.port), place.ann() as ann:
        ann.signs_in()
        wire.cut()
        ann.is_told("SI-314", code=False)
        ann.desk.wait("Try Now", role="push button")
        wire.mend()
        ann.desk.wait_gone("Try Now", role="push button")


def SI_316_an_answer_whose_signature_was_changed(place):
    with place.dialect() as domain:
        with faults.between(faults.tls_context(place.root.issue(domain.host)), domain.tls_port, domain.ca, domain.host,
                            lambda data: re.sub(rb'(rspauth=")(.)', lambda found: found[1] + (b"1" if found[2] == b"0" else b"0"), data)) as liar:
            place.names.set((f"_sip._tls.{domain.domain}", "SRV", (domain.host, liar.port)), (domain.host, "A", "127.0.0.1"))
            place.told("SI-316", "an answer to REGISTER", name=f"ann@{domain.domain}")


CASES = [case_of(*fault) for fault in FAULTS] + [
    SI_108_the_server_of_last_time_is_gone,
    SI_109_the_server_entered_by_hand_does_not_answer_and_automatic_settings_help,
    SI_110_a_computer_without_any_authority,
    SI_302_no_route_and_SI_312_no_cable,
    SI_307_the_port_for_SIP_is_silent_while_another_works,
    SI_311_an_internal_answer_that_leads_nowhere_is_passed_over,
    SI_312_nobody_answers_for_names,
    SI_312_a_network_that_wants_its_own_sign_in_first,
    SI_313_a_family_that_leads_nowhere_is_passed_over,
    SI_314_a_connection_that_is_reset_while_signed_in,
    SI_316_an_answer_whose_signature_was_changed,
]


def main():
    missing = desks.missing()
    if missing:
        print(f"1..0 # SKIP not installed: {missing}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was made of namespaces goes away
        signal.signal(number, lambda *_: sys.exit(1))
    programs = beckon.Programs(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="beckon-desk-") as folder:
        with beckon.Domain(pathlib.Path(folder) / "srv", programs) as domain:
            domain.init()
            domain.add_user("ann", PASSWORD, name="Ann Lee")
            domain.start()
            with Network(pathlib.Path(folder), domain, programs.desktop) as place:
                return tap.main(CASES, place)


if __name__ == "__main__":
    sys.exit(main())
