#!/usr/bin/env python3
"""One hospital attacks: every attack against every robust option, as a table in Markdown.

    robustness.py [--consilium PROGRAM] [--data DIR] [--only synthetic|heart] [--seeds N] [--json FILE]

Two federations: the heart domain of the synthetic one (eight hospitals,
simulations/scenarios/synthetic-attack.yaml) and FLamby's Heart Disease (four,
flamby-heart-fedavg.yaml). The largest hospital attacks. Each study is run over seeds 42 and on.
Means over the honest sites' test patients, unweighted; +- sample standard deviation over seeds.
The lines "clip" are sums under secure aggregation (--masks off gives the same sums), where every
update is scaled down to an L2 norm before it is masked. Python 3 and its standard library only.
"""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIOS = os.path.join(ROOT, "simulations", "scenarios")


def masks(minimum, clip, weights):
    cap = ", weight_cap: 500" if weights == "samples" else ""
    return ("aggregation: {strategy: fedavg, weights: {kind: %s}}\nsecure_aggregation:\n  protocol: fsa-1\n"
            "  colluding: 1\n  minimum_sites: %d\n  encoding: {lane_bits: 16, clip_norm: %g%s}\n"
            % (weights, minimum, clip, cap))


def strategy(name, rest=""):
    return "aggregation: {strategy: %s%s}\n" % (name, rest)


FEDAVG = [("fedavg, weights by patients", strategy("fedavg", ", weights: {kind: samples}")),
          ("fedavg, equal weights", strategy("fedavg", ", weights: {kind: equal}"))]

FEDERATIONS = {
    "synthetic": {
        "title": "Synthetic heart, eight hospitals, lyon (the largest) attacks",
        "study": "synthetic-attack.yaml", "attacker": "lyon", "trigger": "sodium",
        "options": FEDAVG + [
            ("median", strategy("median")),
            ("trimmed mean, 1 of 8 each side", strategy("trimmed-mean", ", trim: 0.125")),
            ("Krum, f = 1", strategy("krum", ", byzantine: 1")),
            ("multi-Krum, f = 1, keeps 5", strategy("multi-krum", ", byzantine: 1, keep: 5")),
            ("Bulyan, f = 1", strategy("bulyan", ", byzantine: 1")),
            ("geometric median", strategy("geometric-median", ", weights: {kind: equal}")),
            ("masks, clip {0}", lambda c: masks(7, c, "equal")),
        ], "clips": (0.5, 0.25)},
    "heart": {
        "title": "Heart Disease, four hospitals, cleveland (the largest) attacks",
        "study": "flamby-heart-fedavg.yaml", "attacker": "cleveland", "trigger": "chol",
        "options": FEDAVG + [
            ("median", strategy("median")),
            ("trimmed mean, 1 of 4 each side", strategy("trimmed-mean", ", trim: 0.25")),
            ("geometric median", strategy("geometric-median", ", weights: {kind: equal}")),
            ("masks, clip {0}", lambda c: masks(4, c, "equal")),
        ], "clips": (0.1, 0.05)},
}

ATTACKS = [
    ("none", None),
    ("scaled x 30", "{kind: scaled, factor: 30}"),
    ("sign flip x 5", "{kind: sign_flip, factor: 5}"),
    ("label flip", "{kind: label_flip}"),
    ("backdoor", "{kind: backdoor, share: 0.5, trigger: %s, value: 4, target: 0}"),
    ("backdoor x 5", "{kind: backdoor, factor: 5, share: 0.5, trigger: %s, value: 4, target: 0}"),
]


def make_study(text, federation, section, attack):
    """The scenario with another aggregation and another attack; its sections start in column 1."""
    text = re.sub(r", attack: \{[^}]*\}", "", text)
    text = re.sub(r"(?m)^(aggregation|secure_aggregation|baselines|evaluation):.*\n(?:[ ].*\n)*", "", text)
    if attack is not None:
        attack = attack % federation["trigger"] if "%s" in attack else attack
        site = federation["attacker"]
        inline = re.compile(r"\{id: %s, synth: (\d+)\}" % site)
        if inline.search(text):
            text = inline.sub(r"{id: %s, synth: \1, attack: %s}" % (site, attack), text)
        else:
            text = text.replace("    - id: %s\n" % site, "    - id: %s\n      attack: %s\n" % (site, attack))
        assert attack in text
    return text + section


def run(args, study, folder, seed, is_masked):
    command = [args.consilium, "simulate", study, "--no-baselines", "--json", "--data", args.data,
               "--seed", str(seed), "--out", os.path.join(folder, "out")]
    command += ["--masks", "off"] if is_masked else []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s\n%s" % (" ".join(command), done.stderr[-2000:]))
    return json.loads(done.stdout)


def honest_mean(summary, attacker, metric):
    values = [s["metrics"][metric]["value"] for s in summary["sites"]
              if s["id"] != attacker and metric in s.get("metrics", {})]
    return sum(values) / len(values)


def spread(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return "%.3f" % mean
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return "%.3f +- %.3f" % (mean, sd)


def measure(args, federation, section, attack, folder):
    with open(os.path.join(SCENARIOS, federation["study"])) as f:
        text = make_study(f.read(), federation, section, attack)
    path = os.path.join(folder, "study.yaml")
    with open(path, "w") as f:
        f.write(text)
    for name in os.listdir(SCENARIOS):
        if name.endswith(".mapping.yaml"):
            with open(os.path.join(SCENARIOS, name)) as source, open(os.path.join(folder, name), "w") as copy:
                copy.write(source.read())
    cell = {"auc": [], "accuracy": [], "success": [], "without": []}
    for seed in range(42, 42 + args.seeds):
        summary = run(args, path, folder, seed, "secure_aggregation" in section)
        told = [s["attack"] for s in summary["sites"] if "attack" in s]
        assert (len(told) == 1) == (attack is not None)
        for metric in ("auc", "accuracy"):
            cell[metric].append(honest_mean(summary, federation["attacker"], metric))
        if told and "success" in told[0]:
            cell["success"].append(told[0]["success"])
            cell["without"].append(told[0]["without_trigger"] / told[0]["records"])
    return cell


def expand(federation):
    for name, section in federation["options"]:
        if callable(section):
            for clip in federation["clips"]:
                yield name.format("%g" % clip), section(clip)
        else:
            yield name, section


def measure_all(args, federation):
    """cells[attack][option]: auc, accuracy, success and without, a value per seed."""
    cells = {}
    with tempfile.TemporaryDirectory() as folder:
        for attack_name, attack in ATTACKS:
            cells[attack_name] = {}
            for option, section in expand(federation):
                print("%s, %s" % (attack_name, option), file=sys.stderr)
                cells[attack_name][option] = measure(args, federation, section, attack, folder)
    return cells


def put_table(what, cells, shown):
    """A row per option, a column per attack; shown: a cell as text."""
    attacks = [a for a in cells if any(shown(c) for c in cells[a].values())]
    print("| %s | %s |" % (what, " | ".join(attacks)))
    print("|---|%s" % ("---|" * len(attacks)))
    for option in cells[attacks[0]]:
        print("| %s | %s |" % (option, " | ".join(shown(cells[a][option]) for a in attacks)))
    print()


def put_tables(federation, cells):
    print("### %s\n" % federation["title"])
    put_table("AUC", cells, lambda c: spread(c["auc"]))
    put_table("accuracy", cells, lambda c: spread(c["accuracy"]))
    put_table("backdoor opens (without trigger)", cells,
              lambda c: "%s (%s)" % (spread(c["success"]), spread(c["without"])) if c["success"] else "")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--consilium", default=os.path.join(ROOT, "build", "release", "bin", "consilium"))
    p.add_argument("--data", default=os.environ.get("CONSILIUM_DATA", os.path.join(ROOT, "..", "shared", "data")))
    p.add_argument("--only", choices=sorted(FEDERATIONS))
    p.add_argument("--seeds", type=int, default=10)
    p.add_argument("--json")
    args = p.parse_args()
    found = {}
    for name, federation in FEDERATIONS.items():
        if args.only in (None, name):
            found[name] = measure_all(args, federation)
            put_tables(federation, found[name])
    if args.json:
        with open(args.json, "w") as f:
            json.dump(found, f, indent=1)


if __name__ == "__main__":
    main()
