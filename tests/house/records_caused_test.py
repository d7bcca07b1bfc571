#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each record that client or server can produce is caused in the window by a test of tests/desktop, which names it; or stands in the
list below, with the reason why nobody at a desk can meet it.

usage: records_caused_test.py [SOURCE_FOLDER]
"""
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "record"))
from live_test import FOLDERS, MENTIONED_ONLY, caused  # noqa: E402

NOT_MET = {
    "SI-105": "the server always says which letter; without one only another server's refusal of a certificate",
    "SI-306d": "a configuration of the desktop's proxy that cannot be found out; tests/scenario/proxy.py causes it at a terminal",
    "SI-506": "what our program sends passes one server, which has no other to send it round to",
    "SI-507": "likewise: 70 hops are not used up by one server",
    "SI-509": "calls are still to come; a message that nobody may keep is SI-510",
}


def produced(source, rows):
    """rows: the records with a letter; what is asked for with another is found without one."""
    found = {record for folder in FOLDERS for path in (source / folder).glob("*.c") for record in caused(path.read_text())}
    return {record if record in rows else record[:6] for record in found - MENTIONED_ONLY}


def named(folder):
    """In any word of a test there, or in the name of a case: SI-108, SI_108_the_server_is_gone."""
    return {f"SI-{record}" for path in folder.glob("*.py") for record in re.findall(r"\bSI[-_](\d{3}[a-z]?)(?![a-z0-9{])", path.read_text())}


def faults(records, tests, excused):
    for record in sorted(records - tests - excused.keys()):
        yield f"{record} can be produced: add a case to tests/desktop, or say in NOT_MET why nobody meets it"
    for record in sorted(excused.keys() & tests):
        yield f"{record} is caused by a test: take it out of NOT_MET"
    for record in sorted(excused.keys() - records):
        yield f"{record} is not produced by anything: take it out of NOT_MET"


def self_test():
    """A check that cannot fail would be none."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "client").mkdir()
        (folder / "client" / "x.c").write_text('bk_fault_set(&fault, 199, 0, "", "", "");\nrefuse(rq, 198, 0, 404, NULL);\n')
        (folder / "x.py").write_text('"""SI-198"""\n')
        assert list(faults(produced(folder, set()), named(folder), {}))[0].startswith("SI-199"), "a new record was not seen"
        assert not list(faults(produced(folder, set()), named(folder), {"SI-199": "x"}))
        assert len(list(faults(produced(folder, set()), named(folder), {"SI-198": "x", "SI-197": "x"}))) == 3


def main():
    self_test()
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src"
    rows = {f"SI-{number}{letter}" for number, letter in re.findall(r"(?m)^ROW\((\d+), '([a-z])'", (source / "record" / "table.c").read_text())}
    records = produced(source, rows)
    assert len(records) > 60, f"only {len(records)} records found: has the sources' way of naming them changed?"
    wrong = list(faults(records, named(ROOT / "tests" / "desktop"), NOT_MET))
    print("\n".join(wrong) or f"{len(records) - len(NOT_MET)} of {len(records)} records are caused in the window")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
