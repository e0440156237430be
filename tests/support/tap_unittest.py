#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the unittest cases of one file and prints TAP: tap_unittest.py FILE [NAME...]

NAME is what unittest takes: Class or Class.test_method. What the tests and the programs that
they start print goes to standard error, so that nothing can get between the results.
"""

import faulthandler
import importlib.util
import os
import pathlib
import sys
import unittest


class TapResult(unittest.TestResult):
    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.count = 0
        self.problems = []  # of the test that runs now
        self.skip_reason = None

    def say(self, line):
        print(line, file=self.stream, flush=True)

    def report(self, name):
        self.count += 1
        name = name.replace("#", "")
        if self.problems:
            self.say(f"not ok {self.count} - {name}")
            for line in "\n".join(self.problems).splitlines():
                self.say(f"# {line}")
        elif self.skip_reason is not None:
            reason = " ".join(self.skip_reason.split())
            self.say(f"ok {self.count} - {name} # SKIP {reason}")
        else:
            self.say(f"ok {self.count} - {name}")
        self.problems = []
        self.skip_reason = None

    def startTest(self, test):
        super().startTest(test)
        self.problems = []
        self.skip_reason = None

    def stopTest(self, test):
        super().stopTest(test)
        self.report(short_name(test))

    def problem(self, test, text):
        self.problems.append(text)
        if not isinstance(test, unittest.TestCase):
            self.report(str(test))  # setUpClass and its like: no test was started

    def addError(self, test, err):
        super().addError(test, err)
        self.problem(test, self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.problem(test, self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.problems.append(f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problem(test, "was expected to fail and did not")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skip_reason = reason
        if not isinstance(test, unittest.TestCase):
            self.report(str(test))


def short_name(test):
    return ".".join(test.id().split(".")[-2:])


def load(path):
    sys.path[:0] = [str(path.parent), str(pathlib.Path(__file__).resolve().parent)]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    if timeout := float(os.environ.get("SHMBUS_TEST_TIMEOUT", 0)):
        faulthandler.dump_traceback_later(timeout * 0.95, exit=False)
    module = load(pathlib.Path(arguments[0]).resolve())
    loader = unittest.defaultTestLoader
    if arguments[1:]:
        suite = loader.loadTestsFromNames(arguments[1:], module)
    else:
        suite = loader.loadTestsFromModule(module)
    result = TapResult(stream)
    suite.run(result)
    faulthandler.cancel_dump_traceback_later()
    result.say(f"1..{result.count}")
    return 0 if result.wasSuccessful() and result.count else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
