# SPDX-License-Identifier: MIT
"""shmbus log while agents are killed and the disk is full: one record a session, and no other."""

import json
import signal
import subprocess
import unittest

from bus import metric
from logs import Logs
from mounted import Mounted, may_mount

PRODUCERS = 10
SESSIONS = 50  # of each


@unittest.skipUnless(may_mount(), "needs the right to mount in a namespace of its own")
class Disk(Mounted, Logs):
    SIZE = "64m"

    def setUp(self):
        super().setUp()
        self.shell(f"mount -t tmpfs -o size=16m none {self.directory}")

    def shell(self, command):
        result = self.inside("sh", "-c", command)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def content(self, path):
        return self.inside("cat", path).stdout

    def disk_fill(self):
        """Leaves a page or two, which tmpfs counts late."""
        self.inside("sh", "-c", f"cat /dev/zero > {self.directory}/filled")

    def disk_free(self):
        self.shell(f"rm {self.directory}/filled")

    def crowd(self, producers):
        """Producers of sessions that live 50 ms, by pid: how many samples each session has."""
        counts = {}
        for i in producers:
            count = 46 + i
            producer = self.producer("--sessions", str(SESSIONS), "--count", str(count), "--rate",
                                     str(count * 20), "--ring", "64")
            counts[producer.pid] = count
        return counts

    def test_every_session_once(self):
        """500 sessions; two agents and a log are killed, the disk is full for a while."""
        agent = self.agent()
        log = self.file_log("--interval", "0.5")
        counts = self.crowd(range(PRODUCERS // 2))
        self.wait_records(50, event="session")
        self.stop(agent, signal.SIGKILL)
        agent = self.agent()
        self.wait_records(100, event="session")
        self.disk_fill()
        self.said(log, "cannot write .*No space left on device")
        full = self.records(event="session")
        # However slow the machine is, these are over while the disk is full.
        counts |= self.crowd(range(PRODUCERS // 2, PRODUCERS))
        self.stop(agent, signal.SIGKILL)
        self.agent()
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_ended"] > len(full) + 20,
                      "sessions that are over while the disk is full", 60)
        self.disk_free()
        self.wait_records(1, event="gap")
        self.stop(log, signal.SIGKILL)
        log = self.file_log("--interval", "0.5")
        for producer in self.children:
            if producer.pid in counts:
                self.assertEqual(producer.wait(timeout=60), 0)
        self.wait_records(len(counts) * SESSIONS, event="session")
        self.wait_for(lambda: (r := self.records(event="interval")) and
                      r[-1].get("sessions_ended") == 500, "the last interval")
        self.ended(log)
        self.every_session(counts)
        gaps = self.records(event="gap")
        self.assertEqual([(g["what"], g["reason"]) for g in gaps],
                         [("write", "No space left on device")], gaps)
        self.assertNotIn("records_dropped", gaps[0])
        last = [r for r in self.records(event="interval") if "agent" in r][-1]
        self.assertEqual(last["agent"]["incarnation"], 3)

    def every_session(self, counts):
        for line in self.content(self.path).splitlines():
            json.loads(line)
        records = self.records(event="session")
        self.assertEqual(len({r["segment"] for r in records}), len(counts) * SESSIONS)
        self.assertEqual(len(records), len(counts) * SESSIONS)
        for record in records:
            count = counts[record["pid"]]
            value = metric(record, "value")
            self.assertEqual(record["state"], "ended")
            self.assertEqual(record["aggregated_total"], count)
            self.assertEqual((value["count"], value["sum"]), (count, count * (count + 1) // 2))
            self.assertEqual(metric(record, "done")["value"], count)
            self.assertGreater(record["duration_ns"], 40e6)
        totals = self.snapshot()["totals"]
        self.assertEqual(sum(r["aggregated_total"] for r in records),
                         metric(totals, "done")["value"])

    def test_read_only(self):
        """The directory turns read-only after the file was moved away."""
        self.agent()
        log = self.file_log()
        self.shell(f"mv {self.path} {self.path}.1 && mount -o bind {self.directory} "
                   f"{self.directory} && mount -o remount,bind,ro {self.directory}")
        self.short(3)
        self.said(log, "cannot write .*Read-only file system")
        self.assertEqual(self.records(), [])
        self.shell(f"umount {self.directory}")
        self.wait_records(3, event="session")
        self.assertEqual(len(self.records(event="session")), 3)
        (gap,) = self.records(event="gap")
        self.assertEqual(gap["reason"], "Read-only file system")
        self.assertEqual(self.ended(log).count("cannot write"), 0, "said once")

    def test_full_to_the_end(self):
        """A log that ends while the disk is full says what is missing; the next one has it."""
        self.agent()
        log = self.file_log()
        self.disk_fill()
        self.short(40)
        self.said(log, "cannot write")
        self.assertRegex(self.ended(log, status=1), r"\d+ records could not be written")
        self.disk_free()
        log = self.file_log()
        self.wait_records(40, event="session")
        self.ended(log)
        self.assertEqual(len(self.records(event="session")), 40)


if __name__ == "__main__":
    unittest.main()
