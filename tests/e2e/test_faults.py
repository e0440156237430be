# SPDX-License-Identifier: MIT
"""The machine at fault: /dev/shm full, read-only or missing. A producer runs on without metrics."""

import errno
import json
import subprocess
import unittest

from bus import BIN, BUILD, Bus


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
        self.assertEqual(result.returncode, 2)
        self.assertIn("not writable", result.stdout)


class Forbidden(Bus):
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
