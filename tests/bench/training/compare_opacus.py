#!/usr/bin/env python3
"""Private steps of ours beside PyTorch with Opacus on this machine's CPU, in one run.

    compare_opacus.py PATH/TO/bench_private [--venv DIR]

Makes a virtual environment, installs torch and opacus by name, and times steps of the same MLP and CNN on the same shapes:
Poisson batches of 256 expected out of 2,048 records, SGD, noise multiplier 1, clip 1. Theirs three times: an ordinary step, the
default mode of Opacus (per-sample gradients by hooks) and its ghost clipping. Batches are drawn and collated outside the time.
Noise: ours is a discrete Gaussian from a cryptographic generator, theirs torch.normal. CPU time on one thread, wall time on two;
the best of a few rounds of steps. Skipped, with exit status 77, where the package registry cannot be reached. Figures for people;
nothing is asserted.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import venv

THEIRS = r"""
import sys, time, warnings
import torch
warnings.filterwarnings("ignore")
from torch import nn
from opacus import PrivacyEngine

threads = int(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(1)
clock = time.process_time if threads == 1 else time.perf_counter


def stage(channels, outputs):
    return [nn.Conv2d(channels, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU(), nn.MaxPool2d(2)]


def mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn():
    return nn.Sequential(*stage(1, 16), *stage(16, 32), *stage(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(64, 10))


for make, shape in ((mlp, (784,)), (cnn, (1, 28, 28))):
    data = torch.utils.data.TensorDataset(torch.randn(2048, *shape), torch.randint(0, 10, (2048,)))
    row = []
    for mode in ("ordinary", "hooks", "ghost"):
        model, criterion = make(), nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        loader = torch.utils.data.DataLoader(data, batch_size=256, shuffle=True)
        if mode != "ordinary":
            engine = PrivacyEngine()
            made = engine.make_private(module=model, optimizer=optimizer, criterion=criterion, data_loader=loader,
                                       noise_multiplier=1.0, max_grad_norm=1.0, grad_sample_mode=mode)
            if mode == "ghost":
                model, optimizer, criterion, loader = made
            else:
                model, optimizer, loader = made
        batches = list(loader)
        best = float("inf")
        for repeat in range(6):
            start = clock()
            for x, y in batches:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
            if repeat > 0:
                best = min(best, (clock() - start) / len(batches))
        row.append("%.4f" % (best * 1e3))
    print(",".join(row))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_private")
    parser.add_argument("--venv", default=os.path.join(tempfile.gettempdir(), "consilium-opacus"))
    arguments = parser.parse_args()
    python = os.path.join(arguments.venv, "bin", "python")
    if not os.path.exists(python):
        venv.create(arguments.venv, with_pip=True)
    if subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "opacus"]).returncode != 0:
        print("SKIPPED: torch and opacus could not be installed; the package registry has to be reachable")
        return 77
    versions = subprocess.run([python, "-c", "import importlib.metadata as m; print(m.version('torch'), m.version('opacus'))"],
                              check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    ours = subprocess.run([arguments.bench_private, "csv"], check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = [[float(x) for x in line.split(",")] for line in ours.split()]
    print("torch %s, opacus %s; ms of one step, batch 256" % tuple(versions))
    print("%-20s %7s | %9s %9s %9s | %9s %9s | %s" % ("net", "threads", "torch", "hooks", "ghost", "ordinary", "private",
                                                     "ours faster than hooks, ghost; ordinary than torch"))
    for threads in (1, 2):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        theirs = subprocess.run([python, "-c", THEIRS, str(threads)], check=True, stdout=subprocess.PIPE, text=True,
                                env=environment).stdout
        for i, line in enumerate(theirs.split()):
            plain, hooks, ghost = (float(x) for x in line.split(","))
            row = next(r for r in ours if r[0] == i and r[1] == threads)
            ordinary, private = (row[2], row[3]) if threads == 1 else (row[7], row[8])
            print("%-20s %7d | %9.2f %9.2f %9.2f | %9.2f %9.2f | %.1f, %.1f; %.1f" % (
                ("mlp 784-256-128-10", "cnn 16-32-64")[i], threads, plain, hooks, ghost, ordinary, private, hooks / private,
                ghost / private, plain / ordinary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
