#!/usr/bin/env python3
"""docs/secagg-pitfalls.md names tests. Every number from 1 to 51 has one row that names a test or says what is missing,
and every name is that of a test in the tree: a function that its file also runs, or a program or test of a CMakeLists.txt.

pitfalls.py [--root DIR]
"""
import os
import re
import sys

PITFALLS = 51
TABLE = os.path.join("docs", "secagg-pitfalls.md")
SAYS_WHERE = re.compile(r"see (journals|graph|audit)\b")


def files(root, ending):
    for folder, folders, names in os.walk(os.path.join(root, "tests")):
        folders[:] = [f for f in folders if f not in ("build", "corpus")]
        for name in names:
            if name.endswith(ending):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    yield f.read()


def functions(root):
    """Test functions that are defined and run in the same file."""
    found = set()
    for text in files(root, ".c"):
        defined = set(re.findall(r"^(?:static void )?(test_\w+)\(void \*\*\w+\)", text, re.M))
        found |= {name for name in defined if len(re.findall(r"\b%s\b" % name, text)) > 1}
    return found


def programs(root):
    """One pattern of all names of programs and tests; ${...} stands for a word of a foreach in that file."""
    patterns = []
    for text in files(root, "CMakeLists.txt"):
        words = {w.split("=")[0] for loop in re.findall(r"foreach\(\w+([^)]*)\)", text) for w in loop.split()}
        any_word = "(?:%s)" % "|".join(map(re.escape, sorted(words) or ["(?!)"]))
        for name in re.findall(r"(?:csl_test|csl_fuzz)\(\s*(\S+)|add_test\(\s*NAME\s+(\S+)", text):
            literal = re.split(r"\$\{\w+\}", name[0] or name[1])
            patterns.append(any_word.join(map(re.escape, literal)))
    return re.compile("(?:%s)$" % "|".join(patterns or ["(?!)"]))


def findings(root):
    path = os.path.join(root, TABLE)
    if not os.path.exists(path):
        yield "%s is not there" % TABLE
        return
    known, program = functions(root), programs(root)
    seen = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            names = re.findall(r"`((?:test|fuzz|model)_\w+)`", line)
            for name in names:
                if name not in known if "__" in name else not program.match(name):
                    yield "%s:%d: %s is no test of this tree" % (TABLE, number, name)
            row = re.match(r"\| (\d+) \|", line)
            if row:
                seen.append(int(row.group(1)))
                if not names and not SAYS_WHERE.search(line):
                    yield "%s:%d: a pitfall without a test" % (TABLE, number)
    if seen != list(range(1, PITFALLS + 1)):
        yield "%s: rows %s; 1 to %d, each once, would be right" % (TABLE, seen, PITFALLS)


def main():
    root = sys.argv[2] if len(sys.argv) == 3 and sys.argv[1] == "--root" else os.getcwd()
    found = list(findings(root))
    for finding in found:
        print(finding)
    print("%d findings" % len(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
