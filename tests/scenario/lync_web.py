#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The web services that Lync-compatible clients sign in with, asked as such a client asks them: discovery, metadata, web ticket,
certificate; and each way in which they say no.

usage: lync_web.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import base64
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import uuid
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"
RST_ACTION = "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue"
CERT_ACTION = "http://schemas.microsoft.com/OCS/AuthWebServices/GetAndPublishCert"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
ENVELOPE = ('<?xml version="1.0"?>\r\n<soap:Envelope xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion"'
            ' xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wst="http://docs.oasis-open.org/ws-sx/ws-trust/200512"'
            ' xmlns:auth="http://schemas.xmlsoap.org/ws/2006/12/authorization" xmlns:wsa="http://www.w3.org/2005/08/addressing"'
            ' xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy"'
            ' xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"'
            f' xmlns:wsu="{WSU}">%s<soap:Body>%s</soap:Body></soap:Envelope>')


def iso(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def now(seconds=0):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


def p_sha1(secret, seed, size):
    """RFC 2246 section 5."""
    a, out = seed, b""
    while len(out) < size:
        a = hmac.digest(secret, a, "sha1")
        out += hmac.digest(secret, a + seed, "sha1")
    return out[:size]


def cut(text, name, whole=False):
    """Out of the raw text by the element's name, whatever its prefix, as the stock client does it."""
    match = re.search(rf"<((?:\w+:)?{name})(?:\s[^>]*)?>(.*?)</\1>", text, re.S)
    return match and match.group(0 if whole else 2)


def at(root, path):
    """By local names."""
    for name in path.split("/"):
        root = next((c for c in root if c.tag.split("}")[-1] == name), None) if root is not None else None
    return root


class Ticket:
    def __init__(self, text, entropy):
        self.assertion = cut(text, "Assertion", whole=True)
        self.lifetime = cut(text, "Lifetime")
        self.id = re.search('AssertionID="([^"]+)"', self.assertion).group(1)
        self.proof = p_sha1(entropy, base64.b64decode(cut(text, "BinarySecret")), 32)

    @property
    def timestamp(self):
        return f'<wsu:Timestamp xmlns:wsu="{WSU}" wsu:Id="timestamp">{self.lifetime}</wsu:Timestamp>'


class Road:
    """One connection of one client, kept open."""

    def __init__(self, domain, name="ann"):
        self.domain = domain
        self.address = name if "@" in name else f"{name}@{domain.domain}"
        self.base = f"https://{domain.host}:{domain.tls_port}"
        context = ssl.create_default_context(cafile=str(domain.ca))
        context.check_hostname = False  # the name is not in this computer's resolver
        self.connection = http.client.HTTPSConnection("127.0.0.1", domain.tls_port, context=context, timeout=30)
        self.connection.connect()
        self.socket = self.connection.sock

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, method, url, body=None, **fields):
        path = url[len(self.base):] if url.startswith(self.base) else url
        assert path.startswith("/"), f"{url} is not of {self.base}"
        headers = {"Host": self.domain.host, "User-Agent": "Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)"}
        headers.update({k.replace("_", "-"): v for k, v in fields.items()})
        if body is not None:
            headers.setdefault("Content-Type", "text/xml")
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        answer.text = answer.read().decode()
        return answer

    def basic(self, password=PASSWORD, user=None):
        return "Basic " + base64.b64encode(f"{user or self.address}:{password}".encode()).decode()

    # ---- what the metadata say

    def certificate_service(self):
        """URLs of the web ticket service and of the service itself."""
        root = ET.fromstring(self.ask("GET", "/CertProv/CertProvisioningService.svc/mex").text)
        policy = at(root, "Policy")
        equal([v for k, v in policy.attrib.items() if k.endswith("}Id")], ["CertProvisioningServiceWebTicketProof_SHA1_policy"])
        issuer = at(policy, "ExactlyOne/All/EndorsingSupportingTokens/Policy/IssuedToken/Issuer/Address").text
        return issuer, at(root, "service/port/address").get("location")

    def ticket_service(self, url):
        root = ET.fromstring(self.ask("GET", url + "/mex").text)
        equal(at(root, "service/port").get("name"), "WebTicketServiceWinNegotiate")
        return at(root, "service/port/address").get("location")

    # ---- a web ticket

    def ticket_answer(self, applies_to, password=PASSWORD, user=None, claimed=None, header="", entropy=None, authorization=True):
        issuer = self.ticket_service(f"{self.base}/WebTicket/WebTicketService.svc")
        self.entropy = entropy if entropy is not None else os.urandom(32)
        body = ENVELOPE % (header, f'''<wst:RequestSecurityToken Context="{uuid.uuid4()}">
 <wst:TokenType>http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV1.1</wst:TokenType>
 <wst:RequestType>http://schemas.xmlsoap.org/ws/2005/02/trust/Issue</wst:RequestType>
 <wsp:AppliesTo><wsa:EndpointReference><wsa:Address>{applies_to}</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>
 <wst:Claims Dialect="urn:component:Microsoft.Rtc.WebAuthentication.2010:authclaims">
 <auth:ClaimType Uri="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/uri" Optional="false">
 <auth:Value>sip:{claimed or self.address}</auth:Value></auth:ClaimType></wst:Claims>
 <wst:Entropy><wst:BinarySecret>{base64.b64encode(self.entropy).decode()}</wst:BinarySecret></wst:Entropy>
 <wst:KeyType>http://docs.oasis-open.org/ws-sx/ws-trust/200512/SymmetricKey</wst:KeyType></wst:RequestSecurityToken>''')
        fields = {"Authorization": self.basic(password, user)} if authorization else {}
        return self.ask("POST", issuer, body, SOAPAction=f'"{RST_ACTION}"', **fields)

    def ticket(self, applies_to=None, **options):
        answer = self.ticket_answer(applies_to or self.certificate_service()[1], **options)
        equal(answer.status, 200)
        assert cut(answer.text, "Assertion"), answer.text
        return Ticket(answer.text, self.entropy)

    # ---- a certificate

    def certificate_request(self, bits=2048):
        """PKCS#10 in DER, and its key as PEM."""
        done = subprocess.run(["openssl", "req", "-new", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", "/dev/stdout", "-outform",
                               "PEM", "-subj", f"/CN={self.address}"], capture_output=True, text=True, check=True, timeout=60)
        key, _, request = done.stdout.partition("-----BEGIN CERTIFICATE REQUEST-----")
        return base64.b64decode(request.split("-----")[0]), key

    def certificate_answer(self, ticket, csr, proof=None, timestamp=None, assertion=None, entity=None, url=None):
        timestamp = timestamp or ticket.timestamp
        digest = base64.b64encode(hashlib.sha1(timestamp.encode()).digest()).decode()
        info = (f'<SignedInfo xmlns="{DSIG}">'
                '<CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></CanonicalizationMethod>'
                f'<SignatureMethod Algorithm="{DSIG}hmac-sha1"></SignatureMethod><Reference URI="#timestamp">'
                '<Transforms><Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></Transform></Transforms>'
                f'<DigestMethod Algorithm="{DSIG}sha1"></DigestMethod><DigestValue>{digest}</DigestValue></Reference></SignedInfo>')
        value = base64.b64encode(hmac.digest(proof or ticket.proof, info.encode(), "sha1")).decode()
        coded = "\r\n".join(re.findall(".{1,76}", base64.b64encode(csr).decode()))
        header = (f'<soap:Header><wsse:Security>{timestamp}{assertion or ticket.assertion}<Signature xmlns="{DSIG}"> {info} '
                  f'<SignatureValue>{value}</SignatureValue> <KeyInfo><wsse:SecurityTokenReference>'
                  f'<wsse:KeyIdentifier>{ticket.id}</wsse:KeyIdentifier></wsse:SecurityTokenReference></KeyInfo></Signature>'
                  '</wsse:Security></soap:Header>')
        body = ENVELOPE % (header, f'''<GetAndPublishCert xmlns="http://schemas.microsoft.com/OCS/AuthWebServices/"
 xmlns:wst="http://docs.oasis-open.org/ws-sx/ws-trust/200512/" DeviceId="{{{uuid.uuid4()}}}" Entity="{entity or self.address}">
 <wst:RequestSecurityToken><wsse:BinarySecurityToken>
{coded}</wsse:BinarySecurityToken></wst:RequestSecurityToken></GetAndPublishCert>''')
        return self.ask("POST", url or self.certificate_service()[1], body, SOAPAction=f'"{CERT_ACTION}"')

    def certificate(self):
        """PEM, by the whole road."""
        answer = self.certificate_answer(self.ticket(), self.certificate_request()[0])
        equal(answer.status, 200)
        token = at(ET.fromstring(answer.text), "Body/GetAndPublishCertResponse/RequestSecurityTokenResponse/"
                                               "RequestedSecurityToken/BinarySecurityToken")
        assert token is not None, answer.text
        return ssl.DER_cert_to_PEM_cert(base64.b64decode(token.text))


def fault_of(answer):
    """The sentence that the client shows, the case code behind it, and the record in the header field."""
    equal(answer.status, 200, answer.text)
    text = at(ET.fromstring(answer.text), "Body/Fault/Detail/error/internalerror/text")
    assert text is not None, f"no refusal: {answer.text}"
    sentence, case = re.fullmatch(r"(.+) \(([0-9A-Z]{4}-[0-9A-Z]{4})\)", text.text).groups()
    diagnostics = answer.getheader("X-Ms-diagnostics")
    assert f'case="{case}"' in diagnostics, diagnostics
    return sentence, case, re.search('record="([^"]+)"', diagnostics).group(1)


def told(domain, answer, record, kept=None, address=None):
    """Refused with that record (the history keeps another one where a stranger is told less), under one case code."""
    sentence, case, shown = fault_of(answer)
    equal(shown, record)
    address = address or f"ann@{domain.domain}"

    def there():
        rows = domain.ctl("user", "history", address, as_json=True, check=False) or []
        rows = rows if isinstance(rows, list) else rows.get("rows", [])
        return [r for r in rows if r["record"] == (kept or record) and r["case"] == case and r["road"] == "https-webticket"]

    beckon.wait_for(f"{kept or record} in the history of {address}", there, 10)
    return sentence


def about_certificate(pem, *what):
    return subprocess.run(["openssl", "x509", "-noout", *what], input=pem, capture_output=True, text=True, check=True).stdout


# ---- the road

def discovery_leads_to_the_server_with_a_ticket_and_without(domain):
    with Road(domain) as ann:
        for path in (f"/?sipuri={ann.address}", "/Autodiscover/AutodiscoverService.svc/root", "/autodiscover/autodiscoverservice.svc/Root"):
            answer = ann.ask("GET", path, Host=f"LyncDiscoverInternal.{domain.domain}",
                             Accept="application/vnd.microsoft.rtc.autodiscover+xml;v=1")
            equal(answer.status, 200)
            assert answer.getheader("Content-Type").startswith("application/vnd.microsoft.rtc.autodiscover+xml")
            links = {link.get("token"): link.get("href") for link in at(ET.fromstring(answer.text), "Root")}
            equal(sorted(links), ["Domain", "User"])
        again = ann.ask("GET", "/Autodiscover/AutodiscoverService.svc/root")  # under the server's own name
        equal([link.get("href") for link in at(ET.fromstring(again.text), "Root")], [links["Domain"], links["User"]])
        equal(ann.ask("GET", "/Autodiscover/AutodiscoverService.svc/root?sipuri=ann@nowhere.example").status, 404)
        places = at(ET.fromstring(ann.ask("GET", links["Domain"]).text), "Domain/SipClientInternalAccess")
        equal((places.get("fqdn"), places.get("port")), (domain.host, str(domain.tls_port)))
        answer = ann.ask("GET", links["User"], X_MS_WebTicket="opaque=AAAA")
        equal(answer.status, 401)
        equal(answer.getheader("WWW-Authenticate"), None, "it would be answered instead")
        ticket_url = answer.getheader("X-MS-WebTicketURL")
        equal(ticket_url, f"{ann.base}/WebTicket/WebTicketService.svc")
        ticket = ann.ticket(links["User"])
        opaque = base64.b64encode(ticket.assertion.encode()).decode()
        for fields in ({"X_MS_WebTicket": f"opaque={opaque}"}, {}):
            answer = ann.ask("GET", links["User"], **fields)
            equal(answer.status, 200)
            user = at(ET.fromstring(answer.text), "User/SipClientInternalAccess")
            equal((user.get("fqdn"), user.get("port")), (domain.host, str(domain.tls_port)))
        # a ticket for something else, and one that somebody wrote himself
        other = base64.b64encode(ann.ticket().assertion.encode()).decode()
        for value in (f"opaque={other}", f"opaque={opaque[:-40]}", opaque):
            equal(ann.ask("GET", links["User"], X_MS_WebTicket=value).status, 401, value[:30])


def a_password_becomes_a_certificate_over_one_connection(domain):
    with Road(domain) as ann:
        pem = ann.certificate()
        assert ann.connection.sock is ann.socket, "the connection was not kept open"
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        done = subprocess.run(["openssl", "verify", "-purpose", "sslclient", "-CAfile", str(domain.ca), file.name], capture_output=True)
        equal(done.returncode, 0, done.stderr)
    assert f"sip:ann@{domain.domain}" in about_certificate(pem, "-subject", "-ext", "subjectAltName")
    ends = ssl.cert_time_to_seconds(about_certificate(pem, "-enddate").strip().split("=")[1])
    assert abs(ends - now().timestamp() - 180 * 86400) < 600, "180 days"
    rows = domain.ctl("certificate", "list", f"ann@{domain.domain}", as_json=True)
    serial = about_certificate(pem, "-serial").strip().split("=")[1].lower()
    row = next((r for r in rows if r["serial"] == serial), None)
    assert row, f"{serial} is not in {rows}"
    equal(row["device"], "Purple/2.14.12 Sipe/1.25.0 (linux-x86_64)")
    history = domain.ctl("user", "history", f"ann@{domain.domain}", as_json=True)
    history = history if isinstance(history, list) else history["rows"]
    assert any(r["road"] == "https-webticket" and not r["record"] for r in history), history


def a_user_name_of_its_own(domain):
    address = f"cyd@{domain.domain}"
    domain.ctl("user", "set", address, "--username", "c.vale@corp.test")
    with Road(domain, "cyd") as cyd:
        cyd.ticket(user="c.vale@corp.test")
        told(domain, cyd.ticket_answer(cyd.certificate_service()[1]), "SI-203", address=address)
        told(domain, cyd.ticket_answer(cyd.certificate_service()[1], user="c.vale@corp.test", claimed=f"ann@{domain.domain}"),
             "SI-214", address=f"ann@{domain.domain}")
    domain.ctl("user", "set", address, "--username", "corp\\cyd")
    with Road(domain, "cyd") as cyd, Road(domain) as ann:
        cyd.ticket(user="CORP\\Cyd")
        for user in ("ann", "EXAMPLE\\Ann", f"Ann@{domain.domain}"):
            ann.ticket(user=user)
        told(domain, ann.ticket_answer(ann.certificate_service()[1], user="cyd"), "SI-202")


# ---- refusals

def without_credentials_they_are_asked_for(domain):
    with Road(domain) as ann:
        answer = ann.ticket_answer(ann.certificate_service()[1], authorization=False)
        equal(answer.status, 401)
        assert answer.getheader("WWW-Authenticate").startswith("Basic realm="), answer.getheader("WWW-Authenticate")
        answer = ann.ask("POST", "/WebTicket/WebTicketService.svc/Auth", "<x/>", Authorization="Negotiate AAAA")
        equal(answer.status, 401)
        equal(ann.ask("POST", "/WebTicket/WebTicketService.svc/Auth", "<x/>", Authorization="Basic !").status, 400)


def a_wrong_password(domain):
    with Road(domain) as ann:
        told(domain, ann.ticket_answer(ann.certificate_service()[1], password="something else"), "SI-202")
        ann.ticket()  # is no obstacle to the right one


def an_unknown_address(domain):
    with Road(domain, "nobody") as nobody:
        told(domain, nobody.ticket_answer(nobody.certificate_service()[1]), "SI-201a", address=nobody.address)
        domain.ctl("policy", "set", "tell-unknown-address", "never")
        try:
            with Road(domain, "nobody2") as other:
                told(domain, other.ticket_answer(other.certificate_service()[1]), "SI-202", "SI-201a", other.address)
        finally:
            domain.ctl("policy", "unset", "tell-unknown-address")


def addresses_that_are_none_or_elsewhere(domain):
    with Road(domain, "ann@elsewhere.example") as ann:
        told(domain, ann.ticket_answer(ann.certificate_service()[1]), "SI-220", address=ann.address)
    with Road(domain, f"o'hara@{domain.domain}") as hara:
        _, _, record = fault_of(hara.ticket_answer(hara.certificate_service()[1]))
        equal(record, "SI-111")


def with_account(domain, refuse, undo, record):
    """Bob's account is changed: discovery still works for him, a certificate is refused, also with a ticket from before."""
    address = f"bob@{domain.domain}"
    with Road(domain, "bob") as bob:
        early = bob.ticket()
        domain.ctl(*refuse)
        try:
            bob.ticket(f"{bob.base}/Autodiscover/AutodiscoverService.svc/root/user")
            told(domain, bob.ticket_answer(bob.certificate_service()[1]), record, address=address)
            told(domain, bob.certificate_answer(early, bob.certificate_request()[0]), record, address=address)
        finally:
            domain.ctl(*undo)
        bob.certificate()


def a_disabled_account(domain):
    address = f"bob@{domain.domain}"
    with_account(domain, ("user", "disable", address), ("user", "enable", address), "SI-208")


def an_account_without_a_licence(domain):
    address = f"bob@{domain.domain}"
    with_account(domain, ("user", "licence", "take", address), ("user", "licence", "give", address), "SI-201b")


def an_organisation_whose_time_is_over(domain):
    yesterday = (now() - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
    with_account(domain, ("tenant", "set", domain.domain, "--ends", yesterday, "--grace-days", "0"),
                 ("tenant", "set", domain.domain, "--ends", "never"), "SI-402")


def a_password_that_must_be_changed(domain):
    with Road(domain, "dot") as dot:
        told(domain, dot.ticket_answer(dot.certificate_service()[1]), "SI-206", address=dot.address)


def a_clock_that_is_off(domain):
    stamp = "<soap:Header><wsse:Security><wsu:Timestamp><wsu:Created>%s</wsu:Created></wsu:Timestamp></wsse:Security></soap:Header>"
    with Road(domain) as ann:
        for seconds in (-400, 400):
            told(domain, ann.ticket_answer(ann.certificate_service()[1], header=stamp % iso(now(seconds))), "SI-104")
        ann.ticket(header=stamp % iso(now(-200)))
        ticket = ann.ticket()
        for seconds in (-400, 400):
            told(domain, ann.certificate_answer(ticket, ann.certificate_request()[0], timestamp=stamped(seconds, 8 * 3600)), "SI-104")


def stamped(begin, end):
    return (f'<wsu:Timestamp xmlns:wsu="{WSU}" wsu:Id="timestamp"><wsu:Created>{iso(now(begin))}</wsu:Created>'
            f'<wsu:Expires>{iso(now(end))}</wsu:Expires></wsu:Timestamp>')


# ---- what is not what it says

def what_was_not_made_here_or_not_signed_is_refused(domain):
    with Road(domain) as ann, Road(domain, "bob") as bob:
        csr, _ = ann.certificate_request()
        good, his = ann.ticket(), bob.ticket()
        coded = re.search("AttributeValue>([^<]+)<", good.assertion).group(1)
        flipped = ("A" if coded[40] != "A" else "B").join((coded[:40], coded[41:]))
        told(domain, ann.certificate_answer(good, csr, assertion=good.assertion.replace(coded, flipped)), "SI-202", "SI-212")
        told(domain, ann.certificate_answer(good, csr, assertion=good.assertion.replace(coded, "x")), "SI-202", "SI-212")
        told(domain, ann.certificate_answer(good, csr, proof=his.proof), "SI-202", "SI-212")
        told(domain, ann.certificate_answer(good, csr, assertion=his.assertion), "SI-202", "SI-212")
        told(domain, ann.certificate_answer(good, csr, entity=bob.address), "SI-202", "SI-212", bob.address)
        told(domain, ann.certificate_answer(good, csr, timestamp=stamped(-100, -1)), "SI-212")
        found = ann.ticket(f"{ann.base}/Autodiscover/AutodiscoverService.svc/root/user")
        told(domain, ann.certificate_answer(found, csr), "SI-202", "SI-212")
        # the good one is good still, again for the same key, and for no other
        for _ in range(2):
            assert cut(ann.certificate_answer(good, csr).text, "BinarySecurityToken")
        told(domain, ann.certificate_answer(good, ann.certificate_request()[0]), "SI-212")


def a_key_that_is_too_short(domain):
    with Road(domain) as ann:
        told(domain, ann.certificate_answer(ann.ticket(), ann.certificate_request(1024)[0]), "SI-218")


def what_is_no_request_at_all(domain):
    with Road(domain) as ann:
        tickets, certificates = "/WebTicket/WebTicketService.svc/Auth", "/CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1"
        for body in ("", "<x/>", "<x>", '<!DOCTYPE x [<!ENTITY e "y">]><x>&e;</x>', "<x>" * 40, "\x00"):
            equal(ann.ask("POST", tickets, body, Authorization=ann.basic()).status, 400, body[:20])
            equal(ann.ask("POST", certificates, body).status, 400, body[:20])
        for path in (tickets, certificates):
            equal(ann.ask("POST", path, "<x/>", Authorization=ann.basic(), Content_Type="application/json").status, 415)
            equal(ann.ask("GET", path).status, 405)
            equal(ann.ask("POST", path, "<x>" + " " * 40000 + "</x>", Authorization=ann.basic()).status, 413)
        for applies_to in ("https://elsewhere.example/CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1",
                           f"{ann.base}/nothing", f"http://{domain.host}/CertProv/CertProvisioningService.svc"):
            equal(ann.ticket_answer(applies_to).status, 400, applies_to)
        equal(ann.ticket_answer(ann.certificate_service()[1], entropy=b"short").status, 400)


def who_guesses_has_to_wait(domain):
    with Road(domain, "eve") as eve:
        for _ in range(10):
            told(domain, eve.ticket_answer(eve.certificate_service()[1], password="guess"), "SI-202", address=eve.address)
        answer = eve.ticket_answer(eve.certificate_service()[1])
        equal(fault_of(answer)[2], "SI-404")
        assert int(answer.getheader("Retry-After")) > 0


CASES = [
    discovery_leads_to_the_server_with_a_ticket_and_without,
    a_password_becomes_a_certificate_over_one_connection,
    a_user_name_of_its_own,
    without_credentials_they_are_asked_for,
    a_wrong_password,
    an_unknown_address,
    addresses_that_are_none_or_elsewhere,
    a_disabled_account,
    an_account_without_a_licence,
    an_organisation_whose_time_is_over,
    a_password_that_must_be_changed,
    a_clock_that_is_off,
    what_was_not_made_here_or_not_signed_is_refused,
    a_key_that_is_too_short,
    what_is_no_request_at_all,
    who_guesses_has_to_wait,
]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as folder:
        domain = beckon.Domain(folder, beckon.Programs(build), domain="example.test", settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob", "cyd", "eve"):
            domain.add_user(name, PASSWORD)
        domain.add_user("dot", PASSWORD, must_change=True)
        with domain:
            domain.start()
            return tap.main(CASES, domain)


if __name__ == "__main__":
    sys.exit(main())
