#!/usr/bin/env python3
"""Makes fsa1_kat.h: the primitives of the protocol FSA-1 in plain integers, after the text of the RFCs.

Nothing is shared with the program: ristretto255 as in RFC 9496, X25519 as in RFC 7748, HKDF as in RFC 5869 and
HChaCha20 as in draft-irtf-cfrg-xchacha-03 are written out here; AES-256-GCM and ChaCha20-Poly1305 come from the Python
package `cryptography`, which only main() needs. Run by hand: fsa1_kat.py > fsa1_kat.h
"""
import hashlib
import hmac
import struct

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def le(n, size):
    return n.to_bytes(size, "little")


def absolute(x):
    return P - x if x % 2 else x


def sqrt_ratio(u, v):
    """RFC 9496, section 4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u % P, -u % P), absolute(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, (-1 - D) % P)[1]


def decode(b):
    s = int.from_bytes(b, "little")
    if s >= P or s % 2:
        return None
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-(D * u1 * u1) - u2 * u2) % P
    ok, invsqrt = sqrt_ratio(1, v * u2 * u2 % P)
    den_x = invsqrt * u2 % P
    den_y = invsqrt * den_x * v % P
    x = absolute(2 * s * den_x % P)
    y = u1 * den_y % P
    t = x * y % P
    if not ok or t % 2 or y == 0:
        return None
    return (x, y, 1, t)


def encode(p):
    x0, y0, z0, t0 = p
    u1 = (z0 + y0) * (z0 - y0) % P
    u2 = x0 * y0 % P
    invsqrt = sqrt_ratio(1, u1 * u2 * u2 % P)[1]
    den1, den2 = invsqrt * u1 % P, invsqrt * u2 % P
    z_inv = den1 * den2 * t0 % P
    if t0 * z_inv % P % 2:
        x, y, den = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den = x0, y0, den2
    if x * z_inv % P % 2:
        y = -y % P
    return le(absolute(den * (z0 - y) % P), 32)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def mul(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = absolute(sqrt_ratio((BASE_Y * BASE_Y - 1) % P, (D * BASE_Y * BASE_Y + 1) % P)[1])
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def x25519(k, u):
    k = int.from_bytes(k, "little") & ~7 & (2**255 - 1) | 2**254
    x1 = int.from_bytes(u, "little") % 2**255 % P
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a, c * b
        x3, z3 = (da + cb)**2 % P, x1 * (da - cb)**2 % P
        aa, bb = a * a % P, b * b % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return le(x2 * pow(z2, P - 2, P) % P, 32)


def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, n):
    out, t = b"", b""
    for i in range(1, -(-n // 32) + 1):
        t = hmac.new(prk, t + info + bytes([i]), hashlib.sha256).digest()
        out += t
    return out[:n]


def derive(z, label, index):
    return expand(extract(b"", z), b"FSA1 derive" + label + struct.pack("<I", index), 64)


def scalar(z, label, index):
    return int.from_bytes(derive(z, label, index), "little") % L


def rotate(v, n):
    return (v << n | v >> 32 - n) & 0xffffffff


def hchacha20(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    rounds = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
              (2, 7, 8, 13), (3, 4, 9, 14))
    for _ in range(10):
        for a, b, c, d in rounds:
            for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & 0xffffffff
                s[z] = rotate(s[z] ^ s[x], n)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def xchacha20_poly1305(key, nonce, plain, aad):
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, aad)


def main():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    z = [hashlib.sha256(b"FSA-1 known answers, site %d" % i).digest() for i in (3, 7)]
    sid = hashlib.sha256(b"FSA-1 known answers, session").digest()
    s = [scalar(v, b"mask", 0) for v in z]
    point = [encode(mul(v, BASE)) for v in s]
    e = [derive(v, b"channel", 0)[:32] for v in z]
    public = [x25519(v, le(9, 32)) for v in e]
    b = [scalar(z[0], b"self", k) for k in range(3)]
    c = [scalar(z[0], b"mask", k) for k in range(3)]
    shares = [[sum(f[k] * x**k for k in range(3)) % L for x in range(1, 6)] for f in (b, c)]
    commitments = [encode(mul(v, BASE)) for v in b]
    prk_mask = extract(sid, encode(mul(s[0], decode(point[1]))) + point[0] + point[1])
    prk_self = extract(sid, le(b[0], 32))
    prk_channel = extract(sid, x25519(e[0], public[1]) + public[0] + public[1])
    mask_key = expand(prk_mask, b"FSA1 mask" + struct.pack("<IIIQ", 3, 7, 5, 2**33 + 1), 44)
    self_key = expand(prk_self, b"FSA1 self" + struct.pack("<IIQ", 3, 5, 2**33 + 1), 44)
    seal_key = expand(prk_channel, b"FSA1 share" + struct.pack("<II", 3, 7), 32)
    digest = hashlib.sha256(b"".join(commitments)).digest()
    sealed = xchacha20_poly1305(seal_key, bytes(24), le(shares[0][1], 32) + le(shares[1][1], 32),
                                sid + struct.pack("<II", 3, 7) + digest)
    stream = AESGCM(mask_key[:32]).encrypt(mask_key[32:], bytes(2**20), b"")[:2**20]
    words = struct.unpack("<%dQ" % (2**17), stream)
    rows = [("z3", z[0]), ("z7", z[1]), ("sid", sid), ("secret3", le(s[0], 32)), ("secret7", le(s[1], 32)),
            ("point3", point[0]), ("point7", point[1]), ("channel3", e[0]), ("channel7", e[1]),
            ("channel_public3", public[0]), ("channel_public7", public[1]),
            ("self_coefficients", b"".join(le(v, 32) for v in b)), ("self_commitments", b"".join(commitments)),
            ("self_shares", b"".join(le(v, 32) for v in shares[0])),
            ("mask_shares", b"".join(le(v, 32) for v in shares[1])), ("prk_mask", prk_mask), ("prk_self", prk_self),
            ("prk_channel", prk_channel), ("mask_key", mask_key), ("self_key", self_key), ("seal_key", seal_key),
            ("commitments_digest", digest), ("sealed", sealed), ("mask_words", stream[:32]),
            ("mask_chunk_digest", hashlib.sha256(stream).digest()),
            ("mask_chunk_negated_digest",
             hashlib.sha256(struct.pack("<%dQ" % (2**17), *(-w % 2**64 for w in words))).digest())]
    print("/* Made by fsa1_kat.py; see there. Sites 3 and 7, block 5, chunk 2^33 + 1, threshold 3, five shares. */")
    print("#ifndef CSL_TESTS_FSA1_KAT_H\n#define CSL_TESTS_FSA1_KAT_H\n")
    for name, value in rows:
        h = value.hex()
        pieces = [h[i:i + 80] for i in range(0, len(h), 80)]
        print("#define KAT_%s \\\n    %s" % (name.upper(), " \\\n    ".join('"%s"' % p for p in pieces)))
    print("\n#endif")


if __name__ == "__main__":
    main()
