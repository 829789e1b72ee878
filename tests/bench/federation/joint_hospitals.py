#!/usr/bin/env python3
"""What joint noise buys as hospitals join: AUC of mode local and mode joint at the same price per patient.

    joint_hospitals.py [--consilium PROGRAM] [--hospitals 4,8,32,100] [--epsilon 0.25,0.5,1] [--seeds 42..51]

Draws a federation of N hospitals with 60 training patients and 30 test patients each from one logistic
model over 10 features, with a shift of the features' means per hospital, and runs `consilium simulate`
on two studies that differ in their privacy section and in what it needs. Local: 15 rounds of 20 steps of
batch 4, learning rate .05, every hospital solves for its own noise. Joint: 20 rounds of one step over all
patients, learning rate 1, one noise inside the masked sum. Hyper-parameters were not tuned for a size.
Python 3 and its standard library only.
"""
import argparse
import csv
import glob
import json
import math
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FEATURES, TRAIN, TEST = 10, 60, 30


def write_records(path, hospitals):
    """One CSV of all hospitals; hospital h holds the rows that say so."""
    draw = random.Random(20261128)
    weights = [draw.gauss(0, 1) for _ in range(FEATURES)]
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["hospital", "set", "patient"] + [f"x{k}" for k in range(FEATURES)] + ["ill"])
        for h in range(hospitals):
            shift = [draw.gauss(0, 0.3) for _ in range(FEATURES)]
            for i in range(TRAIN + TEST):
                x = [draw.gauss(s, 1) for s in shift]
                score = sum(w * v for w, v in zip(weights, x)) * 0.7
                ill = draw.random() < 1 / (1 + math.exp(-score))
                where = "train" if i < TRAIN else "test"
                out.writerow([h, where, i] + [f"{v:.5f}" for v in x] + [int(ill)])


def write_mapping(path):
    with open(path, "w") as f:
        f.write("format: consilium.mapping/1\nlicence: drawn by this script\nsplit_rule: the first 60 of each hospital\n")
        f.write("features:\n" + "".join(f"  - {{name: x{k}}}\n" for k in range(FEATURES)))
        f.write("labels:\n  - {name: illness, kind: binary, column: ill, positive: 1, negative: 0}\n")
        f.write("split: {column: set, train: train, test: test}\n")


def write_study(path, name, hospitals, is_joint, epsilon):
    training = ("{optimizer: sgd, learning_rate: 1.0, batch_patients: full, steps: 1}" if is_joint else
                "{optimizer: sgd, learning_rate: 0.05, batch_patients: 4, steps: 20}")
    features = "".join(f"      - {{name: x{k}, centre: 0, scale: 1}}\n" for k in range(FEATURES))
    sites = "".join(f"    - {{id: h{h:03}, csv: records.csv, mapping: records.mapping.yaml, "
                    f"where: {{column: hospital, any_of: [\"{h}\"]}}}}\n" for h in range(hospitals))
    rate = ", sampling_rate: 1" if is_joint else ""
    masks = f"secure_aggregation: {{protocol: fsa-1, colluding: 0, minimum_sites: {hospitals}}}\n" if is_joint else ""
    with open(path, "w") as f:
        f.write(f"study: {name}\nquestion: Is this patient ill?\n"
                "domains:\n  - id: illness\n    modality: tabular\n"
                "    task: {kind: binary, label: illness, positive: \"1\"}\n    scaling: constants\n    clip: 4\n"
                f"    features:\n{features}model: {{kind: linear}}\n"
                f"training:\n  local: {training}\nrounds: {20 if is_joint else 15}\n"
                "aggregation:\n  strategy: fedavg\n  weights: {kind: samples}\n"
                f"privacy: {{mode: {'joint' if is_joint else 'local'}, unit: patient, epsilon: {epsilon}, "
                f"delta: 1.0e-4, clip: 1.5{rate}}}\n{masks}"
                f"sites: {{minimum: {hospitals}}}\nsimulation:\n  sites:\n{sites}")


def run(program, folder, name, seeds, prices):
    out = os.path.join(folder, name)
    command = [program, "simulate", os.path.join(folder, name + ".yaml"), "--data", folder, "--seeds", seeds,
               "--epsilon", prices, "--out", out, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"joint_hospitals.py: {name}: {done.stderr.strip() or done.stdout.strip()}")
    found = {}
    for price in json.loads(done.stdout)["prices"]:
        auc = price["repeats"]["domains"][0]["metrics"]["auc"]
        found[price["epsilon"]] = (auc["mean"], auc["sd"])
    return found


def find_program(given):
    places = [given] if given else sorted(glob.glob(os.path.join(ROOT, "build", "*", "bin", "consilium")))
    for place in places:
        if os.access(place, os.X_OK):
            return os.path.abspath(place)
    sys.exit("joint_hospitals.py: no program 'consilium'; build it, or name it with --consilium")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--consilium")
    parser.add_argument("--hospitals", default="4,8,32,100")
    parser.add_argument("--epsilon", default="0.25,0.5,1")
    parser.add_argument("--seeds", default="42..51")
    args = parser.parse_args()
    program = find_program(args.consilium)
    print(f"{'hospitals':>9}  {'epsilon':>7}  {'local: pooled AUC':>20}  {'joint: pooled AUC':>20}")
    for n in [int(v) for v in args.hospitals.split(",")]:
        with tempfile.TemporaryDirectory() as folder:
            write_records(os.path.join(folder, "records.csv"), n)
            write_mapping(os.path.join(folder, "records.mapping.yaml"))
            found = {}
            for mode in ("local", "joint"):
                write_study(os.path.join(folder, mode + ".yaml"), mode, n, mode == "joint", args.epsilon.split(",")[-1])
                found[mode] = run(program, folder, mode, args.seeds, args.epsilon)
            for epsilon in found["local"]:
                cells = [f"{m:.4f} +- {s:.4f}" for m, s in (found["local"][epsilon], found["joint"][epsilon])]
                print(f"{n:9}  {epsilon:7g}  {cells[0]:>20}  {cells[1]:>20}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
