#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts what a program says of itself into its manual page.

usage: fill.py TEMPLATE PROGRAM ARGUMENT...

@COMMANDS@ becomes the program's output as it is; @SETTINGS@ becomes the output of beckond --help-settings as
sections and paragraphs.
"""
import pathlib
import subprocess
import sys


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def settings(text):
    """"[section]", "key = value" and an indented sentence, in lines."""
    for line in text.splitlines():
        if line.startswith("["):
            yield f'.SS "{roff(line)}"'
        elif line.startswith(" "):
            yield roff(line.strip())
        elif line:
            key, _, value = line.partition(" =")
            yield f".TP\n.B {roff(key)} = {roff(value.strip())}".rstrip()


def main():
    template = pathlib.Path(sys.argv[1]).read_text()
    said = subprocess.run(sys.argv[2:], check=True, capture_output=True, text=True).stdout
    template = template.replace("@COMMANDS@\n", said)
    sys.stdout.write(template.replace("@SETTINGS@", "\n".join(settings(said))))


main()
