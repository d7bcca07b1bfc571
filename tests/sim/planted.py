#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the simulation finds what it is there for: bugs are planted in a copy of the tree, one at a time.

usage: planted.py SOURCE_ROOT [NAME ...]
       planted.py --check SOURCE_ROOT      only whether each can still be planted: the text to change is there

Each must make the simulation fail, at the invariant named with it. Prints TAP.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# name: (file, what stands there, what is put in its place, what the simulation must say)
BUGS = {
    "202-before-the-disk": (
        "src/server/message.c",
        "        relay->storing = true;\n",
        "        relay->storing = true;\n        relay_answer(relay, 202, (struct bk_view){ 0 });\n",
        "an acknowledged message was lost",
    ),
    "deleted-before-it-was-taken": (
        "src/server/message.c",
        "    d->sent = true;\n",
        "    d->sent = true;\n    {\n        struct bk_store_batch *gone = bk_store_batch_create();\n"
        "        bk_store_drop_offline(gone, row->id);\n"
        "        bk_store_commit(core->config.store, gone, NULL, NULL);\n    }\n",
        "an acknowledged message was lost",
    ),
    "the-blocked-see": (
        "src/server/watch.c",
        "return relation >= RELATION_BLOCKED ? SEES_OFFLINE : relation",
        "return relation",
        "presence did not converge",
    ),
    "a-change-while-one-is-on-its-way": (
        "src/server/watch.c",
        "        if (n->state != BK_SIP_NOTIFIER_TERMINATED)\n            n->dirty = true;\n",
        "",
        "presence did not converge",
    ),
    "a-new-key-for-a-stored-message": (
        "src/server/message.c",
        "BK_VIEW_ARGS(row->call_id));",
        'BK_VIEW_ARGS(BK_VIEW("m0")));',
        "",
    ),
}


def build(tree):
    subprocess.run(["meson", "setup", "build"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", "build", "tests/sim/sim"], cwd=tree, check=True, stdout=subprocess.DEVNULL)


def check(root):
    print(f"1..{len(BUGS)}")
    good = True
    for i, (name, (file, before, _, _)) in enumerate(BUGS.items(), 1):
        there = (root / file).read_text().count(before) == 1
        print("ok" if there else "not ok", i, f"- can be planted: {name}")
        good &= there
    return 0 if good else 1


def main():
    if sys.argv[1] == "--check":
        return check(pathlib.Path(sys.argv[2]))
    root = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:] or list(BUGS)
    print(f"1..{len(wanted) + 1}", flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        tree = pathlib.Path(tmp) / "tree"
        names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
        for name in names.decode().split("\0"):
            if name and (root / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, tree / name)
        build(tree)
        clean = subprocess.run(["build/tests/sim/sim", "--seeds", "1-300"], cwd=tree, capture_output=True, text=True)
        print("ok" if clean.returncode == 0 else "not ok", 1, "- nothing planted, nothing found", flush=True)
        failed = clean.returncode != 0
        for i, name in enumerate(wanted, 2):
            file, before, after, says = BUGS[name]
            text = (tree / file).read_text()
            planted = text.count(before) == 1
            (tree / file).write_text(text.replace(before, after))
            found = False
            if planted:
                build_ok = subprocess.run(["ninja", "-C", "build", "tests/sim/sim"], cwd=tree, stdout=subprocess.DEVNULL)
                run = subprocess.run(["build/tests/sim/sim", "--seeds", "1-300"], cwd=tree, capture_output=True, text=True)
                found = build_ok.returncode == 0 and run.returncode == 1 and says in run.stdout
                first = re.search(r"seed \d+.*", run.stdout)
                print("#", first.group(0) if first else run.stdout[-200:] + run.stderr[-200:])
            else:
                print(f"# {file} does not hold the text to change exactly once")
            (tree / file).write_text(text)
            print("ok" if found else "not ok", i, f"- found: {name}", flush=True)
            failed |= not found
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
