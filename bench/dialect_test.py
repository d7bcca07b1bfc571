#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of bench/dialect, where a mistake would look like a result."""

import argparse
import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
PATH = pathlib.Path(__file__).resolve().parent / "dialect"
loader = importlib.machinery.SourceFileLoader("dialect", str(PATH))
spec = importlib.util.spec_from_loader("dialect", loader)
dialect = importlib.util.module_from_spec(spec)
loader.exec_module(dialect)


def turn(**cpu):
    return {"phases": [{"phase": name.replace("_", "-"), "operations": 10, "failures": 0, "server_cpu_us_per_operation": value,
                        "answer_ms": None} for name, value in cpu.items()]}


class Rows(unittest.TestCase):
    def rows(self, **turns):
        options = argparse.Namespace(resources=25, users=1000)
        return {row["what"]: row for row in dialect.rows_of(turns, options)}

    def test_the_ratio_is_that_of_the_medians_dialect_over_plain(self):
        rows = self.rows(plain=[turn(message=30), turn(message=10), turn(message=20)],
                         lync=[turn(message=90), turn(message=50), turn(message=60)])
        row = rows["message 1 KB and its 200, us"]
        self.assertEqual((row["plain"], row["lync"], row["ratio"]), (20, 60, 3))

    def test_a_batched_subscription_is_shared_among_its_people(self):
        rows = self.rows(plain=[turn(subscribe=40)], lync=[turn(subscribe=250)])
        self.assertEqual(rows["subscription, us"]["lync"], 250)
        self.assertEqual(rows["one of its people, us"]["plain"], 40)
        self.assertEqual(rows["one of its people, us"]["lync"], 10)

    def test_subscriptions_of_one_turn_are_taken_together(self):
        first, second = turn(subscribe=100)["phases"] + turn(subscribe=400)["phases"]
        second["operations"] = 30
        rows = self.rows(plain=[turn(subscribe=40)], lync=[{"phases": [first, second]}])
        self.assertEqual(rows["subscription, us"]["lync"], 325)

    def test_what_plain_sip_has_not_has_no_ratio(self):
        rows = self.rows(plain=[turn(sign_in=10)], lync=[turn(sign_in=10, session=100)])
        row = rows["conversation opened, us"]
        self.assertEqual((row["plain"], row["lync"], row["ratio"]), (None, 100, None))

    def test_each_row_names_a_phase_that_is_done(self):
        for text, _, plain, lync in dialect.ROWS:
            self.assertTrue(plain is None or plain in dialect.PHASES["plain"], text)
            self.assertIn(lync, dialect.PHASES["lync"], text)

    def test_both_tables_of_the_document_have_their_place(self):
        text = (PATH.parent.parent / "docs" / "performance.md").read_text()
        self.assertEqual(text.count(dialect.DOC_BEGIN), 1)
        self.assertEqual(text.count(dialect.compare.DOC_BEGIN), 1)


if __name__ == "__main__":
    unittest.main()
