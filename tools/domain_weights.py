#!/usr/bin/env python3
"""Weights of domains against FedAvg and fair strategies on a federation of five domains, as tables in Markdown.

    domain_weights.py [--consilium PROGRAM] [--data DIR] [--seeds 42..46] [--cache FILE] [--only clean|flipped]

Every option of simulations/scenarios/mixed-domain-weights.yaml is run with every seed: once with the data as it is, and
once with the labels of half of cairo's training patients turned round (breast, the small domain of the image encoder). Over
the test records of each domain: macro-F1 and AUC; then their mean over the domains and the worst domain. Beside every mean
the paired difference to FedAvg with its 95 % interval (Student's t over the seeds; a seed sets initial values, batches and
who is flipped, not who tests). --cache keeps finished runs between calls. Python 3 and its standard library only.
"""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIOS = os.path.join(ROOT, "simulations", "scenarios")
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
FLIP = "attack: {kind: label_flip, share: 0.5}"


def weights(text):
    return "aggregation: {strategy: fedavg}\nfairness: {domain_weights: {%s}}\n" % text


OPTIONS = {
    "fedavg": "aggregation: {strategy: fedavg}\n",
    "balanced": weights("kind: balanced"),
    "domain (cap 2)": weights("kind: domain, every: 2, smoothing: 0.5"),
    "domain (cap 4)": weights("kind: domain, every: 2, smoothing: 0.5, cap: 4"),
    "drpo (no bound)": weights("kind: drpo, every: 2"),
    "q-FFL (q 0.1)": "aggregation: {strategy: qffl, fairness_q: 0.1}\n",
    "AFL (rate 0.1)": "aggregation: {strategy: afl, mixture_rate: 0.1}\n",
}


def make_study(section, is_flipped):
    with open(os.path.join(SCENARIOS, "mixed-domain-weights.yaml")) as f:
        text = f.read()
    text = re.sub(r"(?m)^(aggregation|fairness):.*\n", "", text)
    if is_flipped:
        text, found = re.subn(r"(\{id: cairo, .*)\}", r"\1, %s}" % FLIP, text)
        assert found == 1
    return text + section


def run(args, study, folder, seed):
    command = [args.consilium, "simulate", study, "--no-baselines", "--json", "--data", args.data, "--seed", str(seed),
               "--out", os.path.join(folder, "out")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s\n%s" % (" ".join(command), done.stderr[-2000:]))
    summary = json.loads(done.stdout)
    return {d["id"]: {m: d["metrics"][m]["value"] for m in ("auc", "macro_f1")} for d in summary["domains"]}


def measure(args, is_flipped, cache):
    """values[option][seed][domain][metric]"""
    found = {}
    for option, section in OPTIONS.items():
        found[option] = {}
        for seed in args.seed_list:
            key = "%s|%s|%d" % ("flipped" if is_flipped else "clean", option, seed)
            if key not in cache:
                print(key, file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as folder:
                    for name in os.listdir(SCENARIOS):
                        if name.endswith(".mapping.yaml"):
                            shutil.copy(os.path.join(SCENARIOS, name), folder)
                    study = os.path.join(folder, "study.yaml")
                    with open(study, "w") as f:
                        f.write(make_study(section, is_flipped))
                    cache[key] = run(args, study, folder, seed)
                if args.cache:
                    with open(args.cache, "w") as f:
                        json.dump(cache, f, indent=1)
            found[option][seed] = cache[key]
    return found


def summary_of(values, metric, without=None):
    """Mean and smallest over the domains, by seed."""
    rows = []
    for seed in sorted(values):
        domains = [v[metric] for d, v in values[seed].items() if d != without]
        rows.append((sum(domains) / len(domains), min(domains)))
    return [r[0] for r in rows], [r[1] for r in rows]


def mean(values):
    return sum(values) / len(values)


def paired(values, base):
    differences = [a - b for a, b in zip(values, base)]
    text = "%.3f" % mean(values)
    if values is base or len(differences) < 2:
        return text
    m = mean(differences)
    sd = math.sqrt(sum((d - m) ** 2 for d in differences) / (len(differences) - 1))
    half = T95[len(differences) - 2] * sd / math.sqrt(len(differences))
    return "%s (%+.3f [%+.3f, %+.3f])" % (text, m, m - half, m + half)


def put_tables(title, found, without):
    print("### %s\n" % title)
    columns = [("macro-F1, mean", "macro_f1", 0, None), ("worst domain", "macro_f1", 1, None),
               ("AUC, mean", "auc", 0, None), ("worst domain", "auc", 1, None)]
    if without:
        columns.insert(1, ("mean without %s" % without, "macro_f1", 0, without))
    print("| | %s |\n|---|%s" % (" | ".join(c[0] for c in columns), "---|" * len(columns)))
    for option in found:
        cells = []
        for _, metric, place, left_out in columns:
            base = summary_of(found["fedavg"], metric, left_out)[place]
            values = base if option == "fedavg" else summary_of(found[option], metric, left_out)[place]
            cells.append(paired(values, base))
        print("| %s | %s |" % (option, " | ".join(cells)))
    domains = sorted(next(iter(found["fedavg"].values())))
    print("\n| macro-F1 / AUC | %s |\n|---|%s" % (" | ".join(domains), "---|" * len(domains)))
    for option in found:
        cells = ["%.3f / %.3f" % tuple(mean([v[d][m] for v in found[option].values()]) for m in ("macro_f1", "auc"))
                 for d in domains]
        print("| %s | %s |" % (option, " | ".join(cells)))
    print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--consilium", default=os.path.join(ROOT, "build", "release", "bin", "consilium"))
    p.add_argument("--data", default=os.environ.get("CONSILIUM_DATA", os.path.join(ROOT, "..", "shared", "data")))
    p.add_argument("--seeds", default="42..46")
    p.add_argument("--cache")
    p.add_argument("--only", choices=("clean", "flipped"))
    args = p.parse_args()
    first, last = args.seeds.split("..")
    args.seed_list = range(int(first), int(last) + 1)
    cache = {}
    if args.cache and os.path.exists(args.cache):
        with open(args.cache) as f:
            cache = json.load(f)
    if args.only != "flipped":
        put_tables("Data as it is", measure(args, False, cache), None)
    if args.only != "clean":
        put_tables("Half of cairo's labels turned round", measure(args, True, cache), "breast")


if __name__ == "__main__":
    main()
