# SPDX-License-Identifier: MIT
"""shmbus check: statuses, the line of a monitoring plugin, thresholds for a time."""

import os
import re
import signal
import tempfile
import unittest

from bus import metric
from readers import Readers

# The guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = rf"(?:@?(?:~|{NUMBER})?:?(?:{NUMBER})?)"
ITEM = re.compile(rf"'((?:[^'=]|'')+)'=({NUMBER}|U)(s|us|ms|%|B|KB|MB|TB|c|)"
                  rf";({RANGE});({RANGE});({NUMBER})?;({NUMBER})?(?: |$)")
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


class Check(Readers):
    def check(self, status, *arguments):
        """Runs it; returns the text and the performance data by label."""
        result = self.shmbus("check", *arguments, status=status)
        self.assertEqual(result.stderr, "", arguments)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 1, result.stdout)
        return self.parsed(lines[0], status)

    def parsed(self, line, status):
        self.assertLessEqual(len(line.encode()), 8192)
        text, _, data = line.partition(" | ")
        self.assertTrue(text.startswith(f"{WORDS[status]} - "), line)
        self.assertNotIn("|", text + data)
        found, at = {}, 0
        while at < len(data):
            match = ITEM.match(data, at)
            self.assertIsNotNone(match, data[at:])
            self.assertNotIn(match[1], found)
            found[match[1].replace("''", "'")] = match.groups()[1:]
            at = match.end()
        return text.partition(" - ")[2], found

    def started(self):
        self.agent()
        self.held("x", "--every")
        self.aggregated("x", 1400)

    def test_statuses(self):
        self.started()
        for status, *rules in ((0, "-w", "value.max > 1000"), (1, "-w", "value.max > 999"),
                               (2, "-c", "value.max > 999"), (0, "-c", "value.max < 1000"),
                               (2, "-c", "value.max <= 1000"),
                               (2, "-w", "value.max > 1", "-c", "value.max > 2"),
                               (1, "-w", "value.max > 1", "-c", "value.max > 2000"),
                               (3, "-w", "nope.max > 1"), (3, "-w", "value.max > 1ms"),
                               (1, "-w", "nope.max > 1", "-w", "value.max > 1"),
                               (0, "--missing", "ok", "-w", "nope.max > 1"),
                               (2, "--missing", "critical", "-w", "never.max > 1")):
            self.check(status, *rules)

    def test_values(self):
        """What is compared is what the snapshot has, in the guidelines' units."""
        self.started()
        session = self.session("x")
        for rule, label, value, unit in (
                ("value.p99.9 > 5000", "value.p99.9",
                 metric(session, "value")["quantiles"]["p99_9"], ""),
                ("stage.time.mean > 1s", "stage.time.mean",
                 metric(session, "stage.time")["mean"] / 1e9, "s"),
                ("stage.time.window.last > 1s", "stage.time.window.last", 0.003, "s"),
                ("block.max > 1MB", "block.max", 100000, "B"),
                ("cycle.count > 500", "cycle.count", 100, "c"),
                ("cycle.xruns > 500", "cycle.xruns", 1, "c"),
                ("value.violation_ratio > 50%", "value.violation_ratio", 10, "%"),
                ("done.value > 5000", "done.value", 1000, "c"),
                ("level.value > 5", "level.value", -2.5, ""),
                ("value.per.done.value > 500000", "value.per.done.value",
                 session["derived"][0]["value"], ""),
                ("@drops > 0", "@drops", 0, "c"), ("@targets > 9", "@targets", 2, "")):
            for scope in ("", "producer/x:", "prod*/?:"):
                _, data = self.check(0, "-c", scope + rule)
                self.assertEqual(list(data), [f"producer/x:{label}"])
                found = data[f"producer/x:{label}"]
                self.assertAlmostEqual(float(found[0]), value, places=6, msg=rule)
                self.assertEqual(found[1], unit, rule)
        self.check(3, "-c", "other/*:value.max > 1")
        _, data = self.check(0, "-c", "totals:value.count > 1000")
        self.assertEqual(data, {"totals:value.count": ("1000", "c", "", "1000", "0", None)})

    def test_memory(self):
        """A session's segment and what the agent has of it, which grows as it is aggregated."""
        self.started()

        def memory():
            found = self.session("x")["memory"]
            return found["shm_bytes"] + found["agent_bytes"]
        before = memory()
        _, data = self.check(0, "-c", "@memory > 50MB")
        value, unit, *_ = data["producer/x:@memory"]
        self.assertEqual(unit, "B")
        self.assertLessEqual(before, int(value))
        self.assertLessEqual(int(value), memory())

    def test_line(self):
        """Both levels of a value in one item; the text names what is wrong, the worst first."""
        self.started()
        text, data = self.check(2, "-w", "value.max > 5", "-c", "value.max >= 1000",
                                "-w", "value.min < 2")
        self.assertEqual(text, "producer/x:value.max 1000 >= 1000, producer/x:value.max 1000 > 5, "
                               "producer/x:value.min 1 < 2")
        self.assertEqual(data, {"producer/x:value.max": ("1000", "", "5", "@1000:", "0", None),
                                "producer/x:value.min": ("1", "", "2:", "", "0", None)})
        _, data = self.check(1, "-w", "value.max > 5", "-w", "value.max < 5")
        self.assertEqual(data, {"producer/x:value.max": ("1000", "", "5", "", "0", None)})
        result = self.shmbus("check", "-v", "-w", "value.max > 5", "-w", "value.min > 5", status=1)
        self.assertEqual(result.stdout.splitlines()[1:],
                         ["WARNING  producer/x:value.max 1000 > 5",
                          "OK       producer/x:value.min 1 > 5"])

    def test_default(self):
        """The shipped rules: good on an idle bus, and they see what they are about."""
        self.agent()
        self.assertEqual(self.check(0)[0], "0 values, 7 rules")
        self.held("x", "--every")
        self.aggregated("x", 1400)
        self.assertIn("producer/x:@memory", self.check(0)[1])
        listed = self.shmbus("check", "--list").stdout
        with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
            file.write(f"# as shipped\n\n{listed}")
            file.flush()
            self.assertEqual(self.shmbus("check", "--file", file.name, "--list").stdout, listed)
            self.shmbus("check", "--file", file.name, status=3)  # nothing is e2e here
        self.assertEqual(self.shmbus("check", "--default", "-w", "a.max > 1", "--list").stdout,
                         f"warning  a.max > 1\n{listed}")

    def test_drops(self):
        """A ring that overflows is a warning, by the shipped rules."""
        agent = self.agent()
        self.suspend(agent)
        producer = self.producer("--id", "x", "--count", "50000", "--ring", "1024", "--hold")
        self.report(producer)
        agent.send_signal(signal.SIGCONT)
        self.wait_for(lambda: (s := self.session("x")) and s["dropped_total"], "drops")
        text, _ = self.check(1)
        self.assertRegex(text, r"^producer/x:@drops \S+ > 0$")

    def test_sessions(self):
        self.agent()
        self.check(2, "-c", "producer/*:@sessions < 1")
        producer = self.held("x")
        self.aggregated("x")
        self.check(0, "-c", "producer/*:@sessions < 1")
        self.check(0, "-c", "@lost > 0")
        producer.kill()
        self.wait_for(lambda: self.session("x", "lost"), "the loss")
        self.check(2, "-c", "producer/*:@sessions < 1")
        self.assertEqual(self.check(2, "-c", "@lost > 0")[0], "*/*:@lost 1 > 0")
        self.check(3, "-c", "value.max > 1")  # it is over

    def test_stale(self):
        self.agent("--stale-after", "100ms")
        producer = self.held("x")
        self.suspend(producer)
        self.wait_for(lambda: self.session("x", "stale"), "a stale session")
        self.check(1, "-w", "@stale > 0")
        self.check(1, "-w", "producer/x:@age > 50ms for 0.2s")

    def test_no_agent(self):
        for status, more in ((2, ()), (1, ("--no-agent", "warning")), (0, ("--no-agent", "ok")),
                             (3, ("--no-agent", "UNKNOWN"))):
            text, data = self.check(status, *more)
            self.assertIn("start one with", text)
            self.assertEqual(data, {})
        agent = self.agent()
        self.check(0)
        self.suspend(agent)
        self.wait_for(lambda: self.run_tool("shmbus", "check").returncode == 2, "old data")
        self.assertIn("stopped or starved", self.check(2)[0])
        agent.send_signal(signal.SIGCONT)
        self.wait_for(lambda: self.run_tool("shmbus", "check").returncode == 0, "new data")
        self.stop(agent, signal.SIGKILL)
        self.assertIn("no agent is running", self.check(2)[0])

    def test_for(self):
        """Breached at every look: it takes its time; good at one of them: it does not."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        text, _ = self.check(2, "-c", "value.max > 5 for 0.3s")
        self.assertEqual(text, "producer/x:value.max 1000 > 5 for 300ms")
        self.check(0, "-c", "value.max > 5000 for 24h")
        producer = self.start("shmbus", "check", "-c", "@running > 1 for 24h")
        self.assertEqual(producer.wait(timeout=30), 0)

        # Breached when it begins, and then no more.
        other = self.held("y")
        self.aggregated("y")
        waiting = self.start("shmbus", "check", "-c", "@sessions > 1 for 24h")
        self.wait_for(lambda: self.catches(waiting), "the check to wait")
        self.assertIsNone(waiting.poll())
        self.stop(other, signal.SIGKILL)
        self.assertEqual(waiting.wait(timeout=30), 0)

    def catches(self, child):
        """Whether a process has set its signals, which it does before it looks."""
        with open(f"/proc/{child.pid}/status", encoding="ascii") as file:
            caught = int(re.search(r"SigCgt:\s*(\w+)", file.read())[1], 16)
        return caught & 1 << (signal.SIGTERM - 1)

    def test_watch(self):
        """A line at a time, through an agent's absence; the last one is the status."""
        agent = self.agent()
        self.held("x")
        self.aggregated("x")
        watching = self.start("shmbus", "check", "--watch", "-d", "0.1", "-c", "value.max > 999999")

        def line_with(words):
            while words not in (line := watching.stdout.readline()):
                self.assertTrue(line)
            return line
        self.parsed(line_with("OK - 1 value").rstrip("\n"), 0)
        self.stop(agent, signal.SIGKILL)
        line_with("CRITICAL - no agent is running")
        self.agent()
        line_with("OK - 1 value")
        self.assertEqual(self.stop(watching), 0)
        lines = self.shmbus("check", "--watch", "-d", "0.1", "-n", "3", "-w", "value.max > 1",
                            status=1).stdout.splitlines()
        self.assertEqual([line[:7] for line in lines], ["WARNING"] * 3)

    def test_many(self):
        """The line stays a line that monitoring systems take."""
        self.agent()
        self.producer("--sessions", "60", "--ring", "256", "--count", "10", "--hold")
        self.wait_for(lambda: (s := self.snapshot()) and len(s["sessions"]) == 60 and
                      all(x["aggregated_total"] == 10 for x in s["sessions"]), "all sessions")
        text, data = self.check(1, "-w", "value.max > 1", "-w", "value.min > 0",
                                "-w", "value.mean > 0", "-w", "done.value > 0")
        self.assertTrue(text.endswith(", and more"), text)
        self.assertGreater(len(data), 20)

    def test_refusals(self):
        for arguments, words in (
                (("-w", "x.p99 > 2mz"), "--warning: column 10: \"mz\" is no unit"),
                (("-c", "x.p99"), "--critical: column 6: > >="),
                (("-f", "/nonexistent"), "cannot read /nonexistent"),
                (("--missing", "bad"), "ok, warning, critical or unknown"),
                (("--no-agent", ""), "ok, warning, critical or unknown"),
                (("--delay", "0"), "0.1 to 3600"), (("--count", "0"), "1 to 1000000"),
                (("surplus",), "unexpected"), (("--nope",), "Usage: shmbus check"),
                (("--bus", "a/b"), "1 to 31 of"), (("-w", "x.p99 > 1") * 257, "more than 256")):
            result = self.shmbus("check", *arguments, status=3)
            self.assertIn(words, result.stderr, arguments)
            self.assertRegex(result.stdout, r"^UNKNOWN - .*standard error\n$")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "rules")
            with open(path, "w", encoding="utf-8") as file:
                file.write("# one\nwarning x.p99 > 5\n\ncritical x.p98 > 5\n")
            result = self.shmbus("check", "-f", path, status=3)
            self.assertIn(f"{path}:4:12: STAT", result.stderr)
            self.assertIn("\n    critical x.p98 > 5\n               ^\n", result.stderr)


if __name__ == "__main__":
    unittest.main()
