#!/usr/bin/env python3
"""Checks of the tree that no compiler makes: who includes whom, sizes, banned calls, leftovers.

    lint.py [--root DIR]            all checks but formatting; exit 1 when one finds something
    lint.py --format [--root DIR]   clang-format only; exit 77 when clang-format 14 is not there
Python 3 and its standard library only. Findings read `path:line: what was found; what would be right`.
"""
import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys

FILE_LINES_MAX = 600
HEADER_LINES_MAX = 250
FUNCTION_LINES_MAX = 70

# Third-party headers, by the name used in the table below. What is in no row is libc or POSIX.
LIBRARIES = {
    "yaml": r"yaml\.h", "jansson": r"jansson\.h", "protobuf-c": r"protobuf-c/.*|[\w-]+\.pb-c\.h|csl_descriptor_set\.h",
    "openssl": r"openssl/.*", "sodium": r"sodium(/.*)?(\.h)?", "grpc": r"grpc/.*", "sqlite": r"sqlite3\.h",
    "hdf5": r"hdf5(_hl)?\.h|H5\w+\.h", "dnnl": r"(oneapi/)?dnnl/.*|dnnl\w*\.h", "zlib": r"zlib\.h", "png": r"png\.h",
    "microhttpd": r"microhttpd\.h", "mpi": r"mpi\.h", "cuda": r"cuda\w*\.h|cublas\w*\.h", "dl": r"dlfcn\.h",
    "seccomp": r"seccomp\.h|linux/seccomp\.h", "cmocka": r"cmocka\.h",
}
# Headers a core without I/O has no use for.
IO_HEADERS = re.compile(r"unistd\.h|fcntl\.h|sys/.*|pthread\.h|threads\.h|time\.h|dirent\.h|poll\.h|netinet/.*|arpa/.*|signal\.h")

GRPC = "protocol/transport/grpc"
CRYPTO = "privacy/crypto/"
TENSOR = "aggregation/tensor/"
TRANSPORT = "protocol/transport/transport.h"

# The table of docs/architecture.md, section 3: (files, what they may include from the tree, third party). The first row
# that matches a file counts. A file may always include headers of its own folder; "!x" takes x away again. Rows for
# folders that are still to come are the design's.
COMMON = ["base/", CRYPTO, "protocol/study/", "protocol/initial/", "protocol/wire/", TRANSPORT]
TABLE = [
    ("base/yaml.c", [], ["yaml"]),
    ("base/json.c", [], ["jansson"]),
    ("base/npz_zip.c", [], ["zlib"]),
    ("base/database.c", [], ["sqlite"]),
    ("base/*", [], []),
    ("privacy/crypto/sha256.c", ["base/"], ["openssl"]),
    ("privacy/crypto/hkdf.c", ["base/"], ["openssl"]),
    ("privacy/crypto/prg*", ["base/"], ["openssl"]),
    ("privacy/crypto/*", ["base/"], ["sodium"]),
    ("privacy/secagg/choice.h", ["protocol/study/study.h"], []),
    ("privacy/secagg/published_terms.h", ["protocol/study/evaluation.h", "aggregation/weights/publication.h"], []),
    ("privacy/secagg/*", ["base/", "protocol/wire/canonical.h", CRYPTO, "privacy/dp/"], []),
    ("privacy/dp/*", ["base/", "privacy/crypto/rng.h"], []),
    ("privacy/audit/*", ["base/", "privacy/crypto/rng.h", "privacy/dp/"], []),
    ("privacy/ledger/*", ["base/", CRYPTO, "privacy/dp/"], ["sqlite"]),
    ("aggregation/tensor/*", ["base/", CRYPTO], []),
    ("aggregation/strategy/*", ["base/"], []),
    ("aggregation/evaluate/*", ["base/", CRYPTO], []),
    ("aggregation/weights/*", ["base/"], []),
    ("aggregation/statistics/*", ["base/", "aggregation/weights/publication.h"], []),
    ("aggregation/*", ["base/", TENSOR], []),
    ("protocol/study/study_evaluation.c", ["base/", CRYPTO, "aggregation/evaluate/group_sums.h"], []),
    ("protocol/study/study_census.c", ["base/", "aggregation/statistics/statistics.h"], []),
    ("protocol/study/*", ["base/", CRYPTO, TENSOR], []),
    ("protocol/initial/*", ["base/", TENSOR], []),
    ("protocol/wire/messages*.c", ["base/", CRYPTO, TRANSPORT], ["protobuf-c"]),
    ("protocol/wire/codec.*", ["base/", CRYPTO], ["protobuf-c"]),
    ("protocol/wire/*", ["base/", CRYPTO, TRANSPORT], []),
    ("protocol/identity/*", ["base/", CRYPTO], ["openssl"]),
    ("protocol/transport/grpc_tls.c", ["base/", CRYPTO, "protocol/wire/", "protocol/identity/"], ["grpc", "openssl"]),
    ("protocol/transport/grpc_health.c", ["base/", CRYPTO, "protocol/wire/"], ["grpc", "protobuf-c"]),
    ("protocol/transport/grpc_reflection.c", ["base/", CRYPTO, "protocol/wire/"], ["grpc", "protobuf-c"]),
    ("protocol/transport/grpc*", ["base/", CRYPTO, "protocol/wire/", "protocol/identity/"], ["grpc"]),
    ("protocol/transport/*", ["base/", CRYPTO, "protocol/wire/", "!" + GRPC], []),
    ("coordinator/core/*", COMMON + ["privacy/", "aggregation/strategy/", "aggregation/weights/"], ["no io"]),
    ("coordinator/store/*", ["base/", CRYPTO, "protocol/wire/"], ["sqlite"]),
    ("coordinator/model/*", ["base/", CRYPTO, TENSOR], ["hdf5"]),
    ("coordinator/admin/*", ["base/", "coordinator/core/"], ["microhttpd"]),
    ("coordinator/main.c", ["", "!site-agent/", "!simulations/", "!cli/"], []),
    ("coordinator/service_bulk.c", COMMON + ["coordinator/", "aggregation/"], ["sodium"]),
    ("coordinator/*", COMMON + ["coordinator/", "aggregation/", "privacy/ledger/checkpoint.h",
                              "privacy/ledger/merkle.h", "privacy/secagg/"], []),
    ("site-agent/core/*", COMMON + ["privacy/"], ["no io"]),
    ("site-agent/store/*", ["base/", CRYPTO, "site-agent/core/"], ["sqlite"]),
    ("site-agent/data/image_png.c", ["base/"], ["png"]),
    ("site-agent/data/*", ["base/", CRYPTO, "protocol/study/"], ["hdf5"]),
    ("site-agent/training/compute/cpu_dnnl*", ["base/"], ["dnnl"]),
    ("site-agent/training/compute/cuda/load.c", ["base/", "site-agent/training/compute/"], ["dl"]),
    ("site-agent/training/compute/cuda/*", ["base/", "site-agent/training/compute/"], ["cuda"]),
    ("site-agent/training/*", ["base/", CRYPTO, TENSOR, "protocol/study/", "site-agent/data/", "site-agent/training/",
                               "privacy/dp/", "privacy/audit/", "aggregation/weights/", "aggregation/statistics/"], []),
    ("site-agent/trainer/*", ["base/", TENSOR], ["dl", "seccomp"]),
    ("site-agent/main.c", ["", "!coordinator/", "!simulations/", "!cli/"], []),
    ("site-agent/*", COMMON + ["site-agent/", "aggregation/", "privacy/"], []),
    ("simulations/mpi.c", ["", "!" + GRPC], ["mpi"]),
    ("simulations/*", ["", "!" + GRPC], []),
    ("cli/export/*", ["base/", CRYPTO, TENSOR, "protocol/study/", "coordinator/model/", "site-agent/training/"], []),
    ("cli/*", [""], ["zlib"]),
    ("tests/*", [""], list(LIBRARIES)),
    ("tools/*", [""], list(LIBRARIES)),
]

BANNED = {
    "strcpy strcat strncpy strncat": "csl_str_copy or memcpy",
    "sprintf vsprintf": "snprintf",
    "gets strtok alloca setjmp longjmp": "nothing of the kind",
    "atoi atol atoll atof": "csl_parse_*",
    "localtime gmtime asctime ctime strerror": "the _r form",
    "rand srand random srandom drand48": "privacy/crypto/rng.h",
    "tmpnam mktemp": "mkstemp",
    "setlocale": "the C locale",
}
# Outside tests and the one file that may.
BANNED_IN_PRODUCT = {
    "malloc calloc realloc aligned_alloc posix_memalign strdup strndup free": ("csl_alloc*", "base/mem.c"),
    "system popen": ("posix_spawn, without a shell", ""),
    "clock_gettime gettimeofday time": ("base/clock.h", "base/clock.c"),
}
# Put together here so that this file passes its own checks.
LEFTOVERS = re.compile(r"\b(" + "TO" + "DO|" + "FIX" + r"ME)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.$}<>)*-])/(?:wo" + "rk|ho" + "me|ro" + "ot|Us" + r"ers)/\w")
TEXT_ENDINGS = (".c", ".h", ".py", ".sh", ".md", ".yaml", ".yml", ".json", ".cmake", ".txt", ".proto", ".sql", ".cu", ".cuh", "Makefile", "run")
CODE_ENDINGS = (".c", ".h", ".cu", ".cuh")
MADE_ELSEWHERE = ("LICENSE",)


def tracked_files(root):
    """Paths that git tracks; in a tree without git every file outside build/ and out/."""
    if os.path.exists(os.path.join(root, ".git")) and shutil.which("git"):
        listing = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"], stdout=subprocess.PIPE,
                                 check=True)
        names = [n for n in listing.stdout.decode().split("\0") if n]
        return sorted(n for n in names if os.path.isfile(os.path.join(root, n)))
    found = []
    for folder, folders, files in os.walk(root):
        here = os.path.relpath(folder, root)
        folders[:] = [f for f in folders if f != ".git" and f != "__pycache__" and not (here == "." and f in ("build", "out"))]
        found += [os.path.normpath(os.path.join(here, f)) for f in files]
    return sorted(found)


def read_text(root, path):
    with open(os.path.join(root, path), "rb") as f:
        raw = f.read()
    if b"\0" in raw:
        return None
    return raw.decode("utf-8", "replace")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def without_comments_and_strings(text):
    """The same lines with comments and literals blanked, so that words in them are not taken for code."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def row_of(path):
    for row in TABLE:
        if fnmatch.fnmatchcase(path, row[0]):
            return row
    return None


def library_of(header):
    for name, pattern in LIBRARIES.items():
        if re.fullmatch(pattern, header):
            return name
    return None


def may_include(path, header, prefixes):
    for prefix in prefixes:
        if prefix.startswith("!") and header.startswith(prefix[1:]):
            return False
    if os.path.dirname(header) == os.path.dirname(path):
        return True
    return any(not p.startswith("!") and header.startswith(p) for p in prefixes)


def check_includes(path, text):
    row = row_of(path)
    if row is None:
        yield 1, "no row of the include table covers this file; a row in tests/lint/lint.py and docs/architecture.md"
        return
    pattern, prefixes, libraries = row
    for number, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m is None:
            continue
        header = m.group(2)
        library = library_of(header)
        if library is not None:
            if library not in libraries:
                yield number, "%s may not include <%s>; the table allows %s" % (pattern, header, ", ".join(libraries) or "libc only")
        elif (header.endswith("_internal.h") and os.path.dirname(header) not in ("", os.path.dirname(path))
              and not path.startswith("tests/")):
            yield number, '"%s" included from outside its folder; a header that is no *_internal.h' % header
        elif m.group(1) == '"':
            is_neighbour = path.startswith("tests/") and "/" not in header
            if not is_neighbour and ("/" not in header or header.startswith(".")):
                yield number, 'include "%s"; the path from the root of the tree' % header
            elif not is_neighbour and not may_include(path, header, prefixes):
                yield number, '%s may not include "%s"; the table allows %s' % (
                    pattern, header, ", ".join(p or "everything" for p in prefixes))
        elif "no io" in libraries and IO_HEADERS.fullmatch(header):
            yield number, "a core without I/O includes <%s>; time and bytes that arrive in events" % header


def check_size(path, text):
    lines = text.count("\n")
    is_contract = path.endswith((".h", ".cuh")) and not path.startswith("tests/")
    limit = HEADER_LINES_MAX if is_contract else FILE_LINES_MAX
    if lines > limit:
        yield lines, "%d lines; at most %d" % (lines, limit)


def check_functions(path, text):
    """A function is what stands between a '{' and a '}' that are alone in the first column."""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield start, "a function of %d lines; at most %d" % (number - start - 1, FUNCTION_LINES_MAX)
            start = None


def check_calls(path, text):
    code = without_comments_and_strings(text)
    banned = {name: right for names, right in BANNED.items() for name in names.split()}
    if not path.startswith("tests/"):
        for names, (right, home) in BANNED_IN_PRODUCT.items():
            if path != home:
                banned.update({name: right for name in names.split()})
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(sorted(banned)) + r")\s*\(")
    for number, line in enumerate(code.split("\n"), 1):
        for m in pattern.finditer(line):
            if re.match(r"\s*#\s*define\b|\s*(?:static |extern )?(?:void|int|char)\s+\(?\*", line) is None:
                yield number, "call of %s; %s" % (m.group(1), banned[m.group(1)])


def check_words(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        m = LEFTOVERS.search(line)
        if m is not None:
            yield number, "a %s; the work itself, or an issue" % m.group(1)
        m = MACHINE_PATHS.search(line)
        if m is not None:
            yield number, "the path '%s...' of one machine; a path relative to the tree" % m.group(0)


def findings(root):
    for path in tracked_files(root):
        if path in MADE_ELSEWHERE:
            continue
        text = read_text(root, path) if path.endswith(TEXT_ENDINGS) else None
        if text is None:
            continue
        checks = [check_words]
        if path.endswith(CODE_ENDINGS):
            checks += [check_includes, check_size, check_functions, check_calls]
        elif path.endswith((".py", ".sh")):
            checks += [check_size]
        for check in checks:
            for number, what in check(path, text):
                yield "%s:%d: found %s would be right" % (path, number, what)


def check_format(root):
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([tool, "--version"], stdout=subprocess.PIPE).stdout.decode() if tool else ""
    if "version 14." not in version:
        print("SKIPPED: clang-format 14 is not installed (apt-get install clang-format)")
        return 77
    paths = [p for p in tracked_files(root) if p.endswith(CODE_ENDINGS)]
    wrong = []
    for i in range(0, len(paths), 64):
        run = subprocess.run([tool, "--dry-run", "-Werror"] + paths[i:i + 64], cwd=root, stderr=subprocess.PIPE)
        wrong += re.findall(r"^(\S+?):\d+:\d+: error:", run.stderr.decode("utf-8", "replace"), flags=re.M)
        if run.returncode != 0 and not wrong:
            print(run.stderr.decode("utf-8", "replace"))
            return 1
    for path in sorted(set(wrong)):
        print("%s: not formatted; `make format` would be right" % path)
    print("%d files, %d not formatted" % (len(paths), len(set(wrong))))
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(here)))
    parser.add_argument("--format", action="store_true", help="check the formatting only")
    args = parser.parse_args()
    if args.format:
        return check_format(args.root)
    count = 0
    for finding in findings(args.root):
        print(finding)
        count += 1
    print("%d findings" % count)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
