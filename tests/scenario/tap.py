# SPDX-License-Identifier: Apache-2.0
"""Cases that print TAP: each a function, its name the promise."""
import sys
import traceback


class Skip(Exception):
    """What is missing."""


def main(cases, *args):
    """Runs every case (those named on the command line only, if any); the exit status."""
    wanted = [a for a in sys.argv[1:] if not a.startswith("-") and any(a == c.__name__ for c in cases)]
    cases = [c for c in cases if not wanted or c.__name__ in wanted]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for i, case in enumerate(cases, 1):
        promise = case.__name__.replace("_", " ")
        try:
            case(*args)
            print(f"ok {i} - {promise}", flush=True)
        except Skip as skip:
            print(f"ok {i} - {promise} # SKIP {skip}", flush=True)
        except Exception as error:  # a case fails, the others go on
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"not ok {i} - {promise}: {str(error).splitlines()[0] if str(error) else type(error).__name__}", flush=True)
    return 1 if failed else 0


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what + ': ' if what else ''}{got!r}, wanted {wanted!r}")
