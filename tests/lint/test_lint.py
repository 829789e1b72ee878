#!/usr/bin/env python3
"""The lint must be able to fail: each rule against a tiny bad tree, and against a good one."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LINT = os.path.join(HERE, "lint.py")


sys.path.insert(0, HERE)
import lint  # noqa: E402
import pitfalls  # noqa: E402


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def findings_in(files):
    """What lint finds in a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, files)
        return list(lint.findings(root))


def run_lint(files, *args):
    """Exit status and output of lint.py, run as the tests run it."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, files)
        run = subprocess.run([sys.executable, "-B", LINT, "--root", root] + list(args), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        return run.returncode, run.stdout.decode()


# path, text, part of the finding. Words that the lint looks for are put together here.
BAD = [
    ("base/a.c", '#include "protocol/wire/codec.h"\n', "base/a.c:1: found base/* may not include"),
    ("base/a.c", "#include <jansson.h>\n", "may not include <jansson.h>"),
    ("base/yaml.c", "#include <jansson.h>\n", "may not include <jansson.h>"),
    ("base/a.c", '#include "b.h"\n', "the path from the root"),
    ("base/a.c", '#include "../base/b.h"\n', "the path from the root"),
    ("protocol/transport/inproc.c", "#include <grpc/grpc.h>\n", "may not include <grpc/grpc.h>"),
    ("protocol/transport/inproc.c", '#include "protocol/transport/grpc_server.h"\n', "may not include"),
    ("protocol/transport/grpc_call.c", "#include <openssl/ssl.h>\n", "may not include <openssl/ssl.h>"),
    ("protocol/wire/chunk.c", '#include "consilium_v1.pb-c.h"\n', "may not include"),
    ("protocol/study/a.c", '#include "aggregation/strategy/strategy.h"\n', "may not include"),
    ("aggregation/accumulate.c", '#include "aggregation/strategy/strategy.h"\n', "may not include"),
    ("coordinator/service.c", '#include "protocol/transport/grpc.h"\n', "may not include"),
    ("coordinator/service.c", "#include <sodium.h>\n", "may not include <sodium.h>"),
    ("privacy/dp/a.c", '#include "privacy/crypto/sign.h"\n', "may not include"),
    ("aggregation/tensor/a.c", '#include "aggregation/strategy/strategy.h"\n', "may not include"),
    ("coordinator/core/a.c", "#include <sqlite3.h>\n", "may not include <sqlite3.h>"),
    ("coordinator/core/a.c", "#include <unistd.h>\n", "a core without I/O includes <unistd.h>"),
    ("site-agent/core/a.c", "#include <time.h>\n", "a core without I/O includes <time.h>"),
    ("coordinator/a.c", '#include "site-agent/agent.h"\n', "may not include"),
    ("site-agent/a.c", '#include "coordinator/service.h"\n', "may not include"),
    ("site-agent/training/a.c", "#include <oneapi/dnnl/dnnl.h>\n", "may not include <oneapi/dnnl/dnnl.h>"),
    ("simulations/a.c", '#include "protocol/transport/grpc_server.h"\n', "may not include"),
    ("cli/a.c", '#include "coordinator/service_internal.h"\n', "included from outside its folder"),
    ("cli/a.c", "#include <hdf5.h>\n", "may not include <hdf5.h>"),
    ("elsewhere/a.c", "int x;\n", "no row of the include table"),
    ("base/a.c", "int x;\n" * 601, "601 lines; at most 600"),
    ("base/a.h", "int x;\n" * 251, "251 lines; at most 250"),
    ("base/a.cuh", "int x;\n" * 251, "251 lines; at most 250"),
    ("base/a.cu", "int x;\n" * 601, "601 lines; at most 600"),
    ("site-agent/training/a.cu", "#include <cublas_v2.h>\n", "may not include <cublas_v2.h>"),
    ("site-agent/training/compute/cuda/plugin.cu", "#include <dlfcn.h>\n", "may not include <dlfcn.h>"),
    ("site-agent/training/compute/cuda/a.cu", "void f(void)\n{\n    free(p);\n}\n", "call of free"),
    ("tools/a.py", "x = 1\n" * 601, "601 lines; at most 600"),
    ("base/a.c", "void f(void)\n{\n" + "    g();\n" * 71 + "}\n", "base/a.c:2: found a function of 71 lines"),
    ("base/a.c", "void f(char *a)\n{\n    strcpy(a, a);\n}\n", "base/a.c:3: found call of strcpy"),
    ("tests/a.c", "int f(void)\n{\n    return atoi(x);\n}\n", "call of atoi"),
    ("cli/a.c", "void f(void)\n{\n    p = malloc (3);\n}\n", "call of malloc"),
    ("cli/a.c", "void f(void)\n{\n    free(p);\n}\n", "call of free"),
    ("cli/a.c", "void f(void)\n{\n    t = time(NULL);\n}\n", "call of time"),
    ("docs/a.md", "first\n" + "TO" + "DO: more\n", "docs/a.md:2: found a " + "TO" + "DO"),
    ("base/a.h", "/* FIX" + "ME */\n", "found a FIX" + "ME"),
    ("tools/a.sh", "cd /ho" + "me/someone/src\n", "of one machine"),
    ("cmake/a.cmake", 'set(x "/wo' + 'rk/x")\n', "of one machine"),
]

GOOD = {
    "base/a.c": '/* strcpy(a, b); malloc(1) */\n#include "base/a.h"\n\n#include <string.h>\n#include <time.h>\n'
                'const char *x = "atoi(1) \\" gets(2)";\n'
                "void f(struct s *ops)\n{\n    ops->free(ops);\n    csl_free(ops);\n    my_system(1);\n}\n",
    "base/mem.c": "void g(void)\n{\n    free(calloc(1, 1));\n}\n",
    "base/yaml.c": "#include <yaml.h>\n",
    "protocol/wire/messages.c": '#include "consilium_v1.pb-c.h"\n',
    "protocol/transport/grpc_tls.c": "#include <grpc/grpc.h>\n#include <openssl/ssl.h>\n",
    "coordinator/core/a.c": '#include "protocol/transport/transport.h"\n#include "privacy/secagg/mask.h"\n',
    "coordinator/main.c": '#include "protocol/transport/grpc.h"\n#include "coordinator/core/a.h"\n',
    "site-agent/training/compute/cpu_dnnl.c": "#include <oneapi/dnnl/dnnl.h>\n",
    "site-agent/training/compute/cuda/plugin.cu": "#include <cublas_v2.h>\n",
    "site-agent/training/compute/cuda/load.c": "#include <dlfcn.h>\n",
    "simulations/a.c": '#include "coordinator/service.h"\n#include "site-agent/agent.h"\n',
    "tests/unit/b.c": '#include "b.h"\n',
    "tests/unit/b.h": "int x;\n" * 251,
    "tests/unit/a.c": "#include <cmocka.h>\n#include <sqlite3.h>\nvoid f(void)\n{\n    free(malloc(1));\n}\n",
    "base/long.c": "int x;\n" * 600,
    "docs/a.md": "See `/etc/consilium`, the method, https://example.org/home/x and $HOME/work/x.\n",
    "build/generated.c": "void f(void)\n{\n    strcpy(a, b);\n}\n",
}


class Lint(unittest.TestCase):
    def test_each_bad_sample_is_found(self):
        for path, text, expected in BAD:
            with self.subTest(path=path, expected=expected):
                found = findings_in({path: text})
                self.assertEqual(len(found), 1, found)
                self.assertIn(expected, found[0])

    def test_good_tree_is_clean(self):
        self.assertEqual(findings_in(GOOD), [])

    def test_exit_status_tells_good_from_bad(self):
        status, output = run_lint(GOOD)
        self.assertEqual(status, 0, output)
        status, output = run_lint({BAD[0][0]: BAD[0][1]})
        self.assertEqual(status, 1, output)
        self.assertIn("1 findings", output)

    @unittest.skipUnless(shutil.which("clang-format-14") or shutil.which("clang-format"), "clang-format is not installed")
    def test_bad_format_is_found(self):
        style = {".clang-format": "BasedOnStyle: LLVM\n"}
        status, output = run_lint({**style, "base/a.c": "int  x ;\n"}, "--format")
        if status == 77:
            self.skipTest(output)
        self.assertEqual(status, 1, output)
        self.assertIn("base/a.c: not formatted", output)
        status, output = run_lint({**style, "base/a.c": "int x;\n"}, "--format")
        self.assertEqual(status, 0, output)


class Pitfalls(unittest.TestCase):
    ROWS = "".join("| %d | a pitfall | `test_a`: `test_a__b__c` |\n" % n for n in range(1, pitfalls.PITFALLS + 1))
    TREE = {"tests/unit/CMakeLists.txt": "foreach(unit a b)\n  csl_test(test_${unit} SOURCES x.c)\nendforeach()\n",
            "tests/unit/test_a.c": "static void test_a__b__c(void **state)\n{\n}\nTEST(test_a__b__c);\n"}

    def found(self, table, tree=None):
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, {**(tree or self.TREE), "docs/secagg-pitfalls.md": table})
            return list(pitfalls.findings(root))

    def test_right_table_is_clean(self):
        self.assertEqual(self.found(self.ROWS), [])

    def test_what_is_missing_is_found(self):
        self.assertTrue(self.found(self.ROWS.replace("| 7 |", "| 8 |")))
        self.assertTrue(self.found(self.ROWS.replace("`test_a`", "`test_c`", 1)))
        self.assertTrue(self.found(self.ROWS.replace("test_a__b__c", "test_a__b__d", 1)))
        self.assertTrue(self.found(self.ROWS.replace("`test_a`: `test_a__b__c`", "nothing", 1)))
        not_run = {**self.TREE, "tests/unit/test_a.c": "static void test_a__b__c(void **state)\n{\n}\n"}
        self.assertTrue(self.found(self.ROWS, not_run))


if __name__ == "__main__":
    unittest.main()
