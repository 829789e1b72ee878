#!/usr/bin/env python3
"""Gaps between patient groups with and without weights of patient groups in training.

    group_weights.py [--consilium PROGRAM] [--data FOLDER] [--set heart|diabetes] [--seeds 42..57]
                     [--rules 0.5,1,2 ...] [--outcome] [--minimum-group 30]
                     [--shuffled]

Every seed draws a split of its own (train, validation, test: 50, 15, 35 % of each hospital), and with it initial
values and batches; then the same study runs without weights and with each rule ALPHA,BETA,CAP.
    heart: UCI Heart Disease, four hospitals, groups of sex; 150 rounds of a linear model.
    diabetes: Diabetes 130-US, any readmission against none, six sites by source of admission (the
        public file names no hospital), groups of race, sex and age band; 20 rounds of a linear model.
        Race is no input, sex and age are.
--outcome makes the label an attribute too, so that a group is, say, women with the disease: weights then change
the balance of the labels inside each group, which weights of people alone leave as it is.
--shuffled is the control: training and validation patients of a hospital exchange their groups at random (the label
and the inputs stay), test patients keep theirs; what then remains of an effect is not due to groups.

Printed: mean macro-F1 and AUC over all test patients and, by attribute, EOD and PP (one class against the rest,
mean over classes, largest group minus smallest) and of the positive class alone; below each the paired
difference to the run without weights, its 95 % interval (Student's t), p of the exact sign-flip
permutation test (two-sided) and the difference relative to the mean without. A split in which some run leaves a group
without a patient said to be of a class has no PP and is left out of that line. Splits of one data set overlap:
intervals and p say how sure the difference is for these hospitals' patients, not for other hospitals'.
Python 3 and its standard library only.
"""
import argparse
import csv
import json
import math
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
# Student's t, two-sided 95 %, by degrees of freedom from 1
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
       2.110, 2.101, 2.093)
GAPS = ("eod", "pp", "eod_positive", "pp_positive")

HEART_FEATURES = ("age sex trestbps chol fbs thalach exang oldpeak cp_2 cp_3 cp_4 restecg_1 restecg_2").split()
NUMBERS = ("time_in_hospital num_lab_procedures num_procedures num_medications number_outpatient number_emergency "
           "number_inpatient number_diagnoses change diabetesMed").split()
CODES = {"admission_type_id": 4, "medical_specialty": 11, "diag_1_group": 10, "diag_2_group": 10,
         "diag_3_group": 10, "max_glu_serum": 4, "A1Cresult": 4, "metformin": 4, "insulin": 4}
SOURCES = {"7": "emergency", "1": "referral", "17": "unknown", "4": "transfer", "6": "facility"}


def heart_rows(folder):
    with open(os.path.join(folder, "uci-heart-disease", "flamby_fed_heart_disease.csv"), newline="") as f:
        for row in csv.DictReader(f):
            out = {k: row[k] for k in HEART_FEATURES}
            out.update(site="center" + row["center"], label=row["label"], g_sex=row["sex"], g_age=row["age"])
            yield out


def diabetes_rows(folder):
    with open(os.path.join(folder, "diabetes-130us", "diabetes130_first_encounter_coded.csv"), newline="") as f:
        for row in csv.DictReader(f):
            age = str(10 * int(row["age"]) + 5)
            out = {k: row[k] for k in NUMBERS}
            out.update(age=age, sex=row["gender"])
            for name, levels in CODES.items():
                out.update({f"{name}_{v}": int(row[name] == str(v)) for v in range(1, levels)})
            out.update(site=SOURCES.get(row["admission_source_id"], "other"), label=int(row["readmitted"] != "0"),
                       g_sex=row["gender"], g_age=age, g_race=row["race"])
            yield out


SETS = {
    "heart": dict(rows=heart_rows, rounds=150, rate=0.01, batch=4, steps=100, edges="[45, 55, 65]",
                  sex="{1: male, 0: female}", race=None, attributes=["sex"]),
    "diabetes": dict(rows=diabetes_rows, rounds=20, rate=0.02, batch=64, steps=50, edges="[40, 60, 80]",
                     sex="{0: female, 1: male}",
                     race="{0: caucasian, 1: african american, 2: hispanic, 3: asian, 4: other}",
                     attributes=["race", "sex", "age_band"]),
}


def shuffle_groups(rows, part, draw):
    """Rows whose groups are those of another patient of the same hospital outside the test part."""
    out = [dict(row) for row in rows]
    names = [k for k in rows[0] if k.startswith("g_")]
    for site in sorted({row["site"] for row in rows}):
        mine = [i for i, row in enumerate(rows) if row["site"] == site and part[i] != "test"]
        other = mine[:]
        draw.shuffle(other)
        for i, k in zip(mine, other):
            out[i].update({name: rows[k][name] for name in names})
    return out


def write_records(path, rows, seed, is_shuffled):
    draw = random.Random(seed)
    by_site = {}
    for i, row in enumerate(rows):
        by_site.setdefault((row["site"], str(row["label"])), []).append(i)
    part = [None] * len(rows)
    for cell in sorted(by_site):
        order = by_site[cell][:]
        draw.shuffle(order)
        for k, i in enumerate(order):
            share = (k + 0.5) / len(order)
            part[i] = "train" if share < 0.5 else "validation" if share < 0.65 else "test"
    if is_shuffled:
        rows = shuffle_groups(rows, part, draw)
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["part"] + list(rows[0]))
        for where, row in zip(part, rows):
            out.writerow([where] + list(row.values()))
    return sorted({row["site"] for row in rows})


def features_of(rows):
    return [k for k in rows[0] if k not in ("site", "label") and not k.startswith("g_")]


def write_mapping(path, rows, about, with_outcome):
    with open(path, "w") as f:
        f.write("format: consilium.mapping/1\nsplit_rule: drawn by seed, by hospital and label\n")
        f.write("features:\n" + "".join(f"  - {{name: {k}}}\n" for k in features_of(rows)))
        f.write("labels:\n  - {name: ill, kind: binary, column: label, positive: 1, negative: 0}\n")
        f.write("split: {column: part, train: train, validation: validation, test: test}\nattributes:\n")
        f.write(f"  - {{name: sex, column: g_sex, values: {about['sex']}}}\n")
        f.write(f"  - {{name: age_band, column: g_age, edges: {about['edges']}}}\n")
        if with_outcome:
            f.write("  - {name: outcome, column: label, values: {0: no, 1: yes}}\n")
        if about["race"]:
            f.write(f"  - {{name: race, column: g_race, values: {about['race']}, missing: [5]}}\n")


def write_study(path, rows, sites, about, rule, args):
    attributes = ", ".join(about["attributes"] + (["outcome"] if args.outcome else []))
    weights = "" if rule is None else ", weights: {{alpha: {}, beta: {}, cap: {}}}".format(*rule)
    with open(path, "w") as f:
        f.write("study: groups\ndomains:\n  - id: d\n    modality: tabular\n")
        f.write("    task: {kind: binary, label: ill, positive: ill}\n    scaling: site\n")
        f.write("    features: [" + ", ".join(features_of(rows)) + "]\nmodel: {kind: linear}\ntraining:\n  local: {")
        f.write(f"optimizer: sgd, learning_rate: {about['rate']}, batch_patients: {about['batch']}, ")
        f.write(f"steps: {about['steps']}}}\nrounds: {about['rounds']}\naggregation: {{strategy: fedavg}}\n")
        f.write(f"sites: {{minimum: {len(sites)}}}\n")
        f.write(f"fairness: {{attributes: [{attributes}], minimum_group: {args.minimum_group}{weights}}}\n")
        f.write("simulation:\n  sites:\n")
        for site in sites:
            f.write(f"    - id: {site}\n      csv: records.csv\n      mapping: mapping.yaml\n")
            f.write(f"      where: {{column: site, any_of: [{site}]}}\n")


def run(args, folder, seed):
    done = subprocess.run([args.consilium, "simulate", os.path.join(folder, "study.yaml"), "--data", folder, "--out",
                           os.path.join(folder, "out"), "--seed", str(seed), "--no-baselines", "--json"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    result = json.loads(done.stdout)
    pooled = result["domains"][0]["metrics"]
    out = {("", "macro_f1"): pooled["macro_f1"]["value"], ("", "auc"): pooled["auc"]["value"]}
    for gap in (g for g in result["gaps"] if g["attribute"] != "outcome"):
        for name in GAPS:
            if name in gap["metrics"]:
                out[(gap["attribute"], name)] = gap["metrics"][name]["value"]
    return out


def mean(values):
    return sum(values) / len(values)


def sign_flip(differences):
    """Share of the 2^n sign patterns with a sum at least as far from 0: exact, two-sided, by Gray code."""
    n, total = len(differences), sum(differences)
    least = abs(total) * (1 - 1e-9)
    signs, hits = [1] * n, 0
    for i in range(1, 2 ** n + 1):
        hits += abs(total) >= least
        k = (i & -i).bit_length() - 1
        if k < n:
            total -= 2 * signs[k] * differences[k]
            signs[k] = -signs[k]
    return hits / 2 ** n


def report(rules, runs):
    for key in sorted(runs[None][0]):
        known = [i for i in range(len(runs[None])) if all(key in of[i] for of in runs.values())]
        if len(known) < 3:
            continue
        base = [runs[None][i][key] for i in known]
        print(f"{key[0] or 'all'} {key[1]}: without {mean(base):.4f}, {len(known)} splits")
        for rule in rules:
            d = [runs[rule][i][key] - b for i, b in zip(known, base)]
            n, m = len(d), mean(d)
            half = T95[n - 2] * math.sqrt(sum((v - m) ** 2 for v in d) / (n - 1) / n)
            print("  alpha {} beta {} cap {}: ".format(*rule) + f"{m:+.4f} [{m - half:+.4f}, {m + half:+.4f}] "
                  f"p {sign_flip(d):.4f} relative {100 * m / mean(base):+.1f} %")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--consilium", default=os.path.join(ROOT, "build/release/bin/consilium"))
    p.add_argument("--data", default=os.environ.get("CONSILIUM_DATA", os.path.join(ROOT, "../shared/data")))
    p.add_argument("--set", choices=sorted(SETS), default="heart")
    p.add_argument("--seeds", default="42..57")
    p.add_argument("--rules", nargs="+", default=["0.5,1,2"], metavar="ALPHA,BETA,CAP")
    p.add_argument("--outcome", action="store_true")
    p.add_argument("--shuffled", action="store_true")
    p.add_argument("--minimum-group", type=int, default=30)
    args = p.parse_args()
    about = SETS[args.set]
    rules = [tuple(r.split(",")) for r in args.rules]
    first, last = (int(v) for v in args.seeds.split(".."))
    if not 3 <= last - first + 1 <= len(T95) + 1:
        p.error(f"--seeds: 3 to {len(T95) + 1} of them")
    rows = list(about["rows"](args.data))
    runs = {rule: [] for rule in [None] + rules}
    with tempfile.TemporaryDirectory() as folder:
        write_mapping(os.path.join(folder, "mapping.yaml"), rows, about, args.outcome)
        for seed in range(first, last + 1):
            sites = write_records(os.path.join(folder, "records.csv"), rows, seed, args.shuffled)
            for rule in runs:
                write_study(os.path.join(folder, "study.yaml"), rows, sites, about, rule, args)
                runs[rule].append(run(args, folder, seed))
    print(f"{args.set}: {len(rows)} patients, {len(sites)} sites, {last - first + 1} splits")
    report(rules, runs)


if __name__ == "__main__":
    main()
