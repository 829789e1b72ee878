#!/usr/bin/env python3
"""Writes statistics_values.csv and statistics.csv: values of one feature, some missing and some outside its range, and
what NumPy says of them. Needs NumPy; run from this folder."""
import numpy as np

LOW, HIGH, BINS, MISSING = 20, 90, 14, 14

rng = np.random.default_rng(20)
drawn = np.concatenate([rng.normal(55, 9, 300), rng.normal(70, 25, 60),
                        [LOW, HIGH, 20.0000001, 89.9999999, 10, 130]])
values = np.concatenate([np.round(drawn, 6), [np.nan] * MISSING])
values = rng.permutation(values)
with open("statistics_values.csv", "w") as f:
    f.write("# numpy %s, default_rng(20); see make_statistics.py\nvalue\n" % np.__version__)
    f.writelines("%r\n" % float(v) for v in values)

known = values[~np.isnan(values)]
clipped = np.clip(known, LOW, HIGH)
rows = [("missing", len(values) - len(known)), ("below", (known < LOW).sum()), ("above", (known > HIGH).sum()),
        ("mean", clipped.mean()), ("deviation", clipped.std(ddof=1))]
rows += [("quantile", np.quantile(clipped, p, method="inverted_cdf")) for p in (.05, .25, .5, .75, .95)]
inside = known[(known >= LOW) & (known <= HIGH)]
rows += [("bin", n) for n in np.histogram(inside, bins=BINS, range=(LOW, HIGH))[0]]
with open("statistics.csv", "w") as f:
    f.write("# numpy %s on statistics_values.csv, range [%d, %d]; see make_statistics.py\nname,number\n"
            % (np.__version__, LOW, HIGH))
    f.writelines("%s,%r\n" % (name, float(v)) for name, v in rows)
