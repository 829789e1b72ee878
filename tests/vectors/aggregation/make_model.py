#!/usr/bin/env python3
"""Known answers of aggregation/tensor/schema.c, from the definitions alone (standard library only):
BLAKE2b (hashlib) over the schema's bytes, and ChaCha20 (RFC 8439 core, 64-bit counter and nonce)
for the initial values. Prints what tests/unit/aggregation/test_schema.c holds."""
import hashlib
import struct


def name(text):
    return struct.pack("<I", len(text)) + text.encode()


def blake(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def chacha20_block(key, counter, nonce):
    def rotate(v, n):
        return ((v << n) | (v >> (32 - n))) & 0xFFFFFFFF

    def quarter(s, a, b, c, d):
        s[a] = (s[a] + s[b]) & 0xFFFFFFFF
        s[d] = rotate(s[d] ^ s[a], 16)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = rotate(s[b] ^ s[c], 12)
        s[a] = (s[a] + s[b]) & 0xFFFFFFFF
        s[d] = rotate(s[d] ^ s[a], 8)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = rotate(s[b] ^ s[c], 7)

    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    start += list(struct.unpack("<2I", struct.pack("<Q", counter)))
    start += list(struct.unpack("<2I", nonce))
    s = start[:]
    for _ in range(10):
        for q in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                  (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(s, *q)
    return struct.pack("<16I", *[(a + b) & 0xFFFFFFFF for a, b in zip(s, start)])


def stream_u64(seed, label, tensor):
    key = blake(struct.pack("<QQ", seed, len(label)) + label.encode() + struct.pack("<Q", 0) +
                tensor.encode())
    block = 0
    while True:
        nonce = struct.pack("<Q", block)
        for counter in range(8):
            yield from struct.unpack("<8Q", chacha20_block(key, counter, nonce))
        block += 1


def initial(seed, tensor, count, bound):
    bits = stream_u64(seed, "model.init", tensor)
    values = [(2.0 * ((next(bits) >> 11) * 2.0 ** -53) - 1.0) * bound for _ in range(count)]
    return [struct.unpack("<I", struct.pack("<f", v))[0] for v in values]


schema = b"consilium schema 1\0" + struct.pack("<I", 2)
schema += name("heart") + struct.pack("<I", 0) + name("tail") + struct.pack("<I", 0)
schema += struct.pack("<I", 3)
schema += name("weight") + struct.pack("<IIQQI", 0, 2, 2, 3, 1) + struct.pack("<f", 0.5)
schema += name("bias") + struct.pack("<IIQI", 0, 1, 4, 0) + struct.pack("<f", 0.0)
schema += name("weight") + struct.pack("<IIQI", 1, 1, 4, 1) + struct.pack("<f", 2.0)
print("digest", blake(schema).hex())
words = initial(42, "heart/weight", 6, 0.5) + [0] * 4 + initial(42, "tail/weight", 4, 2.0)
print("bits", ", ".join("0x%08X" % w for w in words))
