# SPDX-License-Identifier: Apache-2.0
"""Somebody who speaks the Lync dialect, byte by byte: NTLM version 2 without a connection ([MS-NLMP]) and signed messages."""
import base64
import hashlib
import hmac
import os
import re
import struct
import time

import wire

FILETIME_EPOCH_S = 11644473600  # between 1601 and 1970
TO_SERVER, TO_CLIENT = "client-to-server", "server-to-client"
PUBLISH = "application/msrtc-category-publish+xml"
BATCH = "application/msrtc-adrl-categorylist+xml"


def md4(data):
    """RFC 1320; OpenSSL 3 has it no more."""
    def left(x, n):
        x &= 0xffffffff
        return (x << n | x >> (32 - n)) & 0xffffffff

    rounds = ((lambda x, y, z: x & y | ~x & z, 0, range(16), (3, 7, 11, 19)),
              (lambda x, y, z: x & y | x & z | y & z, 0x5a827999, [i // 4 + i % 4 * 4 for i in range(16)], (3, 5, 9, 13)),
              (lambda x, y, z: x ^ y ^ z, 0x6ed9eba1, (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15)))
    state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]
    data += b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8)
    for at in range(0, len(data), 64):
        words = struct.unpack("<16I", data[at:at + 64])
        a, b, c, d = state
        for mix, constant, order, shifts in rounds:
            for i, k in enumerate(order):
                a, b, c, d = d, left(a + mix(b, c, d) + words[k] + constant, shifts[i % 4]), b, c
        state = [(x + y) & 0xffffffff for x, y in zip(state, (a, b, c, d))]
    return struct.pack("<4I", *state)


def rc4(key, data):
    box, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def hmac_md5(key, data):
    return hmac.new(key, data, "md5").digest()


class Ntlm:
    """The client's answer to a CHALLENGE (.token), and the keys that come of it."""

    def __init__(self, challenge, user, password):
        info_len, info_at = struct.unpack_from("<H2xI", challenge, 40)
        flags = struct.unpack_from("<I", challenge, 20)[0]
        name, domain = user.encode("utf-16-le"), b""
        owf = hmac_md5(md4(password.encode("utf-16-le")), user.upper().encode("utf-16-le") + domain)
        filetime = int((time.time() + FILETIME_EPOCH_S) * 10**7)
        blob = (b"\1\1" + bytes(6) + struct.pack("<Q", filetime) + os.urandom(8) + bytes(4) +
                challenge[info_at:info_at + info_len] + bytes(4))
        proof = hmac_md5(owf, challenge[24:32] + blob)
        exported = os.urandom(16)
        parts = (bytes(24), proof + blob, domain, name, b"", rc4(hmac_md5(owf, proof), exported))
        head, body, at = b"NTLMSSP\0" + struct.pack("<I", 3), b"", 72
        for part in parts:
            head += struct.pack("<HHI", len(part), len(part), at + len(body))
            body += part
        self.token = head + struct.pack("<I", flags) + bytes((10, 0, 0, 0, 0, 0, 0, 15)) + body
        self.keys = {way: [hashlib.md5(exported + f"session key to {way} {what} key magic constant\0".encode()).digest()
                           for what in ("signing", "sealing")] for way in (TO_SERVER, TO_CLIENT)}

    def mac(self, way, text):
        """Each message is number 100 of its direction."""
        sign, seal = self.keys[way]
        number = struct.pack("<I", 100)
        checksum = rc4(hashlib.md5(seal + number).digest(), hmac_md5(sign, number + text)[:8])
        return (struct.pack("<I", 1) + checksum + number).hex().upper()


def parameters(value):
    return dict(re.findall(r'([\w-]+)="([^"]*)"', value))


def signed_text(message, rand, number, realm, target):
    """What a signature is over, version 4 of it; no message here has an asserted identity."""
    def ends(field):
        value = message.get(field)
        tag = re.search(r";tag=([^;]*)", value)
        return [re.search(r"<([^>]*)>", value).group(1), tag.group(1) if tag else ""]

    number_of, method = message.get("cseq").split(" ", 1)
    parts = ["NTLM", rand, number, realm, target, message.get("call-id"), number_of, method, *ends("from"), *ends("to"), "", "",
             message.get("expires")]
    return ("".join(f"<{p}>" for p in parts) + (f"<{message.status}>" if message.status else "")).encode()


class LyncPerson:
    """Somebody who signs in by NTLM and signs."""

    def __init__(self, domain, name, password, kind="TLS"):
        self.domain, self.name, self.password, self.kind = domain, name, password, kind
        self.address = f"{name}@{domain.domain}"
        self.uri = f"sip:{self.address}"
        self.epid = os.urandom(6).hex()
        self.contact = f"sip:127.0.0.1:9;transport={kind.lower()};ms-opaque={os.urandom(5).hex()}"
        self.wire = wire.Wire(domain, kind)
        self.call, self.cseq, self.number = wire.unique("register"), 0, 0
        self.ntlm, self.opaque, self.realm, self.target = None, "", "", ""

    # ---- messages

    def request(self, method, uri, *, lines=(), call=None, sender=None, tag="t", **options):
        """Not signed."""
        return wire.request(method, uri, sender or self.uri, call=call or wire.unique("ask"), kind=self.kind,
                            tag=f"{tag};epid={self.epid}", lines=[f"Contact: <{self.contact}>", *lines], **options)

    def sign(self, data, number=None, token=None, spoil=False):
        """The same with a signature; spoil: one that is wrong."""
        if number is None:
            self.number += 1
        number, rand = str(number or self.number), os.urandom(4).hex()
        mac = self.ntlm.mac(TO_SERVER, signed_text(wire.Message(data), rand, number, self.realm, self.target))
        if spoil:
            mac = mac[:8] + f"{int(mac[8:24], 16) ^ 1:016X}" + mac[24:]
        more = f', gssapi-data="{base64.b64encode(token).decode()}", version=4' if token else ""
        line = (f'Authorization: NTLM qop="auth", opaque="{self.opaque}", realm="{self.realm}", targetname="{self.target}"{more}, '
                f'crand="{rand}", cnum="{number}", response="{mac}"\r\n')
        head, end, body = data.partition(b"\r\n\r\n")
        return head + b"\r\n" + line.encode() + b"\r\n" + body if end else data

    def is_signed(self, message):
        """Whether the server signed this, and rightly."""
        p = parameters(message.get("authentication-info"))
        if not p:
            return False
        text = signed_text(message, p["srand"], p["snum"], self.realm, self.target)
        return self.ntlm.mac(TO_CLIENT, text).lower() == p["rspauth"].lower()

    def answer(self, call):
        return self.wire.answer(call)

    def ask(self, method, uri, **options):
        """A signed request; the final answer, which must be signed, too."""
        call = options.setdefault("call", wire.unique("ask"))
        self.wire.send(self.sign(self.request(method, uri, **options)))
        answer = self.wire.answer(call)
        assert self.is_signed(answer), f"not signed: {answer.start}"
        return answer

    # ---- signing in

    def register(self, lines=()):
        """A REGISTER, not signed."""
        self.cseq += 1
        more = ["Supported: gruu-10, adhoclist, msrtc-event-categories", "Event: registration", *lines]
        return self.request("REGISTER", f"sip:{self.domain.domain}", to=self.uri, call=self.call, cseq=self.cseq, lines=more)

    def registered(self, data):
        self.wire.send(data)
        return self.wire.answer(self.call)

    def first_leg(self):
        return self.register([f'Authorization: NTLM qop="auth", realm="{self.realm}", targetname="{self.target}", gssapi-data="", version=4'])

    def offer(self):
        """The 401 that names the schemes; learns from it."""
        got = self.registered(self.register())
        ntlm = [v for v in got.all("www-authenticate") if v.startswith("NTLM ")]
        assert got.status == 401 and ntlm, f"NTLM is not offered: {got.data!r}"
        self.realm, self.target = (parameters(ntlm[0])[name] for name in ("realm", "targetname"))
        return got

    def prove(self):
        """The legs after the offer; the last answer, whatever it is."""
        got = self.registered(self.first_leg())
        if got.status != 401:
            return got
        p = parameters(got.get("www-authenticate"))
        self.opaque, self.number = p["opaque"], 0
        self.ntlm = Ntlm(base64.b64decode(p["gssapi-data"]), self.address, self.password)
        return self.registered(self.sign(self.register(), token=self.ntlm.token))

    def sign_in(self):
        self.offer()
        got = self.prove()
        assert got.status == 200 and self.is_signed(got), f"{self.name} was not signed in: {got.start}"
        return self

    # ---- what they ask

    def publish(self, items, **options):
        """items: (category, instance, container, version, content); the answer."""
        return self.ask("SERVICE", self.uri, content_type=PUBLISH, body=self.publication(items), **options)

    def publication(self, items, expires="endpoint"):
        rows = "".join(f'<publication categoryName="{category}" instance="{instance}" container="{container}" version="{version}" '
                       f'expireType="{expires}">{content}</publication>' for category, instance, container, version, content in items)
        return (f'<publish xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence"><publications uri="{self.uri}">{rows}'
                "</publications></publish>").encode()

    def batch(self, addresses):
        rows = "".join(f'<resource uri="sip:{a}"/>' for a in addresses)
        return (f'<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="{self.uri}" name="">'
                f'<action name="subscribe" id="1"><adhocList>{rows}</adhocList>'
                '<categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist"><category name="state"/></categoryList>'
                "</action></batchSub>").encode()

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


BATCH_LINES = ["Require: adhoclist, categoryList", "Supported: eventlist, ms-benotify, ms-piggyback-first-notify",
               "Proxy-Require: ms-benotify", "Accept: application/rlmi+xml, multipart/related, application/msrtc-event-categories+xml",
               "Event: presence"]


def roaming(event):
    """The lines of a SUBSCRIBE for one of the person's own lists."""
    return [f"Event: vnd-microsoft-{event}", f"Accept: application/vnd-microsoft-{event}+xml",
            "Supported: com.microsoft.autoextend, ms-benotify, ms-piggyback-first-notify", "Proxy-Require: ms-benotify"]


def state(availability, kind="machineState"):
    return ('<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" manual="false" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{kind}"><availability>{availability}</availability>'
            "<endpointLocation/></state>")
