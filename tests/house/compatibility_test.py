#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md says how each feature was checked; what it names must be there.

usage: compatibility_test.py BUILD_FOLDER
"""
import json
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITES = re.compile(r"(?:interop|scenario|ms|server|session|load|compose|core)\b[a-zA-Z ,-]*")
WORDS = {"ms-keep-alive", "ms-text-format"}  # fields of messages that look like tests


class Named(unittest.TestCase):
    build = None

    def setUp(self):
        text = (ROOT / "docs" / "compatibility.md").read_text()
        self.quoted = re.findall(r"`([^`\n]+)`", text)
        self.rows = [line for line in text.splitlines() if re.match(r"\| .* \| (supported|partly|not)\b", line)]
        files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests" / "unit").rglob("*.c")]
        self.cases = set(re.findall(r"^(?:def|static void) (\w+)\(", "\n".join(f.read_text() for f in files), re.M))

    def test_each_test_is_one_of_this_build(self):
        made = json.loads(subprocess.run(["meson", "introspect", "--tests", self.build], check=True, capture_output=True).stdout)
        names = {t["name"] for t in made}
        named = {q.split(":")[0] for q in self.quoted if SUITES.fullmatch(q.split(":")[0])} - WORDS
        self.assertGreater(len(named), 10)
        self.assertEqual(named - names, set())

    def test_each_case_is_a_function_of_a_test(self):
        named = {q.split(": ")[1] for q in self.quoted if re.fullmatch(r"[\w ,-]+: \w+", q)}
        named |= {q for q in self.quoted if re.fullmatch(r"[a-z]+(_[a-z0-9]+){3,}", q)}
        self.assertGreater(len(named), 30)
        self.assertEqual(named - self.cases, set())

    def test_each_feature_has_a_word_and_a_reason(self):
        self.assertGreater(len(self.rows), 40)
        for row in self.rows:
            self.assertEqual(len(row.strip("|").split("|")), 3, row)


if __name__ == "__main__":
    Named.build = sys.argv.pop(1)
    unittest.main()
