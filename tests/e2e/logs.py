# SPDX-License-Identifier: MIT
"""What the tests of shmbus log share: a log beside an agent, and its records."""

import json
import subprocess
import tempfile

from bus import BIN, Bus


class Logs(Bus):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = f"{self.directory}/log.jsonl"

    def log(self, *arguments, **options):
        return self.start("shmbus", "log", "--interval", "3600", *arguments,
                          stderr=options.pop("stderr", subprocess.PIPE), **options)

    def file_log(self, *arguments, **options):
        """A log into the test's file that has begun."""
        before = len(self.records(event="start"))
        log = self.log("--file", self.path, "--append", *arguments, **options)
        self.wait_for(lambda: len(self.records(event="start")) > before, "the log to begin")
        return log

    def content(self, path):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:  # not yet, or it was moved away just now
            return ""

    def records(self, path=None, **wanted):
        """The records of the file that have these values; each line is one. A line that is being
        written has no end yet."""
        found = [json.loads(line) for line in self.content(path or self.path).splitlines(True)
                 if line.endswith("\n")]
        return [r for r in found if all(r.get(k) == v for k, v in wanted.items())]

    def wait_records(self, count, **wanted):
        return self.wait_for(lambda: (r := self.records(**wanted)) and len(r) >= count and r,
                             f"{count} records with {wanted}", 60)

    def short(self, count, **options):
        """Sessions that are over, one after the other."""
        producer = self.producer("--sessions", str(count), "--count", "10", "--ring", "64",
                                 **options)
        self.assertEqual(producer.wait(timeout=60), 0)

    def ended(self, log, status=0):
        """Ends a log; returns what it said."""
        log.terminate()
        _, said = log.communicate(timeout=30)
        self.assertEqual(log.returncode, status, said)
        return said


def run_log(env, *arguments, **options):
    return subprocess.run([f"{BIN}/shmbus", "log", *arguments], env=env, text=True,
                          capture_output=True, timeout=60, check=False, **options)
