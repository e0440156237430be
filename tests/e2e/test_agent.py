# SPDX-License-Identifier: MIT
"""The agent with real producers: accounts to the unit, states, restarts, limits."""

import glob
import os
import shutil
import signal
import struct
import tempfile
import time
import unittest

from bus import BUILD, Bus, metric, total


class Accounts(Bus):
    def test_reference(self):
        self.agent()
        producer = self.producer("--id", "r", "--count", "1000", "--hold")
        self.report(producer)
        session = self.wait_for(
            lambda: (s := self.session("r")) and total(s, "aggregated") == 1000 and s,
            "1000 samples")
        value = metric(session, "value")
        self.assertEqual((value["count"], value["sum"], value["min"], value["max"]),
                         (1000, 500500, 1, 1000))
        self.assertEqual(value["mean"], 500.5)
        self.assertAlmostEqual(value["std"], 288.6749902572095, places=9)
        window = value["window"]
        self.assertAlmostEqual(window["p50"], 500.5, places=9)
        self.assertAlmostEqual(window["p95"], 950.05, places=9)
        self.assertAlmostEqual(window["p99"], 990.01, places=9)
        self.assertEqual(sum(value["histogram"]["buckets"]), 1000)
        self.assertEqual(value["target"]["violations"], 100)
        self.assertFalse(value["target"]["met"])
        self.assertEqual(value["target"]["worst"]["value"], 1000)
        self.assertEqual(metric(session, "done")["value"], 1000)
        self.assertEqual(metric(session, "depth")["value"], 7)
        self.assertEqual(metric(session, "state")["value"], "busy")
        never = metric(session, "never")
        self.assertEqual(never["count"], 0)
        for absent in ("mean", "min", "max", "std", "quantiles", "window"):
            self.assertNotIn(absent, never)
        self.assertEqual(session["derived"], [{"name": "value.per.done", "value": 500.5}])

    def test_small_rings(self):
        """Rings far too small for the load: what is dropped is counted, to the unit."""
        self.agent()
        producer = self.producer("--id", "s", "--count", "2000000", "--writers", "3",
                                 "--ring", "64", "--hold")
        said = self.report(producer)["writers"]
        for writer in said:
            self.assertEqual(writer["attempted"], 2000000)
            self.assertEqual(writer["attempted"], writer["recorded"] + writer["dropped"])
        self.assertGreater(sum(w["dropped"] for w in said), 0)
        session = self.wait_for(
            lambda: (s := self.session("s")) and
            total(s, "aggregated") + total(s, "dropped") == 6000000 and s, "all accounted for")
        for i, writer in enumerate(session["writers"]):
            self.assertEqual(writer["recorded"], said[i]["recorded"])
            self.assertEqual(writer["recorded"], writer["aggregated"] + writer["used"])
            self.assertEqual(sum(writer["dropped"].values()), said[i]["dropped"])
        self.assertEqual(metric(session, "value")["count"], total(session, "aggregated"))
        self.assertEqual(metric(session, "done")["value"], 6000000)

    def test_killed(self):
        """SIGKILL: everything published is aggregated; at most one attempt is in flight."""
        self.agent()
        for round_number in range(5):
            identity = f"k{round_number}"
            with tempfile.NamedTemporaryFile() as ledger:
                producer = self.producer("--id", identity, "--count", "1000000000", "--writers",
                                         "2", "--ring", "256", "--ledger", ledger.name)
                self.wait_for(lambda: self.session(identity), "the session")
                time.sleep(0.05 * round_number)
                self.stop(producer, signal.SIGKILL)
                attempts = struct.unpack("2Q", ledger.read(16))
            session = self.wait_for(lambda: self.session(identity, "lost"), "state lost")
            for i, writer in enumerate(session["writers"]):
                accounted = writer["aggregated"] + sum(writer["dropped"].values())
                self.assertIn(attempts[i] - accounted, (0, 1))
                self.assertEqual(writer["used"], 0)
            self.assertEqual(metric(session, "value")["count"], total(session, "aggregated"))
            self.wait_for(lambda: not self.files("s."), "the segment's removal")
        snapshot = self.snapshot()
        self.assertEqual(snapshot["totals"]["sessions_lost"], 5)
        self.assertEqual(metric(snapshot["totals"], "value")["count"],
                         sum(metric(s, "value")["count"] for s in snapshot["sessions"]))

    def test_totals_merge(self):
        """Merging equals recording into one, and ended sessions stay in the totals."""
        self.agent("--ttl", "0s")
        for i in range(3):
            self.producer("--id", f"m{i}", "--count", "1000").wait(timeout=20)
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["totals"]["sessions_ended"] == 3 and
            not s["sessions"] and s, "three ended and forgotten sessions")
        value = metric(snapshot["totals"], "value")
        self.assertEqual((value["count"], value["sum"], value["sessions"]), (3000, 1501500, 3))
        self.assertAlmostEqual(value["std"], 288.6749902572095, places=9)
        self.assertEqual(metric(snapshot["totals"], "done")["value"], 3000)

    def test_recent(self):
        """The averages over the last 100 finished sessions, each of which counts once."""
        self.agent("--ttl", "0s")
        self.producer("--count", "1000", "--sessions", "101").wait(timeout=60)
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_ended"] == 101, "101 ended")
        killed = self.producer("--count", "101", "--hold")
        self.report(killed)
        self.stop(killed, signal.SIGKILL)
        recent = self.wait_for(
            lambda: (r := self.snapshot()["totals"]["recent"])["lost"] == 1 and r,
            "the killed session")
        self.assertEqual(recent["sessions"], 100)
        self.assertGreater(recent["duration_ns"], 0)
        value = metric(recent, "value")
        self.assertEqual((value["sessions"], value["count"], value["max"]),
                         (100, 99 * 1000 + 101, 1000))
        self.assertAlmostEqual(value["mean"], (99 * 500.5 + 51) / 100)
        self.assertEqual((value["judged"], value["met"]), (100, 1))


class Life(Bus):
    def test_agent_later(self):
        producer = self.producer("--id", "early", "--count", "500", "--hold")
        self.report(producer)
        self.agent()
        self.wait_for(lambda: (s := self.session("early")) and total(s, "aggregated") == 500,
                      "all 500 samples")

    def test_no_agent(self):
        producer = self.producer("--count", "100000")
        self.assertEqual(self.report(producer)["error"], 0)
        self.assertEqual(producer.wait(timeout=20), 0)
        self.assertEqual(self.files(), [])

    def test_agent_restart(self):
        agent = self.agent()
        producer = self.producer("--id", "p", "--count", "300", "--rate", "100", "--hold")
        self.wait_for(lambda: self.session("p"), "the session")
        seq = self.snapshot()["seq"]
        self.assertEqual(self.stop(agent), 0)
        self.agent()
        self.report(producer)
        session = self.wait_for(
            lambda: (s := self.session("p")) and
            total(s, "aggregated") == 300 and s, "all samples, those of before included")
        self.assertEqual(total(session, "before"), 0)
        self.assertGreater(self.snapshot()["seq"], seq)
        self.assertEqual(session["state"], "running")

    def test_two_agents(self):
        first = self.agent()
        second = self.run_tool("shmbus-agent")
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"pid {first.pid}", second.stderr)

    def test_handover(self):
        """From agent to agent under load: nothing is lost, and nobody is signalled."""
        agent = self.agent()
        producer = self.producer("--id", "p", "--count", "20000", "--rate", "5000", "--hold")
        for incarnation in (2, 3, 4):
            self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated"), "samples")
            heir = self.agent("--handover")
            self.assertEqual(agent.wait(timeout=20), 0)
            self.wait_for(lambda: self.snapshot()["agent"]["incarnation"] == incarnation,
                          "the heir's snapshot")
            agent = heir
        said = self.report(producer)["writers"][0]
        self.assertEqual(said["recorded"], 20000)
        session = self.wait_for(
            lambda: (s := self.session("p")) and total(s, "aggregated") == 20000 and s, "all")
        self.assertEqual(metric(session, "value")["sum"], 20000 * 20001 // 2)
        self.assertEqual(self.stop(agent), 0)

    def test_handover_alone(self):
        agent = self.agent("--handover")
        self.assertEqual(self.stop(agent), 0)

    def test_labels_change(self):
        self.agent()
        producer = self.producer("--id", "l", "--count", "10", "--relabel", "--hold")
        self.report(producer)
        self.wait_for(lambda: (s := self.session("l")) and
                      s["labels"] == {"attempt_id": "second"}, "the new label")

    def test_stopped_is_stale(self):
        self.agent("--stale-after", "200ms")
        producer = self.producer("--id", "z", "--count", "1000000", "--rate", "200")
        self.wait_for(lambda: self.session("z", "running"), "running")
        producer.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: self.session("z", "stale"), "stale")
        producer.send_signal(signal.SIGCONT)
        self.wait_for(lambda: self.session("z", "running"), "running again")

    def test_thousand_sessions(self):
        self.agent()
        producer = self.producer("--sessions", "1000", "--hold", "--ring", "64", "--count", "10")
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["totals"]["sessions_active"] == 1000 and
            metric(s["totals"], "value")["count"] == 10000 and s, "1000 sessions", 60)
        self.assertEqual(len(snapshot["sessions"]), 1000)
        self.stop(producer, signal.SIGKILL)
        self.wait_for(lambda: (s := self.snapshot()) and s["totals"]["sessions_lost"] == 1000,
                      "1000 lost sessions", 60)
        self.wait_for(lambda: not self.files("s."), "the segments' removal")

    def test_session_limit(self):
        self.agent("--max-sessions", "3")
        self.producer("--sessions", "5", "--hold", "--ring", "64", "--count", "1")
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["agent"]["rejected"].get("limit") and s,
            "a refusal")
        self.assertEqual(snapshot["totals"]["sessions_active"], 3)
        self.assertIn("--max-sessions", snapshot["agent"]["rejects"][0]["reason"])


class Refusals(Bus):
    def forge(self, edit):
        """A real segment with a few bytes changed, under a name of its own."""
        producer = self.producer("--id", "real", "--count", "1", "--hold")
        self.report(producer)
        with open(self.files("s.")[0], "rb") as file:
            image = bytearray(file.read())
        self.stop(producer, signal.SIGKILL)
        edit(image)
        path = f"/dev/shm/shmbus.{self.bus}.s.00000000000000aa"
        with open(path, "wb") as file:
            file.write(image)
        os.chmod(path, 0o600)
        return path

    def refused(self, cause):
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["agent"]["rejected"].get(cause) and s,
            f"a refusal: {cause}")
        return snapshot["agent"]["rejects"][-1]["reason"]

    def test_wrong_version(self):
        self.agent()
        self.forge(lambda image: struct.pack_into("<I", image, 8, 9 << 16))
        self.assertIn("layout version 9.0", self.refused("layout"))

    def test_nonsense(self):
        self.agent()
        self.forge(lambda image: struct.pack_into("<I", image, 112, 0xffffffff))
        self.assertIn("nonsense", self.refused("invalid"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be another user")
    def test_other_user(self):
        self.agent()
        producer = self.start("e2e_producer", "--id", "other", "--count", "5", "--hold",
                              directory=self.readable_copy("tests/e2e_producer"), user=65534)
        self.assertEqual(self.report(producer)["error"], 0)
        self.assertIn("--allow-uid 65534", self.refused("owner"))

    def readable_copy(self, program):
        """A directory with a program and its library that any user can reach: a checkout may lie
        below a directory that is its owner's alone, and so does $TMPDIR in a test."""
        directory = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        for path in (f"{BUILD}/{program}", *glob.glob(f"{BUILD}/lib/libshmbus.so*")):
            copy = shutil.copy(path, directory.name)
            os.chmod(copy, 0o755)
        self.env["LD_LIBRARY_PATH"] = directory.name
        return directory.name

    def test_truncated(self):
        """A producer that cuts its segment short harms itself alone."""
        self.agent()
        good = self.producer("--id", "good", "--count", "2000", "--rate", "500", "--hold")
        bad = self.producer("--id", "bad", "--count", "10", "--hold")
        self.report(bad)
        segment = self.wait_for(lambda: self.session("bad"), "the session")["segment"]
        os.truncate(f"/dev/shm{segment}", 8192)
        session = self.wait_for(lambda: self.session("bad", "lost"), "the fault")
        self.assertIn("cut short", session["reason"])
        self.report(good)
        self.wait_for(lambda: total(self.session("good"), "aggregated") == 2000,
                      "the other session's samples")


class Options(Bus):
    def check_refused(self, *arguments):
        result = self.run_tool("shmbus-agent", *arguments)
        self.assertEqual(result.returncode, 2, arguments)
        self.assertRegex(result.stderr, "allowed|Try|unexpected", arguments)

    def test_bad_options(self):
        for arguments in (("--bus", "a.b"), ("--bus", "x" * 40), ("--bus", "../x"),
                          ("--interval", "1ms"), ("--interval", "1"), ("--drain", "0ms"),
                          ("--ttl", "-1s"), ("--max-sessions", "0"), ("--window", "1e3"),
                          ("--snapshot-mode", "0777"), ("--allow-uid", "no-such-user"),
                          ("--nope",), ("surplus",)):
            self.check_refused(*arguments)

    def test_help(self):
        for option in ("--help", "--version"):
            result = self.run_tool("shmbus-agent", option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("shmbus-agent", result.stdout)


if __name__ == "__main__":
    unittest.main()
