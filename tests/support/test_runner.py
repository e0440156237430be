# SPDX-License-Identifier: MIT
"""tests/run.py itself: each way in which a test can fail without saying so is noticed."""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import unittest

SUPPORT = pathlib.Path(__file__).resolve().parent
RUN = SUPPORT.parent / "run.py"
CC = os.environ.get("SHMBUS_CC", "cc")


class Runner(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="shmbus ")
        self.addCleanup(scratch.cleanup)
        self.build = pathlib.Path(scratch.name)
        (self.build / "CMakeCache.txt").write_text("SHMBUS_SANITIZE:STRING=\n")

    def run_tests(self, tests, *arguments):
        """Runs {name: (command, properties)} as ctest would list them."""
        lines = []
        for name, (command, properties) in tests.items():
            words = " ".join(f"[==[{word}]==]" for word in command)
            lines.append(f"add_test({name} {words})")
            lines.append(f"set_tests_properties({name} PROPERTIES {properties or 'TIMEOUT 20'})")
        (self.build / "CTestTestfile.cmake").write_text("\n".join(lines) + "\n")
        totals = self.build / "totals.json"
        result = subprocess.run(
            [sys.executable, RUN, "--json", totals, self.build, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        self.output = result.stdout
        return result.returncode, json.loads(totals.read_text())

    def script(self, text, properties=""):
        return self.run_tests({"fake": (["/bin/sh", "-c", text], properties)})

    def compile(self, source, *flags):
        program = self.build / "program"
        subprocess.run(
            [CC, "-g", "-x", "c", "-", "-I", SUPPORT, "-o", program, *flags],
            input=source,
            text=True,
            check=True,
        )
        return str(program)

    def expect_failure(self, result, text):
        status, totals = result
        self.assertEqual(status, 1, self.output)
        self.assertEqual(totals["failed"], 1, self.output)
        self.assertIn(text, totals["failures"][0])
        self.assertRegex(self.output.splitlines()[-1], r"^\d+ passed, 1 failed")

    def test_success(self):
        status, totals = self.script("echo ok 1 - a; echo ok 2 - b '# SKIP no'; echo 1..2")
        self.assertEqual((status, totals["passed"], totals["skipped"]), (0, 1, 1))
        self.assertEqual(self.output.splitlines()[-1], "1 passed, 0 failed, 1 skipped")

    def test_failed_assertion(self):
        self.expect_failure(self.script("echo ok - a; echo not ok - b; echo 1..2; exit 1"), "b")

    def test_failed_assertion_with_status_0(self):
        self.expect_failure(self.script("echo 1..1; echo not ok 1 - b"), "fake: b")

    def test_exit_status(self):
        self.expect_failure(self.script("echo ok - a; echo 1..1; exit 3"), "exit status 3")

    def test_no_results(self):
        self.expect_failure(self.script("true"), "no results")

    def test_zero_tests(self):
        self.expect_failure(self.script("echo 1..0"), "zero tests")

    def test_no_plan(self):
        self.expect_failure(self.script("echo ok - a"), "no plan")

    def test_plan_mismatch(self):
        self.expect_failure(self.script("echo 1..3; echo ok - a"), "1 results, 3 planned")

    def test_bail_out(self):
        self.expect_failure(self.script("echo ok - a; echo 1..1; echo 'Bail out! x'"), "Bail out!")

    def test_crash(self):
        self.expect_failure(self.script("echo 1..1; echo ok - a; kill -SEGV $$"), "SIGSEGV")

    def test_missing_program(self):
        result = self.run_tests({"fake": (["/nowhere/at all"], "")})
        self.expect_failure(result, "not built")

    def test_timeout(self):
        start = time.monotonic()
        result = self.script("echo 1..1; echo ok - a; sleep 60", "TIMEOUT 1")
        self.expect_failure(result, "timed out after 1 s")
        self.assertLess(time.monotonic() - start, 20)

    def test_sanitizer_report(self):
        text = "echo ok - a; echo 1..1; echo 'x.c:1: runtime error: overflow' >&2"
        self.expect_failure(self.script(text), "sanitizer")

    def test_leak(self):
        program = self.compile(
            '#include "tap.h"\nint main(void) { volatile char *p = malloc(9); p[0] = 1; p = 0;'
            'tap_ok(true, "a"); return tap_done(); }',
            "-fsanitize=address",
        )
        hidden = f"{shlex.quote(program)} 2>/dev/null; true"
        self.expect_failure(self.script(hidden), "sanitizer")

    def test_criterion_leak(self):
        program = self.compile(
            "#include <criterion/criterion.h>\n#include <stdlib.h>\n"
            "Test(a, b) { volatile char *p = malloc(9); p[0] = 1; p = 0; }",
            "-fsanitize=address",
            "-lcriterion",
        )
        result = self.run_tests({"fake": ([program], "LABELS unit")})
        self.expect_failure(result, "sanitizer")

    def test_criterion_zero_tests(self):
        program = self.compile(
            "#include <criterion/criterion.h>\nTest(a, b) {}", "-lcriterion"
        )
        result = self.run_tests({"fake": ([program, "--filter", "none*"], "LABELS unit")})
        self.expect_failure(result, "zero tests")
        status, totals = self.run_tests({"fake": ([program], "LABELS unit")})
        self.assertEqual((status, totals["passed"]), (0, 1))

    def test_leftover_segment(self):
        path = self.build / "path"
        text = f"f=/dev/shm/shmbus.$SHMBUS_BUS.s.1; : >$f; echo $f >{shlex.quote(str(path))}"
        self.expect_failure(self.script(f"{text}; echo ok - a; echo 1..1"), "behind")
        self.assertFalse(pathlib.Path(path.read_text().strip()).exists())

    def test_leftover_process(self):
        for start in ("sleep 61 &", "setsid sleep 61 &", "env -i sleep 61 &"):
            with self.subTest(start):
                result = self.script(f"{start} echo ok - a; echo 1..1")
                self.expect_failure(result, "sleep 61")

    def test_leftover_process_without_a_trace(self):
        text = "env -i setsid sh -c 'sleep 62 & exit' & wait; echo ok - a; echo 1..1"
        self.expect_failure(self.script(text), "sleep 62")

    def test_no_match(self):
        command = (["/bin/sh", "-c", "echo ok - a; echo 1..1"], "")
        status, totals = self.run_tests({"fake": command}, "other")
        self.assertEqual((status, totals["passed"], totals["failed"]), (1, 0, 0))

    def test_two_runs_in_one_directory(self):
        text = "sleep 0.3; echo ok - a; echo 1..1"
        self.script(text)
        command = [sys.executable, RUN, self.build]
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for run in runs:
            self.assertEqual(run.communicate()[0].splitlines()[-1], "1 passed, 0 failed")

    def test_environment(self):
        os.environ["SHMBUS_DISABLE"] = "1"
        self.addCleanup(os.environ.pop, "SHMBUS_DISABLE")
        text = 'test "$SHMBUS_DISABLE" || echo ok - a; echo 1..1'
        self.assertEqual(self.script(text)[0], 0)

    def test_sum(self):
        files = []
        for number, failed in enumerate((0, 1)):
            files.append(self.build / f"{number}.json")
            totals = {"passed": 2, "failed": failed, "skipped": 0, "failures": ["x"] * failed}
            files[-1].write_text(json.dumps(totals))
        for chosen, line, status in (
            (files[:1], "2 passed, 0 failed", 0),
            (files, "4 passed, 1 failed", 1),
            ([files[0], self.build / "missing"], "2 passed, 1 failed", 1),
        ):
            result = subprocess.run(
                [sys.executable, RUN, "--add", *chosen],
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            self.assertEqual(result.stdout.splitlines()[-1], line)
            self.assertEqual(result.returncode, status)
