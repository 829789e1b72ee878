#!/usr/bin/env python3
"""Our bracket of epsilon beside that of dp-accounting, in one run on this machine.

    compare_dp_accounting.py PATH/TO/bench_account [--venv DIR]

Makes a virtual environment, installs dp-accounting by name, and prints for 10,000 Poisson-sampled Gaussian steps (q .01,
sigma 1, delta 1e-5) and each discretisation interval: the time for the upper and the lower bound together and the gap between
them, theirs and ours. One core each; the fastest of several runs of ours, the fastest of three of theirs (of one below 5e-5).
Figures for people; nothing is asserted.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import venv

THEIRS = r"""
import logging, sys, time
logging.disable(logging.WARNING)
from dp_accounting.pld import privacy_loss_distribution as p
for text in sys.argv[1:]:
    h, best = float(text), float("inf")
    for _ in range(1 if h < 5e-5 else 3):
        start = time.perf_counter()
        bounds = []
        for pessimistic in (True, False):
            one = p.from_gaussian_mechanism(1.0, value_discretization_interval=h, sampling_prob=0.01,
                                            pessimistic_estimate=pessimistic)
            bounds.append(one.self_compose(10000).get_epsilon_for_delta(1e-5))
        best = min(best, time.perf_counter() - start)
    print("%s,%.4f,%.9f,%.9f" % (text, best * 1e3, bounds[0], bounds[1]))
"""


def rows(text):
    return [[float(x) for x in line.split(",")] for line in text.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_account")
    parser.add_argument("--venv", default=os.path.join(tempfile.gettempdir(), "consilium-dp-accounting"))
    arguments = parser.parse_args()
    python = os.path.join(arguments.venv, "bin", "python")
    if not os.path.exists(python):
        venv.create(arguments.venv, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "dp-accounting"], check=True)
    one_core = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    ours = rows(subprocess.run([arguments.bench_account, "csv"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    own, ours = ours[0], ours[1:]
    names = ["%g" % row[0] for row in ours]
    theirs = rows(subprocess.run([python, "-c", THEIRS] + names, check=True, stdout=subprocess.PIPE, text=True,
                                 env=one_core).stdout)
    version = subprocess.run([python, "-c", "import importlib.metadata as m; print(m.version('dp-accounting'))"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    print("10,000 steps, q .01, sigma 1, delta 1e-5; the exact value is 6.187712390; dp-accounting %s" % version)
    print("%-9s | %10s %9s %9s %8s | %9s %9s %9s %8s | %s" % ("interval", "theirs ms", "upper", "lower", "gap %", "ours ms",
                                                            "upper", "lower", "gap %", "times faster"))
    for a, b in zip(theirs, ours):
        print("%-9g | %10.1f %9.5f %9.5f %8.3f | %9.2f %9.5f %9.5f %8.4f | %.0f" % (
            a[0], a[1], a[2], a[3], 100 * (a[2] - a[3]) / a[2], b[1], b[2], b[3], 100 * (b[2] - b[3]) / b[2], a[1] / b[1]))
    finest = theirs[-1]
    print("ours on the grid that csl_account chooses (%.2g): %.2f ms with a gap of %.3f %%, %.0f times faster than theirs at %g" % (
        own[0], own[1], 100 * (own[2] - own[3]) / own[2], finest[1] / own[1], finest[0]))


if __name__ == "__main__":
    sys.exit(main())
