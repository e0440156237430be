# SPDX-License-Identifier: MIT
"""Hostile producers that never rest: segments without number, and fields that change between the
agent's check and its use. The agent's memory, its log and its work stay bounded, and a well-behaved
session beside them loses nothing, to the unit."""

import os
import resource
import signal
import sys
import time
import unittest

from bus import BUILD, Bus, metric, total
from hostile import BESIDE, HEADS_OFFSET, ID, METRICS_OFFSET, METRICS_STRIDE, Hostile
from mounted import Mounted, may_mount

SLOW = bool(os.environ.get("SHMBUS_SANITIZE"))


class Flood(Hostile):
    OPTIONS = ()

    def agent(self, *arguments):
        with open(self.log_name(), "w", encoding="utf-8") as log:
            self.addCleanup(lambda: os.path.exists(log.name) and os.unlink(log.name))
            return super().agent(*arguments, *self.OPTIONS, stderr=log)

    def log_name(self):
        return f"{BUILD}/tests/{self.bus}.log"

    def lines(self):
        with open(self.log_name(), encoding="utf-8") as log:
            return log.read().splitlines()

    def hostile(self, *arguments):
        return self.start("e2e_hostile", *arguments, directory=f"{BUILD}/tests")

    def done(self, child):
        """Waits for a hostile producer's word that it has done all; snapshots stay whole."""
        os.set_blocking(child.stdout.fileno(), False)
        total_before = 0

        def said():
            nonlocal total_before
            snapshot = self.snapshot()
            self.assertIsNone(self.process.poll())
            self.assertGreaterEqual(snapshot["totals"]["sessions_total"], total_before)
            total_before = snapshot["totals"]["sessions_total"]
            for session in snapshot["sessions"]:
                self.account(session)
            return child.stdout.readline()

        self.assertEqual(self.wait_for(said, "the hostile producer", 120), "{}\n")

    def account(self, session):
        """Of whatever session: what was read is in its timers, or counted as overflow."""
        folded = sum(m.get("count", 0) for m in session["metrics"])
        self.assertEqual(folded + session.get("overflow_total", 0), session["aggregated_total"])
        for writer in session["writers"]:
            self.assertEqual(writer["recorded"], writer["aggregated"] + writer["used"])

    def rss(self):
        return self.snapshot()["agent"]["rss_bytes"]

    def rejected(self):
        return self.snapshot()["agent"]["rejected"]

    def scans(self, more):
        """Waits for some more full scans."""
        until = self.snapshot()["agent"]["scans"] + more
        self.wait_for(lambda: self.snapshot()["agent"]["scans"] >= until, "scans", 60)


class Numbers(Flood):
    OPTIONS = ("--max-sessions", "64")
    MANY = 2000 if SLOW else 10000

    def test_rubbish(self):
        """Ten thousand files that are no segments: each is refused once, however often the
        directory is scanned, and again when it has changed."""
        before = self.rss()
        for i in range(self.MANY):
            with open(self.name(i), "wb") as rubbish:
                rubbish.write(b"\x01" * 600)
        self.wait_for(lambda: sum(self.rejected().values()) >= self.MANY, "all refused", 120)
        self.scans(2)
        refused = self.rejected()
        self.scans(2)
        self.assertEqual(self.rejected(), refused)
        with open(self.name(7), "ab") as rubbish:
            rubbish.write(b"more")
        self.wait_for(lambda: sum(self.rejected().values()) > sum(refused.values()), "the change")
        if not SLOW:
            self.assertLess(self.rss() - before, 16 << 20)
        self.assertLess(len(self.lines()), 400)
        self.assertIn("more segments", "\n".join(self.lines()))
        self.unharmed()

    def test_sessions(self):
        """As many valid segments, far more than --max-sessions: each is refused once while there
        is no room, and taken when there is."""
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < self.MANY + 64:
            self.skipTest("needs more open files")
        child = self.hostile("many", str(self.MANY))
        self.done(child)
        self.wait_for(lambda: self.rejected().get("limit", 0) >= self.MANY - 64, "refusals", 120)
        self.scans(2)
        refused, before = self.rejected(), self.rss()
        self.scans(2)
        snapshot = self.snapshot()
        self.assertEqual(self.rejected(), refused)
        self.assertLessEqual(len(snapshot["sessions"]), 64)
        self.assertLess(self.rss() - before, 8 << 20)
        self.assertLess(len(self.lines()), 400)
        self.stop(child, signal.SIGKILL)
        taken = snapshot["totals"]["sessions_total"]
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_total"] > taken + 4, "room", 60)
        for path in self.files("s.00000bad"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # the agent was first
        self.unharmed()


    def test_windows(self):
        """Timers with the largest windows: what they cost the agent is bounded, and known again
        by the next one."""
        child = self.hostile("windows", "200")

        def sizes():
            session = self.session("windows")
            return session and session["aggregated_total"] == 200 and [
                m["window"]["size"] for m in session["metrics"]]

        expected = [65536] * 16 + [1000] * 184
        self.assertEqual(self.wait_for(sizes, "its samples"), expected)
        self.assertLess(self.snapshot()["agent"]["checkpoint_bytes"], 64 << 20)
        self.stop(self.process, signal.SIGKILL)
        self.process = self.agent("--stale-after", "60s")
        self.assertEqual(self.wait_for(sizes, "its samples again"), expected)
        self.stop(child)
        self.unharmed()


@unittest.skipUnless(may_mount(), "needs the right to mount in a namespace of its own")
class Beyond(Mounted, Bus):
    REMEMBERED, LOOKS = 65536, 4096

    def test_more_than_remembered(self):
        """More files of rubbish than the agent remembers: it looks at some of the rest at each
        scan, and never because it has closed one."""
        self.agent()
        name = f"/dev/shm/shmbus.{self.bus}.s."
        made = self.inside(sys.executable, "-c",
                           f"import os; open('{name}', 'w').close()\n"
                           f"for i in range(1, {self.REMEMBERED + 2 * self.LOOKS}):\n"
                           f"    os.link('{name}', '{name}%016x' % i)")
        self.assertEqual(made.stderr, "")
        refused = {}  # what was, at the end of each scan

        def settled():
            agent = self.snapshot()["agent"]
            refused[agent["scans"]] = agent["rejected"].get("invalid", 0)
            last, current = [0, *refused][-2:]
            return last - 1 in refused and current == last + 1 and \
                refused[last - 1] >= self.REMEMBERED and \
                refused[last] - refused[last - 1] <= self.LOOKS

        self.wait_for(settled, "a scan that is not followed by more", 120)


class Restless(Flood):
    OPTIONS = ("--ttl", "0s", "--max-sessions", "256")

    def test_flipping(self):
        """Fields that change between check and use, files that are cut and made whole again."""
        child = self.hostile("flip", "200" if SLOW else "400")
        self.done(child)
        self.wait_for(lambda: sum(self.rejected().values()) > 5, "refusals")
        self.unharmed()

    def test_churn(self):
        """A producer that takes its lock, removes its file and makes another, as fast as it can."""
        before = self.rss()
        child = self.hostile("churn", "5000" if SLOW else "30000")
        self.done(child)
        self.wait_for(lambda: len(self.snapshot()["sessions"]) == 1, "their end", 60)
        if not SLOW:
            self.assertLess(self.rss() - before, 128 << 20)
        self.assertLess(len(self.lines()), 400)
        self.unharmed()

    def test_labels(self):
        """Labels that never settle: the agent does not wait for them."""
        child = self.hostile("labels", "200")
        self.wait_for(lambda: self.session("hostile0", "running"), "the session")
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 5, "snapshots meanwhile")
        self.done(child)
        self.wait_for(lambda: (s := self.session("hostile0")) and
                      s["labels"] == {"attempt_id": "17"}, "the labels, settled")
        child.stdin.close()
        session = self.wait_for(lambda: self.session("hostile0", "lost") or
                                not self.session("hostile0"), "its end")
        self.assertTrue(session)
        self.unharmed()


class Identity(Flood):
    def test_one_id(self):
        """Sessions that claim another's id have accounts of their own."""
        _, segment = self.victim()

        def claim(copy):
            copy.write("32s", ID, b"good")
            copy.write("<Q", copy.u32(HEADS_OFFSET), 0)  # all of its samples once more

        self.copy(segment, 1, claim)
        sessions = self.wait_for(
            lambda: (found := [s for s in self.snapshot()["sessions"] if s["id"] == "good"]) and
            len(found) == 2 and any(total(s, "aggregated") == 40 for s in found) and found,
            "two of one id")
        self.assertEqual(len({s["incarnation"] for s in sessions}), 2)
        self.segments.pop().close()  # its lock, and with that the session
        self.wait_for(lambda: self.session("good", "lost"), "the end of the false one")
        self.report(self.good)
        self.wait_for(lambda: any(
            s["id"] == "good" and s["state"] == "running" and
            total(s, "aggregated") == BESIDE for s in self.snapshot()["sessions"]), "the true one")

    def test_one_name(self):
        """Metrics of one name: each has its own samples, of the number that they bear."""
        _, segment = self.victim()

        def rename(copy):
            table, stride = copy.u32(METRICS_OFFSET), copy.u32(METRICS_STRIDE)
            copy.write("<Q", copy.u32(HEADS_OFFSET), 0)
            for i in range(1, 4):
                copy.write("64s", table + stride * i, b"value")

        self.copy(segment, 1, rename)
        session = self.wait_for(
            lambda: (s := self.session("copy1")) and total(s, "aggregated") == 40 and s, "it")
        same = [m for m in session["metrics"] if m["name"] == "value"]
        self.assertEqual(sorted(m["kind"] for m in same), sorted({m["kind"] for m in same}))
        self.assertEqual(sum(m.get("count", 0) for m in same), 40)
        self.unharmed()

    def test_owner(self):
        """Of a user who is not allowed: refused, once, and taken when it is given away."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        _, segment = self.victim()
        copy = self.copy(segment, 1, lambda copy: os.chown(copy.path, 12345, 12345))
        self.refused(copy.path, "--allow-uid 12345")
        os.chown(copy.path, 0, 0)
        self.wait_for(lambda: self.session("copy1", "running"), "the session")
        self.unharmed()

    def test_head_of_the_producer(self):
        """A head that makes no sense is a full ring to the producer, which goes on."""
        producer = self.producer("--id", "pushed", "--hold", "--ring", "64", "--count", "4000",
                                 "--rate", "2000")
        self.wait_for(lambda: self.session("pushed"), "its session")
        number = self.files("s.")
        segments = [self.open(path) for path in number]
        (pushed,) = [s for s in segments if s.read("6s", ID)[0] == b"pushed"]
        stop = time.monotonic() + 30
        while producer.poll() is None and time.monotonic() < stop:
            for head in (1 << 63, (1 << 64) - 1, 1 << 32):
                pushed.write("<Q", pushed.u32(HEADS_OFFSET), head)
            session = self.session("pushed")
            if session and sum(w["dropped"].get("head", 0) for w in session["writers"]) > 50:
                break
        said = self.report(producer)["writers"][0]
        self.assertEqual(said["attempted"], 4000)
        self.assertEqual(said["recorded"] + said["dropped"], 4000)
        self.assertGreater(said["dropped"], 50)
        # The last attempts may all have been dropped.
        self.wait_for(lambda: (s := self.session("pushed")) and
                      (total(s, "aggregated"), total(s, "dropped")) ==
                      (said["recorded"], said["dropped"]), "its samples and drops")
        self.unharmed()


if __name__ == "__main__":
    unittest.main()
