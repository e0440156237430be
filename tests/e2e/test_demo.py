# SPDX-License-Identifier: MIT
"""demo.sh: what it shows at the end, and that nothing of it stays, however it ends."""

import fcntl
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import unittest

from bus import BIN, Bus

DEMO = pathlib.Path(os.environ["SHMBUS_SOURCE"], "libshm/examples/demo.sh")
SOUNDS = pathlib.Path("/usr/share/sounds/alsa")


def processes_of(bus):
    """Those whose environment names the bus."""
    mark = f"SHMBUS_BUS={bus}".encode()
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes())
            except OSError:
                pass
    return [words for words in found if words]


class Demo(Bus):
    def setUp(self):
        super().setUp()
        # Its bus comes from the option alone, so all that carries it was started by the demo.
        del self.env["SHMBUS_BUS"]
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.env["TMPDIR"] = self.scratch.name

    def command(self, *arguments, bus=None):
        return ["bash", str(DEMO), BIN, "--bus", bus or self.bus, *arguments]

    def demo(self, *arguments, bus=None):
        child = subprocess.Popen(
            self.command(*arguments, bus=bus), env=self.env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.children.append(child)
        return child

    def assert_nothing_left(self):
        self.assertEqual(self.files(), [])
        self.assertEqual(processes_of(self.bus), [])
        self.assertEqual(os.listdir(self.scratch.name), [])


class Arguments(Demo):
    def refused(self, message, *arguments):
        with self.subTest(arguments=arguments):
            result = subprocess.run(self.command(*arguments), env=self.env, text=True,
                                    capture_output=True, timeout=30, check=False)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertRegex(result.stderr, message)
            self.assertEqual(result.stdout, "")

    def test_options(self):
        for value in ("", "3", "3601", "x", "-5", "08", "5.5", "99999999999999999999"):
            self.refused("--seconds .*4 to 3600", "--seconds", value)
        for value in ("", "a.b", "a/b", "a*", "x" * 32):
            self.refused("--bus .*1 to 31 of A-Z a-z 0-9 _ -", "--bus", value)
        self.refused("takes a value", "--seconds")
        self.refused("takes a value", "--bus")
        self.refused("no option --nope\nusage", "--nope")
        self.refused("no option more\nusage", "more")
        result = subprocess.run(self.command("--help"), env=self.env, text=True,
                                capture_output=True, timeout=30, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--headless", result.stdout)

    def test_bus_in_use(self):
        path = f"/dev/shm/shmbus.{self.bus}.agent"
        with open(path, "wb"):
            pass
        self.refused("in use", "--headless")
        self.assertTrue(os.path.exists(path))

    def test_without_programs(self):
        result = subprocess.run(["bash", str(DEMO), self.scratch.name, "--bus", self.bus],
                                env=self.env, text=True, capture_output=True, timeout=30,
                                check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("shmbus-agent", result.stderr)
        self.assert_nothing_left()


class Terminal:
    """A terminal whose foreground is the program; reads what it shows as it comes."""

    def __init__(self, command, env):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self.child = subprocess.Popen(
            command, env=dict(env, TERM="xterm"), stdin=self.slave, stdout=self.slave,
            stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def has_shown(self, text):
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        return text in self.shown

    def press(self, keys):
        os.write(self.master, keys)

    def ended(self):
        self.has_shown(b"")  # a full terminal would hold it up
        return self.child.poll() is not None

    def as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        os.close(self.master)
        os.close(self.slave)


@unittest.skipUnless(SOUNDS.is_dir(), "needs alsa-utils for its sounds")
class Run(Demo):
    def check_output(self, child):
        out, err = child.communicate(timeout=120)
        self.assertEqual((child.returncode, err), (0, ""), out)
        table = out[out.rindex("STATE "):]
        rows = {row[1]: row for row in map(str.split, table.splitlines()[1:]) if len(row) == 6}
        self.assertEqual({name: row[0] for name, row in rows.items()},
                         {"studio": "running", "stage": "running", "overload": "running",
                          "victim": "lost"})
        # Each 4th cycle, of which each has about 7 samples, misses by design; half is enough.
        samples, misses = rows["overload"][3], int(rows["overload"][5])
        samples = float(samples[:-1]) * 1000 if samples.endswith("k") else float(samples)
        self.assertGreater(misses, samples / 60)
        self.assertRegex(out, r"demo: victim: lost; overload: \d+ missed deadlines\n$")

    def test_two_side_by_side(self):
        buses = [f"{self.bus[:29]}-{i}" for i in range(2)]
        demos = [self.demo("--seconds", "6", "--headless", bus=bus) for bus in buses]
        for child in demos:
            self.check_output(child)
        for self.bus in buses:
            self.assert_nothing_left()

    def interrupted(self, how, status, group):
        child = self.demo("--seconds", "3600", "--headless")
        self.wait_for(lambda: len(self.files("s.")) == 4, "four sessions", seconds=30)
        if group:  # as a terminal does it
            os.killpg(child.pid, how)
        else:
            child.send_signal(how)
        _, err = child.communicate(timeout=60)
        self.assertEqual((child.returncode, err), (status, ""))
        self.assert_nothing_left()

    def test_interrupted_by_the_terminal(self):
        self.interrupted(signal.SIGINT, 130, group=True)

    def test_terminated(self):
        self.interrupted(signal.SIGTERM, 143, group=False)

    def test_terminal_closed(self):
        self.interrupted(signal.SIGHUP, 129, group=True)

    def live(self, keys):
        """With the live table, until keys are pressed there."""
        terminal = Terminal(self.command("--seconds", "3600"), self.env)
        self.addCleanup(terminal.close)
        self.children.append(terminal.child)
        self.wait_for(lambda: terminal.has_shown(b"cycle"), "the table", seconds=30)
        self.assertFalse(terminal.as_before())
        terminal.press(keys)
        self.wait_for(terminal.ended, "the demo's end", seconds=60)
        self.assertTrue(terminal.as_before())
        self.assert_nothing_left()
        terminal.has_shown(b"")
        return terminal.child.returncode, terminal.shown.decode(errors="replace")

    def test_live_left(self):
        """q leaves the table; the victim is killed all the same."""
        status, shown = self.live(b"q")
        self.assertEqual(status, 0, shown[-2000:])
        self.assertRegex(shown, r"demo: victim: lost; overload: \d+ missed deadlines\s+$")

    def test_live_interrupted(self):
        self.assertEqual(self.live(b"\x03")[0], 130)


if __name__ == "__main__":
    unittest.main()
