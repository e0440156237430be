# SPDX-License-Identifier: MIT
"""death.pml in Spin: no execution fails, and of each of its mutants at least one does."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

MODEL = pathlib.Path(__file__).with_name("death.pml")
# Its header lists them.
MUTANTS = re.findall(r"^ \*   ([A-Z_]+)  ", MODEL.read_text(encoding="utf-8"), re.MULTILINE)


def search(*defines):
    """What the search of all executions has to say."""
    with tempfile.TemporaryDirectory() as directory:
        def run(*command):
            return subprocess.run(command, cwd=directory, text=True, check=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

        run("spin", "-a", *(f"-D{define}" for define in defines), str(MODEL))
        run(os.environ.get("SHMBUS_CC", "cc"), "-O2", "-w", "-DSAFETY", "-o", "pan", "pan.c")
        return run("./pan", "-m100000", "-w22")


class Death(unittest.TestCase):
    def test_nothing_is_lost_or_counted_twice(self):
        said = search()
        self.assertIn("errors: 0", said)
        self.assertNotIn("not completed", said)
        self.assertNotIn("depth too small", said)
        states = int(re.search(r"(\d+) states, stored", said)[1])
        self.assertGreater(states, 1000000)

    def test_every_mutant_is_listed(self):
        used = set(re.findall(r"^#ifn?def ([A-Z_]+)", MODEL.read_text(encoding="utf-8"),
                              re.MULTILINE))
        self.assertEqual(used, set(MUTANTS))


def mutant_test(mutant):
    def test(self):
        said = search(mutant)
        self.assertIn("assertion violated", said)
        self.assertIn("errors: 1", said)
    return test


for name in MUTANTS:
    setattr(Death, f"test_mutant_{name.lower()}_fails", mutant_test(name))


if __name__ == "__main__":
    unittest.main()
