#!/usr/bin/env python3
"""Cross-validates a study of simulated sites over the parts of a column of its CSV files.

    tools/cross_validate.py STUDY.yaml --column strat_fold --parts 1,2,3,4,5,6,7,8,9,10
        [--data DIR] [--seed 42] [--consilium build/release/bin/consilium]

Each part is judged once, by `consilium simulate` with all other parts for training: copies of the study's
mappings get another line `split`. Prints the AUC of every part, of all test records of that run together,
and mean and standard error over the parts; what an input's absence costs comes from the same runs. For
data sets whose own test split is too small to tell models apart. One domain.
"""
import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

SPLIT = re.compile(r"^split:.*$", re.M)


def judge(args, study, mappings, part):
    """{'': AUC, 'without INPUT': AUC, ..} of one part."""
    others = [p for p in args.parts if p != part]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copy(study, folder)
        for mapping in mappings:
            line = f"split: {{column: {args.column}, train: [{', '.join(others)}], test: [{part}]}}"
            text, count = SPLIT.subn(line, mapping.read_text())
            if count != 1:
                sys.exit(f"{mapping}: one line 'split: {{..}}' would be right")
            (folder / mapping.name).write_text(text)
        out = folder / "out"
        subprocess.run([args.consilium, "simulate", folder / study.name, "--data", args.data, "--no-baselines",
                        "--seed", args.seed, "--out", out], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        summary = json.loads((out / "summary.json").read_text())
    found = {"": summary["pooled"]["metrics"]["auc"]["value"]}
    for group in summary["groups"]:
        if group["attribute"] == "input left out":
            found["without " + group["value"]] = group["metrics"]["auc"]["value"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=pathlib.Path)
    parser.add_argument("--column", required=True)
    parser.add_argument("--parts", required=True, type=lambda s: s.split(","))
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--seed", default="42")
    parser.add_argument("--consilium", default="build/release/bin/consilium")
    args = parser.parse_args()
    names = sorted(set(re.findall(r"mapping: *([^,}\s]+)", args.study.read_text())))
    mappings = [args.study.parent / name for name in names]
    results = {}
    for part in args.parts:
        for key, value in judge(args, args.study, mappings, part).items():
            results.setdefault(key, []).append(value)
    for key, values in results.items():
        error = statistics.stdev(values) / len(values) ** 0.5
        print(f"{args.study.stem} {key}".strip(), " ".join(f"{v:.3f}" for v in values),
              f"mean {statistics.fmean(values):.4f} standard error {error:.4f}")


if __name__ == "__main__":
    main()
