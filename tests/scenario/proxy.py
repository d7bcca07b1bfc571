#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signing in and talking through an HTTP proxy, and each way in which a proxy is in the way (SI-306).

The domain's name server knows its SRV records and no host, so whoever signs in got the servers' names to the proxy unresolved.

usage: proxy.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import contextlib
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2] / "tools"), str(HERE.parent), str(HERE.parents[1] / "fakes")]
import beckon  # noqa: E402
import tap  # noqa: E402
from http_proxy import Proxy  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"
LOGIN = "clerk:s3cret@%/ü"
LOGIN_IN_URL = "clerk:s3cret%40%25%2F%C3%BC"
DOMAIN = "example.test"
MANY = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Place:
    def __init__(self, domain, bare_dns):
        self.domain = domain
        self.bare_dns = bare_dns  # the name server that knows no host
        self.n = 0

    @contextlib.contextmanager
    def client(self, name, proxy=None, environment=None, options=(), hosts=False):
        """With a profile of its own. proxy: what --proxy gets. hosts: the servers' names can be resolved."""
        self.n += 1
        options = list(options) + ([f"--proxy={proxy}"] if proxy else []) + (
            [] if hosts else [f"--dns={self.bare_dns}", f"--discover-port={self.domain.tls_port}"])
        prefix = ["env", *(f"{k}={v}" for k, v in (environment or {}).items())] if environment else ()
        with self.domain.client(name, profile=f"{name}{self.n}", options=options, prefix=prefix) as client:
            yield client

    def bob(self):
        """Somebody who needs no proxy."""
        return self.client("bob", options=["--no-proxy"], hosts=True)


def refused(place, record, proxy, **options):
    with place.client("ann", proxy, **options) as ann:
        failure = ann.refused(PASSWORD, patience=60)
        equal(failure["record"], record)
        assert failure["text"].strip() and failure["admin"].strip(), failure
        return failure


def told(client, text, since):
    return client.wait("message", since, text=text)


def signs_in_and_talks_both_ways(place):
    with Proxy() as proxy, place.bob() as bob, place.client("ann", proxy.url) as ann:
        bob.sign_in(PASSWORD)
        state = ann.sign_in(PASSWORD)
        equal(state["proxy"], proxy.name)
        since = bob.mark()
        equal(ann.send(bob.address, "through the tunnel")["state"], "sent")
        told(bob, "through the tunnel", since)
        since = ann.mark()
        equal(bob.send(ann.address, "and back")["state"], "sent")
        told(ann, "and back", since)
        hosts = {target.rpartition(":")[0] for target, _ in proxy.asked}
        assert place.domain.host in hosts, hosts
        assert not any(h[0].isdigit() for h in hosts), f"a proxy was given an address: {hosts}"
        equal(len(proxy.tunnels), 1, "tunnels that stay")
        assert proxy.bytes > 4000, proxy.bytes
        opened = proxy.opened
        ann.sign_out()
        equal(ann.sign_in()["proxy"], proxy.name, "with what was saved")
        equal(proxy.opened, opened + 1, "tunnels of a sign-in by what was saved")


def an_answer_in_pieces_behind_others_opens_the_tunnel(place):
    with Proxy() as proxy, place.client("ann", proxy.url) as ann:
        proxy.pieces = True
        equal(ann.sign_in(PASSWORD)["proxy"], proxy.name)


def the_environment_names_the_proxy_and_what_goes_without(place):
    with Proxy() as proxy:
        environment = {"https_proxy": proxy.name, "no_proxy": "other.test, localhost"}
        with place.client("ann", environment=environment) as ann:
            equal(ann.sign_in(PASSWORD)["proxy"], proxy.name)
        before = len(proxy.asked)
        for more in ({"https_proxy": proxy.url, "no_proxy": "localhost .test"}, {"HTTPS_PROXY": proxy.url, "NO_PROXY": "*"},
                     {"HTTPS_PROXY": proxy.url, "no_proxy": f".test:{place.domain.tls_port} .test:443"},
                     {"HTTPS_PROXY": proxy.url, "https_proxy": ""}):
            with place.client("ann", environment=more, hosts=True) as ann:
                assert "proxy" not in ann.sign_in(PASSWORD), more
        with place.client("ann", environment=environment, options=["--no-proxy"], hosts=True) as ann:
            assert "proxy" not in ann.sign_in(PASSWORD)
        equal(len(proxy.asked), before, "asked for what goes without")


def a_proxy_that_wants_a_password_says_so_and_takes_the_right_one(place):
    with Proxy(login=LOGIN) as proxy:
        failure = refused(place, "SI-306a", proxy.url)
        assert proxy.name in failure["text"] and "Basic" in failure["admin"], failure
        equal({login for _, login in proxy.asked}, {None})
        with place.client("ann", f"http://{LOGIN_IN_URL}@{proxy.name}") as ann:
            equal(ann.sign_in(PASSWORD)["proxy"], proxy.name)
            assert all(LOGIN not in str(e) and "s3cret" not in str(e) for e in ann.events)


def a_wrong_password_goes_to_the_proxy_once(place):
    with Proxy(login=LOGIN) as proxy, place.client("ann", f"http://clerk:wrong@{proxy.name}/") as ann:
        failure = ann.refused(PASSWORD)
        equal((failure["record"], failure["next"]), ("SI-306a", "retry"))
        assert "does not accept" in failure["admin"], failure
        since = ann.mark()
        ann.wait("failure", since, patience=60)  # it tries again by itself, without it
        equal([login for _, login in proxy.asked if login], ["clerk:wrong"], "the wrong password was sent")
        proxy.login = None
        ann.wait("state", since, patience=60, state="signed-in")


def a_wrong_password_goes_to_one_address_of_a_proxy_with_several(place):
    with Proxy(login=LOGIN, addresses=MANY) as proxy, place.client("ann", f"http://clerk:wrong@many.{DOMAIN}:{proxy.port}/") as ann:
        equal(ann.refused(PASSWORD)["record"], "SI-306a")
        equal([login for _, login in proxy.asked if login], ["clerk:wrong"], "the wrong password was sent")


def a_proxy_that_refuses_is_named_with_its_status(place):
    with Proxy() as proxy:
        proxy.answer = b"HTTP/1.1 403 Not on the list\r\nContent-Length: 3\r\n\r\nno\n"
        failure = refused(place, "SI-306b", proxy.url)
        for text in (failure["admin"], failure["detail"]):
            assert "403 Not on the list" in text and proxy.name in text, text


def a_proxy_that_does_not_work_is_not_a_server_that_does_not_answer(place):
    with Proxy() as proxy:
        for answer, what in ((b"SSH-2.0-OpenSSH\r\n", "garbage"), (b"", "closed"),
                             (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000, "endless")):
            proxy.answer = answer or b"\0"
            refused(place, "SI-306c", proxy.url)
            assert proxy.asked, what
        url = proxy.url
    failure = refused(place, "SI-306c", url)
    assert "refused" in failure["admin"] and "302" not in failure["record"], failure
    failure = refused(place, "SI-306c", f"http://nowhere.{DOMAIN}:3128")
    assert f"nowhere.{DOMAIN}:3128: the name does not exist" in failure["admin"], failure


def another_kind_of_proxy_is_a_matter_of_the_settings(place):
    failure = refused(place, "SI-306d", "socks5://127.0.0.1:1080")
    assert "socks5" in failure["admin"], failure


def what_lies_behind_the_proxy_keeps_its_own_records(place):
    with Proxy(known={place.domain.host, f"lyncdiscover.{DOMAIN}"}) as proxy:
        with place.client("ann", proxy.url) as ann:  # lyncdiscoverinternal is not there: the next step
            ann.sign_in(PASSWORD)
        with place.client(f"nobody@nowhere.{DOMAIN}", proxy.url) as ann:
            equal(ann.refused(PASSWORD, patience=60)["record"], "SI-301")
        proxy.known = {f"lyncdiscoverinternal.{DOMAIN}"}
        failure = refused(place, "SI-302", proxy.url)
        assert f"the proxy {proxy.name} could not reach it: HTTP status 503" in str(failure), failure


def a_proxy_that_dies_is_waited_for_and_nothing_is_lost(place):
    with Proxy() as proxy, place.bob() as bob, place.client("ann", proxy.url) as ann:
        bob.sign_in(PASSWORD)
        ann.sign_in(PASSWORD)
        since, heard = ann.mark(), bob.mark()
        proxy.stop()
        ann.wait("failure", since, record="SI-314")
        ann.wait("failure", since, record="SI-306c", patience=60)
        ann.say("send", to=bob.address, text="written meanwhile")
        proxy.start()
        equal(ann.wait("state", since, patience=90, state="signed-in")["proxy"], proxy.name)
        told(bob, "written meanwhile", heard)
        equal([e["text"] for e in bob.events[heard:] if e["event"] == "message"], ["written meanwhile"])


def a_tunnel_that_is_closed_for_being_idle_is_opened_anew(place):
    with Proxy() as proxy, place.client("ann", proxy.url) as ann:
        ann.sign_in(PASSWORD)
        since = ann.mark()
        proxy.idle_s = 1
        ann.wait("failure", since, record="SI-314")
        proxy.idle_s = None
        ann.wait("state", since, state="signed-in")


CASES = [
    signs_in_and_talks_both_ways, an_answer_in_pieces_behind_others_opens_the_tunnel,
    the_environment_names_the_proxy_and_what_goes_without,
    a_proxy_that_wants_a_password_says_so_and_takes_the_right_one, a_wrong_password_goes_to_the_proxy_once,
    a_wrong_password_goes_to_one_address_of_a_proxy_with_several,
    a_proxy_that_refuses_is_named_with_its_status, a_proxy_that_does_not_work_is_not_a_server_that_does_not_answer,
    another_kind_of_proxy_is_a_matter_of_the_settings, what_lies_behind_the_proxy_keeps_its_own_records,
    a_proxy_that_dies_is_waited_for_and_nothing_is_lost, a_tunnel_that_is_closed_for_being_idle_is_opened_anew,
]


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain=DOMAIN, settings=[f"server.shards={shards}"])
        domain.init()
        for name in ("ann", "bob"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            domain.start_dns([f"--srv-host=_sipinternaltls._tcp.{DOMAIN},{domain.host},{domain.tls_port}",
                              f"--host-record=many.{DOMAIN},{MANY[0]}", f"--host-record=many.{DOMAIN},{MANY[1]}", f"--host-record=many.{DOMAIN},{MANY[2]}"])
            bare, bare_address = domain.dns, domain.dns_address
            try:
                domain.start_dns()
                return tap.main(CASES, Place(domain, bare_address))
            finally:
                bare.terminate()
                bare.wait()


if __name__ == "__main__":
    sys.exit(main())
