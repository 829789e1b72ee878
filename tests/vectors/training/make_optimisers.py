#!/usr/bin/env python3
"""Writes optimisers.txt: steps of every optimiser and rates of every schedule, from the formulas of
the papers in 50 decimal digits. Run in this folder.

sgd, momentum: Sutskever et al. 2013 in the form of torch.optim.SGD (no damping, no Nesterov).
adam: Kingma and Ba 2015, algorithm 1. adamw: Loshchilov and Hutter 2019, algorithm 2, lines 9-12
with the rate as in torch.optim.AdamW: w -= rate * (m_hat / (sqrt(v_hat) + epsilon) + decay * w).
l2 is added to the gradient as l2 * w. cosine: Loshchilov and Hutter 2017, equation 5.

  case NAME KIND RATE MOMENTUM BETA1 BETA2 EPSILON L2 DECAY
  schedule KIND WARMUP STEPS FLOOR EVERY FACTOR
  start W W W
  step G G G W W W     the gradient, and the weights after the step
"""
from decimal import Decimal as D, getcontext

getcontext().prec = 50
PI = D("3.14159265358979323846264338327950288419716939937510")


def cos(x):
    term, total, n = D(1), D(1), 0
    while abs(term) > D("1e-45"):
        n += 2
        term *= -x * x / (n * (n - 1))
        total += term
    return total


def rate_at(s, rate, k):
    kind, warmup, steps, floor, every, factor = s
    if k < warmup:
        return rate * (k + 1) / (warmup + 1)
    at = k - warmup
    if kind == "cosine":
        part = (1 + cos(PI * at / (steps - warmup))) / 2 if at < steps - warmup else D(0)
        return rate * (floor + (1 - floor) * part)
    if kind == "step":
        return rate * factor ** (at // every)
    return rate


# Exact in binary32.
START = [D("0.5"), D("-1.25"), D("3")]
GRADIENTS = [[D(a) for a in row.split()] for row in (
    "0.25 -0.5 2", "-1 0.125 0.5", "0 0 -4", "0.75 3 0.0625", "-0.25 -0.5 1", "1.5 0 -0.5", "0.5 0.5 0.5",
    "-2 1 0.25")]
FLAT = ("constant", 0, 0, D(0), 0, D(0))
M, B1, B2, E = D("0.9"), D("0.9"), D("0.999"), D("1e-8")
CASES = [
    ("plain", "sgd", D("0.1"), D(0), D(0), FLAT),
    ("ridge", "sgd", D("0.1"), D("0.3"), D(0), FLAT),
    ("momentum", "momentum", D("0.05"), D(0), D(0), FLAT),
    ("momentum-ridge-step", "momentum", D("0.05"), D("0.2"), D(0), ("step", 0, 0, D(0), 3, D("0.5"))),
    ("adam", "adam", D("0.01"), D(0), D(0), FLAT),
    ("adam-ridge", "adam", D("0.01"), D("0.1"), D(0), FLAT),
    ("adam-warm", "adam", D("0.01"), D(0), D(0), ("constant", 3, 0, D(0), 0, D(0))),
    ("adamw", "adamw", D("0.01"), D(0), D("0.5"), FLAT),
    ("adamw-cosine", "adamw", D("0.02"), D(0), D("0.1"), ("cosine", 2, 8, D("0.1"), 0, D(0))),
    ("sgd-cosine", "sgd", D("0.2"), D(0), D(0), ("cosine", 0, 6, D(0), 0, D(0))),
]


def write(out, case):
    name, kind, rate, l2, decay, schedule = case
    w, m, v = list(START), [D(0)] * 3, [D(0)] * 3
    out.write(f"case {name} {kind} {rate} {M} {B1} {B2} {E} {l2} {decay}\n")
    out.write("schedule " + " ".join(str(x) for x in schedule) + "\n")
    out.write("start " + " ".join(str(x) for x in w) + "\n")
    for k, row in enumerate(GRADIENTS):
        r = rate_at(schedule, rate, k)
        for i in range(3):
            g = row[i] + l2 * w[i]
            if kind == "sgd":
                w[i] -= r * g
            elif kind == "momentum":
                m[i] = M * m[i] + g
                w[i] -= r * m[i]
            else:
                m[i] = B1 * m[i] + (1 - B1) * g
                v[i] = B2 * v[i] + (1 - B2) * g * g
                m_hat, v_hat = m[i] / (1 - B1 ** (k + 1)), v[i] / (1 - B2 ** (k + 1))
                w[i] -= r * (m_hat / (v_hat.sqrt() + E) + decay * w[i])
        out.write("step " + " ".join(str(x) for x in row) + " " + " ".join(f"{x:.17g}" for x in w) + "\n")


with open("optimisers.txt", "w") as out:
    out.write("# Made by make_optimisers.py, which says what the lines are and where they come from.\n")
    for case in CASES:
        write(out, case)
