# SPDX-License-Identifier: MIT
"""All that stands still for long and goes on: the agent alone, for a minute, under load; or
everything at once, as when a machine is suspended."""

import json
import os
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from bus import BIN, metric, total
from logs import Logs

STOP_S = 5 if os.environ["SHMBUS_SANITIZE"] else 60
ALL_STOP_S = 5
RATE = 2000
RING = 1024


class Stopped(Logs):
    def recording(self, identity, *arguments):
        producer = self.producer("--id", identity, "--hold", *arguments)
        self.wait_for(lambda: (s := self.session(identity, "running")) and
                      total(s, "aggregated"), f"samples of {identity}")
        return producer

    def watch(self, identity):
        """A reader whose lines are in the file that is returned, too; it has begun."""
        path = f"{self.directory}/{identity}"
        watch = self.start("sh", "-c", 'exec "$0" watch -d 0 "$1" > "$2"', f"{BIN}/shmbus",
                           identity, path, directory="/bin")
        self.wait_for(lambda: self.content(path).endswith("\n"), "the reader's first line")
        return watch, path

    def watched(self, watch, path, state="ended"):
        """What a reader has written once its session is over: every snapshot, or its gap."""
        self.assertEqual(watch.wait(timeout=60), 0)
        lines = [json.loads(text) for text in self.content(path).splitlines()]
        for before, after in zip(lines, lines[1:]):
            self.assertEqual(after["seq"], before["seq"] + 1 + after["gap"])
            self.assertGreaterEqual(after["timers"]["value"]["count"],
                                    before["timers"]["value"]["count"])
        self.assertEqual((lines[-1]["state"], lines[-1]["final"]), (state, True))
        return lines

    def check_whole(self, identity, count, state=None):
        """All samples, none dropped, and each of them what it was."""
        session = self.wait_for(lambda: (s := self.session(identity, state)) and
                                total(s, "aggregated") == count and s, f"all of {identity}")
        if state is None:
            self.assertIn(session["state"], ("running", "stale"))
        self.assertEqual(total(session, "dropped"), 0)
        value = metric(session, "value")
        self.assertEqual((value["count"], value["sum"], value["min"], value["max"]),
                         (count, count * (count + 1) // 2, 1, count))
        self.assertEqual(metric(session, "done")["value"], count)
        return session

    def attempts(self, ledger):
        return struct.unpack("Q", os.pread(ledger.fileno(), 8, 0))[0]

    def check_stale(self):
        """What every reader says while the agent stands still."""
        self.wait_for(lambda: "FAIL  snapshot: " in self.run_tool("shmbus", "doctor").stdout,
                      "the verdict")
        for command in (("doctor",), ("ls",), ("check", "-c", "@lost > 100")):
            result = self.run_tool("shmbus", *command)
            self.assertIn("old: the agent is stopped or starved", result.stdout + result.stderr)
        self.assertTrue(json.loads(self.run_tool("shmbus", "top", "--once",
                                                 "--json").stdout)["stale"])

    def test_agent(self):
        """What finds the ring full is dropped and counted, to the unit; what has room is all
        there, whoever recorded it and whatever became of it meanwhile."""
        agent = self.agent("--stale-after", "1s")
        count = RATE * (STOP_S + 5)
        with tempfile.NamedTemporaryFile() as ledger:
            full = self.recording("full", "--count", str(count), "--rate", str(RATE), "--ring",
                                  str(RING), "--ledger", ledger.name)
            fits = self.recording("fits", "--count", str(100 * STOP_S), "--rate", "100")
            killed = self.recording("killed", "--count", "100000000", "--rate", "50")
            watch, path = self.watch("full")
            log = self.file_log()
            incarnation = self.session("full")["incarnation"]
            self.suspend(agent)
            since, seq, attempts = time.monotonic(), self.snapshot()["seq"], self.attempts(ledger)
            late = self.producer("--id", "late", "--count", "1000", "--hold")
            left = self.producer("--id", "left", "--count", "700")
            for producer in (late, left):
                self.report(producer)
            self.assertEqual(left.wait(timeout=20), 0)
            self.stop(killed, signal.SIGKILL)
            self.check_stale()
            time.sleep(max(0, since + STOP_S - time.monotonic()))
            self.wait_for(lambda: self.attempts(ledger) > attempts + 2 * RING,
                          "more than the ring can hold")
            self.assertEqual(self.snapshot()["seq"], seq)
            agent.send_signal(signal.SIGCONT)
        self.check_full(full, incarnation, count)
        self.report(fits)
        self.check_whole("fits", 100 * STOP_S)
        self.check_whole("late", 1000)
        self.check_whole("left", 700, "ended")
        lost = self.wait_for(lambda: self.session("killed", "lost"), "its loss")
        self.check_whole("killed", total(lost, "aggregated"), "lost")
        self.assertEqual(self.snapshot()["totals"]["sessions_lost"], 1)
        full.stdin.close()
        states = {line["state"] for line in self.watched(watch, path)}
        self.assertLessEqual(states, {"running", "stale", "ended"})
        self.assertEqual(self.stop(agent), 0)
        said = self.ended(log)
        self.assertIn("the agent is stopped or starved", said)
        self.assertIn("publishes again", said)

    def check_full(self, producer, incarnation, count):
        """attempted = aggregated + dropped + in flight, in every snapshot that comes."""
        recorded = metric(self.session("full"), "value")["count"]
        while recorded is not None:
            session = self.session("full")
            self.assertIn(session["state"], ("running", "stale"))
            self.assertEqual(session["incarnation"], incarnation)
            self.assertEqual(total(session, "recorded"),
                             total(session, "aggregated") + total(session, "used"))
            accounted = total(session, "recorded") + total(session, "dropped")
            self.assertLessEqual(accounted, count)
            recorded = None if accounted == count and not total(session, "used") else accounted
        said = self.report(producer)["writers"][0]
        self.assertEqual(said["attempted"], count)
        self.assertGreater(said["dropped"], 0)
        self.assertEqual(said["recorded"] + said["dropped"], count)
        (writer,) = session["writers"]
        self.assertEqual(writer["dropped"], {"full": said["dropped"], "head": 0})
        self.assertEqual(writer["aggregated"], said["recorded"])
        value = metric(session, "value")
        self.assertEqual((value["count"], value["min"], value["max"]),
                         (said["recorded"], 1, count))
        self.assertEqual(sum(value["histogram"]["buckets"]), said["recorded"])
        self.assertEqual(metric(session, "done")["value"], count, "slots are never dropped")

    def test_all(self):
        """Producers, agent and readers stand still together, and nobody notices. A test cannot
        suspend the machine. Were it suspended, CLOCK_MONOTONIC would stand still as well; here it
        goes on, so that everybody has been silent for seconds: the harsher case."""
        agent = self.agent("--stale-after", "100ms")
        producers = {name: self.recording(name, "--count", "5000", "--rate", "500")
                     for name in ("one", "two")}
        idle = self.producer("--id", "idle", "--count", "10", "--hold")
        self.report(idle)
        watch, path = self.watch("one")
        log = self.file_log()
        stopped = [watch, log, *producers.values(), idle, agent]
        for child in stopped:
            self.suspend(child)
            if child is watch:  # it misses some for certain
                seq = self.snapshot()["seq"]
                self.wait_for(lambda seq=seq: self.snapshot()["seq"] > seq + 2, "more snapshots")
        time.sleep(ALL_STOP_S)
        for child in stopped:
            child.send_signal(signal.SIGCONT)
        for name, producer in producers.items():
            said = self.report(producer)["writers"][0]
            self.assertEqual(said, {"attempted": 5000, "recorded": 5000, "dropped": 0})
            self.check_whole(name, 5000)
        self.check_whole("idle", 10)
        totals = self.snapshot()["totals"]
        self.assertEqual((totals["sessions_total"], totals["sessions_lost"]), (3, 0))
        self.assertEqual(totals["dropped_total"], 0)
        self.assertEqual(metric(totals, "value")["count"], 10010)
        for producer in (*producers.values(), idle):
            producer.stdin.close()
        lines = self.watched(watch, path)
        self.assertLessEqual({line["state"] for line in lines}, {"running", "stale", "ended"})
        self.assertGreater(sum(line["gap"] for line in lines), 0)
        self.wait_records(3, event="session")
        self.ended(log)
        self.assertEqual({r["state"] for r in self.records(event="session")}, {"ended"})
        self.assertEqual(self.records(event="gap"), [])
        self.assertEqual(self.stop(agent), 0)


if __name__ == "__main__":
    unittest.main()
