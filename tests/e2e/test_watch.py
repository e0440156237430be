# SPDX-License-Identifier: MIT
"""shmbus watch, and the C API beneath it: streams that end with their session."""

import fcntl
import json
import re
import signal
import subprocess
import unittest

from bus import BIN
from readers import Readers


class Stream(Readers):
    def watch(self, *arguments, **options):
        return self.start("shmbus", "watch", "-d", "0", *arguments, **options)

    def line(self, watch):
        text = watch.stdout.readline()
        self.assertTrue(text.endswith("}\n"), f"{text!r}: {watch.poll()}")
        return json.loads(text)

    def until(self, watch, condition, limit=2000):
        """The first line that is so."""
        for _ in range(limit):
            line = self.line(watch)
            if condition(line):
                return line
        return self.fail("no such line")

    def rest(self, watch):
        """All lines to the end of the stream, which must come."""
        output, _ = watch.communicate(timeout=60)
        return [json.loads(text) for text in output.splitlines()]

    def finish(self, producer):
        producer.stdin.close()
        self.assertEqual(producer.wait(timeout=30), 0)

    def told(self, watch, pattern):
        for text in watch.stderr:
            if re.search(pattern, text):
                return
        self.fail(f"never said {pattern}")


class One(Stream):
    def test_ended(self):
        self.agent()
        producer = self.every()
        watch = self.watch("every")
        first = self.line(watch)
        self.finish(producer)
        lines = [first, *self.rest(watch)]
        self.assertEqual(watch.returncode, 0)
        for before, after in zip(lines, lines[1:]):
            self.assertEqual(after["seq"], before["seq"] + 1 + after["gap"])
        self.assertEqual(first["gap"], 0)
        self.assertEqual({line["session_id"] for line in lines}, {"every"})
        self.assertEqual(len({line["segment"] for line in lines}), 1)
        self.assertEqual([line["state"] for line in lines if "final" in line], ["ended"])
        self.assertEqual((lines[-1]["state"], lines[-1]["final"]), ("ended", True))

    def test_what_it_says(self):
        """Each number is the snapshot's."""
        self.agent()
        self.every()
        line = self.line(self.watch("every"))
        session = self.session("every")
        writer = session["writers"][0]
        self.assertEqual(line["bus"], self.bus)
        for key in ("service", "segment", "incarnation", "pid", "aggregated_total", "labels"):
            self.assertEqual(line[key], session[key], key)
        self.assertEqual(line["attempt_id"], "first")
        self.assertEqual(line["states"], {"state": "busy"})
        self.assertEqual(line["queue"], {"depth": 0, "high_water": writer["high_water"],
                                         "capacity": 16384, "writer": "writer-0"})
        self.assertEqual((line["backlog"], line["dropped"]),
                         (0, {"total": 0, "full": 0, "head": 0}))
        self.assertEqual(line["derived"], {"value.per.done": 500.5})
        self.assertEqual(line["gauges"], {"depth": {"value": 7, "high_water": 7},
                                          "open": {"value": -3, "high_water": -3},
                                          "level": {"value": -2.5, "high_water": -2.5}})
        self.check_timers(line["timers"], session)

    def check_timers(self, timers, session):
        metrics = {m["name"]: m for m in session["metrics"] if m["kind"] == "timer"}
        self.assertEqual(set(timers), set(metrics))
        self.assertEqual(timers["never"].keys(), {"count", "unit", "rate"})
        for name, timer in timers.items():
            self.assertEqual(timer["count"], metrics[name]["count"])
            for key in ("last", "mean", "p50", "p95", "p99", "max"):
                self.assertEqual(timer.get(key), metrics[name].get("window", {}).get(key))

    def test_backlog(self):
        """What is aggregated, what waits and what was dropped are all that was tried."""
        agent = self.agent()
        self.suspend(agent)  # nothing is drained before all was tried
        self.report(self.producer("--id", "small", "--ring", "64", "--count", "1000", "--hold"))
        agent.send_signal(signal.SIGCONT)
        self.aggregated("small", 64)
        line = self.until(self.watch("small"), lambda l: l["timers"]["value"]["count"] +
                          l["dropped"]["total"] + l["backlog"] == 1000)
        self.assertEqual(line["dropped"]["full"], 1000 - 64)
        self.assertEqual(line["dropped"]["total"], 1000 - 64)
        self.assertEqual(line["queue"]["capacity"], 64)
        self.assertEqual(line["queue"]["high_water"], 64)

    def test_lost(self):
        self.agent()
        producer = self.held("victim")
        self.aggregated("victim")
        watch = self.watch("victim")
        self.line(watch)
        self.stop(producer, signal.SIGKILL)
        lines = self.rest(watch)
        self.assertEqual((lines[-1]["state"], lines[-1]["final"]), ("lost", True))
        self.assertEqual(lines[-1]["timers"]["value"]["count"], 1000)
        self.assertEqual(watch.returncode, 0)

    def test_over_already(self):
        """One line, and the end."""
        self.agent()
        self.finish(self.held("old"))
        self.wait_for(lambda: self.session("old", "ended"), "its end")
        lines = [json.loads(t) for t in self.shmbus("watch", "old").stdout.splitlines()]
        self.assertEqual([(l["state"], l["final"]) for l in lines], [("ended", True)])

    def test_average(self):
        """Of what came in between, and of nothing else."""
        self.agent()
        self.producer("--id", "steady", "--count", "100000", "--values", "1", "--rate", "500")
        self.wait_for(lambda: self.session("steady"), "the session")
        line = self.until(self.watch("steady"),
                          lambda l: "average_10" in l["timers"].get("value", ()))
        self.assertEqual(line["timers"]["value"]["average_10"], 1)
        self.assertNotIn("average_10", line["timers"]["never"])

    def test_count_and_delay(self):
        """With a longer delay it sees less, and says how much less."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        result = self.shmbus("watch", "-d", "0.4", "--count", "3", "x")
        lines = [json.loads(text) for text in result.stdout.splitlines()]
        self.assertEqual(len(lines), 3)
        self.assertGreater(lines[1]["gap"] + lines[2]["gap"], 0)


class Names(Stream):
    def test_missing(self):
        self.agent()
        for name in ("nobody", "no*body"):
            result = self.shmbus("watch", name, status=1)
            self.assertEqual((result.stdout, result.stderr),
                             ("", f"shmbus: no session \"{name}\": 'shmbus ls' lists them\n"))
        self.assertIn("no session", self.shmbus("watch", "--wait", "0.1", "x", status=1).stderr)

    def test_wait(self):
        """For an agent and for the session."""
        watch = self.watch("--wait", "300", "later", stderr=subprocess.PIPE)
        self.told(watch, "start one with .*; waiting for it")
        self.agent()
        self.held("later")
        self.assertEqual(self.line(watch)["session_id"], "later")

    def test_beginning(self):
        self.agent()
        self.held("voice-1")
        self.held("voice-2")
        self.wait_for(lambda: self.session("voice-2"), "both sessions")
        result = self.shmbus("watch", "--wait", "60", "voice", status=1)
        self.assertIn("voice-1, voice-2: say more", result.stderr)
        self.assertEqual(self.line(self.watch("voice-2"))["session_id"], "voice-2")

    def test_pattern(self):
        """Those that are there and those that come, until none is left."""
        self.agent()
        self.finish(self.held("voice-0"))
        self.wait_for(lambda: self.session("voice-0", "ended"), "its end")
        first = self.held("voice-1")
        self.held("other")
        self.wait_for(lambda: self.session("other"), "the sessions")
        watch = self.watch("voice-*")
        self.assertEqual(self.line(watch)["session_id"], "voice-1")
        second = self.held("voice-2")
        self.until(watch, lambda l: l["session_id"] == "voice-2")
        self.finish(first)
        self.until(watch, lambda l: l["session_id"] == "voice-1" and l.get("final"))
        self.until(watch, lambda l: l["session_id"] == "voice-2")
        self.finish(second)
        lines = self.rest(watch)
        self.assertEqual({l["session_id"] for l in lines}, {"voice-2"})
        self.assertEqual((lines[-1]["state"], watch.returncode), ("ended", 0))

    def test_pattern_waits(self):
        """With --wait also for the next one, counted from when none was left."""
        self.agent()
        first = self.held("voice-1")
        self.wait_for(lambda: self.session("voice-1"), "the session")
        watch = self.watch("--wait", "8", "voice-*")
        end_ns = self.line(watch)["time_unix_ns"] + 8 * 10**9
        self.until(watch, lambda l: l["time_unix_ns"] > end_ns)
        self.finish(first)
        self.until(watch, lambda l: l.get("final"))
        self.held("voice-2")
        self.assertEqual(self.line(watch)["session_id"], "voice-2")

    def test_gone(self):
        """A session that leaves the snapshot while nobody looks still has a last line."""
        agent = self.agent("--ttl", "0s")
        producer = self.held("brief")
        self.wait_for(lambda: self.session("brief"), "the session")
        watch = self.watch("brief")
        self.line(watch)
        self.suspend(watch)
        self.finish(producer)
        self.wait_for(lambda: (s := self.snapshot()) and not s["sessions"], "it to be gone")
        watch.send_signal(signal.SIGCONT)
        lines = self.rest(watch)
        self.assertTrue(lines[-1]["final"])
        self.assertIn(lines[-1]["state"], ("gone", "ended"))
        self.assertEqual((lines[-1]["session_id"], watch.returncode), ("brief", 0))
        self.stop(agent)


class Trouble(Stream):
    def test_hung_reader(self):
        """Whoever reads the lines and hangs makes nobody wait but the watch."""
        self.agent("--interval", "20ms")
        self.every()
        watch = self.watch("every")
        fcntl.fcntl(watch.stdout, fcntl.F_SETPIPE_SZ, 4096)
        before = self.line(watch)["seq"]
        # More lines than the pipe and our own buffer hold.
        later = self.wait_for(lambda: (s := self.snapshot())["seq"] > before + 200 and s,
                              "the agent to go on", 60)
        self.assertEqual(later["agent"]["publish_failures"], 0)
        self.assertGreater(self.until(watch, lambda l: l["gap"] > 40)["seq"], before + 40)

    def test_reader_leaves(self):
        """At once and quietly, with the session still there."""
        self.agent()
        self.held("x")
        self.aggregated("x")
        for delay in ("0", "3600"):
            watch = self.start("shmbus", "watch", "-d", delay, "x", stderr=subprocess.PIPE)
            self.line(watch)
            watch.stdout.close()
            self.assertIn(watch.wait(timeout=30), (0, -signal.SIGPIPE))
            self.assertEqual(watch.stderr.read(), "")

    def test_agent_comes_again(self):
        agent = self.agent()
        self.held("x")
        self.aggregated("x")
        watch = self.watch("x", stderr=subprocess.PIPE)
        before = self.line(watch)
        self.stop(agent, signal.SIGKILL)
        self.told(watch, "nothing new for .*; waiting for it")
        self.agent()
        self.told(watch, "snapshots come again")
        after = self.until(watch, lambda l: l["seq"] > before["seq"] + 1)
        self.assertEqual(after["timers"]["value"]["count"], 1000)
        self.assertEqual(after["segment"], before["segment"])

    def test_stopped_agent(self):
        agent = self.agent()
        self.held("x")
        self.aggregated("x")
        watch = self.watch("x", stderr=subprocess.PIPE)
        self.suspend(agent)
        self.told(watch, "nothing new for .*; waiting for it")
        agent.send_signal(signal.SIGCONT)
        self.told(watch, "snapshots come again")

    def test_output_full(self):
        self.agent()
        self.held("x")
        self.aggregated("x")
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([f"{BIN}/shmbus", "watch", "x"], env=self.env, stdout=full,
                                    stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


class Program(Stream):
    def test_watcher(self):
        """The example: one call for each snapshot."""
        self.agent()
        watcher = self.start("shmbus_watcher", "20", stderr=subprocess.PIPE)
        output, errors = watcher.communicate(timeout=60)
        self.assertEqual((watcher.returncode, errors), (0, ""))
        found = re.findall(r"^snapshot (\d+): \d+ bytes of msgpack, (\d+) not seen before it$",
                           output, re.MULTILINE)
        self.assertEqual(len(found), 20)
        for (before, _), (seq, gap) in zip(found, found[1:]):
            self.assertEqual(int(seq), int(before) + 1 + int(gap))

    def test_watcher_waits(self):
        watcher = self.start("shmbus_watcher", "1", stderr=subprocess.PIPE)
        self.assertIn("no agent has published", watcher.stderr.readline())
        self.agent()
        self.assertIn("bytes of msgpack", watcher.communicate(timeout=60)[0])


if __name__ == "__main__":
    unittest.main()
