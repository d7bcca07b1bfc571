#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of bench/compare, where a mistake would look like a result."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

PATH = pathlib.Path(__file__).resolve().parent / "compare"
loader = importlib.machinery.SourceFileLoader("compare", str(PATH))
spec = importlib.util.spec_from_loader("compare", loader)
compare = importlib.util.module_from_spec(spec)
loader.exec_module(compare)


def phase(name, cpu, operations=10, failures=0, memory=None, p50=None, p99=None):
    made = {"phase": name, "operations": operations, "failures": failures, "server_cpu_us_per_operation": cpu,
            "answer_ms": None if p50 is None else {"p50": p50, "p99": p99}}
    if memory is not None:
        made["server_kb_per_user"] = memory
    return made


def turn(*phases):
    return {"phases": list(phases)}


def row(rows, name, value):
    return next(r for r in rows if r["phase"] == name and r["value"] == value)


class Compare(unittest.TestCase):
    def test_the_ratio_is_of_the_medians(self):
        rows = compare.compare({
            "kamailio": [turn(phase("message", c)) for c in (90, 1000, 100)],
            "beckon": [turn(phase("message", c)) for c in (50, 40, 1)]})
        found = row(rows, "message", "cpu")
        self.assertEqual((found["beside"], found["beckon"], found["ratio"]), (100, 40, 0.4))
        self.assertEqual(compare.verdict(found), "aim reached")

    def test_a_bar_missed_is_said(self):
        rows = compare.compare({"kamailio": [turn(phase("message", 100))], "beckon": [turn(phase("message", 61))]})
        self.assertEqual(compare.verdict(row(rows, "message", "cpu")), "NOT reached")
        rows = compare.compare({"kamailio": [turn(phase("message", 100))], "beckon": [turn(phase("message", 60))]})
        self.assertEqual(compare.verdict(row(rows, "message", "cpu")), "must reached")

    def test_a_phase_done_twice_counts_apart(self):
        rows = compare.compare({"kamailio": [turn(phase("message", 100), phase("message", 200))],
                                "beckon": [turn(phase("message", 50), phase("message", 50))]})
        self.assertEqual(row(rows, "message", "cpu")["ratio"], 0.5)
        self.assertEqual(row(rows, "message (2)", "cpu")["ratio"], 0.25)

    def test_a_phase_that_did_nothing_has_no_ratio(self):
        rows = compare.compare({"kamailio": [turn(phase("call", 300))], "beckon": [turn(phase("call", 0, operations=0))]})
        self.assertIsNone(row(rows, "call", "cpu")["ratio"])
        self.assertEqual(compare.verdict(row(rows, "call", "cpu")), "")

    def test_memory_and_latency_are_taken_from_where_they_stand(self):
        rows = compare.compare({
            "kamailio": [turn(phase("sign-in", 500, memory=30.0), phase("paced", 400, p50=0.4, p99=1.0))],
            "beckon": [turn(phase("sign-in", 250, memory=15.0), phase("paced", 100, p50=0.1, p99=0.9))]})
        self.assertEqual(row(rows, "sign-in", "memory")["ratio"], 0.5)
        self.assertEqual(row(rows, "paced", "p50")["ratio"], 0.25)
        self.assertEqual(row(rows, "paced", "p99")["ratio"], 0.9)

    def test_beside_itself_only_processor_time_has_bars(self):
        rows = compare.compare({"beckon-1": [turn(phase("message", 100))], "beckon": [turn(phase("message", 104))]}, "beckon-1")
        found = row(rows, "message", "cpu")
        self.assertEqual((found["must"], found["aim"], compare.verdict(found)), (1.05, 1.03, "must reached"))
        self.assertIsNone(row(rows, "paced", "p99")["must"])

    def test_over_tcp_and_udp_only_messages_have_bars(self):
        turns = {"kamailio": [turn(phase("message", 100), phase("sign-in", 9))],
                 "beckon": [turn(phase("message", 50), phase("sign-in", 9))]}
        rows = compare.compare(turns, transport="udp")
        self.assertEqual(compare.verdict(row(rows, "message", "cpu")), "must reached")
        self.assertEqual(compare.verdict(row(rows, "sign-in", "cpu")), "")

    def test_every_failure_of_every_turn_counts(self):
        turns = [turn(phase("message", 1, failures=2), phase("call", 1)), turn(phase("call", 1, failures=3))]
        self.assertEqual(compare.failures_of(turns), 5)
        text = compare.table(compare.compare({"beckon": turns}), {"beckon": 5})
        self.assertIn("| failed operations, all turns | - | 5 | | 0 | 0 | NOT reached |", text)


if __name__ == "__main__":
    unittest.main()
