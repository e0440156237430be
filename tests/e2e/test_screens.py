# SPDX-License-Identifier: MIT
"""shmbus top in terminals of several sizes: what is on the screen, and what is left behind."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unicodedata
import unittest

from bus import BIN
from readers import Readers

SIZES = ((80, 24), (200, 50), (40, 10))
WIDE = "s\u00e9ance-" + "\u65e5\u672c\u8a9e" * 6

# What a terminal obeys and does not show.
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def ended(pid):
    """Whether a process that is no child of ours is gone, or waits for its parent alone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Screen(Readers):
    """A tmux server of the test's own, with a shell in one window."""

    def setUp(self):
        super().setUp()
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.env.update(TMUX_TMPDIR=self.directory.name, PATH=f"{BIN}:{os.environ['PATH']}",
                        ENV="")
        self.env.pop("TMUX", None)

    def tearDown(self):
        server = self.tmux("display-message", "-p", "#{pid}", check=False).stdout.strip()
        if server and self.flags()[0] == "1":
            self.type("q")
            self.wait_for(lambda: self.tmux("display-message", "-p", "#{pane_current_command}")
                          .stdout.strip() == "sh", "top's end", 20)
        self.tmux("kill-server", check=False)
        if server:
            self.wait_for(lambda: ended(server), "tmux's end")
        super().tearDown()

    def tmux(self, *arguments, check=True):
        return subprocess.run(["tmux", "-u", "-L", self.bus, "-f", "/dev/null", *arguments],
                              env=self.env, text=True, capture_output=True, timeout=30,
                              check=check)

    def terminal(self, size=SIZES[0]):
        self.tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "sh")
        self.type("PS1='she''ll> '", "Enter")
        self.shows("shell>")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def lines(self):
        return self.tmux("capture-pane", "-p").stdout.splitlines()

    def shows(self, text, seconds=20):
        """Waits until a text is on the screen; returns the lines of that moment."""
        return self.wait_for(lambda: (lines := self.lines()) and text in "\n".join(lines) and lines,
                             f'"{text}" on the screen:\n' + "\n".join(self.lines()), seconds)

    def hides(self, text):
        self.wait_for(lambda: text not in "\n".join(self.lines()), f'"{text}" to go', 20)

    def flags(self):
        """Whether top's screen is on, the cursor is there, lines wrap."""
        return self.tmux("display-message", "-p",
                         "#{alternate_on} #{cursor_flag} #{wrap_flag}").stdout.split()

    def file(self, name):
        return f"{self.directory.name}/{name}"

    def read(self, name):
        try:
            with open(self.file(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def top(self):
        """Starts top between two looks at the terminal's settings; returns its pid."""
        with open(self.file("run"), "w", encoding="utf-8") as script:
            script.write(f"cd {self.directory.name}\nstty -a > before\n"
                         "sh -c 'echo $$ > pid; exec shmbus top -d 0.1'\n"
                         "echo $? > status\nstty -a > after\necho done > done\n")
        self.type(f"trap : INT; . {self.file('run')}", "Enter")
        self.wait_for(lambda: self.flags()[0] == "1", "top's screen", 20)
        return int(self.wait_for(lambda: self.read("pid"), "top's pid"))

    def restored(self):
        """Top is gone and the terminal is as it was."""
        self.wait_for(lambda: self.read("done"), "top's end", 20)
        self.assertEqual(self.read("before"), self.read("after"))
        self.assertIn("rows", self.read("before"))
        self.assertEqual(self.flags(), ["0", "1", "1"])
        self.hides("running")
        self.assertIn("shell>", "\n".join(self.lines()))


class Sizes(Screen):
    def check_size(self, size):
        self.agent()
        for identity in ("every", WIDE):
            self.held(identity, *(("--every",) if identity == "every" else ()))
            self.wait_for(lambda: (s := self.session(identity)) and s["aggregated_total"],
                          "the session")
        self.terminal(size)
        self.type("shmbus top -d 0.1", "Enter")
        lines = self.shows("TIMER")
        self.assertLessEqual(len(lines), size[1])
        self.assertTrue(lines[0].startswith(f"shmbus {self.bus} "), lines[0])
        self.assertTrue(lines[1].startswith("agent cpu"), lines[1])
        self.assertRegex("\n".join(lines), r"\n  TIMER +COUNT +RATE +MEAN")
        self.assertRegex("\n".join(lines), r"\n(running|stale) +every +producer")
        for line in lines:
            self.assertLessEqual(columns(line), size[0], line)
        # Titles and numbers end in the same columns.
        title = next(line for line in lines if line.startswith("  TIMER"))
        value = next(line for line in lines if line.startswith("  value"))
        self.assertEqual(len(title), len(value))
        return lines

    def test_80x24(self):
        lines = self.check_size((80, 24))
        self.assertTrue(any(line.endswith("MAX TARGET") for line in lines))

    def test_200x50(self):
        lines = self.check_size((200, 50))
        self.assertIn(WIDE, "\n".join(lines))
        self.assertNotIn("more line", "\n".join(lines))

    def test_40x10(self):
        lines = self.check_size((40, 10))
        self.assertRegex(lines[9], r"^\+ \d+ more lines")
        self.assertEqual((len(lines[9]), lines[9][39]), (40, "+"))  # the last column too

    def test_resize(self):
        self.agent()
        self.held("every", "--every")
        self.aggregated("every", 1400)
        self.terminal((200, 50))
        self.type("shmbus top -d 3600", "Enter")
        self.shows("cycle.wait")
        self.tmux("resize-window", "-x", "40", "-y", "10")
        self.shows("more lines")
        self.tmux("resize-window", "-x", "200", "-y", "50")
        self.shows("cycle.wait")
        self.hides("more lines")

    def test_raw_lines(self):
        """What top writes is no wider than the window, so that no terminal has to cut it."""
        self.agent()
        for identity in ("every", WIDE):
            self.held(identity, "--every")
            self.aggregated(identity, 1400)
        for width, height in (*SIZES, (12, 3), (1, 1)):
            text = self.written(width, height)
            pages = text.split("\x1b[H")[2:]
            self.assertEqual(len(pages), 3)
            for page in pages:
                self.assertLessEqual(page.count("\n"), height - 1)
                for line in re.split(r"[\r\n]+", CONTROLS.sub("", page)):
                    self.assertLessEqual(columns(line), width, line)

    def written(self, width, height):
        """All that top writes to a terminal of a size, in three tables."""
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))
            os.execve(f"{BIN}/shmbus", ["shmbus", "top", "-d", "0.1", "-n", "3"], self.env)
        text, deadline = b"", time.monotonic() + 20
        while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                got = os.read(terminal, 65536)
            except OSError:
                break
            text += got
        os.close(terminal)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        return text.decode()


class Life(Screen):
    def test_lost(self):
        self.agent()
        producer = self.held("victim")
        self.terminal()
        self.type("shmbus top -d 0.1", "Enter")
        self.shows("running victim")
        self.stop(producer, signal.SIGKILL)
        lines = self.shows("lost    victim")
        self.assertRegex(lines[0], "0 running +0 stale +1 lost")

    def test_living_first(self):
        self.agent()
        self.stop(self.held("older"), signal.SIGKILL)
        self.wait_for(lambda: self.session("older", "lost"), "the loss")
        self.held("newer")
        self.terminal()
        self.type("shmbus top -d 0.1", "Enter")
        text = "\n".join(self.shows("newer"))
        self.assertLess(text.index("newer"), text.index("older"))

    def test_agent(self):
        """Not there yet, there, stopped, going on, killed, back: top says so, and goes on."""
        self.terminal()
        self.type("shmbus top -d 0.1", "Enter")
        self.shows("no agent has published")
        agent = self.agent()
        self.shows("no session yet")
        self.held("x")
        self.shows("TIMER")
        agent.send_signal(signal.SIGSTOP)
        self.shows("** STALE for")
        agent.send_signal(signal.SIGCONT)
        self.hides("** STALE for")
        self.stop(agent, signal.SIGKILL)
        lines = self.shows("** NO AGENT for")
        self.assertIn("TIMER", "\n".join(lines))
        self.agent()
        self.hides("** NO AGENT for")
        self.shows("TIMER")


class Terminal(Screen):
    def setUp(self):
        super().setUp()
        self.agent()
        self.terminal()

    def test_q(self):
        self.top()
        self.type("q")
        self.restored()
        self.assertEqual(self.read("status"), "0\n")

    def test_interrupt(self):
        self.top()
        self.type("C-c")
        self.restored()

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number.name):
                os.kill(self.top(), number)
                self.restored()
                for name in ("done", "pid"):
                    os.unlink(self.file(name))

    def test_stop(self):
        """Ctrl-Z gives the terminal back, and top goes on in the foreground."""
        self.type("set -m; stty -a > $TMUX_TMPDIR/before; shmbus top -d 0.1", "Enter")
        self.shows("agent cpu")
        self.type("C-z")
        self.wait_for(lambda: self.flags() == ["0", "1", "1"], "the shell's screen")
        self.type("stty -a > $TMUX_TMPDIR/after; echo loo''ked", "Enter")
        self.shows("looked")
        self.assertEqual(self.read("before"), self.read("after"))
        self.type("fg", "Enter")
        self.shows("agent cpu")
        self.type("q")
        self.hides("agent cpu")

    def test_other_keys(self):
        self.top()
        self.type("x", "Up", "Enter", "Space")
        self.assertEqual(self.flags()[0], "1")
        self.shows("agent cpu")
        self.assertEqual(self.read("done"), "")
        self.type("q")
        self.restored()


if __name__ == "__main__":
    unittest.main()
