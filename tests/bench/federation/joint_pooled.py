#!/usr/bin/env python3
"""Joint noise over four hospitals against plain DP-SGD over all their records in one place.

    joint_pooled.py [--consilium PROGRAM] [--data DIR] [--epsilon 0.1,0.25,0.5,1] [--seeds 42..241] [--pooled 400]
    joint_pooled.py --check [--consilium PROGRAM] [--data DIR]

`consilium simulate` runs heart-joint.yaml (with --masks off, which changes no bit) and heart-local.yaml. The other
side shares no code with it: this file reads the same CSV, scales by the study's constants and trains a logistic
regression by DP-SGD in one place, with the study's clip, steps, rate, learning rate, initial distribution and test
records, and with the noise multiplier that the joint run's ledgers report; noise is continuous and Gaussian. Every
run of either side draws its own initial model and noise. Prints mean pooled test AUC and the difference with its 95 %
interval (Welch, normal quantile). Python 3 and its standard library only; exit 77 without the data.

--check is a test: at epsilon 1 the mean of 60 joint runs lies within .005 of that of 75 pooled ones. One run has a
standard deviation of .0046 on either side, so the difference of equal means has one of .0008, and is beyond .005 with a
probability below 1e-9. Seeds are fixed.
"""
import argparse
import csv
import glob
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SCENARIOS = os.path.join(ROOT, "simulations", "scenarios")
CSV = os.path.join("uci-heart-disease", "flamby_fed_heart_disease.csv")


def read_study():
    """What both sides share, out of the study file itself."""
    with open(os.path.join(SCENARIOS, "heart-joint.yaml")) as f:
        text = "\n".join(line for line in f.read().splitlines() if not line.startswith("#"))

    def number(pattern):
        return float(re.search(pattern, text).group(1))
    return {"features": [(name, float(centre), float(scale)) for name, centre, scale in
                         re.findall(r"\{name: (\w+),.*?centre: ([\d.]+), scale: ([\d.]+)", text)],
            "bound": number(r"\n    clip: ([\d.]+)"), "clip": number(r"privacy: .*clip: ([\d.]+)"),
            "rate": number(r"sampling_rate: ([\d.]+)"), "steps": int(number(r"\nrounds: (\d+)")),
            "learning_rate": number(r"local: .*learning_rate: ([\d.]+)")}


def read_records(path, study):
    """{"train": ..., "test": ...}: rows of (label, features and a one)."""
    records = {"train": [], "test": []}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            x = [max(-study["bound"], min(study["bound"], (float(row[name]) - centre) / scale))
                 for name, centre, scale in study["features"]]
            records[row["set"]].append((int(row["label"]), x + [1.0]))
    return records


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def train(records, study, sigma, draw):
    """DP-SGD (Abadi et al. 2016), add or remove one patient, Poisson sampling, the expected batch as divisor."""
    width = len(study["features"]) + 1
    bound = 1 / math.sqrt(width - 1)
    w = [draw.uniform(-bound, bound) for _ in range(width)]
    for _ in range(study["steps"]):
        total = [draw.gauss(0, sigma * study["clip"]) for _ in range(width)]
        for label, x in records:
            if study["rate"] < 1 and draw.random() >= study["rate"]:
                continue
            error = sigmoid(sum(a * b for a, b in zip(w, x))) - label
            norm = abs(error) * math.sqrt(sum(v * v for v in x))
            error *= min(1.0, study["clip"] / norm) if norm > 0 else 1.0
            for k in range(width):
                total[k] += error * x[k]
        factor = study["learning_rate"] / (study["rate"] * len(records))
        w = [a - factor * t for a, t in zip(w, total)]
    return w


def area(records, w):
    """Mann-Whitney; ties count half."""
    scored = sorted((sum(a * b for a, b in zip(w, x)), label) for label, x in records)
    positives = sum(label for _, label in scored)
    rank_sum, at = 0.0, 0
    while at < len(scored):
        end = at
        while end < len(scored) and scored[end][0] == scored[at][0]:
            end += 1
        rank_sum += sum(label for _, label in scored[at:end]) * (at + 1 + end) / 2
        at = end
    return (rank_sum - positives * (positives + 1) / 2) / (positives * (len(scored) - positives))


def simulate(program, data, scenario, epsilon, seeds, *more):
    """Per epsilon: (mean, sd, runs) of the pooled AUC, and the noise multiplier."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "simulate", os.path.join(SCENARIOS, scenario), "--data", data, "--seeds", seeds, "--epsilon",
                   epsilon, "--no-baselines", "--json", "--out", folder, *more]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"joint_pooled.py: {scenario}: {done.stderr.strip() or done.stdout.strip()}")
    first, last = seeds.split("..")
    found = {}
    for price in json.loads(done.stdout)["prices"]:
        auc = price["repeats"]["domains"][0]["metrics"]["auc"]
        found[price["epsilon"]] = ((auc["mean"], auc["sd"], int(last) - int(first) + 1), price["noise_multiplier_high"])
    return found


def find_program(given):
    places = [given] if given else sorted(glob.glob(os.path.join(ROOT, "build", "*", "bin", "consilium")))
    for place in places:
        if os.access(place, os.X_OK):
            return os.path.abspath(place)
    sys.exit("joint_pooled.py: no program 'consilium'; build it, or name it with --consilium")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--consilium")
    parser.add_argument("--data", default=os.environ.get("CONSILIUM_DATA") or os.path.join(ROOT, "..", "shared", "data"))
    parser.add_argument("--epsilon", default="0.1,0.25,0.5,1")
    parser.add_argument("--seeds", default="42..241")
    parser.add_argument("--pooled", type=int, default=400)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        args.epsilon, args.seeds, args.pooled = "1", "42..101", 75
    if not os.path.exists(os.path.join(args.data, CSV)):
        print(f"joint_pooled.py: skipped: no {CSV} in {args.data}; --data or CONSILIUM_DATA says where")
        return 77
    program, study = find_program(args.consilium), read_study()
    records = read_records(os.path.join(args.data, CSV), study)
    joint = simulate(program, args.data, "heart-joint.yaml", args.epsilon, args.seeds, "--masks", "off")
    local = {} if args.check else simulate(program, args.data, "heart-local.yaml", args.epsilon, "42..61")
    missed = 0
    print(f"{len(records['train'])} training and {len(records['test'])} test records, {study['steps']} steps, rate "
          f"{study['rate']:g}, clip {study['clip']:g}, learning rate {study['learning_rate']:g}\n")
    print("| epsilon | noise | local | joint | pooled DP-SGD | joint - pooled |\n|---|---|---|---|---|---|")
    for epsilon, (j, sigma) in joint.items():
        areas = []
        for seed in range(args.pooled):
            areas.append(area(records["test"], train(records["train"], study, sigma, random.Random(f"{epsilon} {seed}"))))
        p = (statistics.mean(areas), statistics.stdev(areas), len(areas))
        half = 1.96 * math.sqrt(j[1] ** 2 / j[2] + p[1] ** 2 / p[2])
        missed += args.check and abs(j[0] - p[0]) > 0.005
        cells = [f"{side[0]:.4f} (sd {side[1]:.4f}, {side[2]})" if side else ""
                 for side in (local[epsilon][0] if epsilon in local else None, j, p)]
        print(f"| {epsilon:g} | {sigma:.2f} | {' | '.join(cells)} | {j[0] - p[0]:+.4f} +- {half:.4f} |", flush=True)
    if args.check:
        print("outside .005" if missed else "within .005")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
