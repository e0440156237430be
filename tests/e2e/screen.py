# SPDX-License-Identifier: MIT
"""A terminal of the test's own, in tmux, and what is on its screen."""

import os
import subprocess
import tempfile
import unicodedata

from bus import BIN
from readers import Readers


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
            self.type("Escape")  # of a prompt
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

    def terminal(self, size=(80, 24)):
        self.tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "sh")
        self.type("PS1='she''ll> '", "Enter")
        self.shows("shell>")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def lines(self, *options):
        """The screen when two looks in a row see the same: not one that is half drawn."""
        seen = None
        for _ in range(50):
            before, seen = seen, self.tmux("capture-pane", "-p", *options).stdout.splitlines()
            if seen == before:
                break
        return seen

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

    def live(self, *arguments, environment="", size=(80, 24)):
        """Top on a screen so large, or once more on the same."""
        if self.tmux("has-session", check=False).returncode:
            self.terminal(size)
        self.type(" ".join([environment, "shmbus top -d 0.1", *arguments]), "Enter")
        self.wait_for(lambda: self.flags()[0] == "1", "top's screen", 20)

    def row(self, name, lines=None):
        """The row of a name, without the mark of an open session."""
        for line in self.lines() if lines is None else lines:
            words = line.lstrip("+-= ").split()
            if words and words[0] == name:
                return line
        return None

    def row_when(self, name, condition=lambda line: True):
        return self.wait_for(lambda: (line := self.row(name)) and condition(line) and line,
                             f"{name} on the screen:\n" + "\n".join(self.lines()), 20)
