#!/usr/bin/env python3
"""Runs the studies that copy FLamby's and compares their figures with the published ones.

    check_flamby.py [--consilium PROGRAM] [--data DIR] [--only NAME | --skip NAME] [--jobs N] [--json]

Every simulations/scenarios/flamby-*.yaml and heart-*.yaml is run over seeds 42 to 61, and those with
a published mean over five seeds also over seeds 42 to 46. Prints one row per figure; exit status 0
when all are met, 1 on a miss, 77 when the data is not there. Python 3 and its standard library only.

Where the expected values come from:
  published  FLamby (Ogier du Terrail et al., NeurIPS 2022 Datasets and Benchmarks), result files of
             its repository, seeds 42 to 46: mean and sample standard deviation. A figure is met when
             our mean over the same number of seeds lies within two of those deviations.
  anchor     deterministic results recomputed from FLamby's data by independent solvers (Newton's
             method on the union of the training sets), to all printed digits.
  replica    an independent implementation of the recipe over 10 to 20 seeds.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIOS = os.path.join(ROOT, "simulations", "scenarios")
FIVE, TWENTY = "42..46", "42..61"

# Scopes: "mean" over sites; "pooled" test set; a site; "pooled_training" and "local:SITE" are baselines.


def mean_of(scope, metric):
    """Reads one mean out of a summary's repeats; "mean@0.5" out of those at another price, epsilon 0.5."""
    scope, _, epsilon = scope.partition("@")

    def read(summary):
        repeats = summary["repeats"]
        if epsilon:
            repeats = [p["repeats"] for p in summary["prices"] if p.get("epsilon") == float(epsilon)][0]
        where, _, site = scope.partition(":")
        if where == "local":
            local = [b for b in repeats["baselines"]["local"] if b["site"] == site]
            return local[0]["domains"][0]["mean_over_sites"][metric]["mean"]
        if where == "pooled_training":
            return repeats["baselines"]["pooled_training"]["domains"][0]["metrics"][metric]["mean"]
        domain = repeats["domains"][0]
        if where == "mean":
            return domain["mean_over_sites"][metric]["mean"]
        if where == "pooled":
            return domain["metrics"][metric]["mean"]
        found = [s for s in domain["sites"] if s["id"] == site]
        return found[0]["metrics"][metric]["mean"]
    return read


def published(scope, metric, mean, sd):
    return (FIVE, scope, metric, mean - 2 * sd, mean + 2 * sd, f"published {mean:.3f} +- {sd:.3f}")


def within(scope, metric, low, high, source):
    return (TWENTY, scope, metric, low, high, source)


def exact(scope, metric, value, digits=4):
    half = 0.5 * 10 ** -digits + 1e-9
    return (TWENTY, scope, metric, value - half, value + half, "anchor")


def per_site(sites, metric, values, digits=4):
    return [exact(f"site:{site}", metric, value, digits) for site, value in zip(sites, values)]


def shown(scope, metric, source):
    return (TWENTY, scope, metric, None, None, source)


HEART = ["cleveland", "hungary", "switzerland", "va-long-beach"]
TCGA = ["northeast", "south", "west", "midwest", "europe", "canada"]

CHECKS = {
    "flamby-heart-fedbuff": [within("mean", "auc", 0.798, 0.838, "of flamby-heart-fedavg .818, within .02")],
    "flamby-heart-fedavg": [
        within("mean", "accuracy", 0.69, 0.72, "recipe over >= 20 seeds"),
        published("mean", "accuracy", 0.685, 0.028),
        published("pooled_training", "accuracy", 0.795, 0.003),
        published("local:cleveland", "accuracy", 0.722, 0.021),
        published("local:hungary", "accuracy", 0.629, 0.017),
        published("local:va-long-beach", "accuracy", 0.637, 0.039),
    ],
    "flamby-heart-fedprox": [published("mean", "accuracy", 0.685, 0.028)],
    "flamby-heart-scaffold": [published("mean", "accuracy", 0.684, 0.028)],
    "flamby-heart-fedadagrad": [published("mean", "accuracy", 0.731, 0.013)],
    "flamby-heart-fedyogi": [published("mean", "accuracy", 0.731, 0.013)],
    "flamby-heart-fedadam": [published("mean", "accuracy", 0.726, 0.014)],
    # FLamby's own "Cyclic" never passes the model on, so its figure is of something else.
    "flamby-heart-cyclic": [within("mean", "accuracy", 0.737 - 0.052, 0.737 + 0.052, "replica 0.737 +- 0.026")],
    "flamby-heart-geometric-median": [shown("mean", "accuracy", "none published")],
    "flamby-heart-afl": [shown("mean", "accuracy", "none published")],
    "heart-group-weights": [shown("mean", "accuracy", "none published")],
    "heart-exact-logistic": per_site(HEART, "accuracy", [0.7500, 0.7528, 0.7500, 0.6000])
    + per_site(HEART, "auc", [0.852, 0.868, 0.867, 0.746], 3)
    + [exact("mean", "accuracy", 0.7132), exact("pooled", "accuracy", 0.7244)],
    "heart-groups": [shown("pooled", "auc", "patient groups: what was found is in the file's head")],
    "heart-to-convergence": [
        within("mean", "accuracy", 0.7126 - 0.003, 0.7126 + 0.003, "anchor 0.7126 +- 0.003"),
    ],
    # Hospitals that make different numbers of steps end where equal numbers do.
    "heart-fednova": [within("mean", "accuracy", 0.7126 - 0.003, 0.7126 + 0.003, "anchor 0.7126 +- 0.003")],
    "heart-personal": [shown("mean", "accuracy", "own models: what was found is in docs/benchmarks.md")],
    "heart-external": [shown("mean", "accuracy", "of the three that train; the fourth is in docs/benchmarks.md")],
    "heart-public-constants": [
        within("mean", "accuracy", 0.801 - 0.01, 0.801 + 0.01, "replica 0.801 +- 0.01"),
    ],
    # What honest accounting per hospital leaves of it, next to an independent simulation.
    "heart-local": [
        within("mean", "accuracy", 0.78, 1.0, "epsilon 1: replica .810 +- .014"),
        within("mean@0.5", "accuracy", 0.77, 1.0, "epsilon .5: replica .790 +- .022"),
    ],
    # One noise for all, through masks, rounding and discrete noise: within a standard deviation of an
    # independent simulation with plain sums and continuous noise.
    "heart-joint": [
        within("pooled@0.1", "auc", 0.797 - 0.042, 0.797 + 0.042, "epsilon .1: replica .797 +- .042"),
        within("pooled@0.25", "auc", 0.861 - 0.011, 0.861 + 0.011, "epsilon .25: replica .861 +- .011"),
        within("pooled@0.5", "auc", 0.877 - 0.005, 0.877 + 0.005, "epsilon .5: replica .877 +- .005"),
        within("pooled", "auc", 0.881 - 0.003, 0.881 + 0.003, "epsilon 1: replica .881 +- .003"),
    ],
    "flamby-tcga-cox": [
        within("pooled", "c_index", 0.8498 - 0.002, 0.8498 + 0.002, "anchor 0.8498 +- 0.002"),
        exact("pooled_training", "c_index", 0.8425),
        exact("mean", "c_index", 0.8208),
    ] + per_site(TCGA, "c_index", [0.8771, 0.6136, 0.8519, 0.6458, 0.9362, 1.0]),
    "flamby-tcga-fedavg": [
        published("pooled", "c_index", 0.735, 0.175),
        published("pooled_training", "c_index", 0.704, 0.114),
        published("local:northeast", "c_index", 0.728, 0.038),
        published("local:south", "c_index", 0.750, 0.037),
        published("local:west", "c_index", 0.498, 0.026),
        published("local:midwest", "c_index", 0.656, 0.065),
        published("local:europe", "c_index", 0.712, 0.032),
        published("local:canada", "c_index", 0.691, 0.008),
    ],
    "flamby-tcga-fedprox": [published("pooled", "c_index", 0.717, 0.162)],
    "flamby-tcga-scaffold": [published("pooled", "c_index", 0.699, 0.035)],
    # The spread between seeds is wider than five of them show: shown over twenty as well.
    "flamby-tcga-fedadagrad": [
        published("pooled", "c_index", 0.834, 0.007),
        shown("pooled", "c_index", "replica, 60 seeds: 0.816, sd 0.045"),
    ],
    "flamby-tcga-fedyogi": [
        published("pooled", "c_index", 0.842, 0.017),
        shown("pooled", "c_index", "as fedadam: 0.80 to 0.86"),
    ],
    "flamby-tcga-fedadam": [
        within("pooled", "c_index", 0.80, 0.86, "recipe: 0.80 to 0.86"),
        published("pooled", "c_index", 0.842, 0.017),
    ],
    "flamby-tcga-cyclic": [shown("pooled", "c_index", "FLamby's never passes the model on")],
}


def scenario_names():
    """Studies with a model: a census (heart-census*) only counts."""
    names = []
    for pattern in ("flamby-*.yaml", "heart-*.yaml"):
        names += [os.path.basename(p)[:-len(".yaml")] for p in glob.glob(os.path.join(SCENARIOS, pattern))]
    return sorted(n for n in names if not n.endswith(".mapping") and not n.startswith("heart-census"))


def run_study(program, data, name, seeds, has_baselines, folder, prices):
    command = [program, "simulate", os.path.join(SCENARIOS, name + ".yaml"), "--data", data, "--seeds", seeds,
               "--out", os.path.join(folder, f"{name}-{seeds}"), "--json"]
    if not has_baselines:
        command.append("--no-baselines")
    if prices:
        command += ["--epsilon", ",".join(prices)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{name}: exit status {done.returncode}: {' '.join(last)}")
    return json.loads(done.stdout)


def judge(name, check, summary):
    seeds, scope, metric, low, high, source = check
    found = mean_of(scope, metric)(summary)
    verdict = "shown" if low is None else "met" if low <= found <= high else "MISSED"
    return {"study": name, "figure": f"{scope} {metric}", "seeds": seeds, "found": found, "low": low, "high": high,
            "source": source, "verdict": verdict}


def check_study(program, data, name, folder):
    checks = CHECKS[name]
    has_baselines = any(c[1].startswith(("local", "pooled_training")) for c in checks)
    prices = sorted({c[1].partition("@")[2] for c in checks} - {""}, key=float)
    summaries = {s: run_study(program, data, name, s, has_baselines, folder, prices)
                 for s in sorted({c[0] for c in checks})}
    return [judge(name, c, summaries[c[0]]) for c in checks]


def print_rows(rows):
    print(f"{'study':24} {'figure':28} {'seeds':7} {'found':>8}  {'expected':17} {'verdict':7}  source")
    for r in rows:
        wanted = "" if r["low"] is None else f"{r['low']:.4f} to {r['high']:.4f}"
        print(f"{r['study']:24} {r['figure']:28} {r['seeds']:7} {r['found']:8.4f}  {wanted:17} {r['verdict']:7}  "
              f"{r['source']}")


def find_program(given):
    places = [given] if given else [os.environ.get("CONSILIUM", "")]
    places += [] if given else sorted(glob.glob(os.path.join(ROOT, "build", "*", "bin", "consilium")))
    for place in places:
        if place and os.access(place, os.X_OK):
            return os.path.abspath(place)
    sys.exit("check_flamby.py: no program 'consilium'; build it, or name it with --consilium")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--consilium", help="the program; build/*/bin/consilium without it")
    parser.add_argument("--data", help="folder with uci-heart-disease and tcga-brca; CONSILIUM_DATA or ../shared/data")
    parser.add_argument("--only", help="one study")
    parser.add_argument("--skip", help="all but one study")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="studies at once")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    data = args.data or os.environ.get("CONSILIUM_DATA") or os.path.join(ROOT, "..", "shared", "data")
    folders = ["uci-heart-disease"] if "heart" in (args.only or "") else ["uci-heart-disease", "tcga-brca"]
    missing = [d for d in folders if not os.path.isdir(os.path.join(data, d))]
    if missing:
        print(f"check_flamby.py: skipped: {' and '.join(missing)} not below {data}; --data or CONSILIUM_DATA says where")
        return 77
    program = find_program(args.consilium)
    names = scenario_names()
    unlisted = [n for n in names if n not in CHECKS] + [n for n in CHECKS if n not in names]
    if unlisted:
        print(f"check_flamby.py: studies and expected values do not match: {', '.join(unlisted)}")
        return 1
    if args.only:
        names = [n for n in names if n == args.only]
    names = [n for n in names if n != args.skip]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        try:
            parts = list(pool.map(lambda n: check_study(program, data, n, folder), names))
        except RuntimeError as failure:
            print(f"check_flamby.py: {failure}")
            return 1
    rows = [row for part in parts for row in part]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print_rows(rows)
    missed = sum(r["verdict"] == "MISSED" for r in rows)
    judged = sum(r["verdict"] != "shown" for r in rows)
    if not args.json:
        print(f"{judged - missed} of {judged} figures met")
    return 1 if missed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
