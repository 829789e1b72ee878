#!/usr/bin/env python3
"""What joint noise buys as hospitals join: AUC of mode local and mode joint at the same price per patient.

    joint_hospitals.py [--consilium PROGRAM] [--hospitals 4,8,32,100] [--epsilon 0.1,0.25,0.5,1,2,4,8]
                       [--seeds 42..61] [--check 32]

Draws a federation of N hospitals with 60 training patients and 30 test patients each from one logistic
model over 10 features, with a shift of the features' means per hospital, and runs `consilium simulate`
on two studies that differ in their privacy section and in what it needs. Local: 15 rounds of 20 steps of
batch 4, learning rate .05, every hospital solves for its own noise. Joint: 20 rounds of one step over all
patients, learning rate 1, one noise inside the summed words. Hyper-parameters were not tuned for a size.
The federation of a size is drawn once; seeds draw noise and batches. Intervals are 95 % of the mean over seeds
(Student's t). Masks are off (`simulate --masks off`), which changes no bit of a model and saves n^2 public-key
operations a round; --check runs one round at that size under masks too, with a third of the sites
counted as colluding, and compares the digests (0: no check; with --hospitals "" nothing else is done). The last table is
the epsilon at which local noise reaches what joint noise has at the price in the head, interpolated in log epsilon.
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
import time

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


def write_study(path, name, hospitals, is_joint, epsilon, colluding):
    training = ("{optimizer: sgd, learning_rate: 1.0, batch_patients: full, steps: 1}" if is_joint else
                "{optimizer: sgd, learning_rate: 0.05, batch_patients: 4, steps: 20}")
    features = "".join(f"      - {{name: x{k}, centre: 0, scale: 1}}\n" for k in range(FEATURES))
    sites = "".join(f"    - {{id: h{h:03}, csv: records.csv, mapping: records.mapping.yaml, "
                    f"where: {{column: hospital, any_of: [\"{h}\"]}}}}\n" for h in range(hospitals))
    rate = ", sampling_rate: 1" if is_joint else ""
    masks = f"secure_aggregation: {{protocol: fsa-1, colluding: {colluding}, minimum_sites: {hospitals}}}\n" if is_joint else ""
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


def write_federation(folder, hospitals, epsilon, colluding=0):
    write_records(os.path.join(folder, "records.csv"), hospitals)
    write_mapping(os.path.join(folder, "records.mapping.yaml"))
    for mode in ("local", "joint"):
        write_study(os.path.join(folder, mode + ".yaml"), mode, hospitals, mode == "joint", epsilon, colluding)


def simulate(program, folder, name, *more):
    command = [program, "simulate", os.path.join(folder, name + ".yaml"), "--data", folder, "--no-baselines", "--json",
               "--out", os.path.join(folder, name), *more]
    if name == "joint" and "--masks" not in more:
        command += ["--masks", "off"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"joint_hospitals.py: {name}: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)


def sweep(program, folder, name, seeds, prices):
    """Per epsilon: mean and standard deviation over seeds of the pooled AUC, and how many seeds."""
    first, last = seeds.split("..")
    *others, own = prices.split(",")  # the study itself is at the last of them
    summary = simulate(program, folder, name, "--seeds", seeds, *(["--epsilon", ",".join(others)] if others else []))
    found = {}
    for price in summary.get("prices", []) + [{"epsilon": float(own), "repeats": summary["repeats"]}]:
        auc = price["repeats"]["domains"][0]["metrics"]["auc"]
        found[price["epsilon"]] = (auc["mean"], auc["sd"], int(last) - int(first) + 1)
    return found


def student(freedom):
    """The 97.5 % point of Student's t, by its expansion in 1 / freedom: good to 3e-3 from 9 on."""
    z = 1.959964
    return z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2)


def half_width(*samples):
    """Of the interval of a mean, or of the difference of two."""
    freedom = min(n for _, _, n in samples) - 1
    return student(freedom) * math.sqrt(sum(sd ** 2 / n for _, sd, n in samples))


def reached_at(local, wanted):
    """The epsilon at which local noise has this AUC; None beyond the sweep."""
    points = sorted((epsilon, mean) for epsilon, (mean, _, _) in local.items())
    for (e0, m0), (e1, m1) in zip(points, points[1:]):
        if m0 < wanted <= m1:
            return math.exp(math.log(e0) + (wanted - m0) / (m1 - m0) * (math.log(e1) - math.log(e0)))
    return None


def check_masks(program, hospitals):
    """One round under masks and one without: the same model."""
    took, digests = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        write_federation(folder, hospitals, 1, hospitals // 3)
        for masks in ("on", "off"):
            start = time.monotonic()
            digests[masks] = simulate(program, folder, "joint", "--masks", masks, "--rounds", "1")["model_digest"]
            took[masks] = time.monotonic() - start
    is_same = digests["on"] == digests["off"]
    print(f"one round of {hospitals} hospitals: {'the same' if is_same else 'ANOTHER'} model under masks "
          f"({took['on']:.1f} s) and without ({took['off']:.1f} s)", flush=True)
    return is_same


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
    parser.add_argument("--epsilon", default="0.1,0.25,0.5,1,2,4,8")
    parser.add_argument("--seeds", default="42..61")
    parser.add_argument("--check", type=int, default=32)
    args = parser.parse_args()
    program = find_program(args.consilium)
    if not args.hospitals:
        return 0 if check_masks(program, args.check) else 1
    reached = []
    print("| hospitals | epsilon | local: pooled AUC | joint: pooled AUC | joint - local |\n|---|---|---|---|---|")
    for n in [int(v) for v in args.hospitals.split(",")]:
        with tempfile.TemporaryDirectory() as folder:
            write_federation(folder, n, args.epsilon.split(",")[-1])
            local = sweep(program, folder, "local", args.seeds, args.epsilon)
            joint = sweep(program, folder, "joint", args.seeds, args.epsilon)
        for epsilon, a in local.items():
            b = joint[epsilon]
            print(f"| {n} | {epsilon:g} | {a[0]:.3f} +- {half_width(a):.3f} | {b[0]:.3f} +- {half_width(b):.3f} | "
                  f"{b[0] - a[0]:+.3f} +- {half_width(a, b):.3f} |", flush=True)
        reached.append((n, [(epsilon, reached_at(local, b[0])) for epsilon, b in joint.items()]))
    print("\n| hospitals | " + " | ".join(f"as joint at {epsilon:g}" for epsilon, _ in reached[0][1]) + " |")
    print("|---" * (1 + len(reached[0][1])) + "|")
    for n, row in reached:
        print(f"| {n} | " + " | ".join("-" if e is None else f"{e:.2f}" for _, e in row) + " |", flush=True)
    return 0 if args.check == 0 or check_masks(program, args.check) else 1


if __name__ == "__main__":
    sys.exit(main())
