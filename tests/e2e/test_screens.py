# SPDX-License-Identifier: MIT
"""shmbus top in terminals of several sizes: what is on the screen, and what is left behind."""

import os
import re
import signal
import subprocess
import unittest

from bus import BIN
from screen import Screen, columns

# Two columns a character, and one that nobody knows the width of.
WIDE = "s\u00e9ance-\u0378-" + "\u65e5\u672c\u8a9e" * 5

HEADINGS = {
    "SESSION": ["STATE*", "CPU", "MEM", "DROPS", "AGE", "B/Q", "ERR"],
    "CYCLE": ["QUANT", "RATE", "WAIT", "BUSY", "W/Q", "B/Q", "ERR"],
    "TIMER": ["COUNT", "RATE", "MEAN", "P50", "P99", "MAX", "TARGET"],
}


class Sizes(Screen):
    def loaded(self):
        self.agent()
        for identity in ("every", WIDE):
            self.held(identity, *(("--every",) if identity == "every" else ()))
            self.wait_for(lambda: (s := self.session(identity)) and s["aggregated_total"],
                          "the session")

    def check_size(self, size):
        self.loaded()
        self.live(size=size)
        lines = self.shows("every")
        self.assertLessEqual(len(lines), size[1])
        self.assertTrue(lines[0].startswith(f"shmbus {self.bus} "), lines[0])
        self.assertTrue(lines[1].startswith("agent cpu"), lines[1])
        self.assertRegex("\n".join(lines), r"\n- every +(running|stale) ")
        for line in lines:
            self.assertLessEqual(columns(line), size[0], line)
        return lines

    def check_columns(self, lines):
        for kind, titles in HEADINGS.items():
            self.assertEqual(self.row(kind, lines).split()[1:8], titles)
        # Titles and numbers end in the same columns.
        title, value = self.row("TIMER", lines), self.row("value", lines)
        for name, text in zip(HEADINGS["TIMER"], value.split()[1:]):
            end = re.search(rf" {name}( |$)", title).end() - (title.find(f" {name} ") >= 0)
            self.assertTrue(value[:end].endswith(text), f"{name}: {title} / {value}")
        cycle = self.row("cycle", lines).split()
        self.assertEqual((cycle[1], cycle[2], cycle[7]), ("256", "48000", "1"))

    def test_80x24(self):
        lines = self.check_size((80, 24))
        self.check_columns(lines)
        self.assertTrue(self.row("TIMER", lines).endswith("MAX TARGET"))
        self.assertIn("latencies of every: ", "\n".join(lines))

    def test_200x50(self):
        lines = self.check_size((200, 50))
        self.check_columns(lines)
        text = "\n".join(lines)
        self.assertIn(WIDE.replace("\u0378", "?"), text)
        self.assertIn("MEAN, LAST MINUTE", text)
        self.assertNotIn("more rows", text)

    def test_40x10(self):
        lines = self.check_size((40, 10))
        self.assertEqual(self.row("SESSION", lines).split()[1:], ["STATE*", "DROPS", "ERR"])
        self.assertEqual(self.row("CYCLE", lines).split()[1:], ["QUANT", "BUSY", "ERR"])
        self.type("Down", "Down", "Down")  # to a timer
        self.row_when("TIMER", lambda line: line.split()[1:] == ["COUNT", "P50", "TARGET"])
        self.assertIsNone(self.row("CYCLE"))
        self.assertIsNotNone(self.row("SESSION"))
        self.assertRegex(lines[9], r"^\+ \d+ more rows")
        self.assertEqual((len(lines[9]), lines[9][39]), (40, "+"))  # the last column too

    def test_any_size(self):
        """Nothing is wider than the window, and top lives on, from one cell to 500 columns."""
        self.loaded()
        self.live("--ascii", size=(200, 50))
        for width, height in ((1, 1), (2, 40), (500, 2), (13, 3), (500, 60), (61, 17), (20, 20)):
            self.tmux("resize-window", "-x", str(width), "-y", str(height))
            self.wait_for(lambda: (lines := self.lines()) and lines[0].startswith(
                f"shmbus {self.bus}"[:width - 1]) and self.flags()[0] == "1",
                f"top at {width}x{height}")
            lines = self.lines()
            self.assertLessEqual(len(lines), height)
            for line in lines:
                self.assertLessEqual(columns(line), width, line)
        self.tmux("resize-window", "-x", "200", "-y", "50")
        self.shows("latencies of")
        self.check_columns(self.shows("cycle.wait"))

    def test_resize(self):
        self.agent()
        self.held("every", "--every")
        self.aggregated("every", 1400)
        self.terminal((200, 50))
        self.type("shmbus top -d 3600", "Enter")
        self.shows("cycle.wait")
        self.tmux("resize-window", "-x", "40", "-y", "8")
        self.shows("more rows")
        self.tmux("resize-window", "-x", "200", "-y", "50")
        self.shows("cycle.wait")
        self.hides("more rows")


class Looks(Screen):
    def dropping(self):
        self.agent()
        self.held("every", "--every")
        self.aggregated("every", 1400)

    def colours(self):
        return re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", "\n".join(self.lines("-e")))

    def test_colours(self):
        self.dropping()
        self.live()
        self.row_when("every")
        self.assertTrue(self.colours())

    def test_no_colours(self):
        self.dropping()
        for arguments, environment in ((("--no-color",), ""), ((), "NO_COLOR=1"),
                                       ((), "TERM=xterm-mono")):
            with self.subTest(arguments + (environment,)):
                self.live(*arguments, environment=environment)
                self.row_when("every")
                self.assertEqual(self.colours(), [])
                self.assertIn("\x1b[", "\n".join(self.lines("-e")))  # bold and reverse stay
                self.type("q")
                self.hides("agent cpu")

    def test_characters(self):
        """Blocks where the locale has them, ASCII where it has not or it was asked for."""
        self.dropping()
        for environment, argument, plain in (("LC_ALL=C.UTF-8", "", False),
                                             ("LC_ALL=C.UTF-8", "--ascii", True),
                                             ("LC_ALL=C", "", True)):
            with self.subTest(f"{environment} {argument}"):
                self.live(argument, environment=environment)
                lines = self.shows("ever ")
                self.shows("latencies of every")
                self.assertEqual("\n".join(lines).isascii(), plain)
                self.type("q")
                self.hides("agent cpu")

    def test_dumb(self):
        """A terminal that cannot move its cursor gets plain tables, and is told so."""
        self.agent()
        self.terminal()
        self.type("TERM=dumb shmbus top -n 1; TERM=no-such-one shmbus top -n 1", "Enter")
        lines = self.wait_for(lambda: "\n".join(self.lines()).count("no session yet") == 2 and
                              self.lines(), "two tables")
        self.assertEqual("\n".join(lines).count("cannot show pages"), 2)
        self.assertEqual(self.flags()[0], "0")


class Life(Screen):
    def test_lost(self):
        self.agent()
        producer = self.held("victim")
        self.live()
        self.row_when("victim", lambda line: line.split()[2] == "running")
        self.stop(producer, signal.SIGKILL)
        self.row_when("victim", lambda line: line.split()[2] == "lost")
        self.assertRegex(self.lines()[0], "0 running +0 stale +1 lost")

    def test_living_first(self):
        self.agent()
        self.stop(self.held("older"), signal.SIGKILL)
        self.wait_for(lambda: self.session("older", "lost"), "the loss")
        self.held("newer")
        self.live()
        self.row_when("newer")
        text = "\n".join(self.lines())
        self.assertLess(text.index("newer"), text.index("older"))

    def test_agent(self):
        """Not there yet, there, stopped, going on, killed, back: top says so, and goes on."""
        self.live()
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
        self.assertNotIn("JUST NOW", "\n".join(lines))
        self.assertIn("TIMER", "\n".join(lines))
        self.agent()
        self.hides("** NO AGENT for")
        self.shows("TIMER")

    def test_alarms_in_a_small_window(self):
        """What warns is there where next to nothing else is."""
        agent = self.agent()
        self.held("x")
        self.aggregated("x")
        self.live(size=(40, 3))
        self.shows("shmbus")
        self.stop(agent, signal.SIGKILL)
        self.shows("** NO AGENT for")

    def test_killed(self):
        """The agent does not notice the end of a reader."""
        agent = self.agent()
        self.terminal()
        self.type("sh -c 'echo $$ > $TMUX_TMPDIR/pid; exec shmbus top -d 0.1'", "Enter")
        self.shows("no session yet")
        os.kill(int(self.read("pid")), signal.SIGKILL)
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 2, "more snapshots")
        self.assertIsNone(agent.poll())


class Terminal(Screen):
    def setUp(self):
        super().setUp()
        self.agent()
        self.terminal()

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

    def test_q(self):
        self.top()
        self.type("q")
        self.restored()
        self.assertEqual(self.read("status"), "0\n")

    def test_typed_ahead(self):
        """What was typed after the q is not for the shell."""
        self.top()
        self.tmux("send-keys", "-l", "qexit 7;zz")
        self.restored()
        self.assertNotIn("zz", "\n".join(self.lines()))

    def test_hung_up(self):
        """A terminal that goes without a signal, for it is not the controlling one."""
        terminal, other = os.openpty()
        top = subprocess.Popen([f"{BIN}/shmbus", "top"], env=self.env, stdin=other, stdout=other,
                               stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(top.kill)
        os.close(other)
        self.assertTrue(os.read(terminal, 1))
        os.close(terminal)
        top.wait(timeout=20)

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
