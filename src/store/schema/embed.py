# SPDX-License-Identifier: Apache-2.0
"""Turns the migrations into C: embed.py 0001.sql 0002.sql ... > migrations.c"""
import json
import re
import sys

print('#include "store/store_private.h"\n')
print('#pragma GCC diagnostic ignored "-Woverlength-strings"')
print('const struct bk_migration bk_store_migrations[] = {')
for number, path in enumerate(sys.argv[1:], 1):
    if int(re.search(r'(\d+)\.sql$', path).group(1)) != number:
        sys.exit(f'{path}: expected migration {number:04}')
    print(f'    {{ {number},')
    for line in open(path, encoding='ascii'):
        print('      ' + json.dumps(line))
    print('    },')
print('};')
print(f'const size_t bk_store_n_migrations = {len(sys.argv) - 1};')
