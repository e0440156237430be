# SPDX-License-Identifier: MIT
"""The readers as a user runs them: what they print, what they refuse, how they end."""

import json
import os
import pwd
import signal
import subprocess
import unicodedata
import unittest

import tinypack
from bus import BIN, metric
from readers import Readers

# Wide characters, two bytes a column and three.
WIDE = "s\u00e9ance-\u65e5\u672c\u8a9e"
LONG = "a-session-id-that-is-as-long-as-an-id-may-be-0123456789-01234567"[:63]

WINDOW = {"size", "count", "mean", "std", "min", "max", "p50", "p95", "p99", "last"}
SLICE = {"span_ns", "count", "rate"}
SLICE_SAMPLES = {"mean", "max", "p50", "p95", "p99"}
QUANTILES = {"p50", "p90", "p95", "p99", "p99_9"}
HISTOGRAM = {"schema", "zero_threshold", "zero_count", "offset", "buckets"}
SERIES = {"sum", "min", "max", "mean", "std", "quantiles", "window", "histogram"}
PERIOD = {"period_ns", "misses", "miss_run_max"}
PERIOD_SAMPLES = {"busy_ratio", "miss_ratio", "worst"}
TARGET = {"value", "quantile", "violations"}
TARGET_SAMPLES = {"met", "violation_ratio", "worst"}
TIMER = {"name", "kind", "unit", "count", "windows"}
VALUE = {"name", "kind", "unit", "value"}

# The metrics of e2e_producer --every.
METRICS = {
    "value": TIMER | SERIES | {"target"},
    "done": VALUE,
    "depth": VALUE,
    "state": VALUE | {"states"},
    "never": TIMER,
    "stage.time": TIMER | SERIES | {"stage", "help", "target", "period"},
    "block": TIMER | SERIES,
    "open": VALUE,
    "level": VALUE,
    "unset": VALUE - {"value"},
    "build": VALUE,
    "cycle": TIMER | SERIES | {"help", "period"},
    "cycle.wait": TIMER | SERIES | {"help"},
    "cycle.xruns": VALUE | {"help"},
}
KINDS = {"timer", "counter", "updown", "gauge", "stateset", "info"}
DOCUMENT = {"schema", "bus", "seq", "time_unix_ns", "interval_ns", "agent", "totals", "sessions"}
AGENT = {"version", "incarnation", "checkpoint_bytes", "checkpoint_failures", "pid", "start_time_unix_ns", "cpu_ratio", "rss_bytes", "memory_bytes",
         "samples_total", "dropped_total", "drain_lag_ns", "drain_period_ns",
         "clock_backward_total", "overruns", "publish_ns", "publish_bytes", "publish_failures",
         "encoded_sessions", "scans", "event_overflows", "log_lost", "rejected", "rejects"}
TOTALS = {"sessions_total", "sessions_active", "sessions_ended", "sessions_lost",
          "dropped_total", "overflow_total", "recent", "metrics"}
SESSION = {"id", "service", "segment", "labels", "pid", "uid", "incarnation", "state",
           "start_time_unix_ns", "age_ns", "memory", "cpu_ratio", "aggregated_total",
           "dropped_total", "overflow_total", "writers", "metrics", "derived"}
WRITER = {"id", "name", "capacity", "used", "high_water", "recorded", "aggregated", "before",
          "dropped"}


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Document(Readers):
    """The keys that are promised, each one there, and no other."""

    def check(self, value, expected, where):
        self.assertEqual(set(value), expected, where)

    def check_windows(self, windows, where):
        self.check(windows, {"10s", "1m", "5m", "15m"}, where)
        for name, window in windows.items():
            self.check(window, SLICE | (SLICE_SAMPLES if window["count"] else set()),
                       f"{where} {name}")

    def check_metric(self, found, where):
        parts = {"quantiles": QUANTILES, "window": WINDOW, "histogram": HISTOGRAM,
                 "target": TARGET | TARGET_SAMPLES}
        for name, keys in parts.items():
            if name in found:
                self.check(found[name], keys, f"{where} {name}")
        if "windows" in found:
            self.check_windows(found["windows"], where)
        if "target" in found:
            self.check(found["target"]["worst"],
                       {"value", "time_unix_ns"} |
                       ({"correlation_id"} if found["name"] == "stage.time" else set()), where)

    def check_nothing_absent(self, value, where="document"):
        """What has no value is not there: no null, no NaN, no infinity."""
        self.assertIsNotNone(value, where)
        if isinstance(value, dict):
            for key, part in value.items():
                self.check_nothing_absent(part, f"{where}.{key}")
        elif isinstance(value, list):
            for part in value:
                self.check_nothing_absent(part, f"{where}[]")
        elif isinstance(value, float):
            self.assertTrue(value - value == 0, where)

    def test_keys(self):
        self.agent()
        self.every()
        document = self.snapshot()
        session = document["sessions"][0]
        self.check(document, DOCUMENT, "document")
        self.check(document["agent"], AGENT, "agent")
        self.check(document["totals"], TOTALS, "totals")
        self.check(session, SESSION, "session")
        self.check(session["memory"], {"shm_bytes", "agent_bytes", "process_rss_bytes"}, "memory")
        for writer in session["writers"]:
            self.check(writer, WRITER, "writer")
            self.check(writer["dropped"], {"full", "head"}, "dropped")
        self.assertEqual(session["derived"], [{"name": "value.per.done", "value": 500.5}])
        self.assertEqual({m["name"] for m in session["metrics"]}, set(METRICS))
        self.assertEqual({m["kind"] for m in session["metrics"]}, KINDS)
        for found in session["metrics"]:
            self.check(found, METRICS[found["name"]], found["name"])
            self.check_metric(found, found["name"])
        self.check_nothing_absent(document)

    def test_keys_period(self):
        self.agent()
        self.every()
        session = self.session("every")
        self.check(metric(session, "stage.time")["period"], PERIOD | PERIOD_SAMPLES, "period")
        self.check(metric(session, "cycle")["period"],
                   PERIOD | PERIOD_SAMPLES | {"quantum", "rate_hz", "wait_ratio", "xruns"},
                   "cycle")

    def test_keys_totals(self):
        self.agent()
        self.every()
        totals = self.snapshot()["totals"]
        self.assertEqual({m["name"] for m in totals["metrics"]}, set(METRICS))
        for found in totals["metrics"]:
            expected = METRICS[found["name"]] | {"sessions"}
            if found["kind"] == "stateset":
                expected -= {"value"}
            self.check(found, expected, found["name"])
            # A period is a session's: of another one it may be another.
            if "period" in found:
                self.check(found["period"],
                           (PERIOD | PERIOD_SAMPLES) - {"period_ns", "busy_ratio"}, found["name"])
            self.check_metric(found, found["name"])

    def test_keys_finished(self):
        self.agent()
        self.producer("--id", "gone", "--count", "10").wait(timeout=20)
        session = self.wait_for(lambda: self.session("gone", "ended"), "the end")
        self.check(session, SESSION - {"cpu_ratio"} | {"end_time_unix_ns"}, "session")
        self.check(session["memory"], {"shm_bytes", "agent_bytes"}, "memory")
        self.assertNotIn("windows", metric(session, "value"))

    def test_no_samples(self):
        self.agent()
        self.producer("--id", "idle", "--count", "0", "--hold")
        session = self.wait_for(
            lambda: (s := self.session("idle")) and len(s["metrics"]) == 5 and
            metric(s, "depth").get("value") == 7 and s, "the metrics")
        target = metric(session, "value")["target"]
        self.check(target, TARGET, "target")
        self.assertEqual(session["derived"], [{"name": "value.per.done"}])

    def test_values(self):
        self.agent()
        self.every()
        session = self.session("every")
        self.assertEqual(metric(session, "open")["value"], -3)
        self.assertEqual(metric(session, "level")["value"], -2.5)
        self.assertEqual(metric(session, "build")["value"], "1.0 \u00e9t\u00e9")
        self.assertEqual(metric(session, "cycle.xruns")["value"], 1)
        self.assertEqual(metric(session, "stage.time")["target"]["worst"]["correlation_id"], 100)
        self.assertEqual(metric(session, "cycle")["period"]["quantum"], 256)

    def test_formats(self):
        """One document three ways: the last one of an agent that is gone does not change."""
        agent = self.agent()
        self.every()
        self.held(WIDE)
        self.aggregated(WIDE)
        self.stop(agent, signal.SIGKILL)
        pretty = self.shmbus("snapshot", "--json").stdout
        compact = self.shmbus("snapshot", "--compact").stdout
        packed = subprocess.run([f"{BIN}/shmbus", "snapshot", "--msgpack"], env=self.env,
                                capture_output=True, timeout=30, check=True).stdout
        document = json.loads(pretty)
        self.assertEqual(tinypack.decode(packed), document)
        self.assertEqual(list(tinypack.decode(packed)), list(document))
        self.assertEqual(json.loads(compact), document)
        self.assertEqual(compact.count("\n"), 1)
        self.assertNotIn("null", pretty)
        self.assertEqual(json.loads(self.shmbus("ls", "--json").stdout), document["sessions"])
        self.assertEqual(json.loads(self.shmbus("show", "--json", WIDE).stdout),
                         document["sessions"][1])

    def test_wait(self):
        waiting = self.start("shmbus", "snapshot", "--wait", "30")
        self.agent()
        self.assertEqual(json.loads(waiting.communicate(timeout=30)[0])["bus"], self.bus)


class Lists(Readers):
    def rows(self, *arguments):
        lines = self.shmbus(*arguments).stdout.splitlines()
        return lines[0], lines[1:]

    def test_ls(self):
        self.agent()
        for identity in ("short", WIDE, LONG):
            self.held(identity)
            self.aggregated(identity)
        dead = self.held("dead")
        self.aggregated("dead")
        self.stop(dead, signal.SIGKILL)
        self.wait_for(lambda: self.session("dead", "lost"), "the loss")
        header, rows = self.rows("ls")
        self.assertEqual(header.split(), ["STATE", "SERVICE", "ID", "PID", "UPTIME", "AGE",
                                          "WRITERS", "METRICS", "SAMPLES", "DROPS"])
        cells = {row.split()[2]: row.split() for row in rows}
        self.assertEqual(set(cells), {"short", WIDE, LONG, "dead"})
        self.assertEqual(cells["dead"][0], "lost")
        self.assertEqual(cells[WIDE][1], "producer")
        self.assertEqual(cells[WIDE][6:], ["1", "5", "1000", "0"])
        # Whatever an id is written in, what follows it stands in line.
        self.assertEqual({columns(row) for row in rows}, {len(header)})

    def test_ls_empty(self):
        self.agent()
        result = self.shmbus("ls")
        self.assertEqual(len(result.stdout.splitlines()), 1)
        self.assertIn(f'no session on bus "{self.bus}"', result.stderr)

    def test_show(self):
        self.agent()
        producer = self.every()
        session = self.session("every")
        by_id = self.shmbus("show", "every").stdout
        for wanted in ("session  every (", f"pid {producer.pid}", session["segment"],
                       "label    attempt_id=first", "samples  1400 aggregated, 0 dropped",
                       "target p99 <= 900: MISSED, 100 above (10.0%)",
                       "period 5.33ms (256 at 48000 Hz)", "xruns 1"):
            self.assertIn(wanted, by_id)
        rows = {line.split()[0]: line.split()[1:] for line in by_id.splitlines() if line.strip()}
        self.assertEqual(rows["writer-0"], ["16384", "0", rows["writer-0"][2], "1400", "1400",
                                            "0"])
        self.assertEqual(rows["value"][:2], ["1000", "500"])
        self.assertEqual(rows["value"][-1], "1000")
        self.assertEqual(rows["stage.time"][-1], "3.00ms")
        self.assertEqual(rows["block"][-1], "97.7KiB")
        self.assertEqual(rows["never"], ["0"] + ["-"] * 6)
        self.assertEqual(rows["done"], ["counter", "1000"])
        self.assertEqual(rows["state"], ["stateset", "busy"])
        self.assertEqual(rows["open"], ["updown", "-3", "file"])
        self.assertEqual(rows["level"], ["gauge", "-2.5"])
        self.assertEqual(rows["unset"], ["gauge", "-"])
        self.assertEqual(rows["build"], ["info", "1.0", "\u00e9t\u00e9"])
        self.assertEqual(rows["value.per.done"], ["derived", "500.5"])
        for name in ("ev", session["segment"], session["segment"][1:]):
            self.assertIn("session  every (", self.shmbus("show", name).stdout)

    def test_show_which(self):
        self.agent()
        for identity in ("mix", "mix-one", "mix-two"):
            self.held(identity)
            self.aggregated(identity)
        self.assertIn("session  mix (", self.shmbus("show", "mix").stdout)
        several = self.shmbus("show", "mix-", status=1)
        self.assertEqual(several.stdout, "")
        self.assertIn('begin with "mix-": mix-one, mix-two', several.stderr)
        self.assertIn("'shmbus ls'", self.shmbus("show", "mixed", status=1).stderr)
        self.assertIn("no session", self.shmbus("show", "", status=1).stderr)


class Doctor(Readers):
    def files_listed(self, status=0):
        lines = self.shmbus("doctor", status=status).stdout.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("FILE "))
        listed, name = {}, None
        for line in lines[start + 1:]:
            if line.startswith("  "):
                listed[name].append(line.strip())
            else:
                name, *listed_cells = line.split(maxsplit=5)
                listed[name] = listed_cells
        return listed

    def test_living(self):
        self.agent()
        self.held(WIDE)
        session = self.aggregated(WIDE)
        listed = self.files_listed()
        name = session["segment"][1:]
        size = os.stat(f"/dev/shm/{name}").st_blocks * 512 // 1024
        self.assertEqual(listed[name], [pwd.getpwuid(os.geteuid()).pw_name, "0600",
                                        f"{size}KiB", "live", WIDE])
        self.assertEqual(listed[f"shmbus.{self.bus}.agent"][3:], ["live", "-"])
        self.assertIn("snapshot", " ".join(listed))

    def test_no_agent(self):
        result = self.shmbus("doctor", status=1)
        self.assertIn(f"FAIL  agent: none: start one with 'shmbus-agent --bus {self.bus}'",
                      result.stdout)
        self.assertIn("FAIL  snapshot: no agent has published", result.stdout)
        self.assertIn("0 live, 0 dead", result.stdout)

    def test_stopped_agent(self):
        agent = self.agent()
        self.wait_for(self.snapshot, "a snapshot")
        agent.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: "FAIL  snapshot: " in self.run_tool("shmbus", "doctor").stdout,
                      "the verdict")
        self.assertIn("stopped or starved", self.shmbus("doctor", status=1).stdout)

    def test_not_yet_published(self):
        """An agent that was stopped before its first snapshot is not to be started again."""
        agent = self.start("shmbus-agent", "--interval", "60s")
        self.wait_for(lambda: self.files("agent") and "agent: running" in
                      self.run_tool("shmbus", "doctor").stdout, "the agent")
        agent.send_signal(signal.SIGSTOP)
        for path in self.files("snapshot"):
            os.unlink(path)
        self.assertIn("has not published yet", self.shmbus("ls", status=1).stderr)

    def test_clean(self):
        """Removes the dead alone, and nothing while an agent runs."""
        living, dead = self.held("living"), self.held("dead")
        self.stop(dead, signal.SIGKILL)
        segments = self.files("s.")
        self.assertEqual(len(segments), 2)
        states = {cells[3]: cells for cells in self.files_listed(1).values()}
        self.assertEqual(set(states), {"live", "dead"})
        self.assertIn("--clean", states["dead"][-1])
        agent = self.agent()
        refused = self.shmbus("doctor", "--clean", status=1)
        self.assertIn("nothing is removed", refused.stderr)
        self.wait_for(lambda: len(self.files("s.")) == 1, "the agent's own cleaning")
        self.stop(agent, signal.SIGKILL)
        removed = self.shmbus("doctor", "--clean").stdout.splitlines()
        self.assertEqual(sorted(removed), [f"removed /dev/shm/shmbus.{self.bus}.{name}"
                                           for name in ("agent", "checkpoint", "snapshot")])
        self.assertEqual(len(self.files()), 1)
        self.stop(living, signal.SIGKILL)
        self.assertIn(".s.", self.shmbus("doctor", "--clean").stdout)
        self.assertEqual(self.files(), [])
        self.assertIn("nothing to remove", self.shmbus("doctor", "--clean").stdout)

    def test_strangers(self):
        """What is not ours is listed and left alone."""
        prefix = f"/dev/shm/shmbus.{self.bus}."
        with open(prefix + "notes", "wb"):
            pass
        os.mkfifo(prefix + "s.00000000000000aa")
        os.symlink("/etc/passwd", prefix + "s.00000000000000ab")
        listed = self.files_listed(1)
        self.assertEqual({cells[3] for cells in listed.values()}, {"strange"})
        self.assertEqual(len(listed), 3)
        self.shmbus("doctor", "--clean")
        self.assertEqual(len(self.files()), 3)

    def test_writable(self):
        self.agent()
        self.held("open")
        os.chmod(self.files("s.")[0], 0o666)
        result = self.shmbus("doctor").stdout
        self.assertIn("warn  files: 1 to look at", result)
        self.assertIn("chmod go-w", result)

    def test_refused(self):
        """The agent's reason stands beside the segment."""
        self.agent("--max-sessions", "1")
        self.held("one")
        self.aggregated("one")
        self.held("two")
        self.wait_for(lambda: self.snapshot()["agent"]["rejected"], "the refusal")
        self.assertEqual(sum(cells[-1].startswith("refused: 1 sessions are there")
                             for cells in self.files_listed().values()), 1)


if __name__ == "__main__":
    unittest.main()
