#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the source cites is in the tree: each page of docs/ that a comment names, and each section it names there.

A citation is written docs/PAGE.md, "Title of a section" (the file may be cited without a section).
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "fuzz", "tools", "bench", "man", "docs", "changes", "README.md")
# Names of files, not of pages: what programs write, and other folders' README.
PAGE = re.compile(r'(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.md)\b(?:\)?(?:,)?\s*(?:\*\s*|#\s*)?"([A-Z][^"\n]*)")?')


def text_files():
    for top in FOLDERS:
        path = ROOT / top
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix in (".c", ".h", ".py", ".md", ".1", ".5", ".8", ".in", ".build", "") \
                    and "corpus" not in file.parts and "data" not in file.parts and "__pycache__" not in file.parts:
                yield file


def find_page(name, citing):
    for base in (ROOT, ROOT / "docs", citing.parent):
        page = base / name
        if page.is_file():
            return page
    return None


def headings(page):
    return {line.lstrip("#").strip() for line in page.read_text().splitlines() if line.startswith("#")}


def faults(files):
    for file in files:
        if file.name == pathlib.Path(__file__).name:
            continue
        text = file.read_text(errors="replace")
        for match in PAGE.finditer(text):
            name, title = match.groups()
            where = f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}:{text.count(chr(10), 0, match.start()) + 1}"
            page = find_page(name, file)
            if not page:
                yield f"{where}: {name} is not in the tree"
            elif title and title not in headings(page):
                yield f"{where}: {name} has no section \"{title}\""


def self_test():
    """A check that cannot fail would be none."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "x.c"
        file.write_text('/* docs/limits.md, "Life signs" */\n/* docs/limits.md, "No such title" */\n/* nowhere-at-all.md 3 */\n')
        found = list(faults([file]))
        assert len(found) == 2 and "No such title" in found[0] and "nowhere-at-all.md" in found[1], found


def main():
    self_test()
    found = list(faults(text_files()))
    print("\n".join(found) or "every page and section cited is there")
    return 1 if found else 0


sys.exit(main())
