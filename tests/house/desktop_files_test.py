#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the desktop reads of the program fits together: entry, AppStream data, D-Bus service, icons.

Usage: desktop_files_test.py BUILD_DIR SOURCE_DIR
"""
import configparser
import pathlib
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

BUILD = pathlib.Path(sys.argv[1]) / "data" / "desktop"
SOURCE = pathlib.Path(sys.argv[2]) / "data" / "desktop"
ID = "org.beckon.Beckon"
STATUSES = ("available", "inactive", "busy", "busy-inactive", "dnd", "brb", "away", "offwork", "offline", "unknown")
SVG = "{http://www.w3.org/2000/svg}"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def entry():
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str
    parser.read(BUILD / f"{ID}.desktop", encoding="utf-8")
    return parser


class DesktopFiles(unittest.TestCase):
    def test_the_entry_is_valid(self):
        code, said = run("desktop-file-validate", BUILD / f"{ID}.desktop")
        self.assertEqual((code, said), (0, ""))

    def test_the_appstream_data_are_valid(self):
        code, said = run("appstreamcli", "validate", "--no-net", "--no-color", BUILD / f"{ID}.metainfo.xml")
        self.assertEqual(code, 0, said)

    def test_entry_service_and_appstream_data_name_the_same_program(self):
        service = configparser.ConfigParser(interpolation=None)
        service.read(BUILD / f"{ID}.service")
        self.assertEqual(service["D-BUS Service"]["Name"], ID)
        self.assertRegex(service["D-BUS Service"]["Exec"], r"^/\S*/beckon --gapplication-service$")
        self.assertEqual(entry()["Desktop Entry"]["DBusActivatable"], "true")
        self.assertEqual(entry()["Desktop Entry"]["Icon"], ID)
        root = ElementTree.parse(BUILD / f"{ID}.metainfo.xml").getroot()
        self.assertEqual(root.findtext("id"), ID)
        self.assertEqual(root.findtext("launchable"), f"{ID}.desktop")
        self.assertEqual(root.findtext("provides/dbus"), ID)

    def test_both_say_which_links_are_opened(self):
        links = {"x-scheme-handler/sip", "x-scheme-handler/sips"}
        self.assertEqual(set(filter(None, entry()["Desktop Entry"]["MimeType"].split(";"))), links)
        self.assertIn("%U", entry()["Desktop Entry"]["Exec"])
        root = ElementTree.parse(BUILD / f"{ID}.metainfo.xml").getroot()
        self.assertEqual({m.text for m in root.findall("provides/mediatype")}, links)

    def test_each_action_is_an_action_of_the_application(self):
        told = (pathlib.Path(sys.argv[2]) / "src" / "desktop" / "app.h").read_text(encoding="utf-8")
        for action in filter(None, entry()["Desktop Entry"]["Actions"].split(";")):
            self.assertIn(f"Desktop Action {action}", entry())
            self.assertRegex(told, rf"[ *]{action}[ ,(]")

    def test_each_status_has_both_icons_and_no_two_look_the_same(self):
        shapes = {}
        for status in STATUSES:
            for kind, end in (("scalable", ""), ("symbolic", "-symbolic")):
                path = SOURCE / "icons" / kind / "status" / f"beckon-status-{status}{end}.svg"
                root = ElementTree.parse(path).getroot()
                self.assertEqual(root.get("viewBox"), "0 0 16 16", path)
                shape = " ".join(p.get("d") for p in root.iter(f"{SVG}path"))
                if status != "offwork":  # away, for another reason
                    self.assertNotIn((kind, shape), shapes, path)
                    shapes[kind, shape] = status

    def test_symbolic_icons_take_the_colour_of_the_text(self):
        for path in (SOURCE / "icons" / "symbolic").glob("*/*.svg"):
            self.assertTrue(path.name.endswith("-symbolic.svg"), path)
            for shape in ElementTree.parse(path).getroot().iter():
                self.assertIn(shape.tag, (f"{SVG}svg", f"{SVG}path"), path)
                self.assertIsNone(shape.get("stroke"), path)  # GTK 4.8 colours what is filled alone
                self.assertIn(shape.get("fill"), (None, "#2e3436"), path)

    def test_all_icons_are_in_the_program(self):
        listed = re.findall(r">(icons/[^<]+)<", (SOURCE / "beckon.gresource.xml").read_text(encoding="utf-8"))
        there = [str(p.relative_to(SOURCE)) for p in sorted((SOURCE / "icons").glob("*/*/*.svg"))]
        self.assertEqual(sorted(listed), there)
        self.assertIn(f"icons/scalable/apps/{ID}.svg", there)
        self.assertIn(f"icons/symbolic/apps/{ID}-symbolic.svg", there)

    def test_the_manual_names_every_option(self):
        source = pathlib.Path(sys.argv[2])
        rows = (source / "src" / "desktop" / "settings.c").read_text(encoding="utf-8")
        keys = re.findall(r"\[BK_SETTING_\w+\]\s*=\s*\{\s*\"([a-z-]+)\"", rows)
        self.assertGreater(len(keys), 20)
        page = (source / "man" / "beckon-desktop.conf.5").read_text(encoding="utf-8")
        self.assertEqual([k for k in keys if not re.search(rf"Cm {k}\b(?!-)", page)], [])
        options = (source / "src" / "desktop" / "app_options.c").read_text(encoding="utf-8")
        names = re.findall(r"\{ \"([a-z-]+)\", (?:0|'.'), ", options)
        self.assertIn("background", names)
        page = (source / "man" / "beckon.1").read_text(encoding="utf-8")
        self.assertEqual([n for n in names if f"-{n} " not in page.replace("\n", " ")], [])

    def test_the_manual_is_without_faults(self):
        for page in ("beckon.1", "beckon-desktop.conf.5"):
            code, said = run("man", "--warnings", "-l", "-E", "UTF-8", "-Tutf8", "-Z",
                             pathlib.Path(sys.argv[2]) / "man" / page)
            self.assertEqual((code, [line for line in said.splitlines() if "warning" in line]), (0, []))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
