#!/usr/bin/env python3
"""Seven hospitals, each with another kind of record, train one model by blocks.

    test_mixed.py CONSILIUM SCENARIO [DATA-FOLDER...]

The scenario runs for a few rounds in one process and as one process per site over gRPC: the models are the same, every
domain is learned, and the files that each site keeps of its last download and its last upload have exactly the length of the
blocks it has data for. Exit status 0: so it is; 77: the data is not there. Python 3 and its standard library only.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

ROUNDS = 2
FILES = ("pneumoniamnist", "breastmnist", "ptbxl-500", "physionet2012-icu", "mts-dialog", "uci-heart-disease")
# What each site has data for, by block of the model.
BLOCKS = {
    "guangzhou": ("pneumonia", "input.xray"),
    "cairo": ("breast", "input.ultrasound"),
    "berlin": ("rhythm", "input.ecg", "input.age"),
    "boston": ("mortality", "input.icu", "input.age"),
    "clinic": ("section", "input.dialogue"),
    "cleveland": ("coronary", "input.examination", "input.age"),
    "hungary": ("coronary", "input.examination", "input.age"),
}
DIGEST_BYTES = 32


def find_data(folders):
    for folder in [os.environ.get("CONSILIUM_DATA", "")] + folders:
        if folder and all(os.path.isdir(os.path.join(folder, name)) for name in FILES):
            return folder
    print(f"SKIPPED: no folder with {', '.join(FILES)} in CONSILIUM_DATA or {', '.join(folders)}")
    sys.exit(77)


def simulate(program, scenario, data, transport, out):
    command = [program, "simulate", scenario, "--data", data, "--transport", transport, "--rounds", str(ROUNDS),
               "--no-baselines", "--json", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def block_counts(program, out):
    """Parameters of each block, from the names and shapes of the released model's tensors."""
    path = os.path.join(out, "model.safetensors")
    subprocess.run([program, "model", "export", os.path.join(out, "model.h5"), "--format", "safetensors", "--out", path],
                   check=True, capture_output=True)
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    counts = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        parts = name.split(".")
        block = ".".join(parts[:2] if parts[0] == "input" else parts[:1])
        count = 1
        for size in tensor["shape"]:
            count *= size
        counts[block] = counts.get(block, 0) + count
    return counts


def size_of_one(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        raise SystemExit(f"FAILED: {len(found)} files {pattern}; 1 would be right")
    return os.path.getsize(found[0])


def main():
    program, scenario, data = sys.argv[1], sys.argv[2], find_data(sys.argv[3:])
    with tempfile.TemporaryDirectory(prefix="consilium-mixed-") as folder:
        outs = {t: os.path.join(folder, t) for t in ("inproc", "grpc")}
        results = {t: simulate(program, scenario, data, t, out) for t, out in outs.items()}
        digests = {t: r["model_digest"] for t, r in results.items()}
        if digests["inproc"] != digests["grpc"]:
            raise SystemExit(f"FAILED: {digests}")
        counts = block_counts(program, outs["grpc"])
        named = {block for blocks in BLOCKS.values() for block in blocks}
        if set(counts) != named:
            raise SystemExit(f"FAILED: the model has the blocks {sorted(counts)}; {sorted(named)} would be right")
        for site, blocks in BLOCKS.items():
            own = 4 * sum(counts[block] for block in blocks)
            kept = os.path.join(outs["grpc"], "state", "*", "sites", site, "state", "blobs")
            sizes = (size_of_one(os.path.join(kept, "model-*")), size_of_one(os.path.join(kept, "update-*")))
            right = (own + DIGEST_BYTES * len(counts), own)
            if sizes != right:
                raise SystemExit(f"FAILED: {site} keeps a download and an upload of {sizes} bytes; {right} would be right")
            print(f"{site:10} downloads {sizes[0]:8} and uploads {sizes[1]:8} bytes of {4 * sum(counts.values())}")
        aucs = {d["id"]: d["metrics"].get("auc", {}).get("value", 0) for d in results["grpc"]["domains"]}
        heads = {block for blocks in BLOCKS.values() for block in blocks if not block.startswith("input.")}
        if set(aucs) != heads or min(aucs.values()) < 0.7:
            raise SystemExit(f"FAILED: AUC after {ROUNDS} rounds: {aucs}; 0.7 for each of {sorted(heads)} would be right")
    print(f"model {digests['grpc']} by both transports")


if __name__ == "__main__":
    main()
