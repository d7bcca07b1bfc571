#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each record of the network that the client can find is caused once, and the window says its sentence, its number and what was seen.

Names, peers, wires and certificates are those of faults.py; the server is the real one. usage: records_network.py BUILD_FOLDER [CASE ...]
"""
import contextlib
import pathlib
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

    # ---- the person

    @contextlib.contextmanager
    def ann(self, *options, dns=None, trust=True):
        """A program of her own at the desk of this file, with nothing left from before."""
        self.leaves()
        if not self.desk:
            self.desk = self.stack.enter_context(Desk(self.folder / "desk", self.program, "ann"))
        self.n += 1
        person = Person(self, self.desk, "ann", trust=False, server=False)
        person.options = ["--dns", dns or self.names.address, "--discover-port", str(self.web_port), "--profile",
                          str(self.folder / f"profile{self.n}"), *options]
        if trust:
            person.options += ["--ca", str(self.trusted)]
        person.details = ""
        person.start()
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
            # What goes on by itself must not meet the next fault.
            if not ann.desk.sees("Try Again", role="push button"):
                ann.desk.press("Cancel", role="push button")
                ann.desk.wait("Sign In", role="push button")
        except BaseException:
            ann.desk.evidence()
            self.leaves()
            raise

    def is_told(self, ann, record, *words):
        """The record's sentence, its number and, behind Details, these words. No server was reached: there is no code."""
        if not ann.details:
            ann.desk.wait("Details", patience=60)
            ann.desk.press("Details")
        before = ann.details

        def told_anew():
            row = ann.desk.sees(has="Record: ")
            text = row and (row["text"] or row["name"])
            return text if text and text != before else None
        ann.details = wait_for("to be told something new", told_anew, 40, 0.05)
        if f"Record: {record}\n" not in ann.details:
            raise Failed(f"told something else than {record}: {ann.details}")
        for word in words:
            if word not in ann.details:
                raise Failed(f"the details do not say {word!r}: {ann.details}")
        ann.is_told(record, code=False, patience=5)
        if not ann.desk.sees(record):
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


CASES = [case_of(*fault) for fault in FAULTS]


def main():
    missing = desks.missing()
    if missing:
        print(f"1..0 # SKIP not installed: {missing}")
        return 0
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
