#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a hostile client of the Lync dialect may do to a running server: little, and nobody else notices.

usage: abuse_lync.py BUILD_FOLDER [SHARDS] [CASE ...]

All the while two people write to each other and see each other's status; a case ends only when both still arrive.
"""
import base64
import os
import pathlib
import re
import ssl
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "scenario"))
import beckon  # noqa: E402
import lync_wire  # noqa: E402
import tap  # noqa: E402
import wire  # noqa: E402
from lync_wire import BATCH, BATCH_LINES, PUBLISH, LyncPerson, roaming, state  # noqa: E402
from wire import Person, request, unique  # noqa: E402

PASSWORD = "correct horse battery"
DOMAIN = "example.test"
FORGED_MAX = 8  # docs/limits.md
SUBSCRIPTIONS = 32
BURST, RATE = 100, 50
STRANGER_BURST, STRANGER_RATE, STRANGER_LIFE_S = 20, 5, 5
SETTINGS = [f"limits.requests-burst={BURST}", f"limits.requests-rate={RATE}", f"limits.unauthenticated-life-ms={STRANGER_LIFE_S * 1000}"]


class Talk(threading.Thread):
    """gil writes to hal, who also sees his status: each must arrive."""

    def __init__(self, domain):
        super().__init__(daemon=True)
        self.gil, self.hal = (domain.client(name, by_address=False) for name in ("gil", "hal"))
        for person in (self.gil, self.hal):
            person.sign_in(PASSWORD)
        self.hal.say("watch", address=self.gil.address)
        self.n, self.stopping, self.error = 0, False, None

    def run(self):
        try:
            while not self.stopping:
                mark = self.hal.mark()
                tap.equal(self.gil.send(self.hal.address, f"message {self.n}")["state"], "sent")
                self.hal.wait("message", mark, text=f"message {self.n}")
                shown = ("busy", "dnd")[self.n % 2]
                self.gil.say("status", state=shown)
                self.hal.wait("presence", mark, address=self.gil.address, state=shown)
                self.n += 1
        except Exception as error:  # told by the case at hand
            self.error = error

    def goes_on(self):
        mark = self.n
        beckon.wait_for("the two who talk", lambda: self.error or self.n >= mark + 2)
        if self.error:
            raise AssertionError(f"the two who talk were disturbed: {self.error!r}")

    def end(self):
        self.stopping = True
        self.join(wire.PATIENCE)
        self.gil.close()
        self.hal.close()


def eve(domain, **options):
    return LyncPerson(domain, "eve", PASSWORD, **options)


def nothing_arrived(person, sender):
    """The next message that person gets is the one which sender, signed in, sends now."""
    call = unique("witness")
    sender.wire.send(request("MESSAGE", person.uri, sender.uri, call=call, body=b"the only one"))
    got = person.wire.expect("MESSAGE")
    tap.equal(got.body, b"the only one", "what came first")
    person.wire.send(wire.response(got, 200))
    tap.equal(sender.wire.answer(call).status, 200)


def ends_after_eight(liar, forge, what):
    """forge(i) makes a request that is not signed as it must be; more are sent than are answered."""
    try:
        for i in range(2 * FORGED_MAX):
            liar.wire.send(forge(i))
    except OSError:
        pass  # closed already
    answers = [m for m in liar.wire.until_closed() if m.status]
    tap.equal([m.status for m in answers], [403] * FORGED_MAX, what)


# ---- signatures


def what_is_not_signed_right_is_refused_and_eight_such_end_the_connection(domain, _talk):
    with Person(domain, "bob", PASSWORD) as bob, Person(domain, "ann", PASSWORD) as ann, eve(domain) as other:
        bob.sign_in()
        ann.sign_in()
        other.sign_in()

        def message(liar):
            return liar.request("MESSAGE", bob.uri, body=b"forged")

        def altered(liar):
            """Signed for somebody else, then sent to bob."""
            return liar.sign(liar.request("MESSAGE", ann.uri, body=b"forged")).replace(
                f"To: <{ann.uri}>".encode(), f"To: <{bob.uri}>".encode())

        def of_another(liar):
            """Right, but with the keys of another connection of the same person."""
            opaque, liar.opaque, ntlm, liar.ntlm = liar.opaque, other.opaque, liar.ntlm, other.ntlm
            data = liar.sign(message(liar))
            liar.opaque, liar.ntlm = opaque, ntlm
            return data

        for what, forge in {
                "not signed": message,
                "a wrong signature": lambda liar: liar.sign(message(liar), spoil=True),
                "a number that was there": lambda liar: liar.sign(message(liar), number=1),
                "number zero": lambda liar: liar.sign(message(liar), number=0),
                "altered": altered,
                "signed on another connection": of_another,
                "no signature to read": lambda liar: message(liar).replace(
                    b"Contact:", b'Authorization: NTLM qop="auth", opaque="' + b"A" * 600 + b'"\r\nContact:', 1),
        }.items():
            with eve(domain).sign_in() as liar:
                ends_after_eight(liar, lambda _i, liar=liar, forge=forge: forge(liar), what)
        nothing_arrived(bob, ann)
        tap.equal(other.ask("OPTIONS", f"sip:{DOMAIN}").status, 200, "eve's own other connection")


def wrongly_signed_publications_change_nothing(domain, _talk):
    with eve(domain).sign_in() as liar, eve(domain).sign_in() as other:
        def forged(i):
            body = liar.publication([("state", 7, 2, 0, state(6500))])
            return liar.sign(liar.request("SERVICE", liar.uri, content_type=PUBLISH, body=body), spoil=i % 2 == 0, number=1)
        ends_after_eight(liar, forged, "publications")
        got = other.publish([("state", 7, 2, 0, state(6500))])
        tap.equal(got.status, 200, "version 0 of what nobody published")


def wrongly_signed_registers_end_the_connection(domain, _talk):
    with eve(domain).sign_in() as liar:
        ends_after_eight(liar, lambda i: liar.sign(liar.register(), spoil=True), "REGISTER")
    with eve(domain).sign_in() as liar:
        ends_after_eight(liar, lambda i: liar.sign(liar.register(), number=1), "REGISTER, replayed")


def an_answer_that_is_not_signed_counts_for_nothing(domain, _talk):
    """Who calls is not connected by it."""
    with Person(domain, "ann", PASSWORD) as ann:
        ann.sign_in()
        with LyncPerson(domain, "cyd", PASSWORD).sign_in() as cyd:
            for _ in range(FORGED_MAX):
                ann.wire.send(request("INVITE", cyd.uri, ann.uri, call=unique("call"), lines=[f"Contact: <{ann.contact}>"]))
                got = cyd.wire.expect("INVITE")
                cyd.wire.send(wire.response(got, 200, lines=[f"Contact: <{cyd.contact}>"]))
            cyd.wire.until_closed()
        call = unique("behind")
        ann.wire.send(request("OPTIONS", f"sip:{DOMAIN}", ann.uri, call=call))
        answers = []
        while not answers or answers[-1].get("call-id") != call:
            answers.append(ann.wire.next())
            assert answers[-1], "no answer"
        tap.equal([m.start for m in answers if m.get("cseq").endswith("INVITE") and 200 <= m.status < 300], [])


def with_the_name_of_another_nothing_is_done(domain, _talk):
    with Person(domain, "bob", PASSWORD) as bob, Person(domain, "ann", PASSWORD) as ann, eve(domain).sign_in() as liar:
        bob.sign_in()
        ann.sign_in()
        for _ in range(2 * FORGED_MAX):
            call = unique("as-ann")
            liar.wire.send(liar.sign(liar.request("MESSAGE", bob.uri, sender=ann.uri, call=call, body=b"I am ann")))
            status = liar.wire.answer(call).status
            assert status in (401, 403, 407), status
        body = liar.publication([("state", 1, 2, 0, state(9500))]).replace(b"eve@", b"ann@")
        for target in (liar.uri, ann.uri):
            status = liar.ask("SERVICE", target, content_type=PUBLISH, body=body).status
            assert status in (403, 404), f"publishing for ann at {target}: {status}"
        for event in ("roaming-contacts", "roaming-self"):
            tap.equal(liar.ask("SUBSCRIBE", ann.uri, lines=roaming(event)).status, 403, f"ann's {event}")
        nothing_arrived(bob, ann)


# ---- 401s


def who_answers_every_401_at_once_is_slowed_down_and_cut(domain, _talk):
    """Never proving anything: unsigned REGISTERs, or the first leg again and again."""
    for what in ("register", "first_leg"):
        with eve(domain) as mad:
            start, answers = time.monotonic(), 0
            mad.offer()
            try:
                while True:
                    tap.equal(mad.registered(getattr(mad, what)()).status, 401)
                    answers += 1
            except (wire.Gone, OSError):
                pass
            took = time.monotonic() - start
            assert mad.wire.closed, f"{what}: neither answered nor closed"
            most = STRANGER_BURST + STRANGER_RATE * (took + 1)
            assert answers <= most, f"{what}: {answers} answers in {took:.1f} s"


def who_is_signed_in_and_answers_every_401_at_once_is_cut(domain, _talk):
    for what in ("register", "first_leg"):
        with eve(domain).sign_in() as mad:
            answers = 0
            try:
                while answers <= CHALLENGES_MAX:
                    tap.equal(mad.registered(getattr(mad, what)()).status, 401)
                    answers += 1
            except (wire.Gone, OSError):
                pass
            tap.equal((answers, mad.wire.closed), (CHALLENGES_MAX, True), what)


# ---- TLS-DSK, the handshake inside SIP

def client_hello():
    """The first leg of a real client: TLS 1.2 as Python's library writes it, which asks for more than is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ALL:@SECLEVEL=0")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=None).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def dsk_leg(mad, token, opaque=None):
    """A REGISTER with this leg; opaque: of a handshake that was begun."""
    named = f', opaque="{opaque}"' if opaque else ""
    data = base64.b64encode(token).decode() if isinstance(token, bytes) else token
    return mad.register([f'Authorization: TLS-DSK qop="auth"{named}, realm="{mad.realm}", targetname="{mad.target}", '
                         f'gssapi-data="{data}", version=4'])


def begun(got):
    """The opaque of a handshake that goes on; None: it does not."""
    challenge = next((v for v in got.all("www-authenticate") if v.startswith("TLS-DSK ") and "gssapi-data" in v), None)
    return lync_wire.parameters(challenge)["opaque"] if got.status == 401 and challenge else None


def half_a_handshake_and_what_follows_it_wrongly_ends_in_a_refusal(domain, _talk):
    hello = client_hello()
    for what, second in (("the same leg again", hello), ("nothing", b""), ("garbage", os.urandom(700)), ("half a record", b"\x16\x03\x01\x20\x00ab"),
                         ("a record that is too long", b"\x16\x03\x03\xff\xff" + bytes(200)), ("an alert", b"\x15\x03\x03\x00\x02\x02\x28")):
        with eve(domain) as mad:
            mad.offer()
            opaque = begun(mad.registered(dsk_leg(mad, hello)))
            assert opaque, "a right first leg is not answered by one"
            got = mad.registered(dsk_leg(mad, second, opaque))
            # An empty or a half one may be waited for: then the next is refused.
            for _ in range(6):
                if got.status != 401:
                    break
                assert begun(got), f"{what}: {got.data!r}"
                got = mad.registered(dsk_leg(mad, second, opaque))
            tap.equal(got.status, 403, what)
            # It is over: another leg of it finds nothing, and is offered to begin anew.
            got = mad.registered(dsk_leg(mad, hello, opaque))
            tap.equal((got.status, begun(got)), (401, None), what)


def first_legs_that_are_none_are_refused(domain, _talk):
    for what, leg, status in (("garbage", os.urandom(500), 403), ("no base64", "!!!!", 400), ("half of base64", "AAA", 400),
                              ("SSL 2", b"\x80\x2e\x01\x00\x02" + bytes(43), 403), ("HTTP", b"GET / HTTP/1.1\r\n\r\n", 403),
                              ("more than a leg may be", os.urandom(17000), 403)):
        with eve(domain) as mad:
            mad.offer()
            tap.equal(mad.registered(dsk_leg(mad, leg)).status, status, what)


def a_leg_of_another_connection_or_another_person_is_not_taken(domain, _talk):
    hello = client_hello()
    with eve(domain) as mad, eve(domain) as other:
        for client in (mad, other):
            client.offer()
        opaque = begun(mad.registered(dsk_leg(mad, hello)))
        assert begun(other.registered(dsk_leg(other, hello, opaque))) is None
        mine = mad.uri
        mad.uri = f"sip:ann@{DOMAIN}"
        assert begun(mad.registered(dsk_leg(mad, hello, opaque))) is None
        mad.uri = mine
        tap.equal(mad.registered(dsk_leg(mad, hello, opaque)).status, 403)


def resident_kb(domain):
    text = pathlib.Path(f"/proc/{domain.server.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


def thousands_of_handshakes_are_begun_and_left(domain, talk):
    """Each holds some 60 kB of TLS on the server until its connection ends: two for each connection, and those end."""
    hello, before, crowd, legs, place = client_hello(), resident_kb(domain), [None] * 50, 0, 0
    try:
        while legs < 2000:
            place = (place + 1) % len(crowd)
            try:
                if not crowd[place]:
                    crowd[place] = eve(domain)
                    crowd[place].offer()
                got = crowd[place].registered(dsk_leg(crowd[place], hello))
                assert got.status in (401, 503), got.start
                legs += 1
            except (wire.Gone, OSError):
                crowd[place].close()
                crowd[place] = None
            if legs % 500 == 0:
                talk.goes_on()
        grown = resident_kb(domain) - before
        assert grown < 64 * 1024, f"{legs} handshakes cost {grown} kB"
    finally:
        for mad in filter(None, crowd):
            mad.close()
    with eve(domain).sign_in() as honest:
        tap.equal(honest.ask("OPTIONS", f"sip:{DOMAIN}").status, 200)


def who_signs_in_again_and_again_is_not_cut(domain, _talk):
    """Each sign-in that ends well starts the count of 401s anew."""
    with eve(domain).sign_in() as diligent:
        for _ in range(CHALLENGES_MAX):
            diligent.sign_in()
        tap.equal(diligent.ask("OPTIONS", f"sip:{DOMAIN}").status, 200)


def wrong_passwords_are_limited_for_that_account_alone(domain, _talk):
    seen = []
    for _ in range(12):
        with LyncPerson(domain, "mal", "not this one") as mal:
            mal.offer()
            got = mal.prove()
            seen.append(got.status)
            if got.status == 503:
                assert int(got.get("retry-after")) >= 1, got.data
    tap.equal(seen, [403] * 10 + [503] * 2)
    with LyncPerson(domain, "mal", PASSWORD) as mal:
        mal.offer()
        tap.equal(mal.prove().status, 503, "the right password, too soon")
    with eve(domain) as other:
        other.sign_in()


# ---- floods


def version_of(got, instance):
    """What the answer to a publication says of it."""
    return int(re.search(rb'instance="%d" [^>]*version="(\d+)"' % instance, got.body).group(1))


def who_publishes_in_a_loop_is_slowed_down(domain, talk):
    n = 3 * BURST
    with eve(domain).sign_in() as mad:
        start = time.monotonic()
        calls = [unique("publish") for _ in range(n)]
        for i, call in enumerate(calls):
            body = mad.publication([("state", 77, 2, i, state((3500, 6500)[i % 2]))])
            mad.wire.send(mad.sign(mad.request("SERVICE", mad.uri, call=call, content_type=PUBLISH, body=body)))
        talk.goes_on()
        for i, call in enumerate(calls):
            got = mad.wire.answer(call)
            tap.equal((got.status, version_of(got, 77)), (200, i + 1))
        took = time.monotonic() - start
        assert took >= (n - BURST) / RATE * 0.8, f"{n} requests were read in {took:.1f} s"


def who_subscribes_in_a_loop_has_32_and_is_told_so(domain, talk):
    n = SUBSCRIPTIONS + 20
    with eve(domain).sign_in() as mad:
        got = [mad.ask("SUBSCRIBE", mad.uri, content_type=BATCH, lines=BATCH_LINES, body=mad.batch([f"gil@{DOMAIN}"])).status
               for _ in range(n)]
        tap.equal(got, [200] * SUBSCRIPTIONS + [403] * (n - SUBSCRIPTIONS))
        talk.goes_on()
    with eve(domain).sign_in() as mad:  # one of each kind of list: a new one takes the place of the old
        for event in ("roaming-contacts", "roaming-self"):
            got = [mad.ask("SUBSCRIBE", mad.uri, lines=roaming(event)).status for _ in range(n)]
            tap.equal(got, [200] * n, event)
        tap.equal(mad.ask("SUBSCRIBE", mad.uri, content_type=BATCH, lines=BATCH_LINES, body=mad.batch([f"gil@{DOMAIN}"])).status, 200)


def a_stale_version_is_told_the_right_one_and_nobody_is_notified(domain, _talk):
    with eve(domain).sign_in() as mad, eve(domain).sign_in() as watcher:
        tap.equal(watcher.ask("SUBSCRIBE", watcher.uri, lines=roaming("roaming-self"), content_type="application/vnd-microsoft-roaming-self+xml",
                              body=b'<roamingList xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self">'
                                   b'<roaming type="categories"/></roamingList>').status, 200)
        tap.equal(mad.publish([("state", 9, 2, 0, state(3500))]).status, 200)
        watcher.wire.expect("BENOTIFY")
        for version in (0, 2, 7, 4294967295) * 10:
            got = mad.publish([("state", 9, 2, version, state(6500))])
            tap.equal(got.status, 409)
            assert b'curVersion="1"' in got.body and got.get("content-type"), got.body
        # One stale of two: neither is taken.
        got = mad.publish([("state", 10, 2, 0, state(6500)), ("state", 9, 2, 0, state(6500))])
        assert got.status == 409 and b'index="2"' in got.body and b'index="1"' not in got.body, got.body
        # What the answer said is right, and is the next that a watcher hears of.
        tap.equal(mad.publish([("state", 9, 2, 1, state(9500))]).status, 200)
        told = watcher.wire.expect("BENOTIFY")
        assert b"9500" in told.body and b"6500" not in told.body, told.body
        for version in ("-1", "4294967296", "x", "99999999999999999999"):
            tap.equal(mad.publish([("state", 9, 2, version, state(6500))]).status, 400, f"version {version!r}")


# ---- documents


def documents_too_deep_or_too_large_are_refused_with_the_reason(domain, talk):
    deep, wide = "<a>" * 1000 + "</a>" * 1000, "<a>" + "<b/>" * 20000 + "</a>"
    with eve(domain).sign_in() as mad:
        def publishing(content):
            return mad.publication([("note", 1, 2, 0, content)])

        for what, body, status, reason in (
                ("a thousand deep", publishing(deep), 400, "nested too deep"),
                ("sixty thousand deep, never closed", b"<a>" * 60000, 400, "nested too deep"),
                ("twenty thousand elements", publishing(wide), 400, "too many elements"),
                ("attributes", publishing("<a " + " ".join(f'x{i}="1"' for i in range(65)) + "/>"), 400, "too many attributes"),
                ("one attribute of 200 kB", publishing(f'<a b="{"x" * 200000}"/>'), 413, "no room"),
                ("a text of 70 kB", publishing(f"<a>{'x' * 70000}</a>"), 413, "no room"),
                ("65 publications", mad.publication([("note", i, 2, 0, "<a/>") for i in range(65)]), 400, "too many publications"),
                ("entities", b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 100 + b'"><!ENTITY c "&b;&b;&b;">]><publish>&c;</publish>', 400,
                 "document type"),
                ("an unknown entity", publishing("&b;"), 400, "not well-formed"),
                ("half a document", publishing("<a/>")[:-5], 400, "not well-formed"),
                ("no text", bytes(range(256)) * 100, 400, "not well-formed"),
                ("nothing", b"", 400, "")):
            got = mad.ask("SERVICE", mad.uri, content_type=PUBLISH, body=body,
                          lines=[] if body else [f"Content-Type: {PUBLISH}"])
            assert got.status == status and reason in got.start, f"{what}: {got.start}"
        for what, body, reason in (("people", mad.batch([f"u{i}@{DOMAIN}" for i in range(1001)]), "too many people"),
                                   ("depth", b"<a>" * 1000, "nested too deep")):
            got = mad.ask("SUBSCRIBE", mad.uri, content_type=BATCH, lines=BATCH_LINES, body=body)
            assert got.status == 400 and reason in got.start, f"{what}: {got.start}"
        for kind in ("application/SOAP+xml", "application/msrtc-setcontainermembers+xml", "application/msrtc-presence-setsubscriber+xml"):
            got = mad.ask("SERVICE", mad.uri, content_type=kind, body=deep.encode())
            assert got.status == 400 and "nested too deep" in got.start, f"{kind}: {got.start}"
        talk.goes_on()
        # As large as a message may be is read; over it, the connection is of no more use.
        assert mad.ask("SERVICE", mad.uri, content_type=PUBLISH, body=b"<a/>" + b" " * 250000).status in (400, 413)
        try:
            mad.wire.send(mad.sign(mad.request("SERVICE", mad.uri, content_type=PUBLISH, body=publishing("x" * 300000))))
        except OSError:
            pass
        tap.equal([m.status for m in mad.wire.until_closed() if m.status], [513])


def a_person_has_room_for_so_much(domain, _talk):
    with eve(domain).sign_in() as mad:
        large = "<a>" + "x" * 60000 + "</a>"
        got = [mad.publish([("note", i, 2, 0, large)]).status for i in range(10)]
        tap.equal(got, [200] * 8 + [413] * 2, "of 60 kB each")
    with eve(domain).sign_in() as mad:  # what the endpoint published went with it
        got = [mad.publish([(f"c{k}", i, 2, 0, "<a/>") for i in range(50)]).status for k in range(8)]
        tap.equal(got, [200] * 5 + [413] * 3, "fifty at a time")
        tap.equal(mad.ask("OPTIONS", f"sip:{DOMAIN}").status, 200)


CHALLENGES_MAX = 64
CASES = [what_is_not_signed_right_is_refused_and_eight_such_end_the_connection, wrongly_signed_publications_change_nothing,
         wrongly_signed_registers_end_the_connection, an_answer_that_is_not_signed_counts_for_nothing,
         with_the_name_of_another_nothing_is_done, who_answers_every_401_at_once_is_slowed_down_and_cut,
         who_is_signed_in_and_answers_every_401_at_once_is_cut,
         half_a_handshake_and_what_follows_it_wrongly_ends_in_a_refusal, first_legs_that_are_none_are_refused,
         a_leg_of_another_connection_or_another_person_is_not_taken, thousands_of_handshakes_are_begun_and_left,
         who_signs_in_again_and_again_is_not_cut,
         wrong_passwords_are_limited_for_that_account_alone, who_publishes_in_a_loop_is_slowed_down,
         who_subscribes_in_a_loop_has_32_and_is_told_so, a_stale_version_is_told_the_right_one_and_nobody_is_notified,
         documents_too_deep_or_too_large_are_refused_with_the_reason, a_person_has_room_for_so_much]


def with_others_undisturbed(case):
    def wrapped(domain, talk):
        case(domain, talk)
        talk.goes_on()
        assert domain.server.poll() is None, "the server ended"
    wrapped.__name__ = case.__name__
    return wrapped


def main():
    assert lync_wire.md4(b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d"  # RFC 1320, A.5
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    # A sanitizer keeps what was freed for a while, 256 MB of it: what a handshake costs would drown in that.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain=DOMAIN, host="localhost",
                               settings=SETTINGS + [f"server.shards={shards}"])
        domain.init()
        domain.ctl("policy", "set", "ntlm-signin", "on")
        for name in ("ann", "bob", "cyd", "eve", "gil", "hal", "mal"):
            domain.add_user(name, PASSWORD)
        for name in ("ann", "bob"):
            domain.ctl("user", "device-password", "add", f"{name}@{DOMAIN}", "test", "--stdin", stdin=PASSWORD + "\n")
        with domain:
            domain.start()
            talk = Talk(domain)
            talk.start()
            status = tap.main([with_others_undisturbed(c) for c in CASES], domain, talk)
            talk.end()
            wire.stop(domain)
            return status


if __name__ == "__main__":
    sys.exit(main())
