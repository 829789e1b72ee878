#!/usr/bin/env python3
"""Two rules about secrets that no run of the program can show.

check_secrets.py LIBRARY: pitfall 32, wiping that the compiler removed. Every function below that keeps a secret in memory
of its own still calls the wiping function in the machine code that is linked. Exit 77: there is no objdump.
check_secrets.py --linked LIBRARY: the same for a shared library, which names what it calls instead of relocations.
check_secrets.py --compare FOLDER: pitfall 30, comparing secrets in variable time. The files that hold secrets call no
memcmp, strcmp or csl_span_equal.
"""
import os
import re
import shutil
import subprocess
import sys

WIPE = re.compile(r"\b(sodium_memzero|OPENSSL_cleanse|EVP_CIPHER_CTX_free)\b")
EXPECTED = {
    "csl_wipe": 1, "csl_secret_free": 1, "csl_secret_wipe": 1, "csl_hkdf_extract": 1, "csl_hkdf_expand": 1,
    "csl_scalar_is_canonical": 2, "csl_label__derive": 1, "csl_scalar_derive": 1, "csl_vss_reconstruct": 2,
    "csl_vss_polynomial": 1, "csl_agree_channel_keys": 1, "csl_agree_mask": 1, "csl_agree_channel": 1,
    "csl_seal_share": 2, "csl_seal_open": 1, "csl_seal_share3": 2, "csl_seal_open3": 1,
    "csl_prg_free": 2, "csl_prg_add": 1, "csl_prg_add_streams": 1,
    "csl_sign_wipe": 1, "csl_rng_wipe": 1,
}


CALL = r"\b(?:call|jmp)\b.*<([\w.]+?)(?:@plt|@@?[\w.]+)?(?:\+0x[0-9a-f]+)?>"


def calls_of(library, is_linked):
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", library], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    found, parts = {}, {}
    function = None
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <([\w.]+)>:", line)
        if head:
            function = head.group(1).split(".")[0]  # name.part.0 and name.cold are pieces of name
            found.setdefault(function, 0)
            parts.setdefault(function, set())
        elif function and re.search(CALL if is_linked else r"R_\w+\s", line):
            target = re.search(CALL if is_linked else r"R_\w+\s+(\w+)", line)
            found[function] += bool(WIPE.search(line))
            if target:
                parts[function].add(target.group(1))
    return found, parts


HOLD_SECRETS = ("hkdf.c", "group.c", "vss.c", "agree.c", "seal.c", "sign.c", "rng.c", "prg.c")


def compare(folder):
    bad = 0
    for name in HOLD_SECRETS:
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if re.search(r"\b(memcmp|strn?cmp|csl_span_equal)\s*\(", line):
                    bad += 1
                    print("%s:%d: csl_secret_equal or sodium_memcmp would be right" % (name, number))
    print("%d files, %d comparisons in variable time" % (len(HOLD_SECRETS), bad))
    return 1 if bad else 0


def main():
    if sys.argv[1] == "--compare":
        return compare(sys.argv[2])
    if not shutil.which("objdump"):
        print("SKIPPED: no objdump (apt-get install binutils)")
        return 77
    is_linked = sys.argv[1] == "--linked"
    found, parts = calls_of(sys.argv[-1], is_linked)
    bad = 0
    for function, least in sorted(EXPECTED.items()):
        # A static helper that was not inlined counts for its caller.
        calls = found.get(function, 0) + sum(found.get(p, 0) for p in parts.get(function, ()) if p not in EXPECTED)
        if function not in found or calls < least:
            bad += 1
            print("%s: %d calls that wipe, at least %d expected" % (function, calls, least))
    print("%d functions, %d without their wipes" % (len(EXPECTED), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
