# SPDX-License-Identifier: MIT
"""For the tests: runs one of the programs of this directory, and shows what it said."""

import pathlib
import subprocess
import sys


def check(test, program, *arguments):
    path = pathlib.Path(__file__).resolve().parent / program
    result = subprocess.run([sys.executable, path, *arguments], text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(result.stdout, flush=True)
    test.assertEqual(result.returncode, 0, result.stdout)
