# SPDX-License-Identifier: MIT
"""The machine at fault: /dev/shm full, read-only or missing. A producer runs on without metrics."""

import errno
import json
import os
import shutil
import stat
import subprocess
import unittest

from bus import BIN, BUILD, Bus, metric


def may_mount():
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"],
                           capture_output=True, check=False)
    return probe.returncode == 0


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


if __name__ == "__main__":
    unittest.main()
