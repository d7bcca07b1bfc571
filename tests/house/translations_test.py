#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything the program with windows says is collected for translation, and German has all of it.

Collects the texts anew, as the build does, and compares: a text without German, with a guessed ("fuzzy") one, or with other
placeholders than the English is a failure; so is a file with texts that po/POTFILES does not name.
usage: translations_test.py SOURCE"""
import ast
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), '../..'))
FOLDERS = ['src/desktop', 'src/client', 'src/record', 'src/sip', 'src/server', 'data/desktop']
# As meson's preset "glib", and our own mark.
KEYWORDS = ['--from-code=UTF-8', '--add-comments', '--keyword=_', '--keyword=N_', '--keyword=C_:1c,2', '--keyword=NC_:1c,2',
            '--keyword=g_dcgettext:2', '--keyword=g_dngettext:2,3', '--keyword=g_dpgettext2:2c,3', '--keyword=BK_SAY']
SAYS = {'.c': re.compile(r'(?<![A-Za-z0-9_])(?:_|N_|C_|NC_|ngettext|BK_SAY)\(\s*"'), '.ui': re.compile(r'translatable="(?:yes|true)"')}


def entries(path):
    """(context, id, plural, [texts], fuzzy) of a .po or .pot file."""
    out, now, key = [], {}, None

    def flush():
        if now.get('msgid'):
            texts = [v for k, v in sorted(now.items()) if k.startswith('msgstr')]
            out.append((now.get('msgctxt', ''), now['msgid'], now.get('msgid_plural'), texts, now.get('fuzzy', False)))
        now.clear()
    with open(path, encoding='utf-8') as lines:
        for line in lines:
            line = line.strip()
            if not line:
                flush()
            elif line.startswith('#,') and 'fuzzy' in line:
                now['fuzzy'] = True
            elif line.startswith('"'):
                now[key] += ast.literal_eval(line)
            elif not line.startswith('#'):
                key, text = line.split(' ', 1)
                now[key] = ast.literal_eval(text)
    flush()
    return out


def placeholders(text):
    return sorted(re.findall(r'\{[a-z]+\}', text))


def unlisted(listed):
    for folder in FOLDERS:
        for top, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                path = os.path.relpath(os.path.join(top, name), ROOT)
                says = SAYS.get(os.path.splitext(name)[1])
                if says and path not in listed:
                    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
                        if says.search(f.read()):
                            yield path


def mnemonic_twice(text):
    return text.replace('__', '').count('_') > 1


def main():
    wrong = []
    with open(os.path.join(ROOT, 'po/POTFILES'), encoding='utf-8') as f:
        listed = [line.strip() for line in f if line.strip() and not line.startswith('#')]
    wrong += [f'{path}: has texts, but is not in po/POTFILES' for path in unlisted(set(listed))]
    wrong += [f'po/POTFILES names {path}, which is not there' for path in listed if not os.path.exists(os.path.join(ROOT, path))]
    with tempfile.TemporaryDirectory() as folder:
        pot = os.path.join(folder, 'beckon.pot')
        ran = subprocess.run(['xgettext', *KEYWORDS, '-D', ROOT, '-f', os.path.join(ROOT, 'po/POTFILES'), '-o', pot],
                             capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            wrong.append(ran.stderr)
        collected = entries(pot) if os.path.exists(pot) else []
    if len(collected) < 400:
        wrong.append(f'only {len(collected)} texts were collected: is xgettext told what to look for?')
    for language in open(os.path.join(ROOT, 'po/LINGUAS'), encoding='utf-8').read().split():
        po = os.path.join(ROOT, f'po/{language}.po')
        checked = subprocess.run(['msgfmt', '-c', '-o', os.devnull, po], capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            wrong.append(checked.stderr)
        known = {(c, i): (p, texts, fuzzy) for c, i, p, texts, fuzzy in entries(po)}
        for context, english, plural, _, _ in collected:
            _, texts, fuzzy = known.get((context, english), (None, [], False))
            if not texts or not all(texts) or fuzzy:
                wrong.append(f'{language}: no translation of {english!r}' + (f' (context {context})' if context else ''))
                continue
            for text in texts:
                if placeholders(text) != placeholders(english):
                    wrong.append(f'{language}: other placeholders in {text!r}')
                if mnemonic_twice(text) and not mnemonic_twice(english):
                    wrong.append(f'{language}: more than one underlined letter in {text!r}')
        here = {(c, i) for c, i, *_ in collected}
        wrong += [f'{language}: nobody says {i!r} any more' for c, i in known if (c, i) not in here]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
