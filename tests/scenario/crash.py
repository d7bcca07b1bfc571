#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server at random instants under load.

usage: crash.py BUILD_FOLDER [KILLS [SEED]]

Two people write to each other without pause, a third is written to while away, an administrator adds accounts. The server is killed
again and again and started at once. A ledger keeps what was acknowledged: in the end each such message was shown exactly once, each such
account is there.
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import beckon  # noqa: E402
import tap  # noqa: E402

PASSWORD = "correct horse battery"


class Writer(threading.Thread):
    """Sends numbered messages through its own client, a few in flight, and notes what became of each."""

    def __init__(self, client, to, pause):
        super().__init__(daemon=True)
        self.client, self.to, self.pause = client, to, pause
        self.numbers = {}  # id of the client -> text
        self.acknowledged = {}  # text -> state
        self.failed = {}
        self.stopping = False
        self.n = 0

    def run(self):
        at = 0
        while True:
            self.client.mark()
            for event in self.client.events[at:]:
                if event["event"] == "accepted":
                    self.numbers[event["id"]] = event["tag"]
                if event["event"] == "message-state" and event["state"] in ("sent", "stored"):
                    self.acknowledged[self.numbers[event["id"]]] = event["state"]
                if event["event"] == "message-state" and event["state"] == "failed":
                    self.failed[self.numbers.get(event["id"])] = event.get("record")
            at = len(self.client.events)
            open_ones = self.n - len(self.acknowledged) - len(self.failed)
            if self.stopping and open_ones == 0:
                return
            if not self.stopping and open_ones < 8:
                for to in self.to:
                    text = f"{self.client.address} to {to} {self.n}"
                    self.client.say("send", to=to, text=text, tag=text)
                    self.n += 1
            time.sleep(self.pause)


def run(build, kills, seed):
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as tmp:
        domain = beckon.Domain(tmp, beckon.Programs(build), domain="example.test",
                               settings=["server.shards=3", "log.level=warning"])
        domain.init()
        for name in ("ann", "bob", "cyd"):
            domain.add_user(name, PASSWORD)
        accounts, starts = [], []
        with domain:
            domain.start()
            domain.start_dns()
            ann, bob, cyd = domain.client("ann"), domain.client("bob"), domain.client("cyd")
            try:
                for client in (ann, bob, cyd):
                    client.sign_in(PASSWORD)
                cyd.sign_out()
                writers = [Writer(ann, [bob.address, cyd.address], 0.02), Writer(bob, [ann.address], 0.02)]
                for writer in writers:
                    writer.start()
                for i in range(kills):
                    time.sleep(dice.uniform(0.05, 0.9))
                    adding = None
                    if i % 3 == 0:
                        adding = subprocess.Popen(
                            [domain.programs.beckonctl, "--config", str(domain.config), "user", "add",
                             f"new{i}@{domain.domain}", "--name", f"New {i}"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
                        time.sleep(dice.uniform(0, 0.05))
                    domain.kill()
                    if adding and adding.wait(60) == 0:
                        accounts.append(f"new{i}@{domain.domain}")
                    begun = time.monotonic()
                    domain.start()
                    starts.append(time.monotonic() - begun)
                    for client in (ann, bob):  # a person would press Try now; the back-off is not what is tested
                        client.say("retry")
                for writer in writers:
                    writer.stopping = True
                for writer in writers:
                    writer.join(120)
                    tap.equal(writer.is_alive(), False, f"{writer.client.address} still waits for answers")
                cyd.sign_in()
                acknowledged = {t for w in writers for t in w.acknowledged}

                def shown(client):
                    client.mark()
                    return [e["text"] for e in client.events if e["event"] == "message"]

                def all_there():
                    texts = set(shown(ann)) | set(shown(bob)) | set(shown(cyd))
                    return not acknowledged - texts

                try:
                    beckon.wait_for("every acknowledged message to be shown", all_there, 90)
                except beckon.Failed:
                    missing = acknowledged - set(shown(ann)) - set(shown(bob)) - set(shown(cyd))
                    raise AssertionError(f"{len(missing)} acknowledged messages are lost, e.g. {sorted(missing)[:3]}") from None
                for client in (ann, bob, cyd):
                    texts = shown(client)
                    twice = {t for t in texts if texts.count(t) > 1}
                    tap.equal(twice, set(), f"shown twice by {client.address}")
                listed = {u["address"] for u in domain.ctl("user", "list", as_json=True)}
                tap.equal(set(accounts) - listed, set(), "acknowledged accounts that are lost")
                return len(acknowledged), accounts, starts
            finally:
                for client in (ann, bob, cyd):
                    client.kill()


def main():
    build = sys.argv.pop(1)
    kills = int(sys.argv.pop(1)) if len(sys.argv) > 1 else 50
    seed = int(sys.argv.pop(1)) if len(sys.argv) > 1 else int.from_bytes(__import__("os").urandom(4), "big")

    def nothing_acknowledged_is_lost_or_shown_twice():
        n, accounts, starts = run(build, kills, seed)
        print(f"# seed {seed}: {kills} kills, {n} messages acknowledged, {len(accounts)} accounts, "
              f"start to ready {max(starts):.2f} s at most")
        assert n > kills, "too few messages were under way for this to mean anything"

    return tap.main([nothing_acknowledged_is_lost_or_shown_twice])


if __name__ == "__main__":
    sys.exit(main())
