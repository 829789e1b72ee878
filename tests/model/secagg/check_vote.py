#!/usr/bin/env python3
"""Runs spin over vote.pml: every reachable state for several sizes, then what must be possible, then
the mutants, each of which must be caught. Without spin or a C compiler: status 77 (skipped), or 1 where CI is set, as
.ci/run does: nobody reads what was skipped there."""
import os
import shutil
import subprocess
import sys
import tempfile

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vote.pml")
SIZES = [(3, 0), (4, 1), (5, 1), (6, 2), (7, 2)]  # sites, helpers of the coordinator
POSSIBLE = ["REACH_OPEN", "REACH_ABANDON", "REACH_AGAIN"]
MUTANTS = [
    "MUTANT_QUORUM_IGNORES_HELPERS",
    "MUTANT_VOTE_BEFORE_JOURNAL",
    "MUTANT_REVEAL_WITHOUT_QUORUM",
    "MUTANT_REVEAL_AS_ASKED",
    "MUTANT_OWN_VOTE_IS_ENOUGH",
]


def explore(sites, helpers, define=None):
    """(errors, states) of an exhaustive search."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"-DN1={sites}", f"-DC={helpers}"] + ([f"-D{define}"] if define else [])
        made = subprocess.run(["spin", "-a", *flags, MODEL], cwd=folder, capture_output=True, text=True)
        if made.returncode != 0 or "error" in made.stdout.lower():
            sys.exit(f"spin refused the model:\n{made.stdout}{made.stderr}")
        subprocess.run(["cc", "-O2", "-w", "-DSAFETY", "-DNOFAIR", "-o", "pan", "pan.c"], cwd=folder, check=True)
        out = subprocess.run(["./pan", "-m100000"], cwd=folder, capture_output=True, text=True).stdout
    errors = states = None
    for line in out.splitlines():
        words = line.split()
        if "errors:" in words:
            errors = int(words[words.index("errors:") + 1])
        if line.endswith("states, stored"):
            states = int(float(words[0]))
    if errors is None or states is None or "Search not completed" in out and errors == 0:
        sys.exit(f"the search did not end:\n{out}")
    if "max search depth too small" in out:
        sys.exit("the search was cut short: a greater depth would be right")
    return errors, states


def main():
    for tool in ("spin", "cc"):
        if shutil.which(tool) is None:
            is_ci = os.environ.get("CI", "false").lower() not in ("", "0", "false")
            print(f"{'failed, as CI is set' if is_ci else 'skipped'}: {tool} is not installed")
            sys.exit(1 if is_ci else 77)
    wrong = 0
    for sites, helpers in SIZES:
        errors, states = explore(sites, helpers)
        wrong += errors != 0
        print(f"{sites} sites, {helpers} helpers: {states} states, {'ok' if errors == 0 else 'VIOLATED'}")
    for define in POSSIBLE + MUTANTS:
        errors, _ = explore(7, 2, define)
        wrong += errors == 0
        print(f"{define}: {'found' if errors else 'NOT FOUND'}")
    sys.exit(1 if wrong else 0)


main()
