# SPDX-License-Identifier: MIT
"""shmbus hist: what it draws is what the snapshot has."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import unittest

from bus import BIN, metric
from readers import Readers

ROW = re.compile(r"^ *(\S+) +(\S+) +(\d+) +(\d+\.\d\d) ?([p\d. ]*?) *(#*)$")


class Hist(Readers):
    def setUp(self):
        super().setUp()
        self.env["LC_ALL"] = "C"

    def rows(self, text):
        found = [match.groups() for line in text.splitlines() if (match := ROW.match(line))]
        self.assertGreater(len(found), 0, text)
        return found

    def value(self, identity="x", name="value"):
        return metric(self.session(identity), name)

    def test_rows(self):
        """Counts add up to all samples, the rows ascend without gaps, bars are in proportion."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        for options in ((), ("--log",), ("--rows", "5"), ("--log", "--rows", "200"),
                        ("--log-counts",), ("--width", "40"), ("--width", "400")):
            text = self.shmbus("hist", *options, "x", "value").stdout
            rows = self.rows(text)
            self.assertEqual(sum(int(row[2]) for row in rows), 1000, options)
            self.assertAlmostEqual(sum(float(row[3]) for row in rows), 100, delta=0.5)
            for row, following in zip(rows, rows[1:]):
                self.assertEqual(row[1], following[0], options)
            most = max(rows, key=lambda row: int(row[2]))
            for row in rows:
                part = int(row[2]) / int(most[2])
                if "--log-counts" not in options:
                    self.assertAlmostEqual(len(row[5]), part * len(most[5]), delta=1)
                self.assertEqual(bool(row[5]), int(row[2]) > 0)
            columns = int(options[1]) if options[:1] == ("--width",) else 80
            self.assertEqual(max(map(len, text.splitlines()[3:])), columns, (options, text))

    def test_numbers(self):
        """The percentiles are the snapshot's, in all forms."""
        self.agent()
        self.held("x", "--every")
        self.aggregated("x", 1400)
        found = self.value()
        text = self.shmbus("hist", "x", "value").stdout
        self.assertTrue(text.startswith("x (running), value: 1000 samples\n"), text)
        for name, key in (("p50", "p50"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"),
                          ("p99.9", "p99_9")):
            self.assertRegex(text, rf"\b{re.escape(name)} {found['quantiles'][key]:.0f}\b")
            low, high = next((float(r[0]), float(r[1])) for r in self.rows(text)
                             if name in r[4].split())
            self.assertTrue(low <= found["quantiles"][key] <= high, name)
        self.assertIn("min 1  max 1000\n", text)
        self.assertIn("Decodes a block.", self.shmbus("hist", "x", "stage.time").stdout)
        self.assertRegex(self.shmbus("hist", "x", "block").stdout, r"max 97\.7KiB\n")

        lines = self.shmbus("hist", "--hgrm", "x", "value").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"])
        table = [[float(f) for f in line.split()] for line in lines[2:] if line[0] != "#"]
        by_percentile = {row[1]: row for row in table}
        for percentile, key in ((0.5, "p50"), (0.9, "p90"), (0.95, "p95")):
            self.assertAlmostEqual(by_percentile[percentile][0], found["quantiles"][key], places=2)
        for row, following in zip(table, table[1:]):
            self.assertTrue(all(a <= b for a, b in zip(row, following)), (row, following))
        for row in table[:-1]:
            self.assertGreaterEqual(row[2] / 1000, row[1])
            self.assertAlmostEqual(row[3], 1 / (1 - row[1]), places=1)
        self.assertEqual(table[-1], [1000, 1, 1000])
        footer = " ".join(lines[-3:])
        self.assertIn(f"#[Mean    = {found['mean']:12.3f}, StdDeviation   = {found['std']:12.3f}]",
                      footer)
        self.assertIn("#[Max     =     1000.000, Total count    =         1000]", footer)

    def test_totals(self):
        self.agent()
        self.held("x")
        self.held("y", "--values", "10")
        self.aggregated("x")
        self.aggregated("y")
        first = self.shmbus("hist", "--totals", "value").stdout
        self.assertTrue(first.startswith("all sessions, value: 2000 samples\n"), first)
        self.assertEqual(self.shmbus("hist", "totals", "value").stdout, first)

    def test_compare(self):
        self.agent()
        self.held("x")
        self.held("y", "--values", "10")
        self.aggregated("x")
        self.aggregated("y")
        text = self.shmbus("hist", "--compare", "y", "x", "value").stdout
        self.assertIn("A  y (running), value: 1000 samples\n", text)
        self.assertIn("B  x (running), value: 1000 samples\n", text)
        self.assertRegex(text, r"\nmax +10 +1000 +990 +\+9900\.0%\n")
        rows = re.findall(r"^ *\S+ +\S+ +(\d+\.\d\d) +(\d+\.\d\d) (#*)", text, re.MULTILINE)
        for column in (0, 1):
            self.assertAlmostEqual(sum(float(row[column]) for row in rows), 100, delta=0.5)

        path = f"{self.files('snapshot')[0]}.saved"
        for form in ("--json", "--msgpack"):
            saved = self.run_bytes("snapshot", form)
            with open(path, "wb") as file:
                file.write(saved)
            text = self.shmbus("hist", "--compare", path, "x", "value").stdout
            self.assertRegex(text, r"\nmean +(\S+) +\1 +0 +\+0\.0%\n", form)
        with open(path, "wb") as file:
            file.write(b"\xc1")
        self.assertIn("saved snapshot",
                      self.shmbus("hist", "-c", path, "x", "value", status=1).stderr)
        self.assertIn("no such file",
                      self.shmbus("hist", "-c", "./none", "x", "value", status=1).stderr)

    def run_bytes(self, *arguments):
        return subprocess.run([f"{BIN}/shmbus", *arguments], env=self.env, stdout=subprocess.PIPE,
                              timeout=30, check=True).stdout

    def test_window(self):
        """As wide as the window."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        for columns in (50, 132):
            terminal, side = pty.openpty()
            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            subprocess.run([f"{BIN}/shmbus", "hist", "x", "value"], env=self.env, stdout=side,
                           timeout=30, check=True)
            os.close(side)
            text = b""
            try:
                while block := os.read(terminal, 65536):
                    text += block
            except OSError:  # the end of what a terminal had to say
                pass
            os.close(terminal)
            self.assertEqual(max(map(len, text.decode().splitlines()[3:])), columns)

    def test_utf8(self):
        self.agent()
        self.held("x")
        self.aggregated("x")
        self.env["LC_ALL"] = "en_GB.UTF-8"
        self.assertIn("\u2588", self.shmbus("hist", "x", "value").stdout)
        text = self.shmbus("hist", "--ascii", "x", "value").stdout
        self.assertIn("###", text)
        self.assertTrue(text.isascii())

    def test_refusals(self):
        self.agent()
        self.held("x")
        self.aggregated("x")
        for arguments, words in (
                (("x", "nope"), 'no timer "nope"; timers: value never'),
                (("x", "done"), '"done" is no timer'),
                (("x", "never"), "no samples"),
                (("nobody", "value"), 'no session "nobody"')):
            self.assertIn(words, self.shmbus("hist", *arguments, status=1).stderr)
        for arguments, words in (
                ((), "SESSION is missing"), (("x",), "METRIC is missing"),
                (("x", "value", "more"), 'unexpected "more"'),
                (("--totals", "x", "value"), 'unexpected "x"'),
                (("--hgrm", "-c", "x", "x", "value"), "not with --compare"),
                (("--rows", "1", "x", "value"), "2 to 200"),
                (("--rows", "x", "x", "value"), "2 to 200"),
                (("--width", "39", "x", "value"), "40 to 400")):
            result = self.shmbus("hist", *arguments, status=2)
            self.assertIn(words, result.stderr, arguments)
            self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
