"""A forward pass in float64, of the tensors of an exported model; for test_export.py. Python 3 and its standard
library only. tensors: {name: (shape, values)}."""
import itertools
import math


def scaled(d, row):
    """Of a series each step has its values, and behind them a mark of each, which nothing changes."""
    out = []
    for k, x in enumerate(row):
        _, centre, scale, clip = (None, d["centre"], d["scale"], 0) if "features" not in d else (
            [*d["features"] * (5 if "windows" in d else 1),
             *[(None, 0, d.get("measured_scale", 1), 0)] * len(d["features"])][k % d["shape"][-1]])
        v = 0.0 if math.isnan(x) else (x - centre) / scale
        out.append(min(max(v, -clip), clip) if clip > 0 else v)
    return out


def linear(tensors, prefix, x):
    (outputs, inputs), w = tensors[prefix + "weight"]
    bias = tensors[prefix + "bias"][1] if prefix + "bias" in tensors else [0.0] * outputs
    return [sum(w[o * inputs + i] * x[i] for i in range(inputs)) + bias[o] for o in range(outputs)]


def convolved(tensors, prefix, x, axes, stride):
    """x: {position: channels}; axes: positions along each. Padding is half the kernel."""
    shape, w = tensors[prefix + "weight"]
    outputs, kernel, channels, bias = shape[0], shape[1:-1], shape[-1], tensors[prefix + "bias"][1]
    taps = list(itertools.product(*(range(k) for k in kernel)))
    out_axes = [(n + 2 * (k // 2) - k) // stride + 1 for n, k in zip(axes, kernel)]
    out = {}
    for at in itertools.product(*(range(n) for n in out_axes)):
        sums = list(bias)
        for t, tap in enumerate(taps):
            from_x = x.get(tuple(a * stride + i - k // 2 for a, i, k in zip(at, tap, kernel)))
            for o in range(outputs if from_x else 0):
                first = (o * len(taps) + t) * channels
                sums[o] += sum(w[first + c] * from_x[c] for c in range(channels))
        out[at] = sums
    return out, out_axes


def group_normed(tensors, prefix, x, groups):
    gain, shift = tensors[prefix + "weight"][1], tensors[prefix + "bias"][1]
    size, out = len(gain) // groups, {at: [0.0] * len(gain) for at in x}
    for first in range(0, len(gain), size):
        values = [v[c] for v in x.values() for c in range(first, first + size)]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-5)
        for at, v in x.items():
            for c in range(first, first + size):
                out[at][c] = (v[c] - mean) / deviation * gain[c] + shift[c]
    return out


def pooled(x, axes, width):
    out_axes = [n // width for n in axes]
    box = list(itertools.product(range(width), repeat=len(axes)))
    return {at: [max(vs) for vs in zip(*(x[tuple(a * width + i for a, i in zip(at, o))] for o in box))]
            for at in itertools.product(*(range(n) for n in out_axes))}, out_axes


def cnn(d, name, tensors, row):
    m, axes, channels = d["model"], d["shape"][:-1], d["shape"][-1]
    places = itertools.product(*(range(n) for n in axes))
    x = {at: row[i * channels:(i + 1) * channels] for i, at in enumerate(places)}
    for i in range(len(m["channels"])):
        x, axes = convolved(tensors, f"{name}.conv{i}.", x, axes, m.get("stride", 1))
        if m.get("norm") != "none":
            x = group_normed(tensors, f"{name}.norm{i}.", x, m["groups"])
        x = {at: [max(0.0, v) for v in vs] for at, vs in x.items()}
        x, axes = pooled(x, axes, m.get("pool", 2))
    return linear(tensors, f"{name}.head.", [sum(vs) / len(x) for vs in zip(*x.values())])


def layer_normed(tensors, prefix, x):
    gain, shift, mean = tensors[prefix + "weight"][1], tensors[prefix + "bias"][1], sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    return [(v - mean) / deviation * g + s for v, g, s in zip(x, gain, shift)]


def softmax(x):
    e = [math.exp(v - max(x)) for v in x]
    return [v / sum(e) for v in e]


def attended(x, heads):
    """x: of each token its query, key and value, side by side; each is cut among the heads."""
    width = len(x[0]) // 3
    size, out = width // heads, [[] for _ in x]
    for first in range(0, width, size):
        q, k, v = ([t[at + first:at + first + size] for t in x] for at in (0, width, 2 * width))
        for i, query in enumerate(q):
            shares = softmax([sum(a * b for a, b in zip(query, key)) / math.sqrt(size) for key in k])
            out[i] += [sum(s * value[c] for s, value in zip(shares, v)) for c in range(size)]
    return out


def transformer(d, name, tensors, row):
    """Of a signal."""
    m, patch = d["model"], d["model"]["patch"] * d["shape"][-1]
    (outputs, *_), weight = tensors[f"{name}.patch.weight"]
    flat = {"weight": ([outputs, patch], weight), "bias": tensors[f"{name}.patch.bias"]}
    x = [linear(flat, "", row[at:at + patch]) for at in range(0, len(row), patch)]
    places = tensors[f"{name}.place.weight"][1]
    x = [[v + places[i * outputs + c] for c, v in enumerate(t)] for i, t in enumerate(x)]
    for i in range(m["layers"]):
        a = [linear(tensors, f"{name}.qkv{i}.", layer_normed(tensors, f"{name}.norm{i}a.", t)) for t in x]
        a = [linear(tensors, f"{name}.out{i}.", t) for t in attended(a, m["heads"])]
        x = [[v + w for v, w in zip(*both)] for both in zip(x, a)]
        f = [linear(tensors, f"{name}.up{i}.", layer_normed(tensors, f"{name}.norm{i}b.", t)) for t in x]
        f = [[v / 2 * (1 + math.erf(v / math.sqrt(2))) for v in t] for t in f]
        f = [linear(tensors, f"{name}.down{i}.", t) for t in f]
        x = [[v + w for v, w in zip(*both)] for both in zip(x, f)]
    x = [layer_normed(tensors, f"{name}.norm.", t) for t in x]
    return linear(tensors, f"{name}.head.", [sum(vs) / len(x) for vs in zip(*x)])


def layers(d, name, tensors, x):
    hidden = len(d["model"].get("hidden", []))
    for i in range(hidden):
        x = [max(0.0, v) for v in linear(tensors, f"{name}.layer{i}.", x)]
    return linear(tensors, f"{name}.layer{hidden}.", x)


def bag(d, name, tensors, ids):
    (buckets, width), table = tensors[f"{name}.embed.weight"]
    known = [int(i) for i in ids if 0 < i < buckets]
    mean = [sum(table[i * width + c] for i in known) / max(len(known), 1) for c in range(width)]
    return layers(d, name, tensors, mean)


def outputs(d, name, tensors, row):
    """From raw values to what the net of a domain or of an input gives."""
    kind = d["model"]["kind"]
    if d["modality"] == "text":
        return bag(d, name, tensors, row)
    x = scaled(d, row)
    if kind.startswith("cnn"):
        return cnn(d, name, tensors, x)
    if kind == "transformer":
        return transformer(d, name, tensors, x)
    return layers(d, name, tensors, x) if kind == "mlp" else linear(tensors, f"{name}.", x)


def predicted(task, x):
    if task["kind"] in ("binary", "labels"):
        return [1 / (1 + math.exp(-v)) for v in x]
    return softmax(x) if task["kind"] == "classes" else x


def forward(d, name, tensors, row):
    return predicted(d["task"], outputs(d, name, tensors, row))


# --- several inputs ---

def adapted(tensors, inputs):
    """The tensors with every adapter, alpha / rank * up down, in the weights that it belongs to."""
    out = dict(tensors)
    for name, d in inputs.items():
        a = d["model"].get("adapter")
        for down in [t for t in tensors if a and t.startswith(f"adapter.{name}.") and t.endswith(".down")]:
            layer = down.removeprefix("adapter.").removesuffix(".down")
            (rank, width), low = tensors[down]
            up, (shape, weight) = tensors[f"adapter.{layer}.up"][1], tensors[f"input.{layer}.weight"]
            out[f"input.{layer}.weight"] = (shape, [
                w + a.get("alpha", rank) / rank * sum(up[k // width * rank + r] * low[r * width + k % width]
                                                      for r in range(rank)) for k, w in enumerate(weight)])
    return out


def fused(d, name, tensors, embeddings):
    """embeddings: of each of the domain's inputs, None of one that the record lacks."""
    present = [(i, e) for i, e in enumerate(embeddings) if e is not None]
    width = d["model"]["width"]
    if d["model"]["fusion"] == "mean":
        x = [sum(e[c] for _, e in present) / max(len(present), 1) for c in range(width)]
    elif present:
        gate, bias = tensors[f"{name}.fusion.gate"][1], tensors[f"{name}.fusion.bias"][1]
        shares = softmax([sum(gate[i * width + c] * e[c] for c in range(width)) + bias[i] for i, e in present])
        x = [sum(s * e[c] for s, (_, e) in zip(shares, present)) for c in range(width)]
    else:
        x = tensors[f"{name}.fusion.empty"][1]
    return predicted(d["task"], layers(d, name, tensors, x))
