# SPDX-License-Identifier: MIT
"""README.md's program: the one in the examples, compiled and run as README.md says."""

import pathlib
import re
import subprocess
import unittest

import test_library
from bus import Bus, metric, total

README = (test_library.SOURCE / "README.md").read_text()
MINIMAL = test_library.SOURCE / "libshm/examples/minimal.c"


class Readme(unittest.TestCase):
    def test_shows_the_example(self):
        blocks = re.findall(r"^```c\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        self.assertEqual(blocks, [MINIMAL.read_text()])


class Example(test_library.Prefix, Bus):
    scratch_prefix = "shmbus-"  # the shell splits what pkg-config says

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.root / "program.c").write_bytes(MINIMAL.read_bytes())
        line = re.search(r"^    (cc program\.c .*)$", README, re.MULTILINE)[1]
        env = dict(cls.env, PKG_CONFIG_PATH=str(cls.libdir / "pkgconfig"))
        said = test_library.run("sh", "-c", line, cwd=cls.root, env=env)
        if said:
            raise AssertionError(f"{line}: {said}")

    def setUp(self):
        super().setUp()
        self.env["LD_LIBRARY_PATH"] = str(self.libdir)

    def run_program(self):
        result = subprocess.run([self.root / "a.out"], env=self.env, text=True,
                                capture_output=True, timeout=30, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_without_agent(self):
        self.run_program()
        self.assertEqual(self.files(), [])

    def test_disabled(self):
        self.env["SHMBUS_DISABLE"] = "1"
        self.run_program()
        self.assertEqual(self.files(), [])

    def test_with_agent(self):
        self.agent()
        self.run_program()
        session = self.wait_for(
            lambda: next((s for s in (self.snapshot() or {"sessions": []})["sessions"]
                          if s["service"] == "a.out" and s["state"] == "ended"), None),
            "the ended session")
        self.assertEqual(metric(session, "work")["count"], 1000)
        self.assertEqual(metric(session, "work")["kind"], "timer")
        self.assertEqual((total(session, "recorded"), total(session, "aggregated"),
                          total(session, "dropped")), (1000, 1000, 0))
