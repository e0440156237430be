# SPDX-License-Identifier: MIT
"""The machine at fault: /dev/shm full, read-only or missing. A producer runs on without metrics."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import time
import unittest

from bus import BIN, BUILD, Bus, metric, total
from mounted import Mounted, may_mount


@unittest.skipUnless(may_mount(), "needs the right to mount in a namespace of its own")
class SharedMemory(Bus):
    def run_inside(self, mount, program, *arguments):
        """Runs a program where /dev/shm was mounted anew."""
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", program, *arguments],
            env=self.env, text=True, capture_output=True, timeout=60, check=False)

    def producer_inside(self, mount, *arguments):
        result = self.run_inside(mount, f"{BUILD}/tests/e2e_producer", "--count", "1000",
                                 *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout), result.stderr

    def test_full_at_session(self):
        said, message = self.producer_inside("mount -t tmpfs -o size=16k none /dev/shm")
        self.assertEqual(said["error"], -errno.ENOSPC)
        self.assertIn("free space there", message)
        self.assertEqual(said["writers"][0]["attempted"], 0)

    def test_full_at_writer(self):
        said, message = self.producer_inside("mount -t tmpfs -o size=100k none /dev/shm")
        self.assertEqual(said["error"], -errno.ENOSPC)
        self.assertIn("smaller rings", message)

    def test_small_ring_fits(self):
        said, _ = self.producer_inside("mount -t tmpfs -o size=100k none /dev/shm",
                                       "--ring", "64")
        self.assertEqual(said["error"], 0)
        self.assertEqual(said["writers"][0]["attempted"], 1000)

    def test_read_only(self):
        said, message = self.producer_inside("mount -t tmpfs -o ro none /dev/shm")
        self.assertEqual(said["error"], -errno.EROFS)
        self.assertIn("Read-only", message)

    def test_agent_without_room(self):
        result = self.run_inside("mount -t tmpfs -o size=64k none /dev/shm",
                                 f"{BIN}/shmbus-agent")
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)

    def test_agent_read_only(self):
        result = self.run_inside("mount -t tmpfs -o ro none /dev/shm", f"{BIN}/shmbus-agent")
        self.assertEqual(result.returncode, 1)
        self.assertIn("Read-only", result.stderr)

    def test_doctor_read_only(self):
        result = self.run_inside("mount -t tmpfs -o ro none /dev/shm", f"{BIN}/shmbus", "doctor")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not writable", result.stdout)


def may_drop():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    return bool(os.stat("/dev/shm").st_mode & stat.S_ISVTX)


class Forbidden(Bus):
    @unittest.skipUnless(may_drop(), "needs root, setpriv and a sticky /dev/shm")
    def test_agent_may_not_remove(self):
        """Segments that the agent can drain and not remove are not counted twice."""
        caps = "+dac_override"
        agent = self.start("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", caps,
                           "--ambient-caps", caps, f"{BIN}/shmbus-agent", "--interval", "20ms",
                           "--ttl", "0s", "--allow-uid", "all", directory="/usr/bin",
                           stderr=subprocess.PIPE)
        self.wait_for(lambda: self.files("snapshot"), "the first snapshot", 30)
        for i in range(1, 9):
            producer = self.producer("--id", f"p{i}", "--count", "100")
            producer.wait(timeout=30)
            self.wait_for(lambda i=i: (s := self.snapshot()) and
                          s["totals"]["sessions_ended"] >= i, "its end", 30)
            for path in self.files("s."):
                os.close(os.open(path, os.O_WRONLY))  # the agent looks at it again
        totals = self.wait_for(
            lambda: (t := self.snapshot()["totals"]) and metric(t, "done")["value"] >= 800 and t,
            "all counts", 30)
        self.assertEqual(totals["sessions_total"], 8)
        self.assertEqual(metric(totals, "done")["value"], 800)
        self.stop(agent)
        self.assertIn("cannot remove", agent.stderr.read())

    def test_descriptors_exhausted(self):
        result = subprocess.run(
            ["sh", "-c", 'ulimit -n 4; exec "$@"', "sh", f"{BUILD}/tests/e2e_producer",
             "--count", "10"], env=self.env, text=True, capture_output=True, timeout=60,
            check=False)
        said = json.loads(result.stdout)
        self.assertEqual(said["error"], -errno.EMFILE)
        self.assertEqual(self.files(), [])

    def test_disabled(self):
        self.env["SHMBUS_DISABLE"] = "1"
        producer = self.producer("--count", "10")
        self.assertEqual(self.report(producer),
                         {"error": 0,
                          "writers": [{"attempted": 0, "recorded": 0, "dropped": 0}]})
        self.assertEqual(producer.wait(timeout=20), 0)
        self.assertEqual(self.files(), [])


@unittest.skipUnless(may_mount(), "needs the right to mount in a namespace of its own")
class Running(Mounted, Bus):
    """/dev/shm gets full or read-only while an agent and producers run."""

    SIZE = "48m"

    def crowd(self, count):
        """So many sessions of a process that lives."""
        producer = self.producer("--sessions", str(count), "--hold", "--ring", "64", "--count",
                                 "100")
        self.assertEqual(producer.stdout.readline(), "{}\n")
        return producer

    def active(self, count):
        return self.wait_for(
            lambda: (s := self.snapshot()) and s["totals"]["sessions_active"] == count and
            metric(s["totals"], "done")["value"] == 100 * count and s, f"{count} sessions", 60)

    def test_no_room_to_publish(self):
        """A snapshot that must grow and cannot: the old one stays, until there is room."""
        agent = self.agent(stderr=subprocess.PIPE)
        one = self.crowd(2)
        old = self.active(2)
        self.suspend(agent)
        self.crowd(200)
        self.fill(but="200K")
        agent.send_signal(signal.SIGCONT)
        self.said(agent, "cannot publish: No space left on device; free space in /dev/shm")
        full = self.snapshot()
        self.assertGreaterEqual(full["seq"], old["seq"])
        self.assertLess(len(full["sessions"]), 202, "more than the old file has room for")
        self.assertEqual(metric(full["totals"], "done")["value"], 100 * len(full["sessions"]))
        for _ in range(20):  # many times what fits in the old file
            self.assertEqual(self.snapshot(), full, "while it is full it stays as it is")
            time.sleep(0.05)
        self.assertIsNone(one.poll())
        self.unfill()
        room = self.active(202)
        self.assertGreater(room["agent"]["publish_failures"], 0)
        self.assertEqual(self.stop(agent), 0)
        rest = agent.stderr.read()
        self.assertNotIn("cannot publish", rest, "said once")
        self.assertIn("publishing again", rest)

    def test_writer_beside_a_full_one(self):
        """Sessions that found room go on when there is none for another."""
        self.agent()
        self.crowd(2)
        self.fill(but="100K")
        late = self.producer("--count", "10")
        self.assertEqual(self.report(late)["error"], -errno.ENOSPC)
        self.assertEqual(late.wait(timeout=20), 0)
        self.active(2)
        self.unfill()
        self.assertEqual(self.report(self.producer("--count", "10"))["error"], 0)

    def test_read_only_for_the_agent(self):
        """Its mount turns read-only: new sessions wait, what it has goes on; then all is well."""
        agent = self.start("unshare", "-m", f"{BIN}/shmbus-agent", "--interval", "50ms", "--ttl",
                           "0s", directory="/usr/bin", stderr=subprocess.PIPE)
        self.wait_for(self.snapshot, "the first snapshot")
        first, last = (self.producer("--id", name, "--count", "100", "--hold")
                       for name in ("first", "last"))
        for producer in (first, last):
            self.report(producer)
        self.wait_for(lambda: self.session("first") and self.session("last"), "the sessions")
        self.remount(agent, "mount --bind /dev/shm /dev/shm && "
                     "mount -o remount,bind,ro /dev/shm")
        waiting = self.producer("--id", "waiting", "--count", "100", "--hold")
        self.report(waiting)
        first.stdin.close()
        self.said(agent, "cannot remove .*Read-only file system",
                  "refused .*Read-only file system")
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["agent"]["rejected"].get("resource") and
            metric(s["totals"], "done")["value"] == 200 and s, "all of before, and the refusal")
        self.assertEqual(snapshot["totals"]["sessions_ended"], 1)
        self.assertEqual(snapshot["totals"]["sessions_active"], 1)
        self.remount(agent, "umount /dev/shm")
        self.wait_for(lambda: (s := self.session("waiting")) and total(s, "aggregated") == 100,
                      "the session that waited")
        self.wait_for(lambda: not self.session("first"), "the ended session to leave")
        self.assertEqual(len(self.inside("ls", "/dev/shm").stdout.split(".s.")), 3)
        self.assertEqual(self.snapshot()["totals"]["sessions_total"], 3)
        self.assertEqual(self.stop(agent), 0)

    def remount(self, agent, command):
        done = subprocess.run(["nsenter", "-m", "-t", str(agent.pid), "--wdns=/", "sh", "-c",
                               command], text=True, capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
