# SPDX-License-Identifier: MIT
"""Clocks that step: the wall clock under a running agent, the monotonic one between two agents."""

import os
import signal
import struct
import subprocess
import tempfile
import unittest

from bus import BIN, BUILD, Bus, metric, total

DAY = 86400
NS = 10**9


class Wall(Bus):
    """CLOCK_REALTIME of the agent alone steps."""

    def setUp(self):
        super().setUp()
        self.clock = tempfile.NamedTemporaryFile()
        self.addCleanup(self.clock.close)
        self.step(0)

    def step(self, seconds):
        os.pwrite(self.clock.fileno(), struct.pack("<q", seconds), 0)

    def stepping_agent(self, *arguments):
        asan = os.environ.get("ASAN_OPTIONS", "")
        agent = self.start(
            "env", f"LD_PRELOAD={BUILD}/tests/libe2e_clock.so",
            f"SHMBUS_TEST_CLOCK={self.clock.name}",
            f"ASAN_OPTIONS={asan}:verify_asan_link_order=0", f"{BIN}/shmbus-agent", "--interval",
            "50ms", *arguments, directory="/usr/bin", stderr=subprocess.PIPE)
        self.wait_for(self.snapshot, "the first snapshot")
        return agent

    def test_steps(self):
        """A day back, two days forth: nothing expires, nothing is stale, sums are exact."""
        agent = self.stepping_agent("--ttl", "1h")
        ended = self.producer("--id", "ended", "--count", "100")
        ended.wait(timeout=30)
        self.wait_for(lambda: self.session("ended", "ended"), "its end")
        before = self.snapshot()
        for number, step in enumerate((-DAY, DAY), 1):
            self.step(step)
            name = f"p{number}"
            producer = self.producer("--id", name, "--count", "100", "--hold")
            self.report(producer)
            session = self.wait_for(
                lambda name=name: (s := self.session(name)) and total(s, "aggregated") == 100 and
                s, "its samples")
            after = self.wait_for(
                lambda step=step: (s := self.snapshot()) and
                abs(s["time_unix_ns"] - before["time_unix_ns"] - step * NS) < DAY // 2 * NS and s,
                "a snapshot of the other day")
            self.assertGreater(after["seq"], before["seq"])
            self.assertEqual(session["state"], "running")
            self.assertLess(session["age_ns"], DAY // 2 * NS)
            self.wait_for(lambda name=name: 100 in [
                w.get("count") for w in metric(self.session(name), "value")["windows"].values()],
                "its time windows")
            self.assertIsNotNone(self.session("ended", "ended"), "its hour is not over")
            producer.stdin.close()
            self.wait_for(lambda name=name: self.session(name, "ended"), "its end")
        done = self.snapshot()["totals"]
        self.assertEqual(metric(done, "value")["count"], 300)
        # One of them began after its end, as the agent's clock has it.
        self.assertLess(done["recent"]["duration_ns"], 2 * DAY * NS)
        self.assertEqual(self.stop(agent), 0)

    def test_half_made(self):
        """A clock that is behind does not make a segment in the making look old."""
        agent = self.stepping_agent()
        self.step(-DAY)
        path = f"/dev/shm/shmbus.{self.bus}.s.00000000000000aa"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self.report(self.producer("--id", "p", "--count", "1", "--hold"))
        self.wait_for(lambda: self.session("p"), "a later session")
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 20, "a second's snapshots")
        self.assertTrue(os.path.exists(path))
        self.step(DAY)
        self.said(agent, "removed .*: its producer died while it was being made")
        self.assertEqual(self.stop(agent), 0)


def may_shift():
    return subprocess.run(["unshare", "--time", "--monotonic", "1000", "true"],
                          capture_output=True, check=False).returncode == 0


@unittest.skipUnless(may_shift(), "needs the right to make a time namespace")
class Monotonic(Bus):
    def next_agent(self, days):
        agent = self.start("unshare", "--time", "--monotonic", str(days * DAY),
                           f"{BIN}/shmbus-agent", "--interval", "50ms", directory="/usr/bin")
        self.wait_for(lambda: (s := self.snapshot()) and s["agent"]["pid"] == agent.pid,
                      "its first snapshot")
        return agent

    def test_steps_between_agents(self):
        """The next agent's clock is days ahead of, or behind, the one of the last."""
        producer = self.producer("--id", "p", "--count", "2000", "--rate", "200", "--hold")
        for days in (10, 0, 5):
            agent = self.next_agent(days)
            if not self.session("ended"):
                self.producer("--id", "ended", "--count", "100").wait(timeout=30)
            self.wait_for(lambda: self.session("ended", "ended"), "the ended session")
            count = total(self.session("p"), "aggregated")
            session = self.wait_for(
                lambda count=count: (s := self.session("p")) and
                total(s, "aggregated") > count and s, "more samples")
            self.assertEqual(session["state"], "running")
            agent.send_signal(signal.SIGKILL if days else signal.SIGTERM)
            agent.wait(timeout=30)
        self.report(producer)
        self.next_agent(0)
        session = self.wait_for(
            lambda: (s := self.session("p")) and total(s, "aggregated") == 2000 and s, "all")
        self.assertEqual(total(session, "dropped"), 0)
        value = metric(session, "value")
        self.assertEqual((value["count"], value["sum"]), (2000, 2000 * 2001 // 2))
        self.assertEqual(self.snapshot()["totals"]["sessions_total"], 2)


if __name__ == "__main__":
    unittest.main()
