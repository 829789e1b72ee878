#!/usr/bin/env python3
"""What the gate on the norm of the mean update catches, and what not, as tables in Markdown.

    robustness_gate.py [--consilium PROGRAM] [--data DIR] [--seeds N]

The heart domain of the synthetic federation (eight hospitals, equal weights, 15 rounds,
simulations/scenarios/synthetic-attack.yaml); the largest hospital attacks from round 8 on, label
flipping and backdoors change its records in all rounds. Sums are those under masks (--masks off
adds up the same words in the open). First table, without noise: such a study ends at the first
rejected round, so what is shown is in how many runs it did, and in how many before the attack.
Second table, with noise at every site (mode local): the study goes on, the attack comes in rounds
8, 11 and 14, and what is shown is the AUC over the honest hospitals' test patients without the gate
and with it, and how many rounds were rejected. Python 3 and its standard library only.
"""
import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile

import robustness

START = 8
ATTACKS = [
    ("none", None),
    ("scaled x 30", "{kind: scaled, factor: 30, from_round: 8%s}"),
    ("sign flip x 5", "{kind: sign_flip, factor: 5, from_round: 8%s}"),
    ("sign flip x 30", "{kind: sign_flip, factor: 30, from_round: 8%s}"),
    ("label flip", "{kind: label_flip}"),
    ("backdoor", "{kind: backdoor, share: 0.5, trigger: sodium, value: 4, target: 0}"),
    ("backdoor x 5", "{kind: backdoor, factor: 5, from_round: 8%s, share: 0.5, trigger: sodium, "
                     "value: 4, target: 0}"),
]
PRIVATE = "privacy: {mode: local, noise_multiplier: 0.5, delta: 1e-5, clip: 1}\n"


def sections(clip, factor, rejected_max, is_gated=True):
    gate = ", gate: {factor: %g, window: 5, rejected_max: %d}" % (factor, rejected_max) if is_gated else ""
    encoding = "  encoding: {lane_bits: 16, clip_norm: %g}\n" % clip if clip else ""
    return ("aggregation: {strategy: fedavg, weights: {kind: equal}%s}\nsecure_aggregation:\n"
            "  protocol: fsa-1\n  colluding: 1\n  minimum_sites: 7\n%s" % (gate, encoding))


def make_study(section, attack, privacy):
    federation = {"attacker": "lyon", "trigger": "sodium"}
    with open(os.path.join(robustness.SCENARIOS, "synthetic-attack.yaml")) as f:
        text = robustness.make_study(f.read(), federation, section, attack)
    return re.sub(r"(?m)^privacy:.*\n", privacy, text)


def run(args, text, folder, seed):
    """AUC of the honest sites (None: the study was aborted), and the rounds that were rejected."""
    path, out = os.path.join(folder, "study.yaml"), os.path.join(folder, "out")
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run([args.consilium, "simulate", path, "--no-baselines", "--json", "--data", args.data,
                           "--seed", str(seed), "--out", out, "--masks", "off"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shut = re.search(r"rounds rejected in a row: \d+; round (\d+)", done.stderr)
    if done.returncode != 0 and not shut:
        sys.exit(done.stderr[-2000:])
    if done.returncode != 0:
        return None, [int(shut.group(1))]
    with open(os.path.join(out, "metrics.csv")) as f:
        rows = [r for r in csv.DictReader(f) if r["scope"] == "rejected" and r["metric"] == "rejected"]
    summary = robustness.json.loads(done.stdout)
    return robustness.honest_mean(summary, "lyon", "auc"), [int(r["round"]) for r in rows]


def put_row(name, cells):
    print("| %s | %s |" % (name, " | ".join(cells)), flush=True)


def put_head(name):
    put_row(name, [a for a, _ in ATTACKS])
    put_row("---", ["---"] * len(ATTACKS))


def put_ends(args, folder):
    put_head("runs that ended (before round 8)")
    for clip in (None, 0.5):
        for factor in (1.5, 3):
            cells = []
            for _, attack in ATTACKS:
                attack = attack % "" if attack and "%s" in attack else attack
                text = make_study(sections(clip, factor, 1), attack, "privacy: {mode: none}\n")
                ends = [run(args, text, folder, s)[1] for s in range(42, 42 + args.seeds)]
                early = sum(1 for e in ends if e and e[0] < START)
                cells.append("%d (%d) of %d" % (sum(1 for e in ends if e), early, args.seeds))
            put_row("%s, factor %g" % ("clip %g" % clip if clip else "no clip", factor), cells)
    print()


def put_private(args, folder):
    put_head("AUC without, with the gate (rejected rounds)")
    cells = []
    for _, attack in ATTACKS:
        attack = attack % ", every: 3" if attack and "%s" in attack else attack
        found = {}
        for is_gated in (False, True):
            text = make_study(sections(None, 1.5, 15, is_gated), attack, PRIVATE)
            found[is_gated] = [run(args, text, folder, s) for s in range(42, 42 + args.seeds)]
        rejected = sum(len(r) for _, r in found[True]) / args.seeds
        cells.append("%s, %s (%.1f)" % (robustness.spread([a for a, _ in found[False]]),
                                        robustness.spread([a for a, _ in found[True]]), rejected))
    put_row("no clip, factor 1.5", cells)
    print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--consilium", default=os.path.join(robustness.ROOT, "build", "release", "bin", "consilium"))
    p.add_argument("--data", default=os.environ.get("CONSILIUM_DATA", os.path.join(robustness.ROOT, "..", "shared", "data")))
    p.add_argument("--seeds", type=int, default=6)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        put_ends(args, folder)
        put_private(args, folder)


if __name__ == "__main__":
    main()
