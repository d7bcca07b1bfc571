#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stock Lync-compatible client (sipe/README.md) that knows nothing but an address and a password: its server is found by name,
and it signs in there by TLS-DSK.

Computers are network namespaces, the server on the usual ports (5061, 443, 53) of its own. Needs root; is skipped without.

usage: lync_discovery.py BUILD_FOLDER SIPE_DRIVE [CASE ...]
"""
import pathlib
import signal
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "scenario", HERE.parents[1] / "tools"):
    sys.path.insert(0, str(folder))
import beckon  # noqa: E402
import network  # noqa: E402
import sipe_client  # noqa: E402
import tap  # noqa: E402
from network import DOMAIN, SERVER, host, srv  # noqa: E402
from sipe_client import Sipe  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"
WITHIN = 60  # seconds; a dead name or port is waited for before the next is tried


class Place(network.Place):
    program = None

    def sipe(self, name="ann", password=PASSWORD, scheme="tls-dsk", where="c1", **options):
        if missing := sipe_client.missing(self.program):
            raise tap.Skip(missing)
        return Sipe(self.program, f"{name}@{DOMAIN}", password, transport=options.pop("transport", "auto"), scheme=scheme,
                    patience=WITHIN, prefix=self.network.inside(where), **options)


def schemes(client):
    """Of the requests that it signed."""
    return {m.get("authorization").split(" ")[0] for m in client.trace() if not m.came and m.get("authorization")}


def signs_in(place, log, wanted, **options):
    """By TLS-DSK, having asked for those names."""
    with place.sipe(**options) as ann:
        ann.signed_in(WITHIN)
        equal(schemes(ann), {"TLS-DSK"})
        for name in wanted:
            assert name.lower() in network.asked(log), f"{name} was not asked for: {network.asked(log)}"
        rows = network.sessions_of(place, "ann")
        equal([r["ip"] for r in rows], [place.network.address_of("c1")])
        ann.quit()
    beckon.wait_for("the end of the session", lambda: not network.sessions_of(place, "ann"))


def the_discovery_document_leads_to_the_server(place):
    for name in ("lyncdiscoverinternal", "lyncdiscover"):
        with place.zone(host(f"{name}.{DOMAIN}")) as log:
            signs_in(place, log, [f"{name}.{DOMAIN}", place.domain.host])


def a_service_record_leads_to_the_server(place):
    for service in ("_sipinternaltls._tcp", "_sip._tls"):
        with place.zone(srv(service)) as log:
            signs_in(place, log, [f"{service}.{DOMAIN}", place.domain.host])


def the_usual_names_lead_to_the_server(place):
    for name in ("sipinternal", "sip"):
        with place.zone(host(f"{name}.{DOMAIN}")) as log:
            signs_in(place, log, [f"{name}.{DOMAIN}"])


def the_automatic_choice_is_tls_dsk(place):
    with place.whole_zone() as log:
        signs_in(place, log, [f"lyncdiscoverinternal.{DOMAIN}"], scheme="auto")


def a_wrong_password_is_told_in_words_though_nothing_but_the_address_is_known(place):
    with place.whole_zone(), place.sipe("bob", password="something else") as bob:
        error = bob.refused(WITHIN)
        equal(error["name"], "authentication_failed")
        assert "The address or the password is wrong." in error["text"], error["text"]
    rows = place.domain.ctl("user", "history", f"bob@{DOMAIN}", as_json=True)
    equal({r["record"] for r in rows}, {"SI-202"})


def a_disabled_account_is_told_though_nothing_but_the_address_is_known(place):
    place.domain.ctl("user", "disable", f"bob@{DOMAIN}")
    try:
        with place.whole_zone(), place.sipe("bob") as bob:
            assert "This account is disabled." in bob.refused(WITHIN)["text"]
    finally:
        place.domain.ctl("user", "enable", f"bob@{DOMAIN}")


def a_certificate_that_is_withdrawn_ends_the_session(place):
    with place.whole_zone(), place.sipe() as ann:
        ann.signed_in(WITHIN)
        since = ann.mark()
        place.domain.ctl("certificate", "revoke", f"ann@{DOMAIN}")
        beckon.wait_for("the end of the session", lambda: not network.sessions_of(place, "ann"), 10)
        ann.wait("disconnected", since, WITHIN)
    with place.whole_zone() as log:  # the next start brings a new one
        signs_in(place, log, [])


def two_computers_of_one_person_have_a_certificate_each(place):
    def living():
        rows = place.domain.ctl("certificate", "list", f"bob@{DOMAIN}", as_json=True)
        return [r["serial"] for r in rows if not r["revoked"]]

    with place.whole_zone(), place.sipe("bob") as one:
        one.signed_in(WITHIN)
        first = living()
        with place.sipe("bob", where="c2") as other:
            other.signed_in(WITHIN)
            equal(len(network.sessions_of(place, "bob")), 2)
            second = [s for s in living() if s not in first]
            equal((len(first), len(second)), (1, 1))
            since = other.mark()
            place.domain.ctl("certificate", "revoke", second[0])
            other.wait("disconnected", since, WITHIN)
            beckon.wait_for("the end of one session", lambda: len(network.sessions_of(place, "bob")) == 1, 10)
        equal(one.seen("disconnected"), [])
        equal(living(), first)


def a_device_has_one_certificate_however_often_it_starts(place):
    rows = place.domain.ctl("certificate", "list", f"ann@{DOMAIN}", as_json=True)
    assert len(rows) > 3, rows
    equal(len([r for r in rows if not r["revoked"]]), 1)


def an_answer_on_port_80_is_no_obstacle(place):
    place.domain.stop_server()
    with open(place.domain.config, "a") as config:
        config.write(f"\n[listen]\nhttp = {SERVER}:80\n")
    place.domain.start()
    for name in ("lyncdiscoverinternal", "lyncdiscover"):
        with place.zone(host(f"{name}.{DOMAIN}")) as log:
            signs_in(place, log, [f"{name}.{DOMAIN}", place.domain.host])


CASES = [the_discovery_document_leads_to_the_server, a_service_record_leads_to_the_server, the_usual_names_lead_to_the_server,
         the_automatic_choice_is_tls_dsk, a_wrong_password_is_told_in_words_though_nothing_but_the_address_is_known,
         a_disabled_account_is_told_though_nothing_but_the_address_is_known,
         a_certificate_that_is_withdrawn_ends_the_session, two_computers_of_one_person_have_a_certificate_each, a_device_has_one_certificate_however_often_it_starts,
         an_answer_on_port_80_is_no_obstacle]


def main():
    build, Place.program = sys.argv.pop(1), sys.argv.pop(1)
    missing = network.why_not() or sipe_client.missing(Place.program)
    if missing:
        print(f"1..0 # SKIP {missing}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):  # however it ends, what it made goes away
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as tmp, network.Network(["c1", "c2"]) as net:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain=DOMAIN, listen=SERVER, tls_port=5061, https_port=443,
                               ctl_prefix=net.inside("srv"))
        domain.init()
        for name in ("ann", "bob"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            return tap.main(CASES, Place(net, domain))


if __name__ == "__main__":
    sys.exit(main())
