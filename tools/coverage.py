#!/usr/bin/env python3
"""Line coverage of each folder, from what a coverage build left behind: tools/coverage.py build/coverage"""
import json
import os
import subprocess
import sys


def counts_of(build, source_root):
    """{source file: {line: was it run}}, over every object that includes the line."""
    lines = {}
    for folder, _, files in os.walk(build):
        data = [os.path.join(folder, f) for f in files if f.endswith(".gcda")]
        if not data:
            continue
        run = subprocess.run(["gcov", "--json-format", "--stdout"] + [os.path.abspath(d) for d in data], cwd=folder,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        for report in run.stdout.decode().splitlines():
            report = json.loads(report)
            for entry in report["files"]:
                path = os.path.relpath(os.path.join(report["current_working_directory"], entry["file"]), source_root)
                if path.startswith("..") or path.startswith(("build/", "tests/")):
                    continue
                seen = lines.setdefault(path, {})
                for line in entry["lines"]:
                    number = line["line_number"]
                    seen[number] = seen.get(number, False) or line["count"] > 0
    return lines


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print("usage: tools/coverage.py BUILD_FOLDER", file=sys.stderr)
        return 2
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = {}
    for path, lines in counts_of(sys.argv[1], root).items():
        run, total = folders.get(os.path.dirname(path), (0, 0))
        folders[os.path.dirname(path)] = (run + sum(lines.values()), total + len(lines))
    if not folders:
        print("no coverage data under %s; `make coverage` makes it" % sys.argv[1], file=sys.stderr)
        return 1
    folders["all"] = tuple(sum(column) for column in zip(*folders.values()))
    for name, (run, total) in sorted(folders.items(), key=lambda item: (item[0] == "all", item[0])):
        print("%-28s %5.1f %% of %6d lines" % (name, 100.0 * run / max(total, 1), total))
    return 0


if __name__ == "__main__":
    sys.exit(main())
