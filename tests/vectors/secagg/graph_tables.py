#!/usr/bin/env python3
"""Degrees and thresholds of the sparse graphs of FSA-1/k, from Python's integers.

    graph_tables.py            writes graph_tables.h beside this file
    graph_tables.py --check    exit 1 when that file is not what would be written

Independent of privacy/secagg/graph_bound.c: binomial coefficients from math.comb, every tail summed anew. The rows of the
design (section 1.7) are in here as the design prints them, and asserted.
"""
import os
import random
import sys
from math import comb

SECRET_BITS, LIVE_BITS = 57, 20

# (c, n, share k_s,t_k at 5, 10, 20 % lost, D_post at k = 96, 128, 160, 200, 256); None: complete. Section 1.7.
DEGREES = (96, 128, 160, 200, 256)
DESIGN = (
    (66, 200, ((58, 48), (74, 54), (98, 62)), (11, 29, 49, None, None)),
    (100, 300, ((70, 56), (88, 65), (122, 78)), (7, 23, 39, 61, 97)),
    (333, 1000, ((94, 74), (120, 87), (186, 118)), (5, 15, 29, 47, 75)),
    (30, 300, ((36, 24), (42, 25), (56, 28)), (43, 71, 99, 139, 195)),
    (100, 1000, ((44, 30), (54, 33), (76, 38)), (35, 59, 83, 115, 159)),
)


def upper(total, marked, drawn, t):
    """C(total, drawn) times P[t or more marked]."""
    return sum(comb(marked, x) * comb(total - marked, drawn - x) for x in range(max(t, 0), min(marked, drawn) + 1))


def threshold(total, marked, drawn, unions, bits):
    """The smallest t, by bisection: the tail falls with t, and that of drawn + 1 is 0."""
    everything, low, high = comb(total, drawn), 0, drawn + 1
    while low < high:
        middle = (low + high) // 2
        if upper(total, marked, drawn, middle) * unions << bits <= everything:
            high = middle
        else:
            low = middle + 1
    return low


def losses(n, c, k, rings=1):
    """-1: not even none; n: the graph is complete."""
    if k + 1 >= n:
        return n
    window, everything, honest, few = k // 2, comb(n, k // 2), -1, 0
    # The largest H with P[H or fewer honest sites in a window] * windows <= 2^-57.
    for h in range(window + 1):
        few += comb(n - c, h) * comb(c, window - h)
        if few * n * rings << SECRET_BITS > everything:
            break
        honest = h
    return 2 * honest + 1


def share(n, c, lost):
    for k in range(2, n, 2):
        t = threshold(n - 1, c, k, n, SECRET_BITS)
        if t <= k and upper(n - 1, lost, k, k - t + 1) * n << LIVE_BITS <= comb(n - 1, k):
            return k, t
    return 0, 0


def rows():
    masks, shares = [], []
    for c, n, pairs, caps in DESIGN:
        for k, cap in zip(DEGREES, caps):
            actual = losses(n, c, k)
            assert cap is None or actual == cap, (c, n, k, actual, cap)
            masks.append((n, c, k, 1, actual))
        for percent, pair in zip((5, 10, 20), pairs):
            actual = share(n, c, n * percent // 100)
            assert actual == pair, (c, n, percent, actual, pair)
            shares.append((n, c, n * percent // 100) + actual)
    draw = random.Random(17)
    for _ in range(120):
        n = draw.randint(129, 1024)
        c = draw.randint(0, n // 2)
        k = 2 * draw.randint(8, 160)
        rings = draw.choice((1, 1, 2, 65))
        masks.append((n, c, k, rings, losses(n, c, k, rings)))
    tails = []
    for _ in range(120):
        total = draw.randint(1, 1024)
        marked, drawn = draw.randint(0, total), draw.randint(0, total)
        unions, bits = draw.choice((1, 7, 1024, 1 << 17)), draw.choice((0, 1, 20, 57))
        tails.append((total, marked, drawn, unions, bits, threshold(total, marked, drawn, unions, bits)))
    tails += [(t, m, d, 1 << 17, 57, threshold(t, m, d, 1 << 17, 57)) for t, m, d in
              ((1024, 512, 512), (1024, 1024, 512), (1024, 0, 512), (1024, 512, 1024), (1, 1, 1), (1, 0, 0))]
    return masks, shares, tails


def table(name, members, items):
    text = "static const struct {\n    " + members + ";\n} " + name + "[] = {\n"
    cells = ["{" + ", ".join(map(str, i)) + "}" for i in items]
    lines = [", ".join(cells[i:i + 3]) for i in range(0, len(cells), 3)]
    return text + "".join("    " + line + ",\n" for line in lines) + "};\n"


def made():
    masks, shares, tails = rows()
    return ("/* Made by graph_tables.py: not to be edited. */\n"
            "#ifndef CSL_TESTS_GRAPH_TABLES_H\n#define CSL_TESTS_GRAPH_TABLES_H\n"
            "/* clang-format off */\n"
            "/* losses -1: the degree is too small; n: the graph is complete */\n"
            + table("mask_rows", "int n, colluding, degree, rings, losses", masks)
            + table("share_rows", "unsigned n, colluding, lost, degree, threshold", shares)
            + table("tail_rows", "unsigned total, marked, drawn, unions, bits, threshold", tails)
            + "/* clang-format on */\n#endif\n")


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "graph_tables.h")
    text = made()
    if "--check" in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            if f.read() != text:
                print("graph_tables.h is not what graph_tables.py makes")
                return 1
        return 0
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
