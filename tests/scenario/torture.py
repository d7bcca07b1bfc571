#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The torture messages of RFC 4475 and the IPv6 ones of RFC 5118, over UDP, TCP and TLS, whole and byte by byte.

usage: torture.py BUILD_FOLDER [SHARDS] [CASE ...]

The server under test serves example.com, the domain of the messages, and signs nobody in without proof: a message that is to be
accepted is challenged (401 by the registrar and for what the server answers itself, 407 as a proxy). After every message a fresh
connection has its OPTIONS answered.
"""
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "scenario"))
import beckon  # noqa: E402
import tap  # noqa: E402
import wire  # noqa: E402

PASSWORD = "correct horse battery"
DROP = "no answer"
WAIT = "waits for the rest"
PROVE = {401, 407}

# name: (why, answers to the datagram, answers on a stream); an answer is a set of statuses that are right, or DROP, or WAIT.
# A stream has one entry more per further message in the file. "close": the stream cannot be read on and is closed.
TABLE = {
    # RFC 4475 3.1.1: valid
    "rfc4475/intmeth": ("3.1.1.2, odd characters in a valid request", [PROVE], [PROVE]),
    "rfc4475/esc02": ("3.1.1.5, an escaped method is no REGISTER", [PROVE], [PROVE]),
    "rfc4475/dblreq": ("3.1.1.8, a second request: garbage in a datagram, a message on a stream", [{401}], [{401}, {407}]),
    "rfc4475/cparam01": ("3.1.1.9, a parameter of the Contact", [{401}], [{401}]),
    "rfc4475/transports": ("3.1.1.10, Via with unknown transports", [{407}], [{407}]),
    "rfc4475/unreason": ("3.1.1.12, a response to nothing of ours", [DROP], [DROP]),
    "rfc4475/noreason": ("3.1.1.13, a response to nothing of ours", [DROP], [DROP]),
    # 3.1.2: invalid
    "rfc4475/badinv01": ("3.1.2.1, Via and Contact that are none", [{400}], [{400}]),
    "rfc4475/scalar02": ("3.1.2.4, numbers that are too large", [{400}], [{400}]),
    "rfc4475/quotbal": ("3.1.2.6, an open quote", [{400}], [{400}]),
    "rfc4475/ltgtruri": ("3.1.2.7, <> around the request URI", [{400}], [{400}]),
    "rfc4475/lwsruri": ("3.1.2.8, space in the request URI", [{400}], [{400}]),
    "rfc4475/escruri": ("3.1.2.11, headers in the request URI", [{400}], [{400}]),
    "rfc4475/baddate": ("3.1.2.12, a Date not in GMT may be passed over", [{400, 407}], [{400, 407}]),
    "rfc4475/regbadct": ("3.1.2.13, an ambiguous Contact: refused at the latest with credentials (see below)", [{400, 401}],
                         [{400, 401}]),
    "rfc4475/badaspec": ("3.1.2.14, space within an addr-spec", [{400}], [{400}]),
    "rfc4475/mismatch02": ("3.1.2.18, CSeq names another method", [{400, 501}], [{400, 501}]),
    "rfc4475/bigcode": ("3.1.2.19, a status that is none: dropped", [DROP], [DROP]),
    # 3.3: of the application
    "rfc4475/unkscm": ("3.3.2, a scheme nobody knows", [{416}], [{416}]),
    "rfc4475/invut": ("3.3.6, the body is for the callee to judge, not for a proxy", [{407}], [{407}]),
    "rfc4475/multi01": ("3.3.8, fields twice that may stand once", [{400}], [{400}]),
    "rfc4475/mcl01": ("3.3.9, two Content-Length: a stream is lost", [{400}], [{400}, "close"]),
    "rfc4475/bcast": ("3.3.10, a response for a broadcast Via", [DROP], [DROP]),
    "rfc4475/zeromf": ("3.3.11, Max-Forwards 0 at a proxy", [{483}], [{483}]),
    "rfc4475/sdp01": ("3.3.15, Accept is for the callee to judge, not for a proxy", [{407}], [{407}]),
    # RFC 5118. Their Content-Length does not tell the truth where there is a body (tests/data/README.md).
    "rfc5118/rfc5118_4_1": ("4.1, an IPv6 reference", [{401}], [{401}]),
    "rfc5118/rfc5118_4_3": ("4.3, a port that is part of the address", [{401}], [{401}]),
    "rfc5118/rfc5118_4_5_1": ("4.5, received in brackets", [PROVE], [PROVE]),
    "rfc5118/rfc5118_4_6": ("4.6, cut short: refused as a datagram, awaited on a stream", [{400}], [WAIT]),
    "rfc5118/rfc5118_4_8": ("4.8, SDP with both kinds of addresses; then 8 bytes too many", [PROVE], [PROVE, "close"]),
    "rfc5118/rfc5118_4_10_1": ("4.10, three colons: liberal, or refused", [{400} | PROVE], [{400} | PROVE]),
}


def data_of(name):
    return (ROOT / "tests" / "data" / f"{name}.dat").read_bytes()


def answers_in_its_form(sent, answer):
    """RFC 3261 8.2.6.2: Via, From, To, Call-ID and CSeq come back (a request that is refused as unreadable may lack some)."""
    first = re.search(rb"(?im)^(?:via|v)[ \t]*:[ \t]*([^\r;]+)", sent).group(1).decode("utf-8", "replace").strip()
    assert answer.get("via").startswith(first), f"the Via came back as {answer.get('via')!r}"
    for name, pattern in (("cseq", rb"cseq"), ("call-id", rb"(?:call-id|i)"), ("from", rb"(?:from|f)")):
        value = re.search(rb"(?im)^" + pattern + rb"[ \t]*:[ \t]*([^\r]*)", sent).group(1).decode("utf-8", "replace").strip()
        if answer.status != 400:
            tap.equal(answer.get(name), value, name)
    if answer.status in PROVE:
        challenge = answer.get("www-authenticate" if answer.status == 401 else "proxy-authenticate")
        is_register = re.search(rb"(?im)^cseq[ \t]*:[ \t]*\d+ REGISTER\r", sent) is not None
        tap.equal(bool(answer.get("date")), is_register, "challenged as a REGISTER is (with a Date)")
        assert challenge.startswith("Digest ") and 'realm="example.com"' in challenge, f"challenged with {challenge!r}"


def one(domain, name, kind, trickled):
    """Sends it and compares what comes until a probe behind it on the same wire is answered."""
    why, on_datagram, on_stream = TABLE[name]
    wanted = on_datagram if kind == "UDP" else on_stream
    closes, waits = "close" in wanted, WAIT in wanted
    statuses = [w for w in wanted if isinstance(w, set)]
    sent = data_of(name)
    call = wire.unique("probe")
    probe = wire.request("OPTIONS", "sip:example.com", "sip:probe@example.com", call=call, kind=kind)
    with wire.Wire(domain, kind) as w:
        if trickled:
            if not w.trickle(sent):
                assert closes, "the connection was closed while the message came"
        else:
            w.send(sent)
        answers = []
        if closes:
            answers = w.until_closed()
        elif not waits:
            w.send(probe)
            while True:
                answer = w.next()
                if answer is None:
                    raise AssertionError(f"{why}: " + ("closed" if w.closed else "no answer to what follows"))
                if answer.get("call-id") == call:
                    break
                answers.append(answer)
        wire.alive(domain, kind)
        if waits:
            assert w.next(0) is None and not w.closed, "a message that is not whole was answered"
            w.send(b" " * 1024 + b"\r\n\r\n")  # the rest comes, and something behind it
            answers = w.until_closed()
            statuses = [PROVE]
        if closes and len(answers) == len(statuses) + 1:
            tap.equal(answers.pop().status, 400, "what is no message on the stream")
        got = [a.status for a in answers]
        assert len(got) == len(statuses) and all(g in s for g, s in zip(got, statuses)), f"{why}: answered {got}"
        for answer in answers[:1]:
            answers_in_its_form(sent, answer)
    assert domain.server.poll() is None, "the server ended"


def case_of(name, kind, trickled):
    def case(domain):
        one(domain, name, kind, trickled)
    case.__name__ = f"{name.split('/')[1]}_over_{kind}" + ("_byte_by_byte" if trickled else "")
    return case


def an_ambiguous_contact_is_refused_with_credentials_too(domain):
    with wire.Person(domain, "user", PASSWORD) as user:
        lines = ["Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E"]
        first = user.ask("REGISTER", "sip:example.com", to=user.uri, lines=lines)
        if first.status == 401:
            first = user.ask("REGISTER", "sip:example.com", to=user.uri, cseq=2,
                             lines=lines + [user.learn(first).line("REGISTER", "sip:example.com")])
        tap.equal(first.status, 400)


def every_message_has_its_row(_domain):
    there = {f"{p.parent.name}/{p.stem}" for folder in ("rfc4475", "rfc5118") for p in (ROOT / "tests" / "data" / folder).glob("*.dat")}
    tap.equal(there, set(TABLE))


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    cases = [every_message_has_its_row]
    for kind, trickled in (("UDP", False), ("TCP", False), ("TLS", False), ("TCP", True), ("TLS", True)):
        cases += [case_of(name, kind, trickled) for name in TABLE]
    cases.append(an_ambiguous_contact_is_refused_with_credentials_too)
    settings = [f"server.shards={shards}", "listen.tcp=127.0.0.1:0", "listen.udp=127.0.0.1:0",
                "limits.stranger-requests-burst=100000", "limits.own-new-per-ip=100000"]
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.com", settings=settings)
        domain.init()
        for name in ("user", "j.user", "caller", "watson", "resource", "mundane"):
            domain.ctl("user", "add", f"{name}@example.com")
            domain.ctl("user", "device-password", "add", f"{name}@example.com", "test", "--stdin", stdin=PASSWORD + "\n")
        domain.ctl("policy", "set", "cleartext-signin", "on")
        with domain:
            domain.start()
            status = tap.main(cases, domain)
            wire.stop(domain)
            return status


if __name__ == "__main__":
    sys.exit(main())
