# SPDX-License-Identifier: MIT
"""What the programs refuse, with what words, and how they end."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import unittest

from bus import BIN
from readers import Readers

F_SETPIPE_SZ = 1031  # which Python knows from 3.10 on


class Statuses(Readers):
    def test_nothing_to_read(self):
        for arguments in (("ls",), ("show", "x"), ("snapshot",), ("top", "--once"), ("watch", "x"),
                          ("record", "-o", "/dev/null"), ("hist", "x", "y"), ("doctor",)):
            result = self.shmbus(*arguments, status=1)
            self.assertIn(f"start one with 'shmbus-agent --bus {self.bus}'",
                          result.stdout + result.stderr, arguments)

    def test_old_documents(self):
        """Readable, and said to be old."""
        agent = self.agent()
        self.held("x")
        self.aggregated("x")
        commands = (("ls",), ("show", "x"), ("snapshot",), ("hist", "x", "value"))
        for arguments in commands:
            self.assertEqual(self.shmbus(*arguments).stderr, "")
        agent.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: "stopped or starved" in self.run_tool("shmbus", "ls").stderr,
                      "the note")
        for arguments in commands:
            self.assertIn("stopped or starved", self.shmbus(*arguments).stderr)
        self.stop(agent, signal.SIGKILL)
        for arguments in commands:
            self.assertIn(f'no agent is running on bus "{self.bus}"',
                          self.shmbus(*arguments).stderr)

    def test_output_full(self):
        self.agent()
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([f"{BIN}/shmbus", "snapshot"], env=self.env, stdout=full,
                                    stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)

    def test_output_nonblocking(self):
        """A pipe that another of its holders made non-blocking, and that is full for a while."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        ours, theirs = os.pipe()
        with open(ours, "rb") as pipe:
            room = fcntl.fcntl(theirs, F_SETPIPE_SZ, 4096)
            os.set_blocking(theirs, False)
            tool = subprocess.Popen([f"{BIN}/shmbus", "snapshot"], env=self.env, stdout=theirs,
                                    stderr=subprocess.PIPE, text=True)
            self.children.append(tool)
            os.close(theirs)
            waiting = array.array("i", [0])
            self.wait_for(lambda: fcntl.ioctl(pipe, termios.FIONREAD, waiting) == 0 and
                          waiting[0] == room, "a full pipe")
            document = json.loads(pipe.read())
        self.assertEqual(document["sessions"][0]["id"], "x")
        self.assertEqual((tool.wait(timeout=30), tool.stderr.read()), (0, ""))

    def test_damaged(self):
        with open(f"/dev/shm/shmbus.{self.bus}.snapshot", "wb") as file:
            file.write(b"x" * 4096)
        for arguments in (("ls",), ("show", "x"), ("snapshot",), ("top", "--once"), ("watch", "x"),
                          ("record", "-o", "/dev/null"), ("hist", "x", "y"), ("doctor",)):
            result = self.shmbus(*arguments, status=1)
            self.assertIn("damaged", result.stdout + result.stderr, arguments)

    def test_help(self):
        for command in ("top", "ls", "show", "snapshot", "watch", "log", "record", "hist",
                        "check", "doctor", "completion"):
            text = self.shmbus(command, "--help").stdout
            self.assertTrue(text.startswith(f"Usage: shmbus {command}"), text)
            self.assertEqual(self.shmbus("help", command).stdout, text)
            self.assertIn(f"\n  {command} ", self.shmbus("--help").stdout)
            self.assertLessEqual(max(map(len, text.splitlines())), 80, command)
        text = self.run_tool("shmbus-agent", "--help").stdout
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        for arguments in (("--help",), ("help",), ("-h",), ("--version",)):
            result = self.shmbus(*arguments)
            self.assertIn("shmbus", result.stdout)
            self.assertEqual(result.stderr, "")


class Refusals(Readers):
    """Each with status 2, nothing on standard output, and what is allowed."""

    def refused(self, program, arguments, *words):
        result = self.run_tool(program, *arguments)
        self.assertEqual((result.returncode, result.stdout), (2, ""), f"{arguments}: {result}")
        for word in words:
            self.assertIn(word, result.stderr, arguments)

    def test_commands(self):
        self.refused("shmbus", (), "Usage: shmbus COMMAND", "snapshot")
        for arguments in (("lss",), ("",), ("help", "lss"), ("--bus", "x", "ls"), ("-x",)):
            self.refused("shmbus", arguments, "Commands: top ls show snapshot watch log record")

    def test_every_command(self):
        for command, operand in (("top", ()), ("ls", ()), ("show", ("x",)), ("snapshot", ()),
                                 ("watch", ("x",)), ("record", ("-o", "/dev/null", "x")),
                                 ("log", ()), ("hist", ("x", "y")), ("doctor", ())):
            for more in (("--nope",), ("-x",), ("surplus",), ("--bus",), ("--help=1",)):
                self.refused("shmbus", (command, *operand, *more), f"Usage: shmbus {command}",
                             f"Try 'shmbus {command} --help'")
            for bus in ("a.b", "a/b", "../x", "x" * 32, "a b", "\u00e9", "a\n"):
                self.refused("shmbus", (command, *operand, "--bus", bus),
                             "not allowed: 1 to 31 of A-Z a-z 0-9 _ -")
        for command in ("show", "watch"):
            self.refused("shmbus", (command,), "SESSION is missing")

    def test_bus_in_environment(self):
        self.env["SHMBUS_BUS"] = "no/bus"
        for program, *arguments in (("shmbus", "ls"), ("shmbus", "doctor"), ("shmbus-agent",)):
            self.refused(program, arguments, '"no/bus" is not allowed: 1 to 31 of')

    def test_numbers(self):
        nonsense = ("", "x", "-1", "1x", "nan", "inf", "1e99", "9" * 30, "-0.5", "1,5")
        for value in (*nonsense, "0", "0.09", "3601"):
            self.refused("shmbus", ("top", "--delay", value), "--delay", "0.1 to 3600")
        for value in (*nonsense, "0", "1000001", "1.5", "-18446744073709551615"):
            self.refused("shmbus", ("top", "--count", value), "--count", "1 to 1000000")
        for value in (*nonsense, "3601"):
            self.refused("shmbus", ("snapshot", "--wait", value), "--wait", "0 to 3600")
            self.refused("shmbus", ("watch", "--delay", value, "x"), "--delay", "0 to 3600")
        for value in (*nonsense, "31536001"):
            self.refused("shmbus", ("watch", "--wait", value, "x"), "--wait", "0 to 31536000")
        for value in (*nonsense, "0", "1000001", "1.5", "-18446744073709551615"):
            self.refused("shmbus", ("watch", "--count", value, "x"), "--count", "1 to 1000000")
        for value in (*nonsense, "0", "86401"):
            self.refused("shmbus", ("record", "-o", "-", "-s", value), "--seconds", "1 to 86400")
        self.refused("shmbus", ("record",), "--output is missing")
        self.refused("shmbus", ("record", "-o", ""), "a file's name")
        for value in (*nonsense, "0", "0.09", "86401"):
            self.refused("shmbus", ("log", "--interval", value), "--interval", "0.1 to 86400")
        for option, values, words in (
                ("--every", ("0", "1000000000001", "1.5"), "1 to 1000000000000"),
                ("--count", ("0", "1000001", "1.5"), "1 to 1000000"),
                ("--rotate-keep", ("1001", "1.5"), "0 to 1000"),
                ("--rotate-size", ("0", "4095", "3K", "2T", "1025G", "4k", "4KB", "4 K"),
                 "4K to 1T")):
            for value in (*nonsense, *values):
                self.refused("shmbus", ("log", "--file", "x", "--rotate-size", "4K", option, value),
                             option, words)

    def test_log_alone(self):
        """Options that mean nothing without another."""
        for arguments, words in ((("--append",), "--append is not allowed without --file"),
                                 (("--rotate-size", "4K"), "without --file"),
                                 (("--file", "x", "--rotate-keep", "1"), "without --rotate-size"),
                                 (("--metric", "x"), "without --every"),
                                 (("--file", ""), "the name of a file")):
            self.refused("shmbus", ("log", *arguments), words)

    def test_agent_options(self):
        times = ("", "x", "1", "-1s", "1.5s", "1 s", "s", "1w", "9" * 30 + "s", "1e3s", "1sx")
        counts = ("", "x", "-1", "1e3", "1.5", "0", "65537", "9" * 30, "10 ")
        for option, values, words in (
                ("--interval", (*times, "0s", "19ms", "61s"), "20ms to 60s"),
                ("--drain", (*times, "0s", "999us", "1001ms"), "1ms to 1s"),
                ("--stale-after", (*times, "0s", "99ms", "61m"), "100ms to 1h"),
                ("--ttl", (*times, "31d"), "0s to 30d"),
                ("--max-sessions", counts, "1 to 65536"),
                ("--max-metrics", counts, "1 to 65536"),
                ("--window", (*counts, "9"), "10 to 65536"),
                ("--allow-uid", ("", "no-such-user", "-1", "4294967295", "9" * 30, "1.5"),
                 "a name, a number or all"),
                ("--allow-group", ("", "no-such-group", "-1", "4294967295", "9" * 30, "1.5"),
                 "a name or a number"),
                ("--snapshot-group", ("", "no-such-group", "-1", "4294967295", "1.5"),
                 "a name or a number"),
                ("--snapshot-mode", ("", "x", "0", "0777", "0666", "-0644", "99", "0644x"),
                 "0600, 0640 or 0644"),
                ("--bus", ("a.b", "a/b", "../x", "x" * 32, "x" * 300, "a b"),
                 "1 to 31 of A-Z a-z 0-9 _ -")):
            for value in values:
                self.refused("shmbus-agent", (option, value), "not allowed", words)
            self.refused("shmbus-agent", (option,), "requires an argument", "Try")
        for arguments in (("--nope",), ("-x",), ("surplus",)):
            self.refused("shmbus-agent", arguments, "shmbus-agent --help")
        self.refused("shmbus-agent", ("--allow-uid", "1") * 17, "at most 16 users")
        self.refused("shmbus-agent", ("--allow-group", "1") * 17, "at most 16 groups")
        self.assertEqual(self.files(), [])

    def test_agent_limits(self):
        """The ends of each range are allowed."""
        for arguments in (
                ("--interval", "20ms", "--drain", "1ms", "--stale-after", "100ms", "--ttl", "0s",
                 "--max-sessions", "1", "--max-metrics", "1", "--window", "10",
                 "--snapshot-mode", "0600", "--allow-uid", "0"),
                ("--interval", "1s", "--drain", "1s", "--stale-after", "1h", "--ttl", "30d",
                 "--max-sessions", "65536", "--max-metrics", "65536", "--window", "65536",
                 "--snapshot-mode", "0644", "--allow-uid", "all")):
            agent = self.start("shmbus-agent", *arguments)
            self.wait_for(lambda agent=agent: (s := self.snapshot()) and
                          s["agent"]["pid"] == agent.pid, "its own snapshot")
            self.assertEqual(self.stop(agent), 0)


if __name__ == "__main__":
    unittest.main()
