#!/usr/bin/env python3
"""Writes metrics.txt: expected values of aggregation/evaluate from other implementations.

AUC, balanced accuracy, recall, F1, log loss, Brier: scikit-learn 1.9.1. Wilson's interval: scipy
1.17.1. C-index: lifelines 0.30.3. DeLong's interval and the calibration error: written out below
from their definitions over all pairs of patients (numpy 2.4.6), a different way than the sorted
scores of the library. Rows: `case KIND NAME n classes`, n lines of data, `expect METRIC value low
high` (nan: no such figure; the interval is not compared), `end`."""
import math

import numpy as np
from lifelines.utils import concordance_index
from scipy.stats import binomtest
from sklearn import metrics as sk

rng = np.random.default_rng(20240601)
Z = 1.959963984540054
out = open("metrics.txt", "w")
out.write("# written by make_metrics.py: see its first lines for the origin\n")


def expect(name, value, low=math.nan, high=math.nan):
    out.write("expect %s %.15g %.15g %.15g\n" % (name, value, low, high))


def wilson(name, hits, n):
    ci = binomtest(int(hits), int(n)).proportion_ci(0.95, method="wilson")
    expect(name, hits / n, ci.low, ci.high)


def placements(pos, neg):
    """[m, n] matrix of wins, ties half."""
    return (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])


def logit_interval(a, variance):
    half = Z * math.sqrt(variance) / (a * (1 - a))
    centre = math.log(a / (1 - a))
    return 1 / (1 + math.exp(-(centre - half))), 1 / (1 + math.exp(-(centre + half)))


def delong(s, y):
    w = placements(s[y == 1], s[y == 0])
    v10, v01 = w.mean(axis=1), w.mean(axis=0)
    return w.mean(), v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)


def macro_delong(p, y):
    """Mean of one-versus-rest AUCs and its variance: influences by class, from all pairs."""
    present = np.unique(y)
    g, total = np.zeros(len(y)), 0.0
    for c in present:
        w = placements(p[y == c, c], p[y != c, c])
        total += w.mean() / len(present)
        g[y == c] += w.mean(axis=1) / w.shape[0] / len(present)
        g[y != c] += w.mean(axis=0) / w.shape[1] / len(present)
    variance = sum((y == c).sum() * g[y == c].var(ddof=1) for c in present)
    return total, variance


def ece(confidence, right):
    bins = np.minimum((confidence * 15).astype(int), 14)
    return sum(abs((right - confidence)[bins == b].sum()) for b in range(15)) / len(right)


def binary(name, s, y):
    s, y = np.asarray(s, np.float32), np.asarray(y)
    out.write("case binary %s %d 2\n" % (name, len(y)))
    for a, b in zip(s, y):
        out.write("%.9g %d\n" % (a, b))
    s = s.astype(np.float64)
    hat = (s > 0.5).astype(int)
    wilson("accuracy", (hat == y).sum(), len(y))
    if y.any():
        wilson("sensitivity", ((hat == 1) & (y == 1)).sum(), (y == 1).sum())
    if not y.all():
        wilson("specificity", ((hat == 0) & (y == 0)).sum(), (y == 0).sum())
    if y.any() and not y.all():
        a, variance = delong(s, y)
        assert abs(a - sk.roc_auc_score(y, s)) < 1e-12
        ordinary = 0 < a < 1 and min(y.sum(), (1 - y).sum()) > 1 and variance > 0
        expect("auc", a, *(logit_interval(a, variance) if ordinary else (math.nan, math.nan)))
        expect("balanced_accuracy", sk.balanced_accuracy_score(y, hat))
        expect("macro_f1", sk.f1_score(y, hat, average="macro"))
    expect("ece", ece(s, y))
    expect("brier", sk.brier_score_loss(y, s, pos_label=1))
    expect("log_loss", sk.log_loss(y, s, labels=[0, 1]))
    out.write("end\n")


def classes(name, p, y):
    p, y = np.asarray(p, np.float32), np.asarray(y)
    k = p.shape[1]
    out.write("case classes %s %d %d\n" % (name, len(y), k))
    for row, b in zip(p, y):
        out.write(" ".join("%.9g" % v for v in row) + " %d\n" % b)
    p = p.astype(np.float64)
    hat, present = p.argmax(axis=1), np.unique(y)
    wilson("accuracy", (hat == y).sum(), len(y))
    if len(present) > 1:
        a, variance = macro_delong(p, y)
        assert abs(a - np.mean([sk.roc_auc_score(y == c, p[:, c]) for c in present])) < 1e-12
        expect("auc", a, *logit_interval(a, variance))
        expect("balanced_accuracy",
               np.mean(sk.recall_score(y, hat, labels=present, average=None, zero_division=0)))
        expect("sensitivity", sk.recall_score(y, hat, labels=present, average="macro"))
        expect("specificity",
               np.mean([sk.recall_score(y != c, hat != c) for c in present]))
        expect("macro_f1", sk.f1_score(y, hat, labels=present, average="macro"))
    expect("ece", ece(p.max(axis=1), hat == y))
    expect("brier", ((p - np.eye(k)[y]) ** 2).sum(axis=1).mean())
    expect("log_loss", -np.log(p[np.arange(len(y)), y]).mean())
    out.write("end\n")


def survival(name, risk, time, event):
    risk, time = np.asarray(risk, np.float32), np.asarray(time, np.float32)
    out.write("case survival %s %d 0\n" % (name, len(risk)))
    for a, b, c in zip(risk, time, event):
        out.write("%.9g %.9g %d\n" % (a, b, c))
    try:
        expect("c_index", concordance_index(time, -risk.astype(np.float64), event))
    except ZeroDivisionError:
        pass
    out.write("end\n")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


y = rng.integers(0, 2, 200)
binary("continuous", sigmoid(rng.normal(size=200) * 1.3 + 1.2 * (y - 0.5)), y)
y = (rng.random(300) < 0.15).astype(int)
binary("ties", np.round(sigmoid(rng.normal(size=300) + 1.5 * y - 1), 1) * 0.98 + 0.01, y)
binary("one-negative", rng.random(16) * 0.9 + 0.05, [1] * 9 + [0] + [1] * 6)
binary("one-positive", [.2, .3, .35, .8, .41, .7, .1, .22], [0, 0, 0, 0, 0, 1, 0, 0])
binary("perfect", [.1, .2, .3, .4, .6, .7, .8, .9], [0, 0, 0, 0, 1, 1, 1, 1])
binary("inverted", [.9, .8, .7, .6, .4, .3, .2, .1], [0, 0, 0, 0, 1, 1, 1, 1])
binary("all-positive", [.9, .4, .7, .6, .55, .51], [1] * 6)
binary("all-negative", [.9, .4, .7, .6, .55, .51], [0] * 6)
binary("constant", [.3] * 20, [0, 1, 1, 0, 0] * 4)
binary("one-patient", [.75], [1])
y = rng.integers(0, 3, 150)
classes("three", softmax(rng.normal(size=(150, 3)) + 1.2 * np.eye(3)[y]), y)
y = rng.choice(5, 240, p=[.5, .25, .15, 0, .1])
classes("absent-class", np.round(softmax(rng.normal(size=(240, 5)) + np.eye(5)[y]), 2) + 1e-3, y)
s = np.round(sigmoid(rng.normal(size=80)), 2)
y = rng.integers(0, 2, 80)
classes("two", np.stack([1 - s, s], axis=1), y)
classes("one-class", softmax(rng.normal(size=(7, 3))), [1] * 7)
risk = rng.normal(size=120)
survival("continuous", risk, rng.exponential(np.exp(-risk)), rng.random(120) < 0.4)
risk = np.round(rng.normal(size=200), 1)
survival("ties", risk, np.ceil(4 * rng.exponential(np.exp(-0.7 * risk))), rng.random(200) < 0.5)
survival("all-events", rng.normal(size=40), rng.integers(1, 9, 40), np.ones(40, bool))
survival("one-event", rng.normal(size=11), rng.integers(1, 20, 11), np.arange(11) == 4)
survival("last-event", [1, 2, 3, 4], [1, 2, 3, 4], [False, False, False, True])
survival("no-event", [1, 2, 3], [1, 2, 3], [False] * 3)
survival("tied-event-censored", [2, 1, 1.5, 0.5], [5, 5, 5, 5], [True, False, True, False])
out.close()
