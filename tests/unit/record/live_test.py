#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table says which records nothing causes yet (LATER). Here the sources are asked whether that is so, both ways.

usage: live_test.py RECORDS_DOC SOURCE_FOLDER
"""
import pathlib
import re
import subprocess
import sys

# Who takes a record's number, and as which argument; its letter, where there is one, is the next.
TAKERS = {"bk_record_find": 0, "bk_fault_set": 1, "fault_here": 1, "refuse": 1, "refuse_why": 1, "relay_refuse": 1,
          "refuse_attempt": 2, "refuse_password": 3, "op_refuse": 1, "op_refuse_why": 1}
FOLDERS = ("server", "client")  # below them nobody knows of records, and refuse() is another function
# Mentioned, but nothing can lead there: OpenSSL would say it, if anybody gave it revocation lists.
MENTIONED_ONLY = {"SI-309f"}


def bare(text):
    """Without comments and texts, which may hold any number; characters stay."""
    return re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", lambda m: '""' if m[0][0] == '"' else " ", text, flags=re.S)


def arguments(text, at):
    """Of the call whose opening parenthesis is at `at`."""
    found, depth, begin = [], 0, at + 1
    for i in range(at, len(text)):
        c = text[i]
        depth += c in "({["
        depth -= c in ")}]"
        if depth == 0 or (depth == 1 and c == ","):
            found.append(text[begin:i])
            begin = i + 1
        if depth == 0:
            return found
    return found


def numbers(argument):
    """What the expression may come to, not what it compares with."""
    return re.findall(r"\b[1-5]\d\d\b", re.sub(r"[=<>!]=?\s*\d+", "", argument))


def caused(text):
    text = bare(text)
    for call in re.finditer(r"\b(\w+)\(", text):
        if call[1] not in TAKERS:
            continue
        given = arguments(text, call.end() - 1)
        at = TAKERS[call[1]]
        letters = re.findall(r"'([a-z])'", given[at + 1]) if at + 1 < len(given) else []
        for number in numbers(given[at]) if at < len(given) else []:
            yield from (f"SI-{number}{letter}" for letter in letters or [""])
    for row in re.finditer(r"\{ ([1-5]\d\d), (?:0|'([a-z])') \}", text):  # what net/ reports, as rows
        yield f"SI-{row[1]}{row[2] or ''}"
    for named in re.finditer(r"\brefusal = ([1-5]\d\d);", text):
        yield f"SI-{named[1]}"
    for letter in re.finditer(r"\bwrong = '([a-z])';", text):  # client/personal.h: as a sub of SI-105
        yield f"SI-105{letter[1]}"


def main():
    rows = dict(line.split() for line in subprocess.run([sys.argv[1], "--list"], check=True, capture_output=True,
                                                        text=True).stdout.splitlines())
    assert set(rows.values()) == {"live", "later"}, "the program lists something else"
    there = set()
    for folder in FOLDERS:
        for path in (pathlib.Path(sys.argv[2]) / folder).glob("*.c"):
            there |= set(caused(path.read_text()))
    wrong = [f"{r} is live by the table, and nothing causes it" for r in rows if rows[r] == "live" and r not in there]
    wrong += [f"{r} is caused, and LATER by the table" for r in rows
              if rows[r] == "later" and r in there and r not in MENTIONED_ONLY]
    print("\n".join(wrong) or f"{sum(v == 'live' for v in rows.values())} of {len(rows)} records are live")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
