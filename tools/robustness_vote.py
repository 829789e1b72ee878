#!/usr/bin/env python3
"""What the sites' votes on a model catch, and what not, as tables in Markdown.

    robustness_vote.py [--consilium PROGRAM] [--data DIR] [--seeds N]

The heart domain of the synthetic federation (eight hospitals, 15 rounds,
simulations/scenarios/synthetic-attack.yaml); the largest hospital attacks, and says of every model
that it is fine. Label flipping and backdoors change its records in all rounds. First table, in the
open, the changed update in rounds 8, 11 and 14: AUC over the honest hospitals' test patients
without the vote and with it, and how many models were taken back. Second table, the same with the
changed update in every round from 8 on. Third table: how far a backdoor opens, without and with the
vote. Fourth table, under masks (--masks off adds up the same words in the open): such a study ends
at the first model that is taken back, so what is shown is in how many runs it did, and in how many
before the attack. Fifth table, nobody attacks, in 15 rounds and in 60, where nothing improves any
more: how many models are taken back, by tolerance. Python 3 and its standard library only.
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
    ("scaled x 30", "{kind: scaled, factor: 30, from_round: 8%s%s}"),
    ("sign flip x 5", "{kind: sign_flip, factor: 5, from_round: 8%s%s}"),
    ("sign flip x 30", "{kind: sign_flip, factor: 30, from_round: 8%s%s}"),
    ("label flip", "{kind: label_flip%s}"),
    ("backdoor", "{kind: backdoor, share: 0.5, trigger: sodium, value: 4, target: 0%s}"),
    ("backdoor x 5", "{kind: backdoor, factor: 5, from_round: 8%s, share: 0.5, trigger: sodium, "
                     "value: 4, target: 0%s}"),
]
OPTIONS = [("fedavg, weights by patients", "strategy: fedavg, weights: {kind: samples}"),
           ("fedavg, equal weights", "strategy: fedavg, weights: {kind: equal}"),
           ("median", "strategy: median")]
MASKS = "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 7%s}\n"
CLIP = ", encoding: {lane_bits: 16, clip_norm: 0.5}"


def attack_of(attack, every, lies):
    if attack is None:
        return None
    parts = ((every,) if "from_round" in attack else ()) + ((", vote: fine" if lies else ""),)
    return attack % parts


def section(strategy, vote, masks=""):
    vote = ", vote: {%s}" % vote if vote is not None else ""
    return "aggregation: {%s%s}\nevaluation: {every: 1}\n%s" % (strategy, vote, masks)


def make_study(text_section, attack):
    federation = {"attacker": "lyon", "trigger": "sodium"}
    with open(os.path.join(robustness.SCENARIOS, "synthetic-attack.yaml")) as f:
        return robustness.make_study(f.read(), federation, text_section, attack)


def run(args, text, folder, seed):
    """The summary (None: the study was aborted), and the rounds whose models were taken back."""
    path, out = os.path.join(folder, "study.yaml"), os.path.join(folder, "out")
    with open(path, "w") as f:
        f.write(text)
    command = [args.consilium, "simulate", path, "--no-baselines", "--json", "--data", args.data, "--seed", str(seed),
               "--out", out] + (["--masks", "off"] if "secure_aggregation" in text else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shut = re.search(r"rounds rejected in a row: \d+; round (\d+)", done.stderr)
    if done.returncode != 0 and not shut:
        sys.exit(done.stderr[-2000:])
    if done.returncode != 0:
        return None, [int(shut.group(1))]
    with open(os.path.join(out, "metrics.csv")) as f:
        rows = [r for r in csv.DictReader(f) if r["scope"] == "rejected" and r["metric"] == "rejected"]
    return robustness.json.loads(done.stdout), [int(r["round"]) for r in rows]


def runs(args, folder, text):
    return [run(args, text, folder, s) for s in range(42, 42 + args.seeds)]


def put_row(name, cells):
    print("| %s | %s |" % (name, " | ".join(cells)), flush=True)


def put_head(name, columns):
    put_row(name, columns)
    put_row("---", ["---"] * len(columns))


def aucs(found):
    return [robustness.honest_mean(summary, "lyon", "auc") for summary, _ in found]


def opens(found):
    told = [[s["attack"] for s in summary["sites"] if "attack" in s][0] for summary, _ in found]
    return "%s (%s)" % (robustness.spread([t["success"] for t in told]),
                        robustness.spread([t["without_trigger"] / t["records"] for t in told]))


def put_open(args, folder, every, doors):
    """AUC by option and attack; doors: lines about the backdoors, of the same runs."""
    put_head("AUC without, with the vote (models taken back)", [a for a, _ in ATTACKS])
    for option, strategy in OPTIONS:
        cells = []
        for name, attack in ATTACKS:
            found = [runs(args, folder, make_study(section(strategy, vote), attack_of(attack, every, vote is not None)))
                     for vote in (None, "rejected_max: 15")]
            back = sum(len(rounds) for _, rounds in found[1]) / args.seeds
            cells.append("%s, %s (%.1f)" % (robustness.spread(aucs(found[0])), robustness.spread(aucs(found[1])), back))
            if name.startswith("backdoor"):
                doors.append((option, name, opens(found[0]), opens(found[1])))
        put_row(option, cells)
    print()


def put_doors(doors):
    put_head("backdoor opens (without trigger)", ["attack", "without the vote", "with it"])
    for option, name, without, with_vote in doors:
        put_row(option, [name, without, with_vote])
    print()


def put_masked(args, folder):
    put_head("runs that ended (before round 8)", [a for a, _ in ATTACKS])
    for name, masks in (("no clip", MASKS % ""), ("clip 0.5", MASKS % CLIP)):
        for tolerance in (0.02, 0):
            cells = []
            for _, attack in ATTACKS:
                text = make_study(section(OPTIONS[1][1], "rejected_max: 1, minimum_sites: 7, tolerance: %g" % tolerance,
                                          masks), attack_of(attack, "", True))
                ends = [rounds for summary, rounds in runs(args, folder, text) if summary is None]
                early = sum(1 for rounds in ends if rounds[0] < START)
                cells.append("%d (%d) of %d" % (len(ends), early, args.seeds))
            put_row("%s, tolerance %g" % (name, tolerance), cells)
    print()


def put_alarms(args, folder):
    tolerances = (0, 0.01, 0.02, 0.05, 0.1)
    put_head("models taken back, nobody attacks (AUC)", ["tolerance %g" % t for t in tolerances])
    for option, strategy in OPTIONS:
        for rounds in (15, 60):
            cells = []
            for tolerance in tolerances:
                text = make_study(section(strategy, "rejected_max: %d, tolerance: %g" % (rounds, tolerance)), None)
                found = runs(args, folder, text.replace("rounds: 15\n", "rounds: %d\n" % rounds))
                back = sum(len(r) for _, r in found) / args.seeds
                cells.append("%.1f (%s)" % (back, robustness.spread(aucs(found))))
            put_row("%s, %d rounds" % (option, rounds), cells)
    print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--consilium", default=os.path.join(robustness.ROOT, "build", "release", "bin", "consilium"))
    p.add_argument("--data", default=os.environ.get("CONSILIUM_DATA", os.path.join(robustness.ROOT, "..", "shared", "data")))
    p.add_argument("--seeds", type=int, default=4)
    args = p.parse_args()
    doors = []
    with tempfile.TemporaryDirectory() as folder:
        put_open(args, folder, ", every: 3", doors)
        put_open(args, folder, "", [])
        put_doors(doors)
        put_masked(args, folder)
        put_alarms(args, folder)


if __name__ == "__main__":
    main()
