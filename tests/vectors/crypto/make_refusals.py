#!/usr/bin/env python3
"""Makes refusals.txt: what the primitives of the protocol FSA-1 have to accept and what to refuse, in the manner of
Project Wycheproof. Standard library only; group, X25519 and HKDF are those of fsa1_kat.py, the rest is written out here
after RFC 8032 (Ed25519), RFC 8439 (ChaCha20, Poly1305) and FIPS 197 (AES). Nothing is shared with the program.

make_refusals.py > refusals.txt; make_refusals.py --check says whether the file is what this script makes.
A line: group, verdict, what it is, fields in hexadecimal ("-": empty) or, where the group says so, decimal.
"""
import hashlib
import os
import struct
import sys

from fsa1_kat import BASE, L, P, decode, encode, expand, hchacha20, le, mul, rotate, x25519

ACCEPT, REFUSE = "accept", "refuse"
lines = []


def row(group, verdict, note, *fields):
    lines.append(" ".join([group, verdict, note.replace(" ", "-")] +
                          [f if isinstance(f, str) else (f.hex() or "-") for f in fields]))


def seeded(*parts):
    return hashlib.sha256(b"refusals" + b"|".join(str(p).encode() for p in parts)).digest()


# ---- X25519: u ----

def x25519_rows():
    eight = (1 << 255) - 19
    small = [0, 1, eight - 1, eight, eight + 1,
             325606250916557431795983626356110631294008115727848805560023387167927233504,
             39382357235489614581723060781553021112529911719440698176882885853963445705823]
    for u in small:
        assert x25519(le(8, 32), le(u, 32)) == bytes(32)
        row("x25519", REFUSE, "small order", le(u, 32))
        row("x25519", REFUSE, "small order, high bit set", le(u | 1 << 255, 32))
    for u in (2, 9, 16, 18):
        row("x25519", REFUSE, "not below p", le(u + P, 32))
        row("x25519", REFUSE, "high bit set", le(u | 1 << 255, 32))
    for i in range(12):  # on the curve or on its twist: both are keys to RFC 7748
        u = int.from_bytes(seeded("u", i), "little") % P
        assert x25519(le(8, 32), le(u, 32)) != bytes(32)
        row("x25519", ACCEPT, "a key", le(u, 32))
    row("x25519", ACCEPT, "the base point", le(9, 32))
    row("x25519", ACCEPT, "p - 2", le(P - 2, 32))


# ---- Ed25519: key, message, signature ----

def ed_encode(p):
    z = pow(p[2], -1, P)
    x, y = p[0] * z % P, p[1] * z % P
    return le(y | (x & 1) << 255, 32)


def ed_secret(seed):
    h = hashlib.sha512(seed).digest()
    return int.from_bytes(h[:32], "little") & ~7 & (1 << 255) - 1 | 1 << 254, h[32:]


def ed_hash(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def ed_sign(seed, message):
    a, prefix = ed_secret(seed)
    key = ed_encode(mul(a % L, BASE))
    r = ed_hash(prefix, message)
    point = ed_encode(mul(r, BASE))
    return key, point + le((r + ed_hash(point, key, message) * a) % L, 32)


def ed25519_rows():
    seeds = [bytes.fromhex(s) for s in ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                                        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                                        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")]
    published = ("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
                 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
                 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac")
    for seed, message, head in zip(seeds, (b"", b"\x72", b"\xaf\x82"), published):
        key, s = ed_sign(seed, message)
        assert s[:32].hex() == head
        row("ed25519", ACCEPT, "RFC 8032 section 7.1", key, message, s)
    message = b"the root signs the roster"
    key, good = ed_sign(seeds[0], message)
    s = int.from_bytes(good[32:], "little")
    row("ed25519", ACCEPT, "a signature", key, message, good)
    for k in range(1, 15):
        row("ed25519", REFUSE, "S + %d L" % k, key, message, good[:32] + le(s + k * L, 32))
    for name, value in (("S = 0", 0), ("S = L", L), ("S = L - 1", L - 1), ("S = 2^256 - 1", 2**256 - 1),
                        ("-S", (L - s) % L), ("S + 1", s + 1)):
        row("ed25519", REFUSE, name, key, message, good[:32] + le(value, 32))
    for bit in (0, 7, 100, 254, 255, 256, 300, 507, 509, 511):
        b = bytearray(good)
        b[bit // 8] ^= 1 << bit % 8
        row("ed25519", REFUSE, "bit %d of the signature" % bit, key, message, bytes(b))
    row("ed25519", REFUSE, "another message", key, message + b"s", good)
    row("ed25519", REFUSE, "no message", key, b"", good)
    row("ed25519", REFUSE, "another key", ed_sign(seeds[1], b"")[0], message, good)
    row("ed25519", REFUSE, "R and S swapped", key, message, good[32:] + good[:32])
    row("ed25519", REFUSE, "all zero", key, message, bytes(64))
    # R of small order, S made to fit: S B = R + h A holds.
    a = ed_secret(seeds[0])[0]
    identity = le(1, 32)
    row("ed25519", REFUSE, "R the identity and S = h a", key, message,
        identity + le(ed_hash(identity, key, message) * a % L, 32))
    # A of small order: S = 0 and R = -h A, tried until h A is the identity.
    order8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    for name, small in (("the identity", identity), ("order 2", le(P - 1, 32)), ("order 4", bytes(32)),
                        ("order 4, negative", le(1 << 255, 32)), ("order 8", order8),
                        ("order 8, negative", order8[:31] + bytes([order8[31] | 0x80])),
                        ("the identity as p + 1", le(P + 1, 32)), ("order 4 as p", le(P, 32))):
        r = ed_encode(mul(5, BASE))
        for i in range(200):  # h = 0 mod 8: then h A is the identity and S B = R
            m = b"forged %d" % i
            h = int.from_bytes(hashlib.sha512(r + small + m).digest(), "little")
            if h % L % 8 == 0:
                row("ed25519", REFUSE, "key of small order, " + name, small, m, r + le(5, 32))
                break


# ---- ristretto255: an encoding; scalars ----

def point_rows():
    bad = """00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
0100000000000000000000000000000000000000000000000000000000000000
01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20
c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562
c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78
47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24
f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72
87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309
26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371
4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f
de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b
bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042
2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08
f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22
8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731
2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b
3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e
a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220
d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e
8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32
32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b
227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165
5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e
445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f""".split()
    for b in bad:
        assert decode(bytes.fromhex(b)) is None
        row("point", REFUSE, "RFC 9496 appendix A.2", bytes.fromhex(b))
    row("point", REFUSE, "the identity, which decodes", bytes(32))
    for k in (1, 2, 15, L - 1, int.from_bytes(seeded("k"), "little") % L):
        e = encode(mul(k, BASE))
        s = int.from_bytes(e, "little")
        row("point", ACCEPT, "a multiple of the generator", e)
        row("point", REFUSE, "its negative s", le(P - s, 32))
        row("point", REFUSE, "its s with the high bit", le(s | 1 << 255, 32))
        if s + P < 1 << 256:
            row("point", REFUSE, "its s + p", le(s + P, 32))
    for i in range(48):  # about one in sixteen of 32 random bytes is a point
        e = seeded("point", i)
        row("point", REFUSE if decode(e) is None else ACCEPT, "random bytes", e)
        e = le(int.from_bytes(e, "little") % P & ~1, 32)
        row("point", REFUSE if decode(e) is None else ACCEPT, "random, not negative", e)


def scalar_rows():
    for name, v in (("0", 0), ("1", 1), ("L - 1", L - 1), ("2^252", 2**252)):
        row("scalar", ACCEPT, name, le(v, 32))
    for name, v in (("L", L), ("L + 1", L + 1), ("2 L - 1", 2 * L - 1), ("2^253", 2**253), ("2^255", 2**255),
                    ("2^256 - 1", 2**256 - 1), ("15 L", 15 * L)):
        row("scalar", REFUSE, name, le(v, 32))


# ---- Feldman: index (decimal), share, commitments ----

def share_rows():
    f = [int.from_bytes(seeded("f", k), "little") % L for k in range(3)]
    c = [encode(mul(v, BASE)) for v in f]

    def at(x):
        return sum(v * x**k for k, v in enumerate(f)) % L

    for i in range(5):
        row("share", ACCEPT, "of site %d" % i, str(i), le(at(i + 1), 32), *c)
    row("share", ACCEPT, "of the last place there may be", "4095", le(at(4096), 32), *c)
    row("share", REFUSE, "of a place there is not", "4096", le(at(4097), 32), *c)
    row("share", REFUSE, "of a place there is not", "4294967295", le(at(0), 32), *c)
    row("share", REFUSE, "the secret itself, point 0", "0", le(at(0), 32), *c)
    row("share", REFUSE, "of the neighbour", "1", le(at(1), 32), *c)
    row("share", REFUSE, "one more", "2", le(at(3) + 1, 32), *c)
    row("share", REFUSE, "negative", "2", le(L - at(3), 32), *c)
    row("share", REFUSE, "plus L", "2", le(at(3) + L, 32), *c)
    for name, v in (("0", 0), ("L", L), ("L + 1", L + 1), ("2^256 - 1", 2**256 - 1)):
        row("share", REFUSE, name, "2", le(v, 32), *c)
    row("share", REFUSE, "commitments swapped", "2", le(at(3), 32), c[1], c[0], c[2])
    row("share", REFUSE, "a commitment less", "2", le(at(3), 32), c[0], c[1])
    row("share", REFUSE, "a commitment twice", "2", le(at(3), 32), c[0], c[1], c[2], c[2])
    row("share", REFUSE, "the identity for a commitment", "2", le(at(3), 32), c[0], bytes(32), c[2])
    row("share", REFUSE, "the identity at the end", "2", le((f[0] + 3 * f[1]) % L, 32), c[0], c[1], bytes(32))
    row("share", REFUSE, "an encoding that is none", "2", le(at(3), 32), c[0], c[1], b"\xff" * 32)


# ---- sealed shares: key, session, from, to (decimal), digest of commitments, sealed, b, s ----

def chacha20_block(key, counter, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    x = list(s)
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
              (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(10):
        for a, b, c, d in rounds:
            for i, j, k, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[i] = x[i] + x[j] & 0xffffffff
                x[k] = rotate(x[k] ^ x[i], n)
    return struct.pack("<16I", *(a + b & 0xffffffff for a, b in zip(x, s)))


def padded(b):
    return b + bytes(-len(b) % 16)


def seal(key, aad, plain):
    """XChaCha20-Poly1305 with nonce 0."""
    sub, nonce = hchacha20(key, bytes(16)), bytes(12)
    stream = b"".join(chacha20_block(sub, 1 + i, nonce) for i in range(-(-len(plain) // 64)))
    cipher = bytes(a ^ b for a, b in zip(plain, stream))
    one_time = chacha20_block(sub, 0, nonce)
    r = int.from_bytes(one_time[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total, data = 0, padded(aad) + padded(cipher) + struct.pack("<QQ", len(aad), len(cipher))
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i:i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return cipher + le((total + int.from_bytes(one_time[16:32], "little")) % 2**128, 16)


def seal_rows():
    key, sid, digest = seeded("seal key"), seeded("session"), seeded("commitments")
    b, s = (int.from_bytes(seeded(n), "little") % L for n in ("b", "s"))

    def sealed(b, s, k=key, i=sid, ids=(3, 7), d=digest):
        return seal(k, i + struct.pack("<II", *ids) + d, le(b, 32) + le(s, 32))

    def out(verdict, note, bytes_, ids=(3, 7), i=sid, d=digest, k=key, values=(b, s)):
        row("seal", verdict, note, k, i, str(ids[0]), str(ids[1]), d, bytes_, le(values[0], 32), le(values[1], 32))

    good = sealed(b, s)
    out(ACCEPT, "two shares", good)
    out(ACCEPT, "zero shares", sealed(0, 0), values=(0, 0))
    out(ACCEPT, "the largest shares", sealed(L - 1, L - 1), values=(L - 1, L - 1))
    for bit in (0, 255, 256, 511, 512, 639):
        c = bytearray(good)
        c[bit // 8] ^= 1 << bit % 8
        out(REFUSE, "bit %d" % bit, bytes(c))
    out(REFUSE, "ids swapped", good, ids=(7, 3))
    out(REFUSE, "of another dealer", good, ids=(4, 7))
    out(REFUSE, "for another site", good, ids=(3, 8))
    out(REFUSE, "of another session", good, i=seeded("another session"))
    out(REFUSE, "beside other commitments", good, d=seeded("other commitments"))
    out(REFUSE, "under another key", good, k=seeded("another key"))
    out(REFUSE, "halves swapped", good[32:64] + good[:32] + good[64:])
    out(REFUSE, "all zero", bytes(80))
    out(REFUSE, "sealed in another session and used again", sealed(b, s, i=seeded("another session")))
    for name, v in (("L", L), ("L + 1", L + 1), ("2^256 - 1", 2**256 - 1)):
        out(REFUSE, "well sealed, b = " + name, sealed(v, s))
        out(REFUSE, "well sealed, s = " + name, sealed(b, v))


# ---- HKDF: key, info, length (decimal), SHA-256 of the output ----

def hkdf_rows():
    prk = seeded("prk")
    for info, n in ((b"", 1), (b"FSA1 mask", 44), (b"x", 31), (b"x", 32), (b"x", 33), (bytes(1024), 64), (b"long", 8160)):
        row("hkdf", ACCEPT, "%d bytes" % n, prk, info, str(n), hashlib.sha256(expand(prk, info, n)).digest())
    for n in (8161, 8192, 65536):
        row("hkdf", REFUSE, "more than 255 blocks", prk, b"x", str(n), bytes(32))
    row("hkdf", REFUSE, "a longer info than is promised", prk, bytes(1025), "32", bytes(32))


# ---- mask streams: key and iv (44), the first words ----

def aes_tables():
    box, p, q = [0] * 256, 1, 1
    while True:
        p = p ^ p << 1 & 0xff ^ (0x1b if p & 0x80 else 0)
        for n in (1, 2, 4):
            q ^= q << n
        q &= 0xff
        q ^= 0x09 if q & 0x80 else 0
        x = q
        for n in (1, 2, 3, 4):
            x ^= (q << n | q >> 8 - n) & 0xff
        box[p] = x ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return box


BOX = aes_tables()


def aes256(key, block):
    w = [list(key[i:i + 4]) for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        t = list(w[i - 1])
        if i % 8 == 0:
            t = [BOX[v] for v in t[1:] + t[:1]]
            t[0] ^= rcon
            rcon = rcon << 1
        elif i % 8 == 4:
            t = [BOX[v] for v in t]
        w.append([a ^ b for a, b in zip(w[i - 8], t)])
    keys = [sum(w[i:i + 4], []) for i in range(0, 60, 4)]
    s = [a ^ b for a, b in zip(block, keys[0])]
    for n in range(1, 15):
        s = [BOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if n < 14:
            m = []
            for c in range(0, 16, 4):
                col = s[c:c + 4]
                t = [v << 1 & 0xff ^ (0x1b if v & 0x80 else 0) for v in col]
                m += [t[i] ^ t[(i + 1) % 4] ^ col[(i + 1) % 4] ^ col[(i + 2) % 4] ^ col[(i + 3) % 4] for i in range(4)]
            s = m
        s = [a ^ b for a, b in zip(s, keys[n])]
    return bytes(s)


def stream_rows():
    published = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    assert aes256(published, bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")).hex() == \
        "f3eed1bdb5d2a03c064b5a7e3db181f8"  # SP 800-38A, F.1.5
    for name, iv in (("iv 0", bytes(12)), ("iv of ones: no carry into it, no wrap", b"\xff" * 12),
                     ("iv that ends in ones", bytes(8) + b"\xff" * 4), ("an iv", seeded("iv")[:12])):
        out = b"".join(aes256(published, iv + struct.pack(">I", 2 + i)) for i in range(32))
        row("stream", ACCEPT, name, published + iv, out)


def make():
    for part in (x25519_rows, ed25519_rows, point_rows, scalar_rows, share_rows, seal_rows, hkdf_rows, stream_rows):
        part()
    return "# Made by make_refusals.py; see there.\n" + "\n".join(lines) + "\n"


def main():
    text = make()
    if sys.argv[1:] != ["--check"]:
        sys.stdout.write(text)
        return 0
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "refusals.txt"), encoding="ascii") as f:
        same = f.read() == text
    print("refusals.txt: %d lines, %s" % (len(lines), "as made" if same else "not what make_refusals.py makes"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
