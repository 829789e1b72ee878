#!/usr/bin/env python3
"""Writes fairness.txt: gaps between patient groups, patient by patient from their definitions.

PP, EOD, FPR gap, F1 gap, sigma F1, F1_ES, Acc_ES as FairGRPO (QoQ-Med) reports them: per class one
versus rest over the fixed list of classes, mean over the classes whose rate has a denominator in
the group, then over the groups; sigma is the sample standard deviation; F1 and accuracy that are
scaled are of all patients. Every rate is counted here from the list of patients with fractions,
never from a confusion matrix. Standard library only.

Rows: `case NAME classes groups`, then `group LABEL DECISION COUNT` lines as `g label decision n`
(g = groups: of no known group), `-`, `expect METRIC value` and `end`. `scaled VALUE SD RESULT` is
the published check of the equity scaling, in per cent."""
import random
from fractions import Fraction
from statistics import mean, stdev

rng = random.Random(20260601)
out = open("fairness.txt", "w")
out.write("# written by make_fairness.py: see its first lines for the origin\n")


def share(hits, of):
    return Fraction(hits, of) if of else None


def per_class(people, c):
    tp = sum(1 for y, d in people if y == c and d == c)
    fp = sum(1 for y, d in people if y != c and d == c)
    fn = sum(1 for y, d in people if y == c and d != c)
    tn = len(people) - tp - fp - fn
    return {"fdr": share(fp, tp + fp), "tpr": share(tp, tp + fn), "fpr": share(fp, fp + tn),
            "f1": share(2 * tp, 2 * tp + fp + fn)}


def macro(people, classes, rate):
    known = [r for r in (per_class(people, c)[rate] for c in range(classes)) if r is not None]
    return sum(known) / len(known) if known else None


def accuracy(people):
    return share(sum(1 for y, d in people if y == d), len(people))


def gap(values):
    known = [v for v in values if v is not None]
    return max(known) - min(known) if len(known) > 1 else None


def case(name, classes, groups, rest):
    out.write("case %s %d %d\n" % (name, classes, len(groups)))
    for g, people in enumerate(groups + [rest]):
        for y in range(classes):
            for d in range(classes):
                n = sum(1 for p in people if p == (y, d))
                if n:
                    out.write("%d %d %d %d\n" % (g, y, d, n))
    out.write("-\n")
    filled = [g for g in groups if g]
    everyone = [p for g in groups + [rest] for p in g]
    f1 = [float(macro(g, classes, "f1")) for g in filled]
    acc = [float(accuracy(g)) for g in filled]
    found = {"pp": gap([macro(g, classes, "fdr") for g in filled]),
             "eod": gap([macro(g, classes, "tpr") for g in filled]),
             "fpr_gap": gap([macro(g, classes, "fpr") for g in filled]),
             "f1_gap": gap([macro(g, classes, "f1") for g in filled])}
    if len(filled) > 1:
        found["f1_sd"] = stdev(f1)
        found["f1_es"] = float(macro(everyone, classes, "f1")) / (1 + stdev(f1))
        found["accuracy_es"] = float(accuracy(everyone)) / (1 + stdev(acc))
    if classes == 2:
        for metric, rate in (("pp", "fdr"), ("eod", "tpr"), ("fpr_gap", "fpr")):
            found[metric + "_positive"] = gap([per_class(g, 1)[rate] for g in filled])
    for metric, value in found.items():
        if value is not None:
            out.write("expect %s %.15g\n" % (metric, value))
    out.write("end\n")


def people(n, classes, skill):
    drawn = []
    for _ in range(n):
        y = rng.randrange(classes)
        drawn.append((y, y if rng.random() < skill else rng.randrange(classes)))
    return drawn


out.write("scaled 80.40 4.11 77.23\n")
case("two-equal", 2, [people(40, 2, .7)] * 2, [])
case("two-unequal", 2, [people(60, 2, .9), people(25, 2, .3)], people(7, 2, .5))
# sensitivity of one group traded for specificity: nothing in the macro mean, all in class 1
case("traded", 2, [[(1, 1)] * 9 + [(1, 0)] * 1 + [(0, 0)] * 6 + [(0, 1)] * 4,
                   [(1, 1)] * 6 + [(1, 0)] * 4 + [(0, 0)] * 9 + [(0, 1)] * 1], [])
case("never-decided", 3, [[(0, 0)] * 5 + [(1, 0)] * 5 + [(2, 0)] * 2, people(30, 3, .8)], [])
case("class-missing", 3, [[(0, 0)] * 5 + [(1, 1)] * 4 + [(0, 2)] * 2, people(30, 3, .6)], [])
case("one-empty", 4, [people(50, 4, .8), [], people(20, 4, .4)], people(3, 4, .5))
for k in range(8):
    c = rng.choice([2, 3, 5, 8])
    case("random-%d" % k, c, [people(rng.randrange(5, 80), c, rng.random())
                              for _ in range(rng.randrange(2, 7))], people(rng.randrange(20), c, .5))
