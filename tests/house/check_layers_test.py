#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: check_layers_test.py CHECK-LAYERS. Each wrong include planted into a small tree is named with its line."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = sys.argv.pop(1)


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.write("src/base/view.h", "#pragma once\nstruct bk_view { int at; };\n")
        self.write("src/base/word_private.h", "struct bk_word { int at; };\n")
        self.write("src/sip/msg.h", '#include "base/view.h"\nvoid bk_msg(struct bk_view v);\n')
        self.write("src/net/conn.c", '#include "sip/msg.h"\n#include <ares.h>\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_tool(self, *args):
        run = subprocess.run([TOOL, "--root", str(self.root), *args], text=True, capture_output=True)
        return run.returncode, run.stderr

    def check_named(self, place, *args):
        status, text = self.run_tool(*args)
        self.assertEqual(status, 1, text)
        self.assertEqual([l for l in text.splitlines() if l.startswith(place)], text.splitlines(), text)
        self.assertTrue(text)

    def test_a_tree_that_keeps_the_ladder_passes(self):
        self.assertEqual(self.run_tool(), (0, ""))

    def test_a_step_up_the_ladder(self):
        self.write("src/base/up.c", '/* two\nlines */\n#include "sip/msg.h"\n')
        self.check_named("src/base/up.c:3: base/ does not stand on sip/")

    def test_an_include_in_a_comment_is_none(self):
        self.write("src/base/up.c", '/*\n#include "sip/msg.h"\n*/\n// #include "sip/msg.h"\n')
        self.assertEqual(self.run_tool(), (0, ""))

    def test_a_private_header_of_another_folder(self):
        self.write("src/sip/a.c", '#include "base/word_private.h"\n')
        self.check_named("src/sip/a.c:1:")

    def test_tests_may_include_private_headers_of_their_own_folder_only(self):
        self.write("tests/unit/base/a.c", '#include "base/word_private.h"\n')
        self.assertEqual(self.run_tool(), (0, ""))
        self.write("tests/unit/sip/a.c", '\n#include "base/word_private.h"\n')
        self.check_named("tests/unit/sip/a.c:2:")

    def test_a_library_outside_the_folder_that_hides_it(self):
        self.write("src/sip/a.c", "#include <sqlite3.h>\n")
        self.check_named("src/sip/a.c:1:")

    def test_what_would_make_sip_impure(self):
        self.write("src/sip/a.c", "#include <string.h>\n#include <sys/socket.h>\n")
        self.check_named("src/sip/a.c:2: sip/ is pure")

    def test_a_folder_that_is_not_in_the_table(self):
        self.write("src/extra/a.c", "")
        self.check_named("src/extra:")

    def test_a_header_that_needs_another_before_it(self):
        self.write("src/sip/needy.h", "void bk_f(struct bk_view v);\n")
        self.check_named("src/sip/needy.h:1: does not compile alone")
        self.assertEqual(self.run_tool("--no-compile"), (0, ""))

    def test_a_header_without_a_guard_that_defines_something(self):
        self.write("src/sip/twice.h", "struct bk_twice { int a; };\n")
        self.check_named("src/sip/twice.h:1: does not compile alone")


if __name__ == "__main__":
    unittest.main()
