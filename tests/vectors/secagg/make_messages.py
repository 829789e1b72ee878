#!/usr/bin/env python3
"""Makes messages.txt: every message of the protocol FSA-1 and the roster as bytes, well-formed and spoiled, after the tables
of privacy/secagg/README.md. Standard library only; Ed25519 is that of ../crypto/make_refusals.py. Nothing is shared with
the program.

make_messages.py > messages.txt; make_messages.py --check says whether the file is what this script makes.
A line: group, verdict, what it is, fields in hexadecimal. Groups: message (bytes), signed (key, bytes), config (bytes),
roster (root, least epoch in decimal, bytes), ctx (M0, ctx), sid (M2, sid), head (previous, T, result root,
model, head).
"""
import hashlib
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "crypto"))
from make_refusals import ed_sign  # noqa: E402

ACCEPT, REFUSE = "accept", "refuse"
lines = []


def row(group, verdict, note, *fields):
    lines.append(" ".join([group, verdict, note.replace(" ", "-")] +
                          [f if isinstance(f, str) and f else f.hex() if f else "-" for f in fields]))


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def seed(name):
    return sha(b"messages, " + name.encode())


def u32(*values):
    return struct.pack("<%dI" % len(values), *values)


def u64(*values):
    return struct.pack("<%dQ" % len(values), *values)


def signature(name, kind, body):
    return ed_sign(seed(name), b"FSA1 sig" + bytes([kind]) + sha(body))[1]


def key_of(name):
    return ed_sign(seed(name), b"")[0]


SITES = (3, 7, 12)
SID, CTX = sha(b"a session"), sha(b"a context")


def header(kind, site, id_, version=1):
    return bytes([kind, version]) + id_ + u32(site)


def said(kind, site, body, id_=SID, by=None, after=b""):
    whole = header(kind, site, id_) + body
    return whole + signature(by or ("coordinator" if site == 0 else "site %d" % site), kind, whole) + after


def carried(kind, site, body):
    return header(kind, site, SID) + body


def blob(name, n=32):
    return (sha(name.encode()) * (n // 32 + 1))[:n]


# ---- the messages, each well-formed ----

def advertise(site, id_=CTX):
    return said(1, site, b"".join(blob("%s %d" % (n, site)) for n in ("S", "E", "nonce", "head")), id_)


def round_keys(sites=SITES, quorum=3, threshold=3, count=None, id_=CTX, parts=None):
    return said(2, 0, u32(quorum, threshold) + bytes(32) + u32(len(sites) if count is None else count) +
                b"".join(parts or [advertise(s) for s in sites]), CTX if id_ is None else id_)


def commitments(site, t=3):
    return u32(t) + blob("Cb %d" % site, 32 * t) + blob("Cs %d" % site, 32 * t)


def shares(site, count=2, t=3):
    return said(3, site, commitments(site, t), after=u32(count) + blob("ct %d" % site, 80 * count))


def delivery(dealers=(7, 12), t=3, count=None, threshold=None):
    parts = b""
    for d in dealers:
        body = header(3, d, SID) + commitments(d, t)
        parts += body + signature("site %d" % d, 3, body) + blob("ct of %d" % d, 80)
    return carried(4, 3, u32(threshold or t, len(dealers) if count is None else count) + parts)


def ack(site=3, count=3, accepted=6, complaints=0):
    return said(5, site, u32(count) + bytes([accepted]) + bytes([complaints]))


def opening(dealer=7, receiver=3):
    return said(21, dealer, u32(receiver) + blob("f_b") + blob("f_s"))


def dispute(part=None, length=None):
    part = part or ack(3, 3, 4, 2)
    return carried(20, 7, u32(len(part) if length is None else length) + part)


def ready(blocks=2, bits=3):
    return said(6, 3, u32(blocks) + bytes([bits]))


def senders(members=7, blocks=(7, 7), openings=(), count=3, opening_count=None):
    return said(7, 0, u32(count) + bytes([members]) + u32(len(blocks)) + bytes(blocks) + blob("com") +
                u32(len(openings) if opening_count is None else opening_count) + b"".join(openings))


def manifest(blocks=((5, 1), (0, 0)), roots=None):
    return said(8, 3, blob("M7") + bytes(32) + u32(len(blocks)) +
                b"".join(u64(e) + u32(c) + (bytes(32) if e == 0 and roots is None else blob("root")) for e, c in blocks))


def survivors(members=7, blocks=(7, 7), roots=3):
    return said(9, 0, u32(3) + bytes([members]) + u32(len(blocks)) + bytes(blocks) + blob("roots", 32 * roots))


def vote(choice=1, transcript=None):
    return said(10, 3, bytes([choice]) + (blob("T") if transcript is None else transcript))


def votes(sites=SITES, count=None):
    return u32(len(sites) if count is None else count) + b"".join(u32(s) + blob("vote %d" % s, 64) for s in sites)


def quorum(*args):
    return carried(11, 0, blob("T") + votes(*args))


def unmask(count=3, n=3):
    return said(12, 3, blob("T") + u32(count) + blob("shares", 32 * n))


def result(*args):
    return said(13, 0, blob("T") + blob("previous") + blob("root") + blob("model") + blob("head") + votes(*args))


def give_up():
    return said(22, 0, b"")


def abandoned(*args):
    return carried(23, 0, votes(*args))


# ---- sums that are audited; graph 1 ----

def audit(chunks=((0, 0), (0, 2), (1, 1)), count=None):
    return said(14, 3, u32(len(chunks) if count is None else count) + b"".join(u32(*c) for c in chunks))


def audited(sparse=False, block=1, chunk=1, senders_=3, t=2, blocks=2, chunks=2, seeds=None):
    points = ("Cb", "Cs", "Cr") if sparse else ("Cb", "Cs")
    body = blob("T") + u32(block, chunk, senders_, t) + blob("secrets", 32 * senders_)
    body += b"".join(blob("%s %d" % (p, i), 32 * t) for i in range(senders_) for p in points)
    if sparse:
        body += blob("r", 32 * (senders_ if seeds is None else seeds))
    body += u32(blocks) + blob("roots", 32 * blocks) + u32(chunks) + blob("hashes", 32 * chunks)
    return carried(26 if sparse else 24, 0, body)


def audit_upload(part=None, length=None, chunk=1, chunks=2, words=5):
    part = part or manifest()
    return carried(25, 0, u32(1, chunk, len(part) if length is None else length) + part + u32(chunks) +
                   blob("hashes", 32 * chunks) + u32(words) + blob("words", 8 * words))


def sparse_commitments(site, t=3):
    return commitments(site, t) + blob("Cr %d" % site, 32 * t)


def sparse_shares(site, count=2, t=3):
    return said(15, site, sparse_commitments(site, t), after=u32(count) + blob("ct %d" % site, 112 * count))


def sparse_delivery(dealers=(7, 12), t=3, kind=15):
    parts = b""
    for d in dealers:
        body = header(kind, d, SID) + sparse_commitments(d, t)
        parts += body + signature("site %d" % d, kind, body) + blob("ct of %d" % d, 112)
    return carried(16, 3, u32(t, len(dealers)) + parts)


def sparse_senders(members=7, blocks=(7, 7), dealings=3):
    return said(17, 0, u32(3) + bytes([members]) + u32(len(blocks)) + bytes(blocks) + blob("com") +
                blob("dealings", 64 * dealings) + u32(0))


def reveal(count=2, n=2):
    return said(18, 3, blob("r") + u32(count) + blob("shares of r", 32 * n))


def seeds(count=3, n=3):
    return said(19, 0, u32(count) + blob("r", 32 * n))


def epoch(kind):
    return said(kind, 3, blob("value"))


def message_rows():
    good = [("M1", advertise(3)), ("M2", round_keys()), ("M3", shares(3)), ("M4", delivery()), ("M5", ack()),
            ("M5 with a complaint", ack(3, 3, 4, 2)), ("M6", ready()), ("M7", senders()),
            ("M7 with openings", senders(openings=(opening(7, 3), opening(7, 12), opening(12, 3)))),
            ("M8", manifest()), ("M9", survivors()), ("M9 of two", survivors(5, (5, 4), 2)), ("M10 for", vote()),
            ("M10 to abandon", vote(2, bytes(32))), ("M11", quorum()), ("M12", unmask()), ("M13", result()),
            ("dispute", dispute()), ("opening", opening()), ("give up", give_up()), ("certificate", abandoned()),
            ("M14", audit()), ("audited", audited()), ("audited of graph 1", audited(True)), ("audit upload", audit_upload()),
            ("M3 of graph 1", sparse_shares(3)), ("M4 of graph 1", sparse_delivery()), ("M7 of graph 1", sparse_senders()),
            ("M7r", reveal()), ("M7r without shares", reveal(0, 0)), ("M7r of all", seeds()), ("epoch commit", epoch(30)),
            ("epoch reveal", epoch(31))]
    for name, m in good:
        row("message", ACCEPT, name, m)
        row("message", REFUSE, name + ", a byte more", m + b"\x00")
        row("message", REFUSE, name + ", a byte less", m[:-1])
        row("message", REFUSE, name + ", half of it", m[:len(m) // 2])
        row("message", REFUSE, name + ", version 0", m[:1] + b"\x00" + m[2:])
        row("message", REFUSE, name + ", version 2", m[:1] + b"\x02" + m[2:])
        other = u32(0) if m[34:38] != u32(0) else u32(3)
        row("message", REFUSE, name + ", said by the other side", m[:34] + other + m[38:])
    for kind in (0, 14, 15, 19, 24, 26, 27, 29, 32, 99, 254, 255):
        row("message", REFUSE, "type %d" % kind, header(kind, 3, SID) + bytes(64))
    row("message", REFUSE, "nothing", "")
    row("message", REFUSE, "a header alone", header(1, 3, SID))


def spoiled_rows():
    def no(note, m):
        row("message", REFUSE, note, m)

    no("M2 without sites", round_keys((), 1, 1))
    no("M2 with a quorum of 0", round_keys(quorum=0))
    no("M2 with a quorum beyond n1", round_keys(quorum=4))
    no("M2 with a threshold of 0", round_keys(threshold=0))
    no("M2 with a threshold beyond n1", round_keys(threshold=4))
    no("M2 with one site too many counted", round_keys(count=4))
    no("M2 of 4 billion", round_keys(count=2**32 - 1))
    no("M2 of 1025", round_keys(count=1025))
    no("M2 not sorted", round_keys(parts=[advertise(s) for s in (7, 3, 12)]))
    no("M2 with a site twice", round_keys(parts=[advertise(s) for s in (3, 7, 7)]))
    no("M2 with a key of another context", round_keys(parts=[advertise(3), advertise(7, SID), advertise(12)]))
    no("M2 with an M5 for an M1", round_keys(parts=[advertise(3), header(5, 7, CTX) + bytes(192), advertise(12)]))
    no("M3 with one sealed share counted too many", shares(3)[:-164] + u32(3) + shares(3)[-160:])
    no("M3 of threshold 0", said(3, 3, u32(0), after=u32(0)))
    no("M3 of threshold 1025", said(3, 3, u32(1025) + bytes(192), after=u32(0)))
    no("M4 not sorted", delivery((12, 7)))
    no("M4 with a dealer twice", delivery((7, 7)))
    no("M4 with another threshold", delivery(threshold=2))
    no("M4 with one dealer counted too many", delivery(count=3))
    no("M5 with an unused bit", ack(accepted=8))
    no("M5 with an unused bit among complaints", ack(complaints=0x80))
    no("M5 that accepts and complains", ack(accepted=6, complaints=2))
    no("M5 of nobody", ack(count=0))
    no("M5 of 4 billion", ack(count=2**32 - 1))
    no("M6 with an unused bit", ready(bits=4))
    no("M6 without blocks", ready(blocks=0))
    no("M6 of 66 blocks", ready(blocks=66))
    no("M7 with an unused bit", senders(members=15))
    no("M7 with a block of a stranger", senders(members=3, blocks=(7, 3)))
    no("M7 without blocks", senders(blocks=()))
    no("M7 with openings not sorted", senders(openings=(opening(12, 3), opening(7, 3))))
    no("M7 with receivers not sorted", senders(openings=(opening(7, 12), opening(7, 3))))
    no("M7 with an opening twice", senders(openings=(opening(), opening())))
    no("M7 with a million openings", senders(opening_count=1 << 20))
    no("M7 with 4 billion openings", senders(opening_count=2**32 - 1))
    no("M8 with entries and no chunk", manifest(((5, 0), (0, 0))))
    no("M8 with a chunk and no entries", manifest(((0, 1), (0, 0))))
    no("M8 with the root of nothing", manifest(((5, 1), (0, 0)), roots=True))
    no("M8 without blocks", manifest(()))
    no("M8 of 66 blocks", manifest(((5, 1),) * 66))
    no("M9 with a root too few", survivors(roots=2))
    no("M9 with a root too many", survivors(roots=4))
    no("M9 with a block of a stranger", survivors(5, (7, 5), 2))
    no("M9 with an unused bit", survivors(0x87, (7, 7), 4))
    no("M10 with choice 0", vote(0))
    no("M10 with choice 3", vote(3))
    no("M10 to abandon a transcript", vote(2))
    for name, f in (("M11", quorum), ("M13", result), ("certificate", abandoned)):
        no(name + " not sorted", f((7, 3, 12)))
        no(name + " with a voter twice", f((3, 7, 7)))
        no(name + " of nobody", f(()))
        no(name + " of site 0", f((0, 3, 7)))
        no(name + " with one counted too many", f(SITES, 4))
        no(name + " of 4 billion", f(SITES, 2**32 - 1))
    no("M12 of nobody", unmask(0, 0))
    no("M12 with one counted too many", unmask(4, 3))
    no("dispute of an M6", dispute(ready()))
    no("dispute of another session", dispute(said(5, 3, u32(3) + b"\x04\x02", sha(b"other"))))
    no("dispute of 4 billion bytes", dispute(length=2**32 - 1))
    no("M14 of nothing", audit(()))
    no("M14 of 65 chunks", audit(tuple((0, c) for c in range(65))))
    no("M14 not sorted", audit(((0, 2), (0, 1))))
    no("M14 with a chunk twice", audit(((0, 1), (0, 1))))
    no("M14 of block 65", audit(((65, 0),)))
    no("M14 of chunk 32768", audit(((0, 1 << 15),)))
    no("M14 with one counted too many", audit(count=4))
    for name, f in (("audited", audited), ("audited of graph 1", lambda **k: audited(True, **k))):
        no(name + ", a block that is none", f(block=2))
        no(name + ", a chunk that is none", f(chunk=2))
        no(name + " of nobody", f(senders_=0))
        no(name + " of threshold 0", f(t=0))
        no(name + " without blocks", f(block=0, blocks=0))
        no(name + " of 66 blocks", f(blocks=66))
    no("audited of graph 1 with an r too few", audited(True, seeds=2))
    no("audited of graph 1 with an r too many", audited(True, seeds=4))
    no("audited, read as of graph 1", bytes([26]) + audited()[1:])
    no("audited of graph 1, read as of none", bytes([24]) + audited(True)[1:])
    no("audit upload of a chunk that is none", audit_upload(chunk=2))
    no("audit upload of an M6", audit_upload(ready()))
    no("audit upload of another session", audit_upload(said(8, 3, manifest()[38:-64], sha(b"other"))))
    no("audit upload of 4 billion bytes", audit_upload(length=2**32 - 1))
    no("M3, read as of graph 1", bytes([15]) + shares(3)[1:])
    no("M4 of graph 1 with dealers of none", sparse_delivery(kind=3))
    no("M4 of graph 1 not sorted", sparse_delivery((12, 7)))
    no("M7 of graph 1 with a dealing too few", sparse_senders(dealings=2))
    no("M7r with one counted too many", reveal(3, 2))
    no("M7r of all, of nobody", seeds(0, 0))


def signed_rows():
    m = ready()
    row("signed", ACCEPT, "by its site", key_of("site 3"), m)
    row("signed", REFUSE, "by another site", key_of("site 7"), m)
    row("signed", REFUSE, "by the coordinator", key_of("coordinator"), m)
    row("signed", REFUSE, "a bit of the body", key_of("site 3"), m[:42] + bytes([m[42] ^ 1]) + m[43:])
    row("signed", REFUSE, "another session", key_of("site 3"), m[:2] + CTX + m[34:])
    row("signed", REFUSE, "another site's name", key_of("site 3"), m[:34] + u32(7) + m[38:])
    a, b = vote(), header(10, 3, SID) + b"\x01" + blob("T")
    row("signed", ACCEPT, "a vote", key_of("site 3"), a)
    row("signed", REFUSE, "a vote signed as an M12", key_of("site 3"), b + signature("site 3", 12, b))
    row("signed", REFUSE, "a vote signed without the domain", key_of("site 3"),
        b + ed_sign(seed("site 3"), bytes([10]) + sha(b))[1])
    row("signed", REFUSE, "a vote whose body is signed itself", key_of("site 3"), b + ed_sign(seed("site 3"), b)[1])
    row("signed", REFUSE, "a carrier has no signature", key_of("coordinator"), quorum())
    m = shares(3)
    row("signed", ACCEPT, "M3, its sealed shares aside", key_of("site 3"), m[:-1] + bytes([m[-1] ^ 1]))


# ---- M0 ----

def config(federation=b"\x11" * 16, round_=4, attempt=1, suite=1, n_min=3, c=1, graph=0, sparse=bytes(16), sites=5,
           blocks=((1, 40, 16, 3, 1 << 32, 0, 3, 31), (4, 8, 64, 0, 1, 3, 3, 15)), scalars=((b"loss    ", 1),), id_=bytes(32)):
    body = header(0, 0, id_) + federation + u64(round_) + struct.pack("<HH", attempt, suite)
    body += b"".join(blob(n) for n in ("roster", "model", "plan", "head", "weights")) + u32(n_min, c) + bytes([graph]) + sparse
    body += u32(sites, len(blocks))
    for i, entries, lane, levels, clip, rotation, least, bits in blocks:
        body += u32(i) + u64(entries) + bytes([lane]) + u32(levels) + struct.pack("<q", clip) + bytes([rotation]) + u32(least)
        body += bytes([bits])
    body += u32(len(scalars)) + b"".join(n + struct.pack("<q", s) for n, s in scalars) + blob("nonce")
    return body + signature("coordinator", 0, body)


def block(**changes):
    names = ("id", "entries", "lane", "levels", "clip", "rotation", "least", "bits")
    values = dict(zip(names, (1, 40, 16, 3, 1 << 32, 0, 3, 31)))
    values.update(changes)
    return (tuple(values[n] for n in names),)


def config_rows():
    good = config()
    row("config", ACCEPT, "M0", good)
    row("config", ACCEPT, "without scalars", config(scalars=()))
    row("config", ACCEPT, "without blocks", config(blocks=()))
    row("config", ACCEPT, "the largest block", config(blocks=block(entries=1 << 32)))
    row("config", ACCEPT, "levels that fit to the last", config(blocks=block(levels=65535 // 5)))
    for name, m in (("a byte more", good + b"\x00"), ("a byte less", good[:-1]), ("nothing in it", config(blocks=(), scalars=())),
                    ("suite 2", config(suite=2)), ("suite 0", config(suite=0)), ("a sparse graph", config(graph=1)),
                    ("parameters of a sparse graph", config(sparse=b"\x01" + bytes(15))), ("round 0", config(round_=0)),
                    ("attempt 0", config(attempt=0)), ("minimum 0", config(n_min=0)), ("no sites", config(sites=0)),
                    ("1025 sites", config(sites=1025)), ("as many colluding as there are", config(c=5)),
                    ("more colluding than there are", config(c=2**32 - 1)), ("a context", config(id_=b"\x01" * 32)),
                    ("65 blocks", config(blocks=tuple(block(id=i)[0] for i in range(1, 66)))),
                    ("257 scalars", config(scalars=((b"loss    ", 1),) * 257)),
                    ("ids that do not ascend", config(blocks=block(id=4) + block(id=1))),
                    ("an id twice", config(blocks=block() + block())),
                    ("the id of the scalars", config(blocks=block(id=2**32 - 1))),
                    ("no entries", config(blocks=block(entries=0))), ("2^32 + 1 entries", config(blocks=block(entries=2**32 + 1))),
                    ("2^64 - 1 entries", config(blocks=block(entries=2**64 - 1))),
                    ("lane 15", config(blocks=block(lane=15))), ("lane 0", config(blocks=block(lane=0))),
                    ("lane 255", config(blocks=block(lane=255))), ("levels 0", config(blocks=block(levels=0))),
                    ("levels that overflow a lane", config(blocks=block(levels=65535 // 5 + 1))),
                    ("levels of 4 billion", config(blocks=block(levels=2**32 - 1))), ("clip 0", config(blocks=block(clip=0))),
                    ("a negative clip", config(blocks=block(clip=-1))), ("a rotation that does not divide", config(blocks=block(rotation=4))),
                    ("rotation 17", config(blocks=block(entries=1 << 20, rotation=17))), ("a block of no site", config(blocks=block(least=0))),
                    ("an unused bit", config(blocks=block(bits=63)))):
        row("config", REFUSE, name, m)
    row("ctx", ACCEPT, "of M0", good, sha(b"FSA1 ctx", good[:-64]))


# ---- the roster ----

def roster(sites=SITES, epoch=5, federation=None, count=None, keys=None, active=(1, 1, 0), by="root", kind=255,
           head=b"FSA1 roster", version=1, coordinator="coordinator", names=None):
    federation = sha(b"FSA1 federation", key_of("root"))[:16] if federation is None else federation
    body = head + bytes([version]) + federation + u64(epoch) + key_of(coordinator) + u32(len(sites) if count is None else count)
    for i, s in enumerate(sites):
        name = b"site-%d" % s if names is None else names[i]
        body += u32(s) + bytes([len(name)]) + name + key_of((keys or ["site %d" % s for s in sites])[i]) + bytes([active[i]])
    return body + signature(by, kind, body)


def roster_rows():
    def out(verdict, note, bytes_, least=5, root="root"):
        row("roster", verdict, note, key_of(root), str(least), bytes_)

    good = roster()
    out(ACCEPT, "signed by the root", good)
    out(ACCEPT, "newer than it must be", good, least=1)
    out(REFUSE, "of an epoch before", good, least=6)
    out(REFUSE, "of another federation, well signed", roster(federation=b"\x12" * 16))
    out(REFUSE, "under another root", good, root="another root")
    for name, who in (("the coordinator", "coordinator"), ("a site", "site 3"), ("another root", "another root")):
        out(REFUSE, "signed by " + name, roster(by=who))
    out(REFUSE, "signed as an M0", roster(kind=0))
    for at in (0, 11, 12, 28, 36, 68, 72, 76, 77, 83, 115, len(good) - 64, len(good) - 1):
        out(REFUSE, "bit of byte %d" % at, good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
    out(REFUSE, "a byte more", good + b"\x00")
    out(REFUSE, "a byte less", good[:-1])
    out(REFUSE, "without a signature", good[:-64])
    out(REFUSE, "nothing", "")
    out(REFUSE, "of no site, well signed", roster((), active=()))
    out(REFUSE, "one counted too many, well signed", roster(count=4))
    out(REFUSE, "of 4 billion, well signed", roster(count=2**32 - 1))
    out(REFUSE, "not sorted, well signed", roster((7, 3, 12)))
    out(REFUSE, "a number twice, well signed", roster((3, 7, 7), keys=["site 3", "site 7", "site 12"], names=[b"a", b"b", b"c"]))
    out(REFUSE, "site 0, well signed", roster((0, 3, 7)))
    out(REFUSE, "a key twice, well signed", roster(keys=["site 3", "site 7", "site 3"]))
    out(REFUSE, "a name twice, well signed", roster(names=[b"lyon", b"turin", b"lyon"]))
    out(ACCEPT, "a name of 63 bytes, well signed", roster(names=[b"a" * 63, b"b", b"c"]))
    for name, bad in (("no name", b""), ("a name of 64 bytes", b"a" * 64), ("a name with a zero byte", b"ly\0on"),
                      ("a name with a blank", b"ly on"), ("a name in capitals", b"Lyon"), ("a name that is a path", b"../lyon")):
        out(REFUSE, name + ", well signed", roster(names=[bad, b"turin", b"porto"]))
    out(REFUSE, "the coordinator among the sites, well signed", roster(keys=["site 3", "coordinator", "site 12"]))
    out(REFUSE, "a status that is none, well signed", roster(active=(1, 2, 0)))
    out(REFUSE, "version 2, well signed", roster(version=2))
    out(REFUSE, "not called a roster, well signed", roster(head=b"FSA1 Roster"))


def derived_rows():
    keys = round_keys()
    parts = b"".join(u32(s) + sha(advertise(s)[:-64]) for s in SITES)
    row("sid", ACCEPT, "of M2", keys, sha(b"FSA1 sid", CTX, u32(3), parts, bytes(32)))
    values = [blob(n) for n in ("previous", "T", "root", "model")]
    row("head", ACCEPT, "of a result", *values, sha(b"FSA1 head", *values))


def make():
    for part in (message_rows, spoiled_rows, signed_rows, config_rows, roster_rows, derived_rows):
        part()
    return "# Made by make_messages.py; see there.\n" + "\n".join(lines) + "\n"


def main():
    text = make()
    if sys.argv[1:] != ["--check"]:
        sys.stdout.write(text)
        return 0
    with open(os.path.join(HERE, "messages.txt"), encoding="ascii") as f:
        same = f.read() == text
    print("messages.txt: %d lines, %s" % (len(lines), "as made" if same else "not what make_messages.py makes"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
