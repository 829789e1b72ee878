#!/usr/bin/env python3
"""Models that `consilium model export` writes give what the C engine gives.

    test_export.py files --consilium PROGRAM --peer PROGRAM [--grpc]
    test_export.py onnxruntime --consilium PROGRAM --peer PROGRAM --venv DIR

files: safetensors and npz are read by the few lines below, which follow the formats' descriptions, and a
forward pass in float64 must agree with the C engine. Weights written by other lines below are what a study
starts from: one whose sites learn nothing releases them again. Python 3 and its standard library only.
onnxruntime: ONNX Runtime and the safetensors package, installed into DIR from the Python package registry, read
what was written; predictions must agree with the same forward pass and with the C engine. What NumPy and
safetensors write is what a study starts from. The commands of docs/operations/models.md are run in both. Exit status 77, which ctest shows as skipped, when the registry
cannot be reached.
"""
import argparse
import array
import ast
import hashlib
import itertools
import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import venv
import zipfile

from forward import adapted, forward, fused, outputs

TOLERANCE = 1e-5
RECORDS = 300
PACKAGES = ("numpy", "onnx", "onnxruntime", "safetensors")


def tabular(task, model, features, scaling="constants"):
    """features: (name, centre, scale, clip); clip 0: none."""
    return {"modality": "tabular", "task": task, "model": model, "features": features, "scaling": scaling,
            "shape": [len(features)]}


def dense(modality, task, model, shape, centre, scale):
    return {"modality": modality, "task": task, "model": model, "shape": shape, "centre": centre, "scale": scale,
            "scaling": "constants"}


BINARY = {"kind": "binary", "label": "ill", "positive": "it is so"}
# Every kind of model, task, modality and scaling. The year has few of its digits left in float32 once its centre
# is taken away, which is why the graph computes in float64 there.
DOMAINS = {
    "logistic": tabular(BINARY, {"kind": "linear"}, [
        ("age", 54.5, 9.25, 3), ("year", 2019.3, 0.7, 0), ("troponin", 14, 3, 0.5), ("sodium", 140, 3, 8)]),
    "plain": tabular(BINARY, {"kind": "linear", "bias": "false"}, [("a", 0, 1, 0), ("b", 0, 1, 0)]),
    "softmax": tabular({"kind": "classes", "label": "stage", "classes": 5}, {"kind": "linear"}, [
        ("size", 28, 5, 0), ("grade", 2.1, 0.4, 0)]),
    "layers": tabular({"kind": "classes", "label": "stage", "classes": 3}, {"kind": "mlp", "hidden": [16, 7]}, [
        ("size", 28, 5, 4), ("grade", 2.1, 0.4, 4), ("ratio", -1e-3, 2e-4, 4)]),
    "several": tabular({"kind": "labels", "labels": "[edema, effusion, fracture]"}, {"kind": "mlp", "hidden": [6]}, [
        ("size", 28, 5, 4), ("grade", 2.1, 0.4, 4)]),
    "cox": tabular({"kind": "survival", "label": "death"}, {"kind": "cox", "bias": "false"}, [
        ("size", 28, 5, 8), ("albumin", 39, 4, 8), ("calcium", 2.35, 0.08, 8)]),
    "site": tabular(BINARY, {"kind": "mlp", "hidden": [5]}, [
        ("glucose", 0, 1, 0), ("lactate", 0, 1, 1.5)], scaling="site"),
    "scan": dense("image2d", BINARY, {"kind": "mlp", "hidden": [6]}, [5, 4, 2], 0.45, 0.2),
    "ecg": dense("signal", BINARY, {"kind": "linear"}, [12, 3], 0, 0.5),
    "film": dense("image2d", BINARY, {"kind": "cnn2d", "channels": [4, 6], "groups": 2}, [6, 5, 2], 0.45, 0.2),
    "trace": dense("signal", {"kind": "classes", "label": "rhythm", "classes": 3},
                   {"kind": "cnn1d", "channels": [4], "kernel": 5, "stride": 2, "pool": 1, "norm": "none"}, [12, 3], 0, 0.5),
    "wave": dense("signal", BINARY, {"kind": "cnn1d", "channels": [4, 4], "kernel": 5, "stride": 1, "groups": 4}, [12, 3],
                  0, 0.5),
    "note": {"modality": "text", "task": BINARY, "model": {"kind": "bag", "width": 4, "hidden": [5]}, "shape": [6, 20]},
    "days": {**tabular(BINARY, {"kind": "mlp", "hidden": [5]}, [("pulse", 80, 20, 3), ("pressure", 120, 20, 0)]),
             "modality": "ehr_series", "windows": 2, "measured_scale": 0.2, "steps": 5, "shape": [2, 12]},
    "tracing": dense("signal", BINARY, {"kind": "transformer", "patch": 3, "width": 8, "heads": 2, "layers": 2}, [12, 3],
                     0, 0.5),
}
# Every modality as an input, with encoders that are trained, frozen, and frozen with an adapter.
INPUTS = {
    "labs": tabular(None, {"kind": "linear"}, [("age", 54.5, 9.25, 3), ("year", 2019.3, 0.7, 0)]),
    "own": tabular(None, {"kind": "mlp", "hidden": [5], "train": "frozen", "adapter": {"rank": 2, "alpha": 3}},
                   [("glucose", 0, 1, 2), ("lactate", 0, 1, 1.5)], scaling="site"),
    "vitals": {**tabular(None, {"kind": "linear", "train": "frozen"}, [("pulse", 80, 20, 3), ("pressure", 120, 20, 0)]),
               "modality": "ehr_series", "missing": "mask", "steps": 3, "shape": [3, 4]},
    "film": dense("image2d", None, {"kind": "cnn2d", "channels": [4], "groups": 2, "train": "frozen",
                                    "adapter": {"rank": 2}}, [6, 5, 2], 0.45, 0.2),
    "ecg": dense("signal", None, {"kind": "transformer", "patch": 4, "width": 8, "heads": 2, "layers": 1,
                                  "train": "frozen", "adapter": {"rank": 3, "alpha": 2}}, [12, 3], 0, 0.5),
    "note": {"modality": "text", "model": {"kind": "bag", "width": 4, "hidden": [5]}, "shape": [6, 20]},
    "vector": dense("embedding", None, {"kind": "mlp", "hidden": [4]}, [5], 0, 1),
}
FUSED = {
    "heart": {"inputs": ["labs", "film", "ecg", "note"], "task": BINARY, "fusion": "gated", "hidden": [5]},
    "stage": {"inputs": ["own", "vitals", "vector", "note"], "task": {"kind": "classes", "label": "stage", "classes": 3},
              "fusion": "mean"},
    "several": {"inputs": ["film", "vector"], "task": {"kind": "labels", "labels": "[edema, effusion]"}, "fusion": "gated"},
    "ecg": {"inputs": ["ecg"], "task": BINARY, "fusion": "gated"},  # named like its input
}
for _d in FUSED.values():
    _d["model"] = {"kind": "multimodal", "width": 6, "fusion": _d["fusion"], **({"hidden": _d["hidden"]} if "hidden" in _d else {})}


def flow(mapping):
    return "{" + ", ".join(f"{k}: {flow(v) if isinstance(v, dict) else v}" for k, v in mapping.items()) + "}"


def what_is_read(name, d):
    """Lines of a domain or an input that say what is read."""
    lines = [f"  - id: {name}", f"    modality: {d['modality']}"]
    if d["modality"] not in ("tabular", "ehr_series"):
        lines.append(f"    shape: {d['shape']}")
        return lines + ([f"    centre: {d['centre']!r}", f"    scale: {d['scale']!r}"] if "centre" in d else [])
    lines.append(f"    scaling: {d['scaling']}")
    if d["modality"] == "ehr_series":
        lines.append(f"    shape: [{d['steps']}]")
        lines += [f"    {key}: {d[key]}" for key in ("missing", "windows", "measured_scale") if key in d]
    lines.append("    features:")
    for feature, centre, scale, clip in d["features"]:
        row = {"name": feature, "unit": "mm", "clip": clip}
        if d["scaling"] == "constants":
            row.update(centre=repr(centre), scale=repr(scale))
        lines.append("      - " + flow(row))
    return lines


def study_text(domains, inputs):
    lines = ["study: exported", "question: Does it give the same elsewhere?"]
    lines += ["inputs:"] if inputs else []
    for name, d in inputs.items():
        lines += [*what_is_read(name, d), f"    encoder: {flow(d['model'])}"]
    lines.append("domains:")
    for name, d in domains.items():
        lines += [f"  - id: {name}", f"    inputs: [{', '.join(d['inputs'])}]"] if inputs else what_is_read(name, d)
        lines += [f"    task: {flow(d['task'])}", f"    model: {flow(d['model'])}"]
    lines += ["training:", "  local: {optimizer: sgd, learning_rate: 0.01, batch_patients: 16, steps: 1}", "rounds: 1",
              "aggregation: {strategy: fedavg, weights: {kind: samples}}", "privacy: {mode: none}",
              "sites: {minimum: 1}"]
    return "\n".join(lines) + "\n"


class Failed(Exception):
    pass


def check(is_right, what):
    if not is_right:
        raise Failed(what)


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()[-1500:]}")
    return done.stdout


# --- files of others, read by their descriptions ---

def read_safetensors(path):
    """{name: (shape, values)}, metadata."""
    with open(path, "rb") as f:
        raw = f.read()
    length, = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
    check((8 + length) % 8 == 0, f"{path}: the data is not aligned")
    metadata, tensors, at = header.pop("__metadata__"), {}, 0
    check(all(isinstance(v, str) for v in metadata.values()), f"{path}: metadata {metadata}")
    for name, t in header.items():
        start, end = t["data_offsets"]
        check(t["dtype"] == "F32" and start == at and end - start == 4 * math.prod(t["shape"]), f"{path}: {name} {t}")
        tensors[name] = (t["shape"], array.array("f", data[start:end]))
        at = end
    check(at == len(data), f"{path}: {len(data) - at} bytes that belong to no tensor")
    return tensors, metadata


def read_npz(path):
    tensors = {}
    with zipfile.ZipFile(path) as z:
        check(z.testzip() is None, f"{path}: a checksum is wrong")
        for name in z.namelist():
            raw = z.read(name)
            check(raw[:8] == b"\x93NUMPY\x01\x00", f"{path}: {name}")
            length, = struct.unpack("<H", raw[8:10])
            header = ast.literal_eval(raw[10:10 + length].decode("latin1"))
            check(header["descr"] == "<f4" and not header["fortran_order"], f"{path}: {name} {header}")
            tensors[name.removesuffix(".npy")] = (list(header["shape"]), array.array("f", raw[10 + length:]))
    return tensors


def make_record(d, generator):
    """Around the centre, some far away, some missing; ids of a text also beyond its last one."""
    values, inputs = [], d["shape"][-1]
    if d["modality"] == "text":
        return [float(generator.randrange(-1, d["shape"][1] + 2)) for _ in range(d["shape"][0])]
    for k in range(math.prod(d["shape"])):
        if "features" in d and k % inputs >= len(d["features"]) * (5 if "windows" in d else 1):
            values.append(float(generator.random() < 0.5))  # a mark, or the part measured
            continue
        _, centre, scale, _ = (d["features"][k % len(d["features"])] if "features" in d else
                               (None, d["centre"], d["scale"], 0))
        values.append(math.nan if generator.random() < 0.05 else centre + scale * generator.gauss(0, 3))
    return values


def width_of(d):
    return d["shape"][0] if d["modality"] == "text" else math.prod(d["shape"])


def make_records(d, generator):
    """float32 [RECORDS, width]"""
    return array.array("f", [v for _ in range(RECORDS) for v in make_record(d, generator)])


def difference(what, found, wanted):
    check(len(found) == len(wanted) > 0, f"{what}: {len(found)} values; {len(wanted)} would be right")
    check(all(math.isfinite(v) for v in [*found, *wanted]), f"{what}: a value is not finite")
    worst = max(abs(a - b) for a, b in zip(found, wanted))
    check(worst <= TOLERANCE, f"{what}: differs by {worst:g}; at most {TOLERANCE:g} would be right")
    return worst


class Export:
    """One model of every domain and what it predicts for some records."""

    def __init__(self, arguments, folder, domains, inputs):
        self.arguments, self.folder = arguments, folder
        self.study, self.model = os.path.join(folder, "study.yaml"), os.path.join(folder, "model.h5")
        os.makedirs(folder, exist_ok=True)
        with open(self.study, "w", encoding="utf-8") as f:
            f.write(study_text(domains, inputs))
        run(arguments.peer, "model", self.study, "7", self.model)
        self.digest = json.loads(run(arguments.consilium, "model", "inspect", self.model, "--json"))["model_digest"]

    def export(self, kind, *more, name="model"):
        path = os.path.join(self.folder, f"{name}.{kind}")
        run(self.arguments.consilium, "model", "export", self.model, "--format", kind, "--out", path, *more)
        with open(path, "rb") as f:
            first = f.read()
        run(self.arguments.consilium, "model", "export", self.model, "--format", kind, "--out", path, *more)
        with open(path, "rb") as f:
            check(f.read() == first, f"{path}: written twice, two different files")
        return path

    def engine(self, name, records):
        return array.array("f", run(self.arguments.peer, "predict", self.study, self.model, name,
                                    stdin=records.tobytes()))

    def tensors(self):
        tensors, metadata = read_safetensors(self.export("safetensors"))
        check(metadata["model_digest"] == self.digest and metadata["study"] == "exported", f"metadata {metadata}")
        data = b"".join(values.tobytes() for _, values in tensors.values())
        check(hashlib.sha256(data).hexdigest() == self.digest, "safetensors: not the parameters of the digest")
        check(read_npz(self.export("npz")) == tensors, "npz and safetensors hold different tensors")
        return tensors


# --- weights to start from ---

# Two hospitals of `consilium data synth` whose steps are too small to change a float32.
IDLE_STUDY = """study: idle
domains:
  - id: heart
    modality: tabular
    task: {kind: binary, label: heart}
    model: {kind: linear}
    features: [{name: cholesterol, centre: 215, scale: 40}, {name: troponin, centre: 14, scale: 3}]
training: {local: {optimizer: sgd, learning_rate: 1e-30, batch_patients: 16, steps: 1}}
rounds: 1
aggregation: {strategy: fedavg, weights: {kind: samples}}
privacy: {mode: none}
sites: {minimum: 2}
simulation: {sites: [{id: lyon, synth: 0}, {id: turin, synth: 1}]}
"""
WEIGHT, BIAS = [0.1, -2.5], [0.375]  # 0.1: rounded by every type


def safetensors_bytes(tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, data = {"__metadata__": {"made": "by hand"}}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def release_idle(export, path, transport="inproc"):
    """Digests of the weights that the study started from and of those it released."""
    study = os.path.join(export.folder, "idle.yaml")
    with open(study, "w", encoding="utf-8") as f:
        f.write(IDLE_STUDY)
    summary = json.loads(run(export.arguments.consilium, "simulate", study, "--initial-model", path, "--transport", transport,
                             "--out", path + ".out", "--json"))
    return summary["initial_model_digest"], summary["model_digest"]


def check_started_from(export, path, weight, bias, transport="inproc"):
    wanted = hashlib.sha256(array.array("f", [*weight, *bias]).tobytes()).hexdigest()
    started, released = release_idle(export, path, transport)
    check(started == released == wanted, f"{path}: started from {started}, released {released}; {wanted} would be right")
    print(f"{os.path.basename(path)}, {transport}: a study that learns nothing released what it was given")


def test_initial(export):
    halves = [struct.unpack("<e", struct.pack("<e", w))[0] for w in WEIGHT]
    for dtype, code, weight in (("F64", "d", WEIGHT), ("F32", "f", WEIGHT), ("F16", "e", halves)):
        path = os.path.join(export.folder, f"{dtype}.safetensors")
        with open(path, "wb") as f:
            f.write(safetensors_bytes({"heart.bias": ("BF16", [1], struct.pack("<f", *BIAS)[2:]),
                                       "heart.weight": (dtype, [1, 2], struct.pack(f"<2{code}", *WEIGHT))}))
        check_started_from(export, path, weight, BIAS)
    if export.arguments.grpc:
        check_started_from(export, path, halves, BIAS, "grpc")


# --- the document ---

def run_document(export, languages):
    """Runs its blocks, one after another, in a folder with a study and a model of it."""
    folder = os.path.join(export.folder, "document")
    os.makedirs(folder)
    with open(os.path.join(folder, "study.yaml"), "w", encoding="utf-8") as f:
        f.write(IDLE_STUDY)
    run(export.arguments.peer, "model", os.path.join(folder, "study.yaml"), "7", os.path.join(folder, "model.h5"))
    with open(export.arguments.document, encoding="utf-8") as f:
        blocks = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", f.read())
    check({"sh", "python", "yaml"} == {language for language, _ in blocks}, f"{export.arguments.document}: {len(blocks)} blocks")
    where = {"PATH": os.path.dirname(export.arguments.consilium) + ":" + os.environ["PATH"]}
    for language, text in blocks:
        if language not in languages:
            continue
        command = ["sh", "-ec", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=folder, env={**os.environ, **where}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(done.returncode == 0, f"{export.arguments.document}: {text}: {done.stdout.decode()[-1500:]}")


# --- several inputs ---

COPIES = 2  # records of every combination of inputs


def make_fused_records(generator):
    """Every combination of inputs there and absent: [{input: values, None where absent}]."""
    return [{name: make_record(d, generator) if there else None for (name, d), there in zip(INPUTS.items(), which)}
            for which in itertools.product([True, False], repeat=len(INPUTS)) for _ in range(COPIES)]


def fused_forward(tensors, records):
    """{domain: predictions of all records, one behind the other}"""
    whole, out = adapted(tensors, INPUTS), {name: [] for name in FUSED}
    for record in records:
        embeddings = {name: outputs(d, f"input.{name}", whole, [float(v) for v in array.array("f", record[name])])
                      for name, d in INPUTS.items() if record[name] is not None}
        for name, d in FUSED.items():
            out[name] += fused(d, name, whole, [embeddings.get(i) for i in d["inputs"]])
    return out


def fused_engine(export, name, records):
    """The peer reads of every record and input whether it is there, then its values."""
    values = array.array("f")
    for record in records:
        for i, d in INPUTS.items():
            values.append(record[i] is not None)
            values.extend(record[i] if record[i] is not None else [0.0] * width_of(d))
    return export.engine(name, values)


def test_fused_files(export):
    tensors, records = export.tensors(), make_fused_records(random.Random(3))
    check(any(t.startswith("adapter.ecg.") and any(v[1]) for t, v in tensors.items()), "no adapter that does something")
    for name, wanted in fused_forward(tensors, records).items():
        found = fused_engine(export, name, records)
        print(f"{name}: several inputs: forward pass and engine differ by {difference(name, found, wanted):.2g}")


def test_fused_onnxruntime(export):
    """What stands in the place of an absent input is anything."""
    import numpy
    import onnx
    import onnxruntime

    def absent(d):
        return [7.0] * width_of(d) if d["modality"] == "text" else [math.nan, math.inf, -1e30][:1 + width_of(d) % 3] * width_of(d)

    records = make_fused_records(random.Random(4))
    wanted = fused_forward(export.tensors(), records)
    feed = {}
    for name, d in INPUTS.items():
        rows = [r[name] if r[name] is not None else absent(d)[:width_of(d)] for r in records]
        feed[name] = as_input(numpy, d, [v for row in rows for v in row])
        feed[f"{name}/present"] = numpy.array([[r[name] is not None] for r in records])
    for domain in (None, *FUSED):
        path = export.export("onnx", *(["--domain", domain] if domain else []), name=domain or "all")
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        parts = json.loads({p.key: p.value for p in model.metadata_props}["consilium.parts"])
        read = [i for i in INPUTS if any(i in FUSED[d]["inputs"] for d in ([domain] if domain else FUSED))]
        check([i["input"] for i in parts["inputs"]] == read, str(parts))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        check([i.name for i in session.get_inputs()] == [n for i in read for n in (i, f"{i}/present")],
              str([i.name for i in session.get_inputs()]))
        found = dict(zip([o.name.split("/")[0] for o in session.get_outputs()],
                         session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})))
        check(list(found) == ([domain] if domain else list(FUSED)), str(list(found)))
        for name, out in found.items():
            flat = out.ravel().tolist()
            ours = difference(f"{path}: {name}: forward pass", flat, wanted[name])
            engine = difference(f"{path}: {name}: engine", flat, fused_engine(export, name, records))
            print(f"{os.path.basename(path)}: {name}: ONNX Runtime differs from the forward pass by {ours:.2g}, from the "
                  f"engine by {engine:.2g}, whatever is absent of {', '.join(FUSED[name]['inputs'])}")


def test_files(export):
    tensors, generator = export.tensors(), random.Random(1)
    for name, d in DOMAINS.items():
        records, width = make_records(d, generator), width_of(d)
        wanted = [v for r in range(RECORDS) for v in forward(d, name, tensors, records[r * width:(r + 1) * width])]
        print(f"{name}: forward pass and engine differ by {difference(name, export.engine(name, records), wanted):.2g}")
    test_initial(export)
    run_document(export, ["sh"])


def as_input(numpy, d, records):
    """float32 values of some records as the graph takes them."""
    if d["modality"] == "text":
        return numpy.array(records, "i8").reshape([-1, width_of(d)])
    return numpy.array(records, "f4").reshape([-1] + d["shape"])


def check_onnx(model, d, name, export):
    """What a person or program that opens the file is told."""
    metadata = {p.key: p.value for p in model.metadata_props}
    check(metadata["consilium.model_digest"] == export.digest and metadata["consilium.domain"] == name, str(metadata))
    if d["modality"] != "text":
        check(metadata["consilium.scaling"].startswith(d["scaling"] + ": "), metadata["consilium.scaling"])
        document = model.graph.input[0].doc_string
        check("standardised" in document if d["scaling"] == "site" else "raw" in document, document)
    if "features" in d:
        listed = [f["name"] for f in json.loads(metadata["consilium.features"])]
        check(listed == [f[0] for f in d["features"]], str(listed))
        check(all(f"{f} [mm]" in document for f in listed), document)
    label = d["task"].get("label") or d["task"]["labels"][1:-1]
    check(label == metadata["consilium.label"], metadata["consilium.label"])
    check(label in model.graph.output[0].doc_string, model.graph.output[0].doc_string)


def test_onnxruntime(export):
    import numpy
    import onnx
    import onnxruntime
    import safetensors.numpy

    tensors, generator = export.tensors(), random.Random(2)
    theirs = safetensors.numpy.load_file(export.export("safetensors"))
    npz = numpy.load(export.export("npz"))
    check(set(theirs) == set(npz) == set(tensors), f"{sorted(theirs)}, {sorted(npz)}")
    for name, (shape, values) in tensors.items():
        check(theirs[name].tolist() == npz[name].tolist() == numpy.array(values, "f4").reshape(shape).tolist(), name)
    for name, d in DOMAINS.items():
        path = export.export("onnx", "--domain", name, name=name)
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        with open(path, "rb") as f:
            check(model.SerializeToString(deterministic=True) == f.read(), f"{path}: holds more than the schema knows")
        check_onnx(model, d, name, export)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        records, width = make_records(d, generator), width_of(d)
        array_in = as_input(numpy, d, records)
        out, = session.run(None, {session.get_inputs()[0].name: array_in})
        check(out.ndim == 2 and len(out) == RECORDS, f"{name}: output of shape {out.shape}")
        found = out.ravel().tolist()
        wanted = [v for r in range(RECORDS) for v in forward(d, name, tensors, records[r * width:(r + 1) * width])]
        ours = difference(f"{name}: forward pass", found, wanted)
        engine = difference(f"{name}: engine", found, export.engine(name, records))
        print(f"{name}: {session.get_inputs()[0].name} -> {session.get_outputs()[0].name}: ONNX Runtime differs from "
              f"the forward pass by {ours:.2g}, from the engine by {engine:.2g}")
    weights = {"heart.weight": numpy.array([WEIGHT], "f8"), "heart.bias": numpy.array(BIAS, "f4")}
    path = os.path.join(export.folder, "theirs")
    safetensors.numpy.save_file(weights, path + ".safetensors")
    numpy.savez(path + ".npz", **weights)
    numpy.savez_compressed(path + "-packed.npz", **weights)
    for name in (".safetensors", ".npz", "-packed.npz"):
        check_started_from(export, path + name, WEIGHT, BIAS)
    run_document(export, ["sh", "python"])


def enter_venv(folder):
    """Goes on in a virtual environment that has the packages; 77 when it cannot be made."""
    python = os.path.join(folder, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(folder):
        return
    imports = "import " + ", ".join(PACKAGES)
    if subprocess.run([python, "-c", imports], stderr=subprocess.DEVNULL).returncode if os.path.exists(python) else True:
        try:
            venv.create(folder, with_pip=True, clear=True)
        except (subprocess.CalledProcessError, OSError) as e:
            skip(f"no virtual environment could be made ({e}); python3-venv would be right")
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "10", *PACKAGES],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            skip(f"{', '.join(PACKAGES)} could not be installed: {done.stdout.strip().splitlines()[-1:]}")
    os.execv(python, [python, "-B", *sys.argv])


def skip(why):
    print(f"SKIPPED: nothing was compared with ONNX Runtime: {why}")
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["files", "onnxruntime"])
    parser.add_argument("--consilium", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--document", required=True)
    parser.add_argument("--grpc", action="store_true", help="the daemons are built")
    parser.add_argument("--venv")
    arguments = parser.parse_args()
    if arguments.part == "onnxruntime":
        enter_venv(arguments.venv)
    with tempfile.TemporaryDirectory(prefix="consilium-export-") as folder:
        try:
            export = Export(arguments, folder, DOMAINS, {})
            several = Export(arguments, os.path.join(folder, "several"), FUSED, INPUTS)
            if arguments.part == "files":
                test_files(export)
                test_fused_files(several)
            else:
                test_onnxruntime(export)
                test_fused_onnxruntime(several)
        except Failed as e:
            print(f"FAILED: {e}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
