#!/usr/bin/env python3
"""Writes canonical_*.hex: the documents of protocol/wire/canonical.h, from docs/protocol.md alone.

Nothing here comes from the C code: layouts and values are spelled out, so that the C writer and
reader are compared with an independent reading of the specification.
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent


def domain(name):
    return b"CONSILIUM v1 " + name + b"\0"


def block(contents):
    return struct.pack("<I", len(contents)) + contents


study = bytes(range(32))
model = bytes(range(100, 132))
update = bytes(range(200, 232))

documents = {
    "hello": domain(b"hello") + block(b"site-a") + struct.pack("<I", 1)
    + block("consilium 0.1.0 \u2713".encode()) + study,
    "hello_first": domain(b"hello") + block(b"s") + struct.pack("<I", 1) + block(b"") + bytes(32),
    "task": domain(b"task") + study + struct.pack("<BQQ", 1, 17, 0x0123456789ABCDEF) + model
    + struct.pack("<Q", 4 * 39 * 1000),
    "update": domain(b"update") + study + block(b"site-a") + struct.pack("<QQ", 17, 160) + update
    + block(struct.pack("<IQIQ", 0, 303, 5, 1 << 32)),
    "study_ended": domain(b"study-ended") + study + struct.pack("<BQ", 1, 30) + model
    + block(b"all rounds done"),
}

for name, document in documents.items():
    text = document.hex()
    lines = [text[i:i + 80] for i in range(0, len(text), 80)]
    (HERE / f"canonical_{name}.hex").write_text("\n".join(lines) + "\n")
