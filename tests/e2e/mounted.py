# SPDX-License-Identifier: MIT
"""A /dev/shm of its own: a bus in a mount namespace that the test may fill and spoil."""

import subprocess

from bus import BIN


def may_mount():
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"],
                           capture_output=True, check=False)
    return probe.returncode == 0


class Mounted:
    """Beside Bus: all programs of the test see another /dev/shm."""

    SIZE = "16m"

    def setUp(self):
        super().setUp()
        mount = f"mount -t tmpfs -o size={self.SIZE} none /dev/shm && echo there && exec cat"
        self.holder = super().start("unshare", "-m", "sh", "-c", mount, directory="/usr/bin")
        self.assertEqual(self.holder.stdout.readline(), "there\n")
        self.enter = ("nsenter", "-m", "-t", str(self.holder.pid), "--wdns=/")

    def start(self, program, *arguments, directory=BIN, **options):
        return super().start(self.enter[0], *self.enter[1:], f"{directory}/{program}", *arguments,
                             directory="/usr/bin", **options)

    def inside(self, *command):
        return subprocess.run([*self.enter, *command], env=self.env, text=True,
                              capture_output=True, timeout=60, check=False)

    def run_tool(self, program, *arguments, timeout=30):
        return self.inside(f"{BIN}/{program}", *arguments)

    def fill(self, but):
        """Leaves this little of it free."""
        self.inside("sh", "-c", "cat /dev/zero > /dev/shm/filled")
        self.assertEqual(self.inside("truncate", "-s", f"-{but}", "/dev/shm/filled").stderr, "")

    def unfill(self):
        self.assertEqual(self.inside("rm", "/dev/shm/filled").stderr, "")
