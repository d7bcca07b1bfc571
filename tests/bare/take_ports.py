#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds ports, TCP and UDP, while a program runs.

usage: take_ports.py PORT ... -- PROGRAM ARGUMENT ...
"""
import socket
import subprocess
import sys


def main():
    split = sys.argv.index("--")
    held = []
    for port in map(int, sys.argv[1:split]):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(socket.AF_INET, kind)
            try:
                s.bind(("0.0.0.0", port))
                if kind == socket.SOCK_STREAM:
                    s.listen()
            except OSError:
                continue  # taken by somebody else: as good
            held.append(s)
    return subprocess.run(sys.argv[split + 1:], check=False).returncode


sys.exit(main())
