# SPDX-License-Identifier: MIT
"""shmbus top: its keys in a terminal, its plain tables, its JSON."""

import json
import math
import os
import re
import signal
import struct
import subprocess
import unittest
import wave

from bus import BIN, metric
from screen import Screen
from readers import Readers


class Plain(Readers):
    def test_batch(self):
        self.agent()
        self.every()
        lines = self.shmbus("top", "--once").stdout.splitlines()
        self.assertRegex(lines[0], f"^shmbus {self.bus} +1 running +0 stale +0 lost +0 ended")
        titles = [line.split()[:8] for line in lines
                  if line.split()[0] in ("SESSION", "CYCLE", "TIMER")]
        self.assertEqual(titles, [
            ["SESSION", "STATE*", "CPU", "MEM", "DROPS", "AGE", "B/Q", "ERR"],
            ["CYCLE", "QUANT", "RATE", "WAIT", "BUSY", "W/Q", "B/Q", "ERR"],
            ["TIMER", "COUNT", "RATE", "MEAN", "P50", "P99", "MAX", "TARGET"]])
        rows = {line.split()[0]: line.split() for line in lines if line.startswith(" ")}
        self.assertEqual(rows["cycle"][1:3] + rows["cycle"][7:8], ["256", "48000", "1"])
        # A deadline without a cycle has neither quantum nor rate.
        self.assertEqual(rows["stage.time"][1:3], ["-", "-"])
        self.assertEqual(rows["never"][1:8], ["0", "0", "-", "-", "-", "-", "-"])
        self.assertEqual(len(self.shmbus("top", "-b", "-n", "2", "-d", "0.1").stdout.split(
            "shmbus ")), 3)

    def test_filter(self):
        self.agent()
        self.every()
        self.held("other")
        self.aggregated("other")
        for text, shown in (("cyc", ["every", "cycle", "cycle.wait", "cycle.xruns"]),
                            ("CYC*E", ["every", "cycle"]), ("oth", ["other", "value", "never"]),
                            ("[ab]lock", ["every", "block"]),
                            ("producer", None), ("nothing", [])):
            with self.subTest(text):
                lines = self.shmbus("top", "--once", "--filter", text).stdout.splitlines()
                rows = [line.split()[0] for line in lines
                        if re.match("  +[a-z]", line)]
                if shown is not None:
                    self.assertEqual(rows, shown)
                else:  # the service of both
                    self.assertTrue({"every", "other", "never", "block"} <= set(rows), rows)
        self.assertIn("nothing passes the filter", "\n".join(lines))
        self.assertEqual(self.shmbus("top", "--filter", "x" * 64, status=2).stdout, "")

    def test_json(self):
        self.agent()
        self.every()
        lines = self.shmbus("top", "--json", "-n", "2", "-d", "0.1").stdout.splitlines()
        self.assertEqual(len(lines), 2)
        table, session = json.loads(lines[1]), self.session("every")
        self.assertEqual((table["bus"], table["agent_running"], table["stale"]),
                         (self.bus, True, False))
        self.assertEqual(table["totals"]["sessions_active"], 1)
        self.assertGreater(table["agent"]["rss_bytes"], 0)
        row = table["sessions"][0]
        self.assertEqual((row["id"], row["service"], row["dropped"]), ("every", "producer", 0))
        cycle = metric({"metrics": row["cycles"]}, "cycle")
        self.assertEqual((cycle["quantum"], cycle["rate_hz"], cycle["errors"]), (256, 48000, 1))
        timer, whole = metric({"metrics": row["timers"]}, "value"), metric(session, "value")
        for key in ("count", "mean", "max"):
            self.assertEqual(timer[key], whole[key])
        for key in ("p50", "p99"):
            self.assertEqual(timer[key], whole["quantiles"][key])
        self.assertEqual(timer["target_met"], whole["target"]["met"])
        never = metric({"metrics": row["timers"]}, "never")
        self.assertEqual({"name", "unit", "count", "rate"} - set(never), set())
        self.assertFalse({"mean", "p50", "p99", "max"} & set(never))
        values = {v["name"]: v for v in row["values"]}
        self.assertEqual((values["done"]["kind"], values["done"]["value"]), ("counter", 1000))
        self.assertEqual(values["state"]["value"], "busy")
        self.assertEqual(values["value.per.done"]["value"], 500.5)
        writer, counted = row["writers"][0], session["writers"][0]
        for key in ("capacity", "high_water", "aggregated"):
            self.assertEqual(writer[key], counted[key])

    def test_no_agent(self):
        for arguments in (("--once",), ("--once", "--json")):
            result = self.shmbus("top", *arguments, status=1)
            self.assertEqual(result.stdout, "")
            self.assertIn("no agent has published", result.stderr)

    def test_agent_returns(self):
        """Plain tables go on over an agent that is not there yet."""
        top = self.start("shmbus", "top", "-b", "-d", "0.1", stderr=subprocess.PIPE)
        self.assertIn("no agent has published", top.stderr.readline())
        self.agent()
        self.assertTrue(top.stdout.readline().startswith(f"shmbus {self.bus}"))
        self.assertEqual(self.stop(top), 0)


class Keys(Screen):
    def every_live(self, *arguments, size=(100, 50)):
        self.agent()
        producer = self.every()
        self.live(*arguments, size=size)
        self.row_when("cycle.wait")
        return producer

    def test_folds(self):
        self.every_live()
        self.assertIsNone(self.row("WRITER"))
        self.type("Right")
        writers = self.row_when("WRITER")
        self.assertEqual(writers.split()[1:6], ["RING", "USED", "HIGH", "DROPS", "SAMPLES"])
        self.assertEqual(self.row("state").split()[1:4], ["states", "-", "busy"])
        self.assertEqual(self.row("done").split()[1], "counter")
        self.assertEqual(self.row("done").split()[3], "1000")
        self.type("Left", "Left")
        self.hides("cycle.wait")
        self.assertTrue(self.row("every").startswith("+ every"))
        self.assertIsNone(self.row("TIMER"))
        self.type("Enter")
        self.row_when("cycle.wait")
        self.type("c")
        self.hides("cycle.wait")
        self.type("a")
        self.row_when("WRITER")

    def test_many(self):
        """More sessions than one can look at are closed at first."""
        self.agent()
        self.held("x", "--sessions", "30")
        self.wait_for(lambda: len(self.snapshot()["sessions"]) == 30, "the sessions")
        self.live()
        self.shows("more rows")
        self.assertIsNone(self.row("TIMER"))
        self.type("o")
        self.row_when("TIMER")

    def test_filter(self):
        self.every_live()
        self.type("/")
        self.shows("filter: _")
        self.type("-l", "q*")  # no command while it is typed
        self.shows("nothing passes the filter")
        self.type("C-u", "-l", "cycleX")
        self.shows("filter: cycleX_")
        self.type("BSpace")
        self.row_when("cycle.wait")
        self.hides("never")
        self.type("Enter")
        self.shows('filter "cycle"')
        self.type("Escape")
        self.row_when("never")

    def type(self, *keys):
        """Typed as they are where they follow -l: tmux takes names only otherwise."""
        if "-l" in keys:
            at = keys.index("-l")
            if keys[:at]:
                super().type(*keys[:at])
            self.tmux("send-keys", "-l", *keys[at + 1:])
        else:
            super().type(*keys)

    def test_sort(self):
        self.agent()
        for identity in ("b", "c", "a"):
            self.held(identity)
            self.aggregated(identity)
        self.live("--filter", "'[abc]'")

        def order():
            return [line.split()[1] for line in self.lines() if re.match("- [abc] ", line)]
        self.wait_for(lambda: order() == ["b", "c", "a"], "the order of their coming")
        self.type("<")  # from the first column to the last: the name
        self.wait_for(lambda: order() == ["a", "b", "c"], "the order of names")
        self.shows("SESSION*")
        self.shows("by name")
        self.type("r")
        self.wait_for(lambda: order() == ["c", "b", "a"], "the order reversed")
        self.shows("reversed")
        self.type("r", ">")
        self.wait_for(lambda: order() == ["b", "c", "a"], "the order of their coming")

    def test_baseline(self):
        """Counts begin anew on this screen, and nowhere else."""
        self.agent()
        producer = self.held("x", "--ring", "64")
        drops = self.wait_for(lambda: (s := self.session("x")) and s["dropped_total"], "drops")
        self.live()
        self.shows(f"** {drops} SAMPLES WERE DROPPED: no room in a ring of x **")
        self.assertNotEqual(self.row("value").split()[1], "0")
        self.type("z")
        self.shows("counts of the last")
        self.hides("DROPPED")
        value = self.row_when("value", lambda line: line.split()[1] == "0").split()
        self.assertEqual(value[3:7], ["-"] * 4)
        self.type("Z")
        self.shows(f"** {drops} SAMPLES WERE DROPPED: no room in a ring of x **")
        self.assertEqual(self.session("x")["dropped_total"], drops)
        self.assertIsNone(producer.poll())

    def test_pause(self):
        self.agent()
        self.held("x")
        self.live()
        self.row_when("x")
        self.type("p")
        self.shows("** PAUSED for")
        self.held("y")
        self.aggregated("y")
        self.shows("** PAUSED for 1")  # a second and more
        self.assertIsNone(self.row("y"))
        self.type("p")
        self.row_when("y")
        self.hides("PAUSED")

    def test_help(self):
        self.every_live(size=(80, 24))
        for key, back in (("?", "x"), ("h", "q"), ("F1", "Enter")):
            self.type(key)
            lines = self.shows("shmbus top: keys")
            self.assertIn("Any key goes back, q too.", "\n".join(lines))
            self.type(back)
            self.row_when("cycle.wait")

    def test_selection(self):
        """The last row can be reached, and its latencies are shown."""
        self.every_live(size=(80, 24))
        self.type("a")
        self.shows("more rows")
        self.type("End")
        self.row_when("#0" if self.session("every")["writers"][0]["name"] == ""
                      else self.session("every")["writers"][0]["name"])
        self.type("Home", "o")
        for _ in range(3):
            self.type("Down")
        self.shows("latencies of every: value")
        self.type("l")
        self.hides("latencies")
        self.type("l")
        self.shows("latencies of every: value")


class Load(Screen):
    """Players, as in the demo: one overloads its quantum, one is killed."""

    def player(self, identity, *arguments):
        sound = self.file("tone.wav")
        if not os.path.exists(sound):
            with wave.open(sound, "wb") as out:
                out.setparams((1, 2, 48000, 0, "NONE", ""))
                out.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(i / 20)))
                                         for i in range(48000)))
        return self.start("shmbus-player", "--quiet", "--id", identity, "--impulse-ms", "10",
                          *arguments, sound)

    def test_players(self):
        self.agent()
        self.player("studio")
        self.player("overload", "--overload", "130")
        victim = self.player("victim", "--quantum", "256")
        self.live(size=(200, 50))
        self.row_when("overload", lambda line: line.split()[8] not in ("-", "0"))
        self.wait_for(lambda: "256" in (self.row("cycle", self.after("victim")) or ""),
                      "the victim's cycle")
        self.stop(victim, signal.SIGKILL)
        self.row_when("victim", lambda line: line.split()[2] == "lost")
        lines = self.lines()
        names = [line.split()[1] for line in lines if line.startswith("- ")]
        self.assertEqual(names[-1], "victim")
        for kind in ("SESSION", "CYCLE", "TIMER"):
            self.assertIsNotNone(self.row(kind, lines))
        busy = self.row("overload").split()[7]
        self.assertRegex(busy, r"^[\d.]+k?%$")
        self.assertLessEqual(max(map(len, lines)), 200)

    def after(self, name):
        lines = self.lines()
        at = next((i for i, line in enumerate(lines) if line.startswith(f"- {name} ")), len(lines))
        return lines[at + 1:]


if __name__ == "__main__":
    unittest.main()
