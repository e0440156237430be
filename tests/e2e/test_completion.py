# SPDX-License-Identifier: MIT
"""Completion in bash and zsh as they do it, of the commands' own options and of what is there."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest

from bus import BIN, BUILD
from readers import Readers

CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)")


class Words(Readers):
    """What the program offers."""

    def offered(self, *words):
        result = self.shmbus("completion", "words", "--", *words)
        self.assertEqual(result.stderr, "", words)
        return [line.split("\t")[0] if line[0] != "\t" else line
                for line in result.stdout.splitlines()]

    def commands(self):
        return re.findall(r"^  (\w+) ", self.shmbus("--help").stdout, re.MULTILINE)

    def test_commands(self):
        commands = self.commands()
        self.assertIn("completion", commands)
        self.assertEqual(self.offered(""), [*commands, "help", "--help", "--version"])
        self.assertEqual(self.offered("help", ""), commands)
        self.assertEqual(self.offered("sn"), ["snapshot"])
        self.assertEqual(self.offered("nope", ""), [])

    def test_options(self):
        """Every option of every command that its help names, and no other."""
        for command in self.commands():
            text = self.shmbus(command, "--help").stdout
            named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) | {"--bus", "--help"}
            self.assertEqual(set(self.offered(command, "--")), named, command)

    def test_values(self):
        self.agent()
        self.held("first", "--every")
        self.held("second:x")
        self.aggregated("first", 1400)
        self.aggregated("second:x")
        timers = ["value", "never", "stage.time", "block", "cycle.wait", "cycle"]
        for words, wanted in (
                (("show", ""), ["first", "second:x"]), (("show", "f"), ["first"]),
                (("show", "--", "s"), ["second:x"]), (("hist", ""), ["first", "second:x"]),
                (("hist", "first", ""), timers), (("hist", "second", ""), ["value", "never"]),
                (("hist", "--log", "-n", "9", "first", "c"), ["cycle.wait", "cycle"]),
                (("hist", "--totals", "st"), ["stage.time"]),
                (("hist", "totals", "st"), ["stage.time"]), (("hist", "first", "value", ""), []),
                (("hist", "-lc", "f"), ["first", "\tfiles"]),
                (("hist", "--compare=s"), ["--compare=second:x", "\tfiles"]),
                (("hist", "--rows", ""), []), (("check", "--file", ""), ["\tfiles"]),
                (("check", "--missing", "w"), ["warning"]),
                (("completion", ""), ["bash", "zsh"]), (("ls", ""), []),
                (("ls", "--bus", self.bus), [self.bus]),
                (("ls", f"--bus={self.bus[:-1]}"), [f"--bus={self.bus}"]),
                (("show", "--bus", "nobody-has-it", ""), [])):
            self.assertEqual(self.offered(*words), wanted, words)
        del self.env["SHMBUS_BUS"]
        self.assertEqual(self.offered("show", "--bus", self.bus, "f"), ["first"])
        self.assertEqual(self.offered("show", f"--bus={self.bus}", "f"), ["first"])

    def test_refusals(self):
        for arguments, words in (((), "SHELL is missing"), (("fish",), "bash or zsh"),
                                 (("bash", "more"), 'unexpected "more"')):
            self.assertIn(words, self.shmbus("completion", *arguments, status=2).stderr)

    def test_built(self):
        """What is installed is what the program prints."""
        for shell, name in (("bash", "shmbus"), ("zsh", "_shmbus")):
            with open(f"{BUILD}/completion/{shell}/{name}", encoding="utf-8") as file:
                self.assertEqual(file.read(), self.shmbus("completion", shell).stdout)


class Bash(Readers):
    def replies(self, line):
        """COMPREPLY of the function that 'complete' was told, for a line taken apart as bash does."""
        words = [w for word in line.split(" ") for w in re.split(r"([:=])", word) if w or not word]
        if line[-1] in ":=":
            words.append("")
        script = f"""
            source <(shmbus completion bash)
            [[ $(complete -p shmbus) == 'complete -F '* ]] || exit 9
            function=$(complete -p shmbus | cut -d' ' -f3)
            COMP_WORDS=({' '.join(shlex.quote(w) for w in words)})
            COMP_CWORD=$(({len(words)} - 1)) COMP_LINE={shlex.quote(line)} COMP_POINT=${{#COMP_LINE}}
            $function shmbus
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        result = subprocess.run(["bash", "--norc", "-c", script], text=True, timeout=30, check=True,
                                env=dict(self.env, PATH=f"{BIN}:{os.environ['PATH']}"),
                                capture_output=True)
        self.assertEqual(result.stderr, "", line)
        return result.stdout.split()

    def test_replies(self):
        self.agent()
        self.held("a:b=c", "--every")
        self.aggregated("a:b=c", 1400)
        for line, wanted in (("shmbus sh", ["show"]), ("shmbus snapshot --com", ["--compact"]),
                             ("shmbus show a", ["a:b=c"]), ("shmbus show a:", ["b=c"]),
                             ("shmbus show a:b=", ["c"]), ("shmbus hist a:b=c st", ["stage.time"]),
                             ("shmbus check --missing=cr", ["critical"]),
                             ("shmbus check --missing cr", ["critical"]),
                             (f"shmbus ls --bus={self.bus[:-1]}", [self.bus])):
            self.assertEqual(self.replies(line), wanted, line)
        self.assertIn("--watch", self.replies("shmbus check --"))

    def test_files(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/some.rules"
            with open(path, "w", encoding="utf-8"):
                pass
            for before in ("-f ", "--file "):
                self.assertEqual(self.replies(f"shmbus check {before}{path[:-3]}"), [path])
            self.assertEqual(self.replies(f"shmbus check --file={path[:-3]}"), [path])


class Typed(Readers):
    """Keys typed into a shell in a terminal."""

    def setUp(self):
        super().setUp()
        self.env.update(PATH=f"{BIN}:{os.environ['PATH']}", TERM="xterm", PS1="> ", LC_ALL="C.UTF-8",
                        HISTFILE="/dev/null", INPUTRC="/dev/null")

    def shell(self, *command):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(command[0], command, self.env)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, terminal)
        return terminal

    def read_until(self, terminal, pattern):
        text, deadline = "", time.monotonic() + 60
        while (match := re.search(pattern, text)) is None:
            self.assertLess(time.monotonic(), deadline, text)
            if select.select([terminal], [], [], 1)[0]:
                text = CONTROLS.sub("", text + os.read(terminal, 65536).decode(errors="replace"))
        return match

    def complete(self, terminal, line):
        """What a line becomes at the Tab key: echoed, as words."""
        os.write(terminal, f"{line}\t".encode())
        os.write(terminal, b"\x01printf 'LINE<%s>' \x05; echo END\r")
        return self.read_until(terminal, r"(?<!')((?:LINE<[^>%]*>)+)END")[1][5:-1].split(">LINE<")

    def completes(self, terminal):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        rules = f"{directory.name}/some.rules"
        with open(rules, "w", encoding="utf-8"):
            pass
        self.agent()
        self.held("studio", "--every")
        self.aggregated("studio", 1400)
        for line, wanted in (("shmbus snap", ["shmbus", "snapshot"]),
                             ("shmbus show st", ["shmbus", "show", "studio"]),
                             ("shmbus hist --tot", ["shmbus", "hist", "--totals"]),
                             ("shmbus hist studio st", ["shmbus", "hist", "studio", "stage.time"]),
                             ("shmbus check --missing cr",
                              ["shmbus", "check", "--missing", "critical"]),
                             (f"shmbus check -f {rules[:-3]}",
                              ["shmbus", "check", "-f", rules])):
            self.assertEqual(self.complete(terminal, line), wanted, line)
        os.write(terminal, b"exit\r")

    def test_bash(self):
        terminal = self.shell("bash", "--norc", "--noprofile", "-i")
        os.write(terminal, b"source <(shmbus completion bash); echo REA''DY\r")
        self.read_until(terminal, "READY")
        self.completes(terminal)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        terminal = self.shell("zsh", "-f", "-i")
        os.write(terminal, b"autoload -U compinit; compinit -D -u; bindkey -e; "
                           b"source <(shmbus completion zsh); echo REA''DY\r")
        self.read_until(terminal, "READY")
        self.completes(terminal)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_installed(self):
        """Found by name, as a package installs it."""
        terminal = self.shell("zsh", "-f", "-i")
        os.write(terminal, f"fpath=({shlex.quote(BUILD)}/completion/zsh $fpath); bindkey -e; "
                           "autoload -U compinit; compinit -D -u; echo REA''DY\r".encode())
        self.read_until(terminal, "READY")
        self.completes(terminal)


if __name__ == "__main__":
    unittest.main()
