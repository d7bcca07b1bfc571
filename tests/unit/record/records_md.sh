#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# records_md.sh PROGRAM FILE: the file is what the program writes.
"$1" | diff -u "$2" - && exit 0
echo "docs/records.md differs from src/record/table.c; make it anew: $1 > docs/records.md" >&2
exit 1
