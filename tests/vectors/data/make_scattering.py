#!/usr/bin/env python3
"""Writes scattering.txt: coefficients of two images from the formulas of
site-agent/data/scattering.h, as plain two-dimensional sums in double precision. Run in this folder.

  image HEIGHT WIDTH CHANNELS
  pixels V..       row, column, channel; nan: not known
  coefficients V..  row, column, channel, path
"""
import cmath
import math
import random

STEP = 4


def wavelet(scale, direction):
    s, f, a = 0.8 * 2**scale, 0.75 * math.pi / 2**scale, math.pi * direction / 4
    envelope, wave = {}, {}
    for v in range(-12, 13):
        for u in range(-12, 13):
            p, q = u * math.cos(a) + v * math.sin(a), v * math.cos(a) - u * math.sin(a)
            r = (p / s) ** 2 + (q / (2 * s)) ** 2
            if r <= 9:
                envelope[v, u] = math.exp(-r / 2)
                wave[v, u] = cmath.exp(1j * f * p)
    total = sum(envelope.values())
    c = sum(envelope[k] * wave[k] for k in envelope) / total
    return {k: envelope[k] / total * (wave[k] - c) for k in envelope}


def reflected(i, n):
    return -1 - i if i < 0 else 2 * n - 1 - i if i >= n else i


def modulus(x, w):
    h, n = len(x), len(x[0])
    return [[abs(sum(k * x[reflected(i - v, h)][reflected(j - u, n)] for (v, u), k in w.items()))
             for j in range(n)] for i in range(h)]


def smooth(x):
    h, n = len(x), len(x[0])

    def weights(block, length):
        middle = STEP * block + (STEP - 1) / 2
        w = {i: math.exp(-((i - middle) / 1.6) ** 2 / 2) for i in range(length)
             if abs(i - middle) <= 4.5}
        return {i: w[i] / sum(w.values()) for i in w}

    return [[sum(a * b * x[i][j] for i, a in weights(y, h).items() for j, b in weights(k, n).items())
             for k in range(n // STEP)] for y in range(h // STEP)]


def normal(planes):
    values = [v for p in planes for row in p for v in row]
    mean = sum(values) / len(values)
    root = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-5)
    return [[[(v - mean) / root for v in row] for row in p] for p in planes]


def scattering(x):
    known = [v for row in x for v in row if not math.isnan(v)]
    mean = sum(known) / len(known)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in known) / len(known))
    if deviation == 0:
        return [[[0.0] * (len(x[0]) // STEP) for _ in range(len(x) // STEP)] for _ in range(25)]
    x = [[0.0 if math.isnan(v) else (v - mean) / deviation for v in row] for row in x]
    first = [[modulus(x, wavelet(j, t)) for t in range(4)] for j in range(2)]
    second = [modulus(u, wavelet(1, t)) for u in first[0] for t in range(4)]
    paths = normal([smooth(x)])
    for kind in (first[0], first[1], second):
        paths += normal([[[math.log(0.1 + v) for v in row] for row in smooth(u)] for u in kind])
    return paths


def image(height, width, channels):
    r = random.Random(height)
    x = [[[math.sin(0.7 * i + 0.3 * j * (c + 1)) * 40 + 100 + r.randrange(-60, 60)
           for j in range(width)] for i in range(height)] for c in range(channels)]
    x = [[[round(v) for v in row] for row in p] for p in x]
    x[0][3][5] = math.nan
    if channels > 2:
        x[2] = [[7] * width for _ in range(height)]
    return x


def main():
    with open("scattering.txt", "w", encoding="ascii") as f:
        f.write("# Made by make_scattering.py, which says what the lines are.\n")
        for h, w, channels in ((12, 20, 3), (16, 12, 1)):
            x = image(h, w, channels)
            s = [scattering(p) for p in x]
            f.write(f"image {h} {w} {channels}\npixels")
            for i in range(h):
                for j in range(w):
                    f.writelines(f" {p[i][j]}" for p in x)
            f.write("\ncoefficients")
            for i in range(h // STEP):
                for j in range(w // STEP):
                    f.writelines(f" {v[i][j]:.9f}" for p in s for v in p)
            f.write("\n")


if __name__ == "__main__":
    main()
