#!/usr/bin/env python3
"""The same study in one process and as one process per site over gRPC gives the same model.

    test_transports.py CONSILIUM SCENARIO-FOLDER [DATA-FOLDER...]

A synthetic study is run always: as it is, with its updates under masks (FSA-1) and every sum audited, in lanes of 16 bits
under masks, and two with joint noise under masks, whose noise is drawn from the study's seed here (test-only; programs
built without tests cannot): of one domain, once as it is and once with a gate that rejects rounds, and of inputs that
most sites lack some of; the sums cost the same too. So does one with everything on (joint noise, masks, published
statistics, weights of domains and of patient groups, missing inputs), whose whole run is also compared with one without masks, ledgers
included. One whose models are voted down, and one with weights of domains, which are the same as well. The first two
have the sites count their test patients by group: what the coordinator makes of the counts is the same as what the
simulation makes of the records. The heart studies when a data folder holds their files. Exit status 0: every pair of digests is
equal. Python 3 and its standard library only.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ROUNDS = 3
SYNTHETIC = "synthetic-federation.yaml"
JOINT = "synthetic-joint.yaml"
JOINT_INPUTS = "synthetic-joint-inputs.yaml"
LANES = "synthetic-lanes.yaml"
EVERYTHING = "synthetic-everything.yaml"
MASKS = "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, audit_chunks: 4}"
# Two domains of one input, and weights of domains that come from evaluations.
WEIGHTED = "synthetic-weights.yaml"
WEIGHTS = """study: synthetic-weights
inputs:
  - {id: xray, modality: image2d, shape: [16, 16, 1], encoder: {kind: linear}}
  - {id: ecg, modality: signal, shape: [64, 3], encoder: {kind: linear}}
  - {id: heart, modality: tabular, scaling: site, features: [systolic_pressure, cholesterol], encoder: {kind: linear}}
domains:
  - {id: chest, inputs: [xray, heart], task: {kind: binary, label: xray}}
  - {id: rhythm, inputs: [ecg, heart], task: {kind: binary, label: ecg}}
model: {kind: multimodal, width: 4}
training: {local: {optimizer: sgd, learning_rate: 0.05, batch_patients: 16, steps: 4}}
rounds: 5
aggregation: {strategy: fedavg}
fairness: {domain_weights: {kind: domain, every: 1, smoothing: 0.5, shrinkage: 10}}
sites: {minimum: 3}
evaluation: {every: 1}
simulation: {sites: [{id: lyon, synth: 0}, {id: turin, synth: 1}, {id: aachen, synth: 2}, {id: porto, synth: 3}]}
"""
GROUPS = """fairness:
  attributes: [sex, age_band]
  groups: {sex: [female, male], age_band: ["<45", "45-64", "65-79", "80+"]}
  minimum_group: 10"""
MASKED = "masked-" + SYNTHETIC
GATED = "gated-" + JOINT
GATE = "  strategy: fedavg\n  server_learning_rate: 100\n  gate: {factor: 1.01, window: 3}"  # far too long steps: norms are of chance
VOTED = "voted-" + SYNTHETIC
VOTE = "  strategy: fedavgm\n  momentum: 0.9\n  server_learning_rate: 3\n" \
       "  vote: {worse_max: 0.25, tolerance: 0, rejected_max: 6}"  # too long steps again
HEART = ("flamby-heart-fedavg.yaml", "flamby-heart-scaffold.yaml")
HEART_FILES = "uci-heart-disease"


def write_short(source, path, changes):
    """The scenario with ROUNDS rounds and further lines changed, each found once."""
    with open(source, encoding="utf-8") as f:
        text = f.read()
    for pattern, line in ((r"(?m)^rounds: \d+$", f"rounds: {ROUNDS}"),) + changes:
        text, count = re.subn(pattern, line, text)
        if count != 1:
            raise SystemExit(f"FAILED: {source} has {count} lines {pattern}; 1 would be right")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def simulate(program, study, transport, out, data, masks=()):
    command = [program, "simulate", study, "--transport", transport, "--no-baselines", "--json", "--out", out, *masks]
    done = subprocess.run(command + (["--data", data] if data else []), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def is_same(program, study, folder, data=None):
    name = os.path.basename(study)
    runs = {t: simulate(program, study, t, os.path.join(folder, f"{name}-{t}"), data) for t in ("inproc", "grpc")}
    for transport, run in runs.items():
        if run["transport"] != transport:
            raise SystemExit(f"FAILED: {name}: asked for {transport}, the summary says {run['transport']}")
    inproc, grpc = (runs[t]["model_digest"] for t in ("inproc", "grpc"))
    if not re.fullmatch("[0-9a-f]{64}", inproc):
        raise SystemExit(f"FAILED: {name}: model_digest is {inproc!r}; 64 hexadecimal digits would be right")
    prices = [runs[t].get("privacy", {}).get("realised") for t in ("inproc", "grpc")]
    if prices[0] != prices[1] or (name in (JOINT, JOINT_INPUTS, EVERYTHING) and not prices[0]):
        raise SystemExit(f"FAILED: {name}: the sums cost {prices}; the same, and something, would be right")
    tables = [runs[t].get("domain_weights", {}).get("tables") for t in ("inproc", "grpc")]
    if tables[0] != tables[1] or (name in (WEIGHTED, EVERYTHING) and not tables[0]):
        raise SystemExit(f"FAILED: {name}: the tables of weights are {tables}; the same ones, and some, would be right")
    if name in (SYNTHETIC, MASKED):
        check_groups(name, runs)
    print(f"{name}: inproc {inproc[:16]}, grpc {grpc[:16]}: {'same' if inproc == grpc else 'DIFFERENT'}", flush=True)
    return inproc == grpc


def summary_of(folder, study, run):
    with open(os.path.join(folder, f"{os.path.basename(study)}-{run}", "summary.json"), encoding="utf-8") as f:
        return json.load(f)


def logged(folder, study, run, event, keys):
    """What the coordinator said of an event, in order."""
    path = os.path.join(folder, f"{os.path.basename(study)}-{run}")
    lines = []
    for name in sorted(n for n in os.listdir(path) if n.endswith(".jsonl")):
        with open(os.path.join(path, name), encoding="utf-8") as f:
            lines += [json.loads(line) for line in f if f'"event":"{event}"' in line]
    return [[line[k] for k in keys] for line in lines]


def is_same_without_masks(program, study, folder):
    """Model, prices and ledgers under masks, in one process and over gRPC, and of plain sums; weights move."""
    simulate(program, study, "inproc", os.path.join(folder, f"{os.path.basename(study)}-plain"), None, ("--masks", "off"))
    runs = {run: summary_of(folder, study, run) for run in ("inproc", "grpc", "plain")}
    told = {}
    for run, s in runs.items():
        spent = [site["privacy"] for site in s["sites"]]
        for site in spent:
            del site["ledger"]["head"]  # has its times
        told[run] = (s["model_digest"], s["privacy"], spent, s["ledger"])
    weights = logged(folder, study, "inproc", "domain.weight", ("round", "domain", "weight"))
    good = told["inproc"] == told["grpc"] == told["plain"]
    print(f"{os.path.basename(study)}: without masks {told['plain'][0][:16]}, price {told['plain'][1]['epsilon']:.6f}: "
          f"{'same' if good else 'DIFFERENT'}; weights {weights}", flush=True)
    groups = logged(folder, study, "inproc", "group.weight", ("round", "value", "weight"))
    print(f"{os.path.basename(study)}: of groups {groups}", flush=True)
    has_moved = all(any(abs(w[2] - 1) > 0.02 for w in of) for of in (weights, groups))
    last = {w[1]: w[2] for w in weights}  # the log and the report: the same tables
    table = {d["domain"]: d["weight"] for d in runs["inproc"]["domain_weights"]["tables"][-1]["domains"]}
    is_reported = all(abs(table[d] - last[d]) < 1e-9 for d in last)
    same_weights = weights == logged(folder, study, "plain", "domain.weight", ("round", "domain", "weight"))
    return good and has_moved and is_reported and same_weights


def check_groups(name, runs):
    """The reported gaps are those of the records; under masks of the domains that enough sites have."""
    told = [runs[t].get("reported_gaps", []) for t in ("inproc", "grpc")]
    own = [{k: v for k, v in g.items() if k != "worst"} for g in told[0]]
    gaps = runs["inproc"]["gaps"]
    expected = [g for g in gaps if g["domain"] in {k["domain"] for k in own}]
    is_whole = name != SYNTHETIC or expected == gaps
    if told[0] != told[1] or own != expected or not is_whole or not any("eod" in g["metrics"] for g in own):
        raise SystemExit(f"FAILED: {name}: the gaps that sites report are {told}, those of the records "
                         f"{gaps}; the same ones, and some, would be right")
    print(f"{name}: {len(own)} reported gaps, as from the records")


def ends_again(program, study, folder):
    """Processes that are started on a study that has ended hear so, and end; the model is what it was."""
    out = os.path.join(folder, f"{os.path.basename(study)}-grpc")
    with open(os.path.join(out, "summary.json"), encoding="utf-8") as f:
        before = json.load(f)["model_digest"]
    after = simulate(program, study, "grpc", out, None)["model_digest"]
    print(f"{os.path.basename(study)}: started again after its end: {'same' if before == after else 'DIFFERENT'}", flush=True)
    return before == after


def rejected(folder, study, transport):
    with open(os.path.join(folder, f"{os.path.basename(study)}-{transport}", "metrics.csv"), encoding="utf-8") as f:
        return [line for line in f if ",rejected," in line]


def has_same_rejections(study, folder):
    """Rounds that were not applied, with norm and limit; some, or the study tests nothing."""
    inproc, grpc = (rejected(folder, study, t) for t in ("inproc", "grpc"))
    print(f"{os.path.basename(study)}: rows of rejected rounds: inproc {len(inproc)}, grpc {len(grpc)}")
    return len(inproc) > 0 and inproc == grpc


def main(argv):
    program, scenarios, folders = argv[1], argv[2], argv[3:]
    folders = [os.environ[v] for v in ("CONSILIUM_DATA",) if os.environ.get(v)] + folders
    data = next((d for d in folders if os.path.isdir(os.path.join(d, HEART_FILES))), None)
    with tempfile.TemporaryDirectory(prefix="consilium-transports-") as folder:
        good = []
        evaluated = ((r"(?m)^evaluation: \{every: \d+\}$", "evaluation: {every: 2}\n" + GROUPS),)
        gated = ((rf"(?m)^rounds: {ROUNDS}$", "rounds: 6"), (r"(?m)^  strategy: fedavg$", GATE))
        everything = ((rf"(?m)^rounds: {ROUNDS}$", "rounds: 5"), (r"(?m)^statistics: {every: 3,", "statistics: {every: 1,"),
                      (r"epsilon: 4.0, delta: 1.0e-4, groups", "epsilon: 8.0, delta: 1.0e-4, groups"))
        voted = ((rf"(?m)^rounds: {ROUNDS}$", "rounds: 6"), (r"(?m)^  strategy: fedavg$", VOTE),
                 (r"(?m)^evaluation: \{every: \d+\}$", "evaluation: {every: 1}"))
        masked = ((r"(?m)^evaluation: \{every: \d+\}$", MASKS + "\n" + GROUPS),)
        for source, name, changes in ((SYNTHETIC, SYNTHETIC, evaluated), (SYNTHETIC, MASKED, masked),
                                      (JOINT, JOINT, ()), (JOINT_INPUTS, JOINT_INPUTS, ()), (LANES, LANES, ()),
                                      (JOINT, GATED, gated), (SYNTHETIC, VOTED, voted),
                                      (EVERYTHING, EVERYTHING, everything)):
            short = os.path.join(folder, name)
            write_short(os.path.join(scenarios, source), short, changes)
            good.append(is_same(program, short, folder))
            if name == JOINT:
                good.append(ends_again(program, short, folder))
            if name == EVERYTHING:
                good.append(is_same_without_masks(program, short, folder))
            if name in (GATED, VOTED):
                good.append(has_same_rejections(short, folder))
        weighted = os.path.join(folder, WEIGHTED)
        with open(weighted, "w", encoding="utf-8") as f:
            f.write(WEIGHTS)
        good.append(is_same(program, weighted, folder))
        if data is None:
            print(f"SKIPPED: {', '.join(HEART)}: no folder {HEART_FILES} in CONSILIUM_DATA or {', '.join(folders)}")
        else:
            good += [is_same(program, os.path.join(scenarios, name), folder, data) for name in HEART]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
