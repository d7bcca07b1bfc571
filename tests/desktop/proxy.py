#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program with windows behind an HTTP proxy: the desktop's setting is used, and each SI-306 says what it is.

The desk's setting is its environment, as libproxy reads it for GLib; without glib-networking GLib finds no proxy, and this is
skipped. usage: proxy.py BUILD_FOLDER [CASE ...]
"""
import glob
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
import signing_in  # noqa: E402
from http_proxy import Proxy  # noqa: E402
from signing_in import PASSWORD  # noqa: E402
from tap import equal  # noqa: E402

LOGIN = "clerk:s3cret pass"


def behind(place, proxy, **options):
    """Ann at a desk that is set to use that proxy."""
    return place.person(environment={"https_proxy": f"http://{proxy.name}"}, **options)


def she_signs_in_through_the_proxy_and_can_read_which(place):
    with Proxy() as proxy, behind(place, proxy) as ann, place.watcher() as bob:
        ann.start()
        ann.signs_in()
        bob.wait("presence", address=ann.address, state="available")
        equal(len(proxy.tunnels), 1, "tunnels that stay")
        assert place.domain.host in {target.rpartition(":")[0] for target, _ in proxy.asked}, proxy.asked
        ann.desk.ask("activate", "configuration-information")
        ann.desk.wait(has=proxy.name)
        ann.nothing_stood_still()


def a_proxy_that_wants_a_password_gets_it_from_a_window(place):
    with Proxy(login=LOGIN) as proxy, behind(place, proxy) as ann:
        ann.start()
        ann.tries(PASSWORD)
        ann.is_told("SI-306a", code=False)
        ann.desk.wait(has=proxy.name)
        ann.desk.press("Log In to the Proxy", role="push button")
        ann.desk.fill("clerk", role="text", name="User name", within="Log In to the Proxy")
        ann.desk.fill("s3cret pass", role="password text", name="Password", within="Log In to the Proxy")
        ann.desk.key("Return")
        ann.is_signed_in(60)
        equal(len(proxy.tunnels), 1)
        equal(ann.secrets_in_the_clear([PASSWORD, "s3cret"]), [], "files with a password")


def a_proxy_that_refuses_is_said(place):
    with Proxy() as proxy, behind(place, proxy) as ann:
        proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        ann.start()
        ann.tries(PASSWORD)
        ann.is_told("SI-306b", code=False)


def a_proxy_that_is_gone_is_said_and_the_policy_connects_without_it(place):
    with Proxy() as proxy:
        pass
    with behind(place, proxy) as ann:
        ann.start()
        ann.tries(PASSWORD)
        ann.is_told("SI-306c", code=False)
        ann.desk.wait("Connection Settings", role="push button")
        ann.exits()
        policy = ann.desk.folder / "policy.conf"
        policy.write_text("[desktop]\nconnect-directly=true\n")
        ann.desk.env["BECKON_POLICY_FILE"] = str(policy)
        ann.start()
        ann.signs_in()


CASES = [
    she_signs_in_through_the_proxy_and_can_read_which, a_proxy_that_wants_a_password_gets_it_from_a_window,
    a_proxy_that_refuses_is_said, a_proxy_that_is_gone_is_said_and_the_policy_connects_without_it,
]


def main():
    if not glob.glob("/usr/lib/*/gio/modules/libgiolibproxy.so"):
        print("1..0 # SKIP not installed: glib-networking")
        return 77
    return signing_in.run(CASES)


if __name__ == "__main__":
    sys.exit(main())
