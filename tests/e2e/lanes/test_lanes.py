#!/usr/bin/env python3
"""A study that sends its parameters in 16 bits against the same study in words of 64.

    test_lanes.py CONSILIUM SCENARIO

Same seed, in one process, under masks. The AUC over all sites differs by less than 0.005, sites send 20 to 30 % of the
bytes, and the model is the same without masks. Exit status 0: all of that. Python 3 and its standard library only.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ENCODING = r"(?m)^  encoding: \{lane_bits: 16, .*\}\n"


def simulate(program, study, *flags):
    command = [program, "simulate", study, "--no-baselines", "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main(argv):
    program, scenario = argv[1], argv[2]
    with open(scenario, encoding="utf-8") as f:
        text, count = re.subn(ENCODING, "", f.read())
    if count != 1:
        raise SystemExit(f"FAILED: {scenario} has {count} encodings of 16 bits; 1 would be right")
    with tempfile.TemporaryDirectory(prefix="consilium-lanes-") as folder:
        wide = os.path.join(folder, "wide.yaml")
        with open(wide, "w", encoding="utf-8") as f:
            f.write(text)
        words = simulate(program, wide, "--out", os.path.join(folder, "words"))
        lanes = simulate(program, scenario, "--out", os.path.join(folder, "lanes"))
        plain = simulate(program, scenario, "--masks", "off", "--out", os.path.join(folder, "plain"))
    auc = [r["pooled"]["metrics"]["auc"]["value"] for r in (lanes, words)]
    share = lanes["bytes"]["up"] / words["bytes"]["up"]
    print(f"AUC {auc[0]:.5f} in lanes, {auc[1]:.5f} in words; {share:.3f} of the bytes; "
          f"model {lanes['model_digest'][:16]}, without masks {plain['model_digest'][:16]}")
    is_other = lanes["model_digest"] != words["model_digest"]  # else nothing was rounded
    is_same = lanes["model_digest"] == plain["model_digest"]
    return 0 if abs(auc[0] - auc[1]) < 0.005 and 0.2 < share < 0.3 and is_other and is_same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
