#!/usr/bin/env python3
"""Writes strategies.csv: two rounds of each server strategy on one parameter, from the published
recurrences (Reddi et al. 2021, Algorithm 2; Hsu et al. 2019; Karimireddy et al. 2020, Algorithm 1)
in 50-digit decimal arithmetic, standard library only. D is the sites' weighted mean update, C the
mean control change; s and t are the strategy's two state vectors (0 where it has none)."""
from decimal import Decimal as D
from decimal import getcontext

getcontext().prec = 50
ROWS = [  # strategy, rate, momentum, beta1, beta2, tau, participation, x0, D1, C1, D2, C2
    ("fedavg", "1", "0", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("fedavg", ".5", "0", "0", "0", "0", "1", "-2", ".125", "0", "3", "0"),
    ("fedprox", "1", "0", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("fednova", ".5", "0", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("cyclic", ".5", "0", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("fedavgm", "1", "0", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("fedavgm", "1.000000001", "0", "0", "0", "0", "1", "1", ".505", "0", ".595", "0"),
    ("fedavgm", "1", ".9", "0", "0", "0", "1", "1", ".5", "0", "-.25", "0"),
    ("fedavgm", ".3", ".5", "0", "0", "0", "1", "-4", "2", "0", "2", "0"),
    ("fedadam", ".1", "0", ".9", ".999", ".001", "1", "1", ".5", "0", "-.25", "0"),
    ("fedadam", ".01", "0", ".9", ".999", ".00000001", "1", ".2", "-.003", "0", "-.001", "0"),
    ("fedyogi", ".1", "0", ".9", ".999", ".001", "1", "1", ".5", "0", "-.25", "0"),
    ("fedyogi", ".1", "0", ".9", ".999", ".001", "1", "1", ".5", "0", ".001", "0"),
    ("fedyogi", ".1", "0", ".9", ".999", ".001", "1", "1", ".5", "0", "0", "0"),
    ("fedadagrad", ".1", "0", ".9", ".999", ".001", "1", "1", ".5", "0", "-.25", "0"),
    ("fedadagrad", ".316228", "0", ".9", ".999", ".00000001", "1", ".2", "-.003", "0", ".04", "0"),
    ("scaffold", "1", "0", "0", "0", "0", "1", "1", ".5", ".125", "-.25", ".5"),
    ("scaffold", ".5", "0", "0", "0", "0", ".25", "1", ".5", ".125", "-.25", "-1"),
]


def step(name, p, x, s, t, d, c):
    rate, momentum, beta1, beta2, tau, participation = p
    if name in ("fedavg", "fedprox", "fednova"):
        return x + rate * d, s, t
    if name == "cyclic":
        return x + d, s, t
    if name == "fedavgm":
        s = momentum * s + d
        return x + rate * s, s, t
    if name == "scaffold":
        return x + rate * d, s + participation * c, t
    s = beta1 * s + (1 - beta1) * d
    if name == "fedadam":
        t = beta2 * t + (1 - beta2) * d * d
    elif name == "fedyogi":
        sign = (t > d * d) - (t < d * d)
        t = t - (1 - beta2) * d * d * sign
    else:
        t = t + d * d
    return x + rate * s / (t.sqrt() + tau), s, t


with open("strategies.csv", "w") as out:
    out.write("# written by make_strategies.py: see its first lines for the origin\n")
    out.write("strategy,rate,momentum,beta1,beta2,tau,participation,x0,"
              "D1,C1,x1,s1,t1,D2,C2,x2,s2,t2\n")
    for row in ROWS:
        p = [D(v) for v in row[1:7]]
        x0, d1, c1, d2, c2 = (D(v) for v in row[7:])
        x1, s1, t1 = step(row[0], p, x0, D(0), D(0), d1, c1)
        x2, s2, t2 = step(row[0], p, x1, s1, t1, d2, c2)
        values = p + [x0, d1, c1, x1, s1, t1, d2, c2, x2, s2, t2]
        out.write(row[0] + "," + ",".join("%.17g" % v for v in values) + "\n")
