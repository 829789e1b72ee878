#!/usr/bin/env python3
"""Sparse graphs (FSA-1/k): rounds of 130 hospitals, and the ceremony that draws their seed.

    test_sparse.py rounds|ceremony CONSILIUM SCENARIO

rounds: a study with `graph: sparse` over 130 synthetic hospitals gives the model that it gives without masks, to the last
bit, on graphs that are sparse indeed. ceremony: `consilium enrol epoch` for three sites, in the order that is right and in
those that are not. Exit status 0: all of that. Python 3 and its standard library only.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

SITES = 130
MASKS = "  colluding: 10\n  minimum_sites: 100\n  graph: sparse\n  losses_max: 8\n"


def run(program, *arguments, refused=None):
    """Standard output; or, of a command that must fail, that its words are in what it says."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    what = "consilium " + " ".join(arguments)
    if refused is None and done.returncode != 0:
        raise SystemExit(f"FAILED: {what} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    if refused is not None and (done.returncode == 0 or refused not in done.stderr):
        raise SystemExit(f"FAILED: {what} ended with {done.returncode} and said {done.stderr!r}; an error with "
                         f"{refused!r} would be right")
    return done.stdout


def write_study(scenario, path):
    with open(scenario, encoding="utf-8") as f:
        text = f.read()
    sites = "".join(f"    - {{id: h{k:03}, synth: {k}}}\n" for k in range(SITES))
    for pattern, words in ((r"(?m)^  colluding: .*\n  minimum_sites: .*\n  encoding: .*\n", MASKS),
                           (r"(?m)^rounds: .*$", "rounds: 1"), (r"hidden: \[.*\]", "hidden: [4]"),
                           (r"(?m)^  minimum: .*$", "  minimum: 100"),
                           (r"(?s)\nsimulation:\n.*", f"\nsimulation:\n  sites:\n{sites}")):
        text, count = re.subn(pattern, words, text)
        if count != 1:
            raise SystemExit(f"FAILED: {scenario} has {count} of {pattern}; 1 would be right")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def simulate(program, study, out, *flags):
    done = json.loads(run(program, "simulate", study, "--no-baselines", "--json", "--out", out, *flags))
    with open(os.path.join(out, "log.jsonl"), encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    return done, events


def rounds(program, scenario, folder):
    study = os.path.join(folder, "sparse.yaml")
    write_study(scenario, study)
    masked, events = simulate(program, study, os.path.join(folder, "masked"))
    plain, _ = simulate(program, study, os.path.join(folder, "plain"), "--masks", "off")
    graphs = [e for e in events if e.get("event") == "secagg.graph"]
    print(f"{SITES} sites: model {masked['model_digest'][:16]}, without masks {plain['model_digest'][:16]}; {graphs}")
    is_sparse = len(graphs) == 1 and 0 < graphs[0]["share_degree"] < SITES // 2
    return is_sparse and masked["model_digest"] == plain["model_digest"]


def enrol(program, folder, names):
    at = lambda name: os.path.join(folder, name)
    domain = ("--trust-domain", "sparse.example.org")
    run(program, "enrol", "authority", *domain, "--out", at("authority"))
    run(program, "enrol", "coordinator", *domain, "--authority", at("authority"), "--names", "localhost", "--out", at("hub"))
    run(program, "enrol", "federation", "--out", at("root"))
    for name in names:
        run(program, "enrol", "site", name, *domain, "--authority", at("authority"), "--out", at(name))
        run(program, "enrol", "roster", "add", "--roster", at("roster.yaml"), "--site", name, "--certificate",
            at(f"{name}/site.pem"), "--signing-key", at(f"{name}/signing.pub"))
    run(program, "enrol", "roster", "sign", "--federation", at("root"), "--roster", at("roster.yaml"), "--coordinator",
        at("hub/signing.pub"), "--out", at("signed"))


def join(path, parts):
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as f:
                out.write(f.read())
    return path


def ceremony(program, _, folder):
    names = ("lyon", "turin", "porto")
    at = lambda name: os.path.join(folder, name)
    enrol(program, folder, names)
    common = ("--roster", at("signed"), "--root", at("root/federation.pub"))

    def say(verb, name, *more, key=None, refused=None):
        run(program, "enrol", "epoch", verb, *common, "--site", name, "--signing-key", at(f"{key or name}/signing.key"),
            "--secret", at(f"{name}.r"), "--out", at(f"{name}.{verb}"), *more, refused=refused)

    say("commit", "lyon", key="turin", refused="another key for lyon")
    for name in names:
        say("commit", name)
    with open(at("lyon.commit"), "rb") as f:
        first = f.read()
    say("commit", "lyon", refused="lyon.commit")
    os.remove(at("lyon.commit"))
    say("commit", "lyon")  # again from the same secret: no second commitment
    with open(at("lyon.commit"), "rb") as f:
        if f.read() != first:
            raise SystemExit("FAILED: a second call committed to something else")
    if os.stat(at("lyon.r")).st_mode & 0o077:
        raise SystemExit("FAILED: others may read lyon's secret")
    run(program, "enrol", "epoch", "close", *common, "--commitments", at("turin.commit"), "--reveals", at("turin.commit"),
        "--out", at("epoch"), refused="site 1 has not")
    few = join(at("few"), [at("turin.commit"), at("porto.commit")])
    say("reveal", "turin", "--commitments", few, refused="r stays here")
    everyone = join(at("commitments"), [at(f"{n}.commit") for n in names])
    for name in names:
        say("reveal", name, "--commitments", everyone)
    two = join(at("two"), [at("lyon.reveal"), at("turin.reveal")])
    closing = ("close", *common, "--commitments", everyone)
    run(program, "enrol", "epoch", *closing, "--reveals", two, "--out", at("epoch"), refused="has not revealed")
    reveals = join(at("reveals"), [at(f"{n}.reveal") for n in names])
    run(program, "enrol", "epoch", *closing, "--reveals", reveals, "--out", at("epoch"))
    with open(at("reveals"), "r+b") as f:
        f.seek(60)
        byte = f.read(1)
        f.seek(60)
        f.write(bytes([byte[0] ^ 1]))
    run(program, "enrol", "epoch", *closing, "--reveals", reveals, "--out", at("other"), refused=at("reveals"))
    run(program, "enrol", "roster", "sign", "--federation", at("root"), "--roster", at("roster.yaml"), "--coordinator",
        at("hub/signing.pub"), "--out", at("signed"))  # the next epoch: what was said for the last is of no use
    run(program, "enrol", "epoch", *closing, "--reveals", at("epoch"), "--out", at("later"),
        refused="not an active site of this roster")
    return os.path.getsize(at("epoch")) > 0 and not os.path.exists(at("other")) and not os.path.exists(at("later"))


def main(argv):
    part = {"rounds": rounds, "ceremony": ceremony}[argv[1]]
    with tempfile.TemporaryDirectory(prefix="consilium-sparse-") as folder:
        return 0 if part(argv[2], argv[3], folder) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
