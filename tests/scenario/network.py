#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finding the server by the address alone, and cables that are cut without a word.

Every computer is a network namespace: the server with its name server on the usual ports (5061, 443, 53), and three clients
that each hang on it by a wire of their own and know nothing but their resolver. Needs root; is skipped without.

usage: network.py BUILD_FOLDER [SHARDS] [CASE ...]
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402
from tap import equal  # noqa: E402

PASSWORD = "correct horse battery"
DOMAIN = "example.test"
SERVER = "10.80.0.1"
EMPTY = "10.80.0.9"  # the server's computer has it too, and nothing listens there
AT_ONCE_S = 5  # what the kernel tells by itself
SILENCE_S = 12  # docs/behaviour.md, "Sign-in states": after 10 s it is said what is waited for; then it is known that nobody answers
GONE_S = 60  # docs/limits.md, "Life signs": by then it is known that a machine, a program or a network is gone
NAMES = [f"{prefix}.{DOMAIN}" for prefix in ("lyncdiscoverinternal", "lyncdiscover", "_sipinternaltls._tcp", "_sip._tls",
                                             "sipinternal", "sip", "sipexternal")]

# A name server that answers every question with that code (RFC 1035 4.1.1).
ANSWERS_ONLY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("started", flush=True)
while True:
    question, who = s.recvfrom(4096)
    if len(question) >= 12:
        s.sendto(question[:2] + bytes([0x81, 0x80 | int(sys.argv[2])]) + question[4:6] + bytes(6)
                 + question[12:question.index(0, 12) + 5], who)
"""


def say(text):
    print(f"# {text}", flush=True)


def ip(*args, check=True):
    done = subprocess.run(["ip", *args], capture_output=True, text=True, timeout=20)
    if check and done.returncode != 0:
        raise beckon.Failed(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done


class Network:
    """A computer for the server, and clients, each with a wire to it."""

    def __init__(self, clients):
        self.mark = f"beckon{os.getpid()}"
        self.server = f"{self.mark}-srv"
        self.clients = {name: i for i, name in enumerate(clients, 1)}
        self.made = []

    def inside(self, name):
        """What a command must begin with to run there."""
        return ["ip", "netns", "exec", f"{self.mark}-{name}"]

    def ip(self, name, *args, check=True):
        return ip("-n", f"{self.mark}-{name}", *args, check=check)

    def add(self, name):
        resolver = pathlib.Path("/etc/netns") / f"{self.mark}-{name}"
        self.made.append((name, resolver))
        while True:
            with contextlib.suppress(FileNotFoundError):  # another network that ends takes the empty folder away
                resolver.mkdir(parents=True)
                break
        (resolver / "resolv.conf").write_text(f"nameserver {SERVER}\n")
        ip("netns", "add", f"{self.mark}-{name}")
        self.ip(name, "link", "set", "lo", "up")

    def route(self, name):
        self.ip(name, "route", "replace", "default", "via", f"10.80.{self.clients[name]}.1")

    def __enter__(self):
        try:
            self.add("srv")
            for address in (SERVER, EMPTY):
                self.ip("srv", "addr", "add", f"{address}/32", "dev", "lo")
            for name, i in self.clients.items():
                self.add(name)
                self.ip(name, "link", "add", "wire", "type", "veth", "peer", "name", name, "netns", self.server)
                for where, device, address in (("srv", name, f"10.80.{i}.1/24"), (name, "wire", f"10.80.{i}.2/24")):
                    self.ip(where, "addr", "add", address, "dev", device)
                    self.ip(where, "link", "set", device, "up")
                self.route(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name, resolver in reversed(self.made):
            ip("netns", "del", f"{self.mark}-{name}", check=False)
            shutil.rmtree(resolver, ignore_errors=True)
        self.made = []
        with contextlib.suppress(OSError):
            pathlib.Path("/etc/netns").rmdir()  # only when nobody else keeps something there

    def address_of(self, name):
        return f"10.80.{self.clients[name]}.2"

    def cut(self, name):
        """What either side sends goes to a card that nobody has: no error, no reset, the link stays up."""
        for where, device, end in (("srv", name, 2), (name, "wire", 1)):
            self.ip(where, "neigh", "replace", f"10.80.{self.clients[name]}.{end}", "lladdr", "02:00:00:00:00:01", "nud",
                    "permanent", "dev", device)

    def heal(self, name):
        for where, device, end in (("srv", name, 2), (name, "wire", 1)):
            self.ip(where, "neigh", "del", f"10.80.{self.clients[name]}.{end}", "dev", device, check=False)

    def set_resolver(self, name, address):
        """In place: who runs there already sees the same file."""
        with open(f"/etc/netns/{self.mark}-{name}/resolv.conf", "r+") as to:
            to.truncate()
            to.write(f"nameserver {address}\n")

    @contextlib.contextmanager
    def resolver_is(self, name, address):
        self.set_resolver(name, address)
        try:
            yield
        finally:
            self.set_resolver(name, SERVER)

    def unplug(self, name):
        self.ip(name, "link", "set", "wire", "down")

    def plug(self, name):
        self.ip(name, "link", "set", "wire", "up")
        self.route(name)


class Place:
    """What the cases share: the network, the domain on it, and a name server that each fills as it likes."""

    def __init__(self, network, domain):
        self.network = network
        self.domain = domain
        self.n = 0

    def client(self, name, where, **options):
        """With nothing but the address, the authority's certificate and a fresh profile."""
        options.setdefault("profile", f"p{self.next()}-{name}-{where}")
        return self.domain.client(name, by_address=None, prefix=self.network.inside(where), **options)

    def next(self):
        self.n += 1
        return self.n

    @contextlib.contextmanager
    def resolver(self, command):
        log = self.domain.folder / f"resolver-{self.next()}.log"
        with open(log, "w") as to:
            process = subprocess.Popen(self.network.inside("srv") + command, stdout=to, stderr=to, stdin=subprocess.DEVNULL)
        try:
            beckon.wait_for("the name server", lambda: "started" in log.read_text() or process.poll() is not None)
            if process.poll() is not None:
                raise beckon.Failed(f"the name server ended: {log.read_text()}")
            yield log
        finally:
            process.terminate()
            process.wait()

    def zone(self, *records):
        """dnsmasq with the server's own name and these records; its log of questions."""
        dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin")
        if not dnsmasq:
            raise tap.Skip("dnsmasq is not installed")
        return self.resolver(
            [dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll", "--pid-file",
             "--user=root", "--log-facility=-", "--log-queries", "--port=53", f"--listen-address={SERVER}", "--bind-interfaces",
             f"--local=/{DOMAIN}/", f"--host-record={self.domain.host},{SERVER}", *records])

    def answers_only(self, code):
        return self.resolver([sys.executable, "-c", ANSWERS_ONLY, SERVER, str(code)])

    def whole_zone(self):
        return self.zone(*(host(f"{name}.{DOMAIN}") for name in ("lyncdiscoverinternal", "lyncdiscover", "sip")),
                         srv("_sipinternaltls._tcp"), srv("_sip._tls"))


def host(name, address=SERVER):
    return f"--host-record={name},{address}"


def srv(service, target=f"srv.{DOMAIN}", port=5061):
    return f"--srv-host={service}.{DOMAIN},{target},{port}"


def asked(log):
    """The names that the client asked for, each once, in order."""
    names = []
    for line in log.read_text().splitlines():
        if " query[" in line:
            name = line.split(" query[", 1)[1].split()[1].lower()
            if name not in names:
                names.append(name)
    return names


def signs_in(place, log, **options):
    """First with a password, then without one; where from, as the server saw it, is the client's own address."""
    with place.client("ann", "c1", **options) as ann:
        start = time.monotonic()
        ann.sign_in(PASSWORD)
        say(f"signed in after {time.monotonic() - start:.2f} s, asked for {', '.join(asked(log))}")
        sessions = sessions_of(place, "ann")
        equal([s["ip"] for s in sessions], [place.network.address_of("c1")])
        ann.sign_out()
        before = len(asked(log))
        ann.sign_in()
        equal(asked(log)[before:], [], "names asked by a client that knows its server")
        ann.sign_out()


def sessions_of(place, name):
    rows = place.domain.ctl("user", "sessions", f"{name}@{DOMAIN}", as_json=True) or []
    return rows if isinstance(rows, list) else rows["sessions"]


# ---- finding the server

def lyncdiscoverinternal_leads_to_the_server(place):
    with place.whole_zone() as log:
        signs_in(place, log)
        equal(asked(log), [NAMES[0], place.domain.host])


def lyncdiscover_alone_leads_to_the_server(place):
    with place.zone(host(NAMES[1])) as log:
        signs_in(place, log)
        equal(asked(log), NAMES[:2] + [place.domain.host])


def an_srv_record_alone_leads_to_the_server(place):
    for n, service in enumerate(("_sipinternaltls._tcp", "_sip._tls"), 3):
        with place.zone(srv(service)) as log:
            signs_in(place, log)
            equal(asked(log), NAMES[:n] + [place.domain.host])


def the_name_sip_alone_leads_to_the_server(place):
    with place.zone(host(NAMES[5])) as log:
        signs_in(place, log)
        equal(asked(log), NAMES[:6] + [place.domain.host])


def refused(place, within=120, **options):
    with place.client("ann", "c1", **options) as ann:
        start = time.monotonic()
        failure = ann.refused(PASSWORD, patience=within)
        say(f"{failure['record']} after {time.monotonic() - start:.2f} s: {failure['text']} "
            f"[{'; '.join(s['kind'] + ' ' + s['name'] + ' ' + s['result'] for s in failure['steps'])}]")
        assert failure["text"].strip(), "the refusal has no sentence"
        return failure


def no_record_at_all_is_SI_301_and_names_what_was_asked(place):
    with place.zone() as log:
        failure = refused(place)
        equal(failure["record"], "SI-301")
        equal([s["name"] for s in failure["steps"]], NAMES, "the steps")
        equal(asked(log), NAMES, "what was asked")


def a_failing_resolver_is_not_a_domain_without_a_server(place):
    for code, what in ((2, "SERVFAIL"), (5, "REFUSED")):
        with place.answers_only(code):
            failure = refused(place)
            equal(failure["record"], "SI-303a", what)
            assert "name server" in failure["text"], failure["text"]
            equal([s["name"] for s in failure["steps"]], NAMES, f"{what}: the steps")


def no_resolver_at_all_is_no_network(place):
    failure = refused(place, within=SILENCE_S)  # its computer says that nothing listens there
    equal(failure["record"], "SI-312")
    place.network.cut("c1")
    try:
        failure = refused(place, within=SILENCE_S)  # nobody says anything
    finally:
        place.network.heal("c1")
    equal(failure["record"], "SI-312")
    equal([s["name"] for s in failure["steps"]], NAMES, "the steps")


def a_server_that_does_not_listen_is_SI_302(place):
    with place.zone(host(f"gone.{DOMAIN}", EMPTY), srv("_sipinternaltls._tcp", f"gone.{DOMAIN}")):
        failure = refused(place)
        equal(failure["record"], "SI-302")
        assert f"gone.{DOMAIN}" in failure["text"], failure["text"]


# ---- wires that are cut

def seconds_until(start, what):
    took = time.monotonic() - start
    say(f"{what} after {took:.1f} s")
    return took


def left(start):
    """What is left of the time within which it must be known."""
    return max(GONE_S - (time.monotonic() - start), 0.1)


def states_of(client, address, since):
    client.mark()
    return [e["state"] for e in client.events[since:] if e["event"] == "presence" and e["address"] == address]


def messages_of(client, since=0):
    client.mark()
    return [e["text"] for e in client.events[since:] if e["event"] == "message"]


def two_endpoints_cut_one_after_the_other(place):
    net = place.network
    with place.whole_zone(), place.client("ann", "c3") as ann, place.client("bob", "c1") as near, \
            place.client("bob", "c2") as far:
        for client in (ann, near, far):
            client.sign_in(PASSWORD)
        begin = ann.mark()
        ann.say("watch", address=near.address)
        ann.wait("presence", begin, address=near.address, state="available")
        try:
            # One of two: he is there all the same, and is reached at once.
            net.cut("c2")
            start = time.monotonic()
            begin, mark = ann.mark(), near.mark()
            equal(ann.send(near.address, "one is cut")["state"], "sent")
            near.wait("message", mark, text="one is cut")
            seconds_until(start, "a message reached the endpoint that is left")
            beckon.wait_for("the lost endpoint to be gone",
                            lambda: [s["ip"] for s in sessions_of(place, "bob")] == [net.address_of("c1")], left(start), 0.5)
            seconds_until(start, "the lost endpoint of two was gone")
            equal(ann.send(near.address, "one is gone")["state"], "sent")
            near.wait("message", mark, text="one is gone")
            assert set(states_of(ann, near.address, begin)) <= {"available"}, states_of(ann, near.address, begin)

            # Both: offline, and what is written meanwhile is kept.
            net.cut("c1")
            start = time.monotonic()
            begin, mark = ann.mark(), near.mark()
            ann.wait("presence", begin, left(start), address=near.address, state="offline")
            seconds_until(start, "he was seen offline")
            equal(sessions_of(place, "bob"), [])
            equal(ann.send(near.address, "while you were away")["state"], "stored")
            near.wait("state", mark, left(start), state="reconnecting")
            seconds_until(start, "the cut endpoint said that it reconnects")

            # One comes back by itself.
            begin, mark = ann.mark(), near.mark()
            net.heal("c1")
            start = time.monotonic()
            near.wait("state", mark, GONE_S, state="signed-in")
            seconds_until(start, "signed in again")
            ann.wait("presence", begin, address=near.address, state="available")
            seconds_until(start, "he was seen available")
            near.wait("message", mark, text="while you were away")
            equal(ann.send(near.address, "welcome back")["state"], "sent")
            near.wait("message", mark, text="welcome back")
            equal(messages_of(near), ["one is cut", "one is gone", "while you were away", "welcome back"])
            equal(len(sessions_of(place, "bob")), 1)
        finally:
            net.heal("c1")
            net.heal("c2")


def a_message_into_a_wire_that_is_cut_for_a_moment_arrives_once(place):
    net = place.network
    with place.whole_zone(), place.client("ann", "c3") as ann, place.client("bob", "c1") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        mark = bob.mark()
        net.cut("c1")
        try:
            start = time.monotonic()
            equal(ann.send(bob.address, "into the dark")["state"], "stored")
            seconds_until(start, "kept")
        finally:
            net.heal("c1")
        bob.wait("message", mark, GONE_S, text="into the dark")
        seconds_until(start, "arrived")
        beckon.wait_for("him to be reached", lambda: ann.send(bob.address, "light")["state"] == "sent", GONE_S)
        bob.wait("message", mark, text="light")
        texts = messages_of(bob, mark)
        equal(texts.count("into the dark"), 1, f"how often it arrived ({texts})")


def whose_own_link_is_down_sees_unknown_and_never_offline(place):
    net = place.network
    with place.whole_zone(), place.client("ann", "c3") as ann, place.client("bob", "c1") as bob:
        ann.sign_in(PASSWORD)
        bob.sign_in(PASSWORD)
        begin = bob.mark()
        bob.say("watch", address=ann.address)
        bob.wait("presence", begin, address=ann.address, state="available")
        begin = bob.mark()
        net.unplug("c1")
        start = time.monotonic()
        try:
            bob.wait("presence", begin, AT_ONCE_S, address=ann.address, state="unknown")
            seconds_until(start, "contacts were unknown")
            bob.wait("state", begin, AT_ONCE_S, state="reconnecting")
            failure = bob.wait("failure", begin)
            equal((failure["record"], failure["next"]), ("SI-314", "retry"))
            # The tries meanwhile say what is true: this computer is offline, nothing is wrong with the server.
            bob.wait("failure", begin, GONE_S, record="SI-312")
            # By now the next try is far off.
            bob.wait("failure", begin, 2 * GONE_S, retry_in=lambda s: s and s > 2 * AT_ONCE_S)
        finally:
            net.plug("c1")
        start = time.monotonic()
        bob.wait("state", begin, AT_ONCE_S, state="signed-in")
        seconds_until(start, "signed in again")
        bob.wait("presence", begin, address=ann.address, state="available")
        equal(set(states_of(bob, ann.address, begin)), {"unknown", "available"})


def what_was_written_without_a_network_outlives_a_kill_and_arrives_once(place):
    net = place.network
    texts = [f"written in the dark {i}" for i in range(3)]
    with place.whole_zone(), place.client("ann", "c3") as ann:
        ann.sign_in(PASSWORD)
        begin = ann.mark()
        with place.client("bob", "c1", profile="killed") as bob:
            bob.sign_in(PASSWORD)
            net.cut("c1")  # nobody has noticed yet: the first of them is already on its way
            try:
                for text in texts:
                    mark = bob.mark()
                    bob.say("send", to=ann.address, text=text)
                    bob.wait("message-state", mark, state="sending")
                bob.kill()
            finally:
                net.heal("c1")
        for _ in range(2):  # the second start has nothing left to do
            with place.client("bob", "c1", profile="killed") as bob:
                bob.sign_in()
                equal(bob.send(ann.address, "hello again")["state"], "sent")
        ann.wait("message", begin, text=texts[-1])
        received = messages_of(ann, begin)
        equal(sorted(t for t in received if t in texts), texts)
        equal([t for t in received if t not in texts], 2 * ["hello again"])
        for path in (place.domain.folder / "profiles" / "killed").rglob("*"):
            assert not path.is_file() or b"in the dark" not in path.read_bytes(), f"{path.name} holds a message still"


def other_name_servers_behind_another_cable_are_asked(place):
    net = place.network
    with place.whole_zone(), net.resolver_is("c1", EMPTY), place.client("ann", "c1") as ann:
        failure = ann.refused(PASSWORD)
        equal(failure["record"], "SI-312")
        net.set_resolver("c1", SERVER)  # as the other network's router says
        begin = ann.mark()
        net.unplug("c1")
        net.plug("c1")
        ann.wait("state", begin, GONE_S, state="signed-in")


CASES = [lyncdiscoverinternal_leads_to_the_server, lyncdiscover_alone_leads_to_the_server,
         an_srv_record_alone_leads_to_the_server, the_name_sip_alone_leads_to_the_server,
         no_record_at_all_is_SI_301_and_names_what_was_asked, a_failing_resolver_is_not_a_domain_without_a_server,
         no_resolver_at_all_is_no_network, a_server_that_does_not_listen_is_SI_302,
         two_endpoints_cut_one_after_the_other, a_message_into_a_wire_that_is_cut_for_a_moment_arrives_once,
         whose_own_link_is_down_sees_unknown_and_never_offline,
         what_was_written_without_a_network_outlives_a_kill_and_arrives_once, other_name_servers_behind_another_cable_are_asked]


def why_not():
    """What is missing here for network namespaces; None: nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    if not shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin"):
        return "dnsmasq is not installed"
    name = f"beckon{os.getpid()}-try"
    done = ip("netns", "add", name, check=False)
    if done.returncode == 0:
        done = ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other", check=False)
    ip("netns", "del", name, check=False)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else None


def main():
    build = sys.argv.pop(1)
    shards = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].isdigit() else "1"
    missing = why_not()
    if missing:
        print(f"1..0 # SKIP {missing}")
        return 0
    # However it ends, what it made goes away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as tmp, Network(["c1", "c2", "c3"]) as network:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain=DOMAIN, settings=[f"server.shards={shards}"], listen=SERVER,
                               tls_port=5061, https_port=443, ctl_prefix=network.inside("srv"))
        domain.init()
        for name in ("ann", "bob", "cyd"):
            domain.add_user(name, PASSWORD)
        with domain:
            domain.start()
            return tap.main(CASES, Place(network, domain))


if __name__ == "__main__":
    sys.exit(main())
