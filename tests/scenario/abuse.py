#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What strangers, liars and floods may do to a running server: little, and nobody else notices.

usage: abuse.py BUILD_FOLDER [SHARDS] [CASE ...]

All the while two people write to each other; a case ends only when their messages still arrive.
"""
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "scenario"))
import beckon  # noqa: E402
import tap  # noqa: E402
import wire  # noqa: E402
from wire import Person, Wire, request, unique  # noqa: E402

PASSWORD = "correct horse battery"
DOMAIN = "example.test"
SUBSCRIPTIONS = 40
UDP_PEERS = 30
SETTINGS = ["listen.tcp=127.0.0.1:0", "listen.udp=127.0.0.1:0", "limits.stranger-requests-burst=100000",
            "limits.own-new-per-ip=100000", "limits.handshake-ms=1000", "limits.first-request-ms=2000",
            "limits.unfinished-message-ms=1000", f"limits.udp-peers={UDP_PEERS}", f"limits.subscriptions={SUBSCRIPTIONS}", "limits.requests-burst=100000"]


class Talk(threading.Thread):
    """gil writes to hal; each message must arrive and be answered."""

    def __init__(self, domain):
        super().__init__(daemon=True)
        self.gil, self.hal = Person(domain, "gil", PASSWORD), Person(domain, "hal", PASSWORD)
        self.gil.sign_in()
        self.hal.sign_in()
        self.n, self.stopping, self.error = 0, False, None

    def run(self):
        try:
            while not self.stopping:
                call, text = unique("talk"), f"message {self.n}".encode()
                self.gil.wire.send(request("MESSAGE", self.hal.uri, self.gil.uri, call=call, body=text))
                got = self.hal.wire.expect("MESSAGE")
                tap.equal(got.body, text)
                self.hal.wire.send(wire.response(got, 200))
                tap.equal(self.gil.wire.answer(call).status, 200)
                self.n += 1
                time.sleep(0.02)  # the pace of the two, nothing waits for it
        except Exception as error:  # told by the case at hand
            self.error = error

    def goes_on(self):
        mark = self.n
        beckon.wait_for("the two who talk", lambda: self.error or self.n >= mark + 3)
        if self.error:
            raise AssertionError(f"the two who talk were disturbed: {self.error!r}")


def raw(domain, kind):
    return socket.create_connection(("127.0.0.1", domain.ports[kind]), wire.PATIENCE)


def read_until_closed(s):
    """What the server said until it closed."""
    s.settimeout(wire.PATIENCE)
    got = b""
    try:
        while True:
            data = s.recv(65536)
            if not data:
                return got
            got += data
    except ConnectionError:
        return got


def before_the_probe(w, data):
    """Sends it and an OPTIONS behind it: the answers up to that of the OPTIONS, or until the server closes."""
    call = unique("behind")
    try:
        w.send(data)
        w.send(request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}", call=call, kind=w.kind))
    except OSError:
        pass  # closed already
    answers = []
    while True:
        answer = w.next()
        if answer is None:
            assert w.closed, "neither closed nor answered"
            return answers
        if answer.get("call-id") == call:
            return answers
        answers.append(answer)


def statuses_of(messages):
    return [m.status for m in messages]


# ---- who says nothing, or never ends


def a_handshake_that_does_not_end_is_cut(domain, _talk):
    started = [raw(domain, "tls") for _ in range(30)]
    for i, s in enumerate(started):
        s.sendall(b"\x16\x03\x01\x02\x00\x01"[:i % 7])
    for s in started:
        assert len(read_until_closed(s)) < 100
        s.close()


def three_hundred_connections_without_a_word_are_cut(domain, talk):
    silent = [raw(domain, ("tls", "tcp")[i % 2]) for i in range(300)]
    talk.goes_on()
    for s in silent:
        assert len(read_until_closed(s)) < 100
        s.close()


def half_a_message_is_cut(domain, _talk):
    whole = request("REGISTER", f"sip:{DOMAIN}", f"sip:ann@{DOMAIN}", lines=["Contact: <sip:ann@127.0.0.1:9>"])
    with Wire(domain, "TCP") as a, Wire(domain, "TLS") as b, Wire(domain, "TLS") as c:
        a.send(whole[:60])
        b.send(whole[:-2])
        c.send(request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}", body=b"x" * 100)[:-1])
        for w in (a, b, c):
            tap.equal(statuses_of(w.until_closed()), [])


def a_message_that_comes_ever_so_slowly_is_cut(domain, _talk):
    endless = request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}")[:-2] + b"X-Slow: " + b"x" * 10000
    for kind in ("TCP", "TLS"):
        with Wire(domain, kind) as w:
            end = time.monotonic() + wire.PATIENCE
            for i in range(len(endless)):
                try:
                    w.send(endless[i:i + 1])
                except OSError:
                    break
                if w.next(0.05) is None and w.closed:  # the pace of the slow one
                    break
                assert time.monotonic() < end, "a slow one may go on for ever"


# ---- what is no message


def garbage_is_no_message(domain, _talk):
    rng = random.Random(4475)
    for kind in ("UDP", "TCP", "TLS"):
        for size in (1, 2, 3, 7, 64, 1000, 1400):
            with Wire(domain, kind) as w:
                w.send(rng.randbytes(size))
                assert len(before_the_probe(w, rng.randbytes(size) + b"\r\n\r\n")) <= 1
                if kind == "UDP":
                    assert w.received < 2 * w.sent
    for size in (1, 5, 6, 300, 20000):
        s = raw(domain, "tls")
        s.sendall(rng.randbytes(size))
        assert len(read_until_closed(s)) < 200
        s.close()


def a_content_length_that_lies_ends_the_connection(domain, _talk):
    for length in ("4294967295", "4294967296", "99999999999999999999999", "10000000", "-1", "0x10", "1e3", "1 1", ""):
        data = request("MESSAGE", f"sip:ann@{DOMAIN}", f"sip:x@{DOMAIN}", kind="TCP").replace(
            b"Content-Length: 0", b"Content-Length: " + length.encode())
        for kind in ("TCP", "TLS"):
            with Wire(domain, kind) as w:
                w.send(data)
                got = statuses_of(w.until_closed())
                assert got in ([400], [413], [513]), f"Content-Length {length!r} over {kind}: {got}"
        with Wire(domain, "UDP") as w:
            call = unique("behind")
            w.send(data)
            w.send(request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}", call=call, kind="UDP"))
            first = w.next()
            assert first.get("call-id") == call or first.status in (400, 413, 513), first.start


def a_head_of_100_kb_is_refused(domain, _talk):
    start = f"OPTIONS sip:{DOMAIN} SIP/2.0\r\n".encode()
    for data in (start + b"X-Large: " + b"x" * 100000, b"OPTIONS sip:" + b"x" * 100000, start + b"X: y\r\n" * 17000,
                 start + b"Via: " + b"SIP/2.0/TCP a;branch=z9hG4bKa," * 3400, start + b"X:\r\n" + b" folded\r\n" * 12000):
        for kind in ("TCP", "TLS"):
            with Wire(domain, kind) as w:
                try:
                    w.send(data)
                except OSError:
                    pass  # the server need not read it all
                got = statuses_of(w.until_closed())
                assert all(g in (400, 413, 414, 513) for g in got) and len(got) <= 1, f"{data[:40]} over {kind}: {got}"


def many_fields_and_deep_ones_are_refused_or_read(domain, _talk):
    whole = request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}", kind="TCP")
    head, tail = whole[:whole.index(b"Call-ID")], whole[whole.index(b"Call-ID"):]
    for extra in (b"X: y\r\n" * 5000, b"Via: SIP/2.0/TCP a;branch=z9hG4bKb\r\n" * 700, b"Route: <sip:a;lr>\r\n" * 1500,
                  b"Contact: <sip:a@b>" + b",<sip:a@b>" * 2500 + b"\r\n", b"X: " + b"(" * 20000 + b"\r\n",
                  b"Contact: <sip:a@b" + b";p=1" * 5000 + b">\r\n", b"Authorization: Digest " + b'a="b",' * 4000 + b'a="b"\r\n',
                  b"Contact: \"" + b"\\\"" * 10000 + b"\" <sip:a@b>\r\n", b"X:\r\n" + b" \r\n" * 8000):
        for kind in ("TCP", "TLS", "UDP"):
            with Wire(domain, kind) as w:
                got = statuses_of(before_the_probe(w, head + extra + tail))
                right = all(g in (400, 401, 407, 413, 482, 513) for g in got) and len(got) <= 1
                assert right, f"{extra[:30]} over {kind}: {got}"


def eight_faults_end_the_connection(domain, _talk):
    for kind in ("TCP", "TLS"):
        with Wire(domain, kind) as w:
            w.send(request("OPTIONS", "<sip:x>", f"sip:x@{DOMAIN}", kind=kind) * 50)
            assert len(w.until_closed()) <= 8


def a_flood_of_keep_alives_harms_nobody(domain, talk):
    with Wire(domain, "TLS") as w, Wire(domain, "TCP") as t:
        for one in (w, t):
            one.socket.settimeout(5)
            try:
                for _ in range(100):
                    one.socket.sendall(b"\r\n\r\n" * 2500)  # nobody reads the answers
            except OSError:
                pass  # it may be closed, or no longer be read
        talk.goes_on()


# ---- what a stranger gets by UDP


def a_stranger_gets_no_more_than_twice_the_bytes_by_udp(domain, _talk):
    def small(method, uri, sender, to=None, extra=""):
        return (f"{method} {uri} SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK{unique('')}\r\nf:<{sender}>;tag=a\r\nt:<{to or sender}>\r\n"
                f"i:{unique('')}\r\nCSeq:1 {method}\r\n{extra}\r\n").encode()

    ann, d = f"sip:ann@{DOMAIN}", f"sip:{DOMAIN}"
    wrong = 'Authorization:Digest username="ann",realm="%s",nonce="00",uri="%s",response="00"\r\n' % (DOMAIN, d)
    kinds = {
        "challenge of the registrar": small("REGISTER", d, ann, extra="m:<sip:a>\r\n"),
        "challenge of a usual REGISTER": small("REGISTER", d, ann, extra="m:<sip:ann@192.0.2.17:5060;transport=udp>\r\n"
                                               "User-Agent:Telephone 1.0\r\nAllow:INVITE,ACK,BYE,CANCEL,OPTIONS,MESSAGE,NOTIFY\r\n"),
        "challenge of the proxy": small("MESSAGE", ann, "sip:bob@" + DOMAIN),
        "challenge of an INVITE": small("INVITE", ann, "sip:bob@" + DOMAIN),
        "challenge for OPTIONS": small("OPTIONS", d, ann),
        "challenge for SUBSCRIBE": small("SUBSCRIBE", ann, ann, extra="o:presence\r\n"),
        "challenge for PUBLISH": small("PUBLISH", ann, ann, extra="o:presence\r\n"),
        "a foreign sender": small("OPTIONS", ann, "sip:x@elsewhere.test"),
        "a foreign target": small("MESSAGE", "sip:x@elsewhere.test", ann),
        "REGISTER of a foreign domain": small("REGISTER", "sip:e.test", "sip:x@e.test"),
        "REGISTER for somebody else": small("REGISTER", d, ann, to=f"sip:bob@{DOMAIN}"),
        "REGISTER with a bad name": small("REGISTER", d, f"sip:o'h@{DOMAIN}"),
        "forged credentials": small("REGISTER", d, ann, extra=wrong),
        "no hops left": small("OPTIONS", ann, ann, extra="Max-Forwards:0\r\n"),
        "unknown scheme": small("OPTIONS", "foo:bar", ann),
        "unreadable": small("OPTIONS", "<sip:a>", ann),
        "CANCEL of nothing": small("CANCEL", d, ann),
        "CANCEL of nothing of ann's": small("CANCEL", ann, ann),
        "ACK of nothing": small("ACK", ann, ann),
        "unknown method": small("FOO", d, ann),
        "forged token": small("BYE", ann, ann, extra="Route:<sip:bkr-AAAA@127.0.0.1;lr>\r\n"),
        "loop": small("OPTIONS", ann, ann, extra="Via:SIP/2.0/UDP a;branch=z9hG4bKa\r\n"),
        "body too large": small("MESSAGE", ann, ann)[:-2] + b"l:9000\r\n\r\n" + b"x" * 9000,
        "a response": b"SIP/2.0 200 OK\r\nv:SIP/2.0/UDP a;branch=z9hG4bKa\r\nf:<sip:a>;tag=a\r\nt:<sip:a>;tag=b\r\ni:a\r\nCSeq:1 INVITE\r\n\r\n",
        "next to nothing": b"A",
        "a keep-alive": b"\r\n\r\n",
        "STUN": bytes.fromhex("000100002112a442") + b"0" * 12,
    }
    wires = {}
    for what, data in kinds.items():
        wires[what] = Wire(domain, "UDP")
        wires[what].send(data)
    wire.alive(domain, "UDP")  # all were handled by now
    end = time.monotonic() + 1.2  # beyond T1: what would be sent again
    for w in wires.values():
        while w.next(max(0.001, end - time.monotonic())):
            pass
    for what, w in wires.items():
        print(f"# {what}: {w.sent} bytes in, {w.received} out, ratio {w.received / w.sent:.2f}")
        w.close()
    for what, w in wires.items():
        assert w.received <= 2 * w.sent, f"{what}: {w.received} bytes for {w.sent}"
    # A challenge is larger than the smallest request; those of real phones have room for it.
    assert wires["challenge of a usual REGISTER"].received, "a REGISTER of usual size is not answered"


# ---- who lies about who he is


def message(person, to, text, **options):
    return person.ask("MESSAGE", f"sip:{to}@{DOMAIN}", body=text.encode(), **options)


def nothing_arrived_but(person, sender, text):
    """The next message that person gets is this one, which sender, signed in, sends now."""
    call = unique("witness")
    sender.wire.send(request("MESSAGE", person.uri, sender.uri, call=call, body=text.encode(), kind=sender.kind))
    got = person.wire.expect("MESSAGE")
    tap.equal(got.body, text.encode(), "what came first")
    person.wire.send(wire.response(got, 200))
    tap.equal(sender.wire.answer(call).status, 200)


def credentials_are_good_once(domain, _talk):
    for kind in ("TLS", "TCP", "UDP"):
        with Person(domain, "bob", PASSWORD) as bob, Person(domain, "eve", PASSWORD, kind) as ann, \
                Person(domain, "cyd", PASSWORD) as witness, Person(domain, "eve", PASSWORD, kind) as other:
            bob.sign_in()
            witness.sign_in()

            def delivered(lines, text):
                call = unique("digest")
                ann.wire.send(request("MESSAGE", bob.uri, ann.uri, call=call, body=text, lines=lines, kind=kind))
                got = bob.wire.expect("MESSAGE")
                tap.equal(got.body, text)
                bob.wire.send(wire.response(got, 200))
                tap.equal(ann.wire.answer(call).status, 200)

            first = ann.learn(message(ann, "bob", "challenge me"))
            line = first.line("MESSAGE", bob.uri)
            delivered([line], b"once")
            for who, how in ((ann, "on the same connection"), (other, "on another connection")):
                for _ in range(2):
                    again = message(who, "bob", f"again {how}", lines=[line])
                    tap.equal(again.status, 407, f"over {kind}, {how}")
            # Who knows no qop (RFC 2069) counts nothing: once is once.
            old = wire.Digest("eve", PASSWORD, message(ann, "bob", "challenge me").get("proxy-authenticate"), proxy=True)
            plain = old.line("MESSAGE", bob.uri, qop=False)
            delivered([plain], b"without qop")
            tap.equal(message(ann, "bob", "again without qop", lines=[plain]).status, 407, f"a replay without qop over {kind}")
            # Many other nonces must not make the server forget this one.
            for i in range(6):
                fresh = wire.Digest("eve", PASSWORD if i % 2 else "wrong",
                                    message(ann, "bob", "challenge me").get("proxy-authenticate"), proxy=True)
                if i % 2:
                    delivered([fresh.line("MESSAGE", bob.uri)], b"in between")
                else:
                    tap.equal(message(ann, "bob", "wrong", lines=[fresh.line("MESSAGE", bob.uri)]).status, 407)
            tap.equal(message(ann, "bob", "replayed after other nonces", lines=[line]).status, 407,
                      f"a replay after other nonces over {kind}")
            nothing_arrived_but(bob, witness, "only this")


def from_somebody_else_is_challenged_and_not_delivered(domain, _talk):
    with Person(domain, "ann", PASSWORD) as ann, Person(domain, "bob", PASSWORD) as bob, Person(domain, "cyd", PASSWORD) as cyd:
        for person in (ann, bob, cyd):
            person.sign_in()
        for sender in (bob.uri, f"sip:BOB@{DOMAIN.upper()}", f"sips:bob@{DOMAIN}", f"sip:%62ob@{DOMAIN}", "sip:x@elsewhere.test",
                       f"sip:nobody@{DOMAIN}"):
            tap.equal(message(ann, "cyd", "I am bob", sender=sender).status, 407, sender)
        ann.learn(message(ann, "cyd", "I am bob", sender=bob.uri))
        proven = message(ann, "cyd", "I am bob", sender=bob.uri, lines=[ann.digest.line("MESSAGE", cyd.uri)])
        tap.equal(proven.status, 403, "with ann's credentials")
        for method, lines in (("SUBSCRIBE", ["Event: presence"]), ("PUBLISH", ["Event: presence"]), ("INVITE", []), ("BYE", [])):
            status = ann.ask(method, cyd.uri, sender=bob.uri, lines=lines + [f"Contact: <{ann.contact}>"]).status
            assert status in (401, 407), f"{method} as bob: {status}"
        nothing_arrived_but(cyd, bob, "this is bob")


def nobody_signs_in_for_somebody_else(domain, _talk):
    registrar = f"sip:{DOMAIN}"
    with Person(domain, "bob", PASSWORD) as bob, Person(domain, "eve", PASSWORD) as eve, Person(domain, "eve", PASSWORD) as fresh, \
            Person(domain, "ann", PASSWORD) as ann:
        for person in (bob, eve, ann):
            person.sign_in()
        for person in (eve, fresh):
            lines = [f"Contact: <{person.contact}>;expires=600"]
            tap.equal(person.ask("REGISTER", registrar, to=bob.uri, lines=lines).status, 403, "From eve, To bob")
            first = person.ask("REGISTER", registrar, sender=bob.uri, to=bob.uri, lines=lines)
            tap.equal(first.status, 401, "From and To bob")
            own = person.learn(first).line("REGISTER", registrar)
            tap.equal(person.ask("REGISTER", registrar, sender=bob.uri, to=bob.uri, lines=lines + [own]).status, 403, "as eve")
            star = ["Contact: *", "Expires: 0"]
            tap.equal(person.ask("REGISTER", registrar, sender=bob.uri, to=bob.uri, lines=star).status, 401)
        nothing_arrived_but(bob, ann, "still bob's")
        tap.equal(eve.wire.next(0), None, "what eve was sent")


# ---- conversations of others


def a_forged_token_leads_nowhere(domain, _talk):
    with Person(domain, "ann", PASSWORD) as ann, Person(domain, "bob", PASSWORD) as bob, Person(domain, "eve", PASSWORD) as eve, \
            Wire(domain, "TLS") as stranger:
        for person in (ann, bob, eve):
            person.sign_in()
        call, branch = unique("call"), unique("z9hG4bK")
        invite = {"call": call, "kind": "TLS", "to": bob.uri}
        ann.wire.send(request("INVITE", bob.uri, ann.uri, branch=branch, lines=[f"Contact: <{ann.contact}>"], **invite))
        at_bob = bob.wire.expect("INVITE")
        # Who did not ask may not cancel, wherever he sends it from.
        for w in (eve.wire, stranger):
            w.send(request("CANCEL", bob.uri, ann.uri, branch=branch, **invite))
            tap.equal(w.answer(call).status, 481, "CANCEL of somebody else's call")
        bob.wire.send(wire.response(at_bob, 200, lines=[f"Contact: <{bob.contact}>"]))
        ok = ann.wire.answer(call)
        tap.equal(ok.status, 200)
        route = ok.get("record-route")
        assert "bkr-" in route, route
        dialog = {"to": bob.uri, "call": call, "to_tag": "ours", "kind": "TLS"}
        ann.wire.send(request("ACK", bob.contact, ann.uri, lines=[f"Route: {route}"], **dialog))
        bob.wire.expect("ACK")

        def bye(w, sender, lines, uri=bob.contact):
            w.send(request("BYE", uri, sender, cseq=2, lines=lines, **dialog))
            return w.answer(call).status

        at = route.index("bkr-") + 4
        for i in (0, 5, 20, 40):
            forged = route[:at + i] + ("A" if route[at + i] != "A" else "B") + route[at + i + 1:]
            tap.equal(bye(ann.wire, ann.uri, [f"Route: {forged}"]), 481, "a token with another letter")
        for forged in ("<sip:bkr-@127.0.0.1;lr>", "<sip:bkr-AAAAAAAAAAAAAAAA@127.0.0.1;lr>", "<sip:bkr-%00@127.0.0.1;lr>",
                       f"<sip:bkr-{'A' * 6000}@127.0.0.1;lr>"):
            status = bye(ann.wire, ann.uri, [f"Route: {forged}"])
            assert status in (400, 405, 481), f"{forged[:40]}: {status}"
        tap.equal(bye(eve.wire, eve.uri, [f"Route: {route}"]), 403, "the true token in a stranger's hand")
        assert bye(eve.wire, ann.uri, [f"Route: {route}"]) in (401, 407), "the same with ann's name"
        assert bye(stranger, ann.uri, [f"Route: {route}"]) in (401, 407), "from nobody"
        # ACK is never answered, so nobody can prove who he is with it: without the token it goes nowhere.
        for w in (stranger, eve.wire):
            w.send(request("ACK", bob.contact, ann.uri, to=bob.uri, call=unique("forged"), to_tag="ours"))
            w.send(request("ACK", bob.uri, ann.uri, call=unique("forged"), to_tag="ours"))
        wire.alive(domain, "TLS")
        bye_call = call
        ann.wire.send(request("BYE", bob.contact, ann.uri, cseq=3, lines=[f"Route: {route}"], **dialog))
        got = bob.wire.next()
        tap.equal((got.method, got.get("call-id")), ("BYE", bye_call), "what bob gets first")
        bob.wire.send(wire.response(got, 200))
        tap.equal(ann.wire.answer(call).status, 200)


# ---- floods of somebody who is signed in


def subscriptions_have_an_end(domain, talk):
    with Person(domain, "ann", PASSWORD) as ann:
        ann.sign_in()
        calls = [unique("sub") for _ in range(SUBSCRIPTIONS * 5)]
        lines = ["Event: presence", "Expires: 600", f"Contact: <{ann.contact}>", "Accept: application/pidf+xml"]
        for call in calls:
            ann.wire.send(request("SUBSCRIBE", f"sip:bob@{DOMAIN}", ann.uri, call=call, lines=lines))
        good = refused = 0
        while good + refused < len(calls):
            got = ann.wire.next()
            assert got, "not every SUBSCRIBE was answered"
            if got.method == "NOTIFY":
                ann.wire.send(wire.response(got, 200))
            elif got.status:
                good += got.status in (200, 202)
                refused += got.status >= 400
        tap.equal((good, refused), (SUBSCRIPTIONS, len(calls) - SUBSCRIPTIONS))
        talk.goes_on()
        tap.equal(ann.ask("OPTIONS", f"sip:{DOMAIN}").status, 200)


def one_who_writes_without_pause_stops_nobody_else(domain, talk):
    with Person(domain, "ann", PASSWORD) as ann:
        ann.sign_in()
        calls = [unique("flood") for _ in range(500)]
        for call in calls:
            ann.wire.send(request("MESSAGE", f"sip:nobody@{DOMAIN}", ann.uri, call=call, body=b"x"))
        talk.goes_on()
        for call in calls:
            status = ann.wire.answer(call).status
            assert status in (404, 480), status


def forged_sources_push_out_nobody_who_signed_in(domain, _talk):
    with Person(domain, "ann", PASSWORD, "UDP") as ann, Person(domain, "bob", PASSWORD) as bob:
        ann.sign_in()
        bob.sign_in()
        for _ in range(3 * UDP_PEERS):
            with Wire(domain, "UDP") as w:
                call = unique("forged")
                w.send(request("OPTIONS", f"sip:{DOMAIN}", f"sip:x@{DOMAIN}", call=call, kind="UDP"))
                w.answer(call)
        call = unique("message")
        bob.wire.send(request("MESSAGE", ann.uri, bob.uri, call=call, body=b"still there?"))
        got = ann.wire.expect("MESSAGE")
        ann.wire.send(wire.response(got, 200))
        tap.equal(bob.wire.answer(call).status, 200)


def what_cannot_be_read_is_no_good_beginning(domain, _talk):
    """It is framed, and no SIP: the time for a first good request runs on (2 s here; without sign-in 32 s are given)."""
    for kind in ("TCP", "TLS"):
        with Wire(domain, kind) as w:
            w.send(b"OPTIONS sip:x SIP/2.0\r\nl: 0\r\n\r\n")
            w.until_closed()


CASES = [a_handshake_that_does_not_end_is_cut, three_hundred_connections_without_a_word_are_cut, half_a_message_is_cut,
         a_message_that_comes_ever_so_slowly_is_cut, garbage_is_no_message, a_content_length_that_lies_ends_the_connection,
         a_head_of_100_kb_is_refused, many_fields_and_deep_ones_are_refused_or_read, eight_faults_end_the_connection,
         a_flood_of_keep_alives_harms_nobody, a_stranger_gets_no_more_than_twice_the_bytes_by_udp, credentials_are_good_once,
         from_somebody_else_is_challenged_and_not_delivered, nobody_signs_in_for_somebody_else, a_forged_token_leads_nowhere,
         forged_sources_push_out_nobody_who_signed_in, what_cannot_be_read_is_no_good_beginning,
         subscriptions_have_an_end, one_who_writes_without_pause_stops_nobody_else]


def with_others_undisturbed(case):
    def wrapped(domain, talk):
        case(domain, talk)
        talk.goes_on()
        for kind in ("UDP", "TCP", "TLS"):
            wire.alive(domain, kind)
        assert domain.server.poll() is None, "the server ended"
    wrapped.__name__ = case.__name__
    return wrapped


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain=DOMAIN, settings=SETTINGS + [f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd", "eve", "gil", "hal"):
            domain.ctl("user", "add", f"{name}@{DOMAIN}")
            domain.ctl("user", "device-password", "add", f"{name}@{DOMAIN}", "test", "--stdin", stdin=PASSWORD + "\n")
        domain.ctl("policy", "set", "cleartext-signin", "on")
        with domain:
            domain.start()
            talk = Talk(domain)
            talk.start()
            status = tap.main([with_others_undisturbed(c) for c in CASES], domain, talk)
            talk.stopping = True
            talk.join(wire.PATIENCE)
            wire.stop(domain)
            return status


if __name__ == "__main__":
    sys.exit(main())
