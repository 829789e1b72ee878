#!/usr/bin/env python3
"""Writes groups.txt: the counts by patient group of a site's test records, as docs/protocol.md, "Counts by patient group",
lays them out, counted record by record. Standard library only; nothing is shared with the program.

Rows: `case CLASSES VALUES...` (so many values of each attribute), then a line `LABEL DECISION PATIENT GROUP...` for each
record (patients ascending; a group from 1, 0: of no listed value), then `counts N...`."""
import random

rng = random.Random(20261129)
out = open("groups.txt", "w")
out.write("# written by make_groups.py: see its first lines for the origin\n")


def counts(records, classes, attribute, group):
    mine = [r for r in records if r[3][attribute] == group]
    table = [sum(1 for r in mine if r[0] == label and r[1] == decision)
             for label in range(classes) for decision in range(classes)]
    return [1 if mine else 0, len({r[2] for r in mine})] + table


def case(classes, values, patients):
    records = []
    for p in range(patients):
        groups = [rng.randint(0, v) for v in values]
        for _ in range(rng.choice((1, 1, 2, 3))):
            records.append((rng.randrange(classes), rng.randrange(classes), p, groups))
    out.write("case %d %s\n" % (classes, " ".join(map(str, values))))
    for label, decision, patient, groups in records:
        out.write("%d %d %d %s\n" % (label, decision, patient, " ".join(map(str, groups))))
    vector = []
    for a, v in enumerate(values):
        for group in list(range(1, v + 1)) + [0]:  # whoever has none of the values comes last
            vector += counts(records, classes, a, group)
    out.write("counts %s\n" % " ".join(map(str, vector)))


case(2, (2,), 1)
case(2, (2,), 12)
case(2, (2, 4), 40)
case(3, (3, 2), 25)
case(5, (2, 16, 2, 3), 60)
out.close()
